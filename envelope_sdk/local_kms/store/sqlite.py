"""The store in a SQLite file, shared by threads and processes.

Two connections: one that only looks, one that only changes, so that nobody who encrypts waits behind somebody who
waits for another process's write. Each has a lock. ``PRAGMA data_version`` on the first tells, for two microseconds,
whether anybody else has committed anything, the second connection included.

Writes are ``BEGIN IMMEDIATE`` with ``synchronous = FULL`` in WAL mode: once committed they are on disk. A key that was
named to a caller and then lost would be data lost, so no cheaper setting will do.

Rows erased still stand in the write-ahead log until it is emptied, which it cannot be while anybody reads. Nobody waits
for that: a mark in the database says that it is owed, and whoever next writes, opens or closes the file tries again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, LocalKmsError, UsageError
from envelope_sdk.local_kms.store.backup import write_backup
from envelope_sdk.local_kms.store.in_force import RootKeyInForce
from envelope_sdk.local_kms.store.opening import check_paths, default_root_key_path, prepare, refuse_emptied
from envelope_sdk.local_kms.store.root_key import ROOT_KEY_LENGTH, sync_folder
from envelope_sdk.local_kms.store.rotation import tidy_root_key_files
from envelope_sdk.local_kms.store.rows.transaction import SqliteTransaction, forgive
from envelope_sdk.local_kms.store.session import CHANGE, LOOK, Session, connect, translated
from envelope_sdk.local_kms.store.sources import CHECK, Keeper, RootKeySource
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["DEFAULT_PATIENCE", "SqliteStore"]

DEFAULT_PATIENCE: Final = 10.0
"""Seconds to wait for another process's write before giving up."""

_MEMORY: Final = Path(":memory:")
_FILE_MODE: Final = 0o600


class SqliteStore:
    """Keys in a SQLite file, or in memory. Fulfils :class:`~envelope_sdk.local_kms.store.contract.Store`."""

    def __init__(
        self,
        path: Path,
        reader: Session,
        writer: Session,
        keeper: Keeper,
        wrapper: MaterialWrapper,
        random: RandomSource,
    ) -> None:
        """Take what :meth:`open` and :meth:`in_memory` make; not for callers."""
        self._path = path
        self._reader = reader
        self._writer = writer
        self._in_force = RootKeyInForce(str(path), keeper, wrapper)
        self._random = random
        self._changes = 0
        self._process = os.getpid()

    @classmethod
    def open(
        cls, path: Path, root_key: RootKeySource, random: RandomSource, patience: float = DEFAULT_PATIENCE
    ) -> SqliteStore:
        """Open the database ``path``, making it and its root key on first use.

        Args:
            path: the file; its folder exists.
            root_key: where the root key comes from.
            random: the source of root key and nonces.
            patience: seconds to wait for other processes' writes.

        Raises:
            UsageError: a path that no file can have.
            KeyStoreError: the file or the root key cannot be used.
            KmsServiceError: DependencyTimeoutException: others kept it locked for longer than ``patience``.
        """
        check_paths(path, root_key)
        keeper = Keeper(str(path), default_root_key_path(path), root_key, random)
        if not _make_file(path):
            refuse_emptied(path, patience)
        connections: list[sqlite3.Connection] = []
        try:
            connections.append(connect(path, patience))
            with translated(path):
                wrapper = prepare(connections[0], path, keeper, patience)
            connections.append(connect(path, patience))
        except BaseException:
            for connection in connections:
                connection.close()
            raise
        store = cls(path, Session(connections[1], path), Session(connections[0], path), keeper, wrapper, random)
        store._settle()
        return store

    @classmethod
    def in_memory(cls, random: RandomSource) -> SqliteStore:
        """Make an empty store that is gone when closed; its root key is nowhere but in this process."""
        connection = connect(_MEMORY, DEFAULT_PATIENCE)
        keeper = Keeper(str(_MEMORY), None, random(ROOT_KEY_LENGTH), random)
        wrapper = prepare(connection, _MEMORY, keeper, DEFAULT_PATIENCE)
        session = Session(connection, _MEMORY)
        return cls(_MEMORY, session, session, keeper, wrapper, random)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._path)!r})"

    def __reduce__(self) -> str:
        raise TypeError("an open key store cannot be pickled or copied: open it again")

    @property
    def remote(self) -> bool:
        """Whether looks wait for another machine: they do not."""
        return False

    def version(self) -> object:
        """Return a value that is another one after anybody has changed the store."""
        self._check_process()
        # A lone connection does not count its own commits, so these are counted here.
        return self._changes, self._reader.data_version()

    @contextmanager
    def read(self) -> Generator[SqliteTransaction]:
        """Begin a look."""
        self._check_process()
        before = self._in_force.wrappers
        with self._reader.transaction(LOOK):
            yield self._transaction(self._reader, before)

    @contextmanager
    def write(self) -> Generator[SqliteTransaction]:
        """Begin a change."""
        self._check_process()
        try:
            with self._writer.transaction(CHANGE):
                transaction = self._transaction(self._writer, ())
                yield transaction
                debt = transaction.debt()
        finally:
            # After any exception too: an interrupt may have come when all was committed.
            self._changes += 1
        if debt is not None:
            self._empty_log(debt)

    def rotate_root_key(self, root_key: RootKeySource) -> None:
        """Put everything under another root key, in one transaction, while the store is in use.

        See :meth:`~envelope_sdk.local_kms.LocalKms.rotate_root_key`.
        """
        check_paths(self._path, root_key)
        beside = None if self._path is _MEMORY else default_root_key_path(self._path)
        old, new = self._in_force.keeper, Keeper(str(self._path), beside, root_key, self._random)
        with self.write() as transaction:
            wrapper = self._in_force.change(self._writer.connection, transaction.wrapper, new)
            # What was wrapped under the old root key must not stay behind in the log.
            transaction.run_up_debt()
        self._in_force.changed(new, wrapper)
        with self.write():
            tidy_root_key_files(self._writer.connection, old, new)

    def backup(self, path: Path, *, replace: bool = False) -> None:
        """Write a copy of the store, as it is at one moment, to another file.

        See :meth:`~envelope_sdk.local_kms.LocalKms.backup`.
        """
        self._check_process()
        if self._path is _MEMORY:
            raise UsageError("a key store in memory has no root key that could open a copy of it")
        write_backup(self._path, path, replace=replace)

    def close(self) -> None:
        """Close the file."""
        if self._process != os.getpid():
            # SQLite's connections must not be touched in a child process, not even to close them.
            return
        if self._reader is not self._writer:
            self._reader.close()
        self._settle()
        self._writer.close()

    def _transaction(self, session: Session, before: tuple[MaterialWrapper, ...]) -> SqliteTransaction:
        connection = session.connection
        schema = connection.execute("PRAGMA user_version").fetchone()[0]
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (CHECK,)).fetchone()
        check = None if row is None else row[0]
        return SqliteTransaction(connection, self._in_force.wrapper(connection, schema, check, before))

    def _settle(self) -> None:
        """Empty the log if that is owed; whoever is not up to it leaves it to the next."""
        with suppress(LocalKmsError):
            with self._writer.transaction(LOOK):
                debt = SqliteTransaction(self._writer.connection, self._in_force.wrappers[0]).debt()
            if debt is not None:
                self._empty_log(debt)

    def _empty_log(self, debt: object) -> None:
        if self._path is _MEMORY:
            return
        # A connection of its own, so that not waiting is no setting that somebody would have to undo.
        with suppress(LocalKmsError), closing(connect(self._path, 0)) as connection, translated(self._path):
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy:
                forgive(connection, debt)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise KeyStoreError(f"the key store {self._path} was opened before this process was forked: open it again")


def _make_file(path: Path) -> bool:
    """Make sure there is a file, and that a new one is nobody else's to read; SQLite's -wal and -shm copy its mode.

    Returns:
        Whether it was made here.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE_MODE))
        sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise KeyStoreError(f"the key store {path} cannot be made: {error.strerror}") from None
    return True
