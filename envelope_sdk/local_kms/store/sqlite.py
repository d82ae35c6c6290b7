"""The store in a SQLite file, shared by threads and processes.

Two connections: one that only looks, one that only changes, so that nobody who encrypts waits behind somebody who
waits for another process's write. Each has a lock. ``PRAGMA data_version`` on the first tells, for two microseconds,
whether anybody else has committed anything, the second connection included.

Writes are ``BEGIN IMMEDIATE`` with ``synchronous = FULL`` in WAL mode: once committed they are on disk. A key that was
named to a caller and then lost would be data lost, so no cheaper setting will do.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.store.opening import RootKeySource, prepare
from envelope_sdk.local_kms.store.root_key import ROOT_KEY_LENGTH, sync_folder
from envelope_sdk.local_kms.store.rows import SqliteTransaction
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["DEFAULT_PATIENCE", "SqliteStore", "translate"]

DEFAULT_PATIENCE: Final = 10.0
"""Seconds to wait for another process's write before giving up."""

_MEMORY: Final = Path(":memory:")
_FILE_MODE: Final = 0o600
_PRIMARY_CODE: Final = 0xFF
_REASONS: Final = {
    sqlite3.SQLITE_NOTADB: "it is not a database",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a backup",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_IOERR: "reading or writing it failed",
    sqlite3.SQLITE_PERM: "permission is denied",
}


class SqliteStore:
    """Keys in a SQLite file, or in memory. Fulfils :class:`~envelope_sdk.local_kms.store.contract.Store`."""

    def __init__(
        self, path: Path, reader: sqlite3.Connection, writer: sqlite3.Connection, wrapper: MaterialWrapper
    ) -> None:
        """Take what :meth:`open` and :meth:`in_memory` make; not for callers."""
        self._path = path
        self._reader = reader
        self._writer = writer
        self._wrapper = wrapper
        self._read_lock = threading.Lock()
        self._write_lock = self._read_lock if reader is writer else threading.Lock()
        self._commits = 0
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
            KeyStoreError: the file or the root key cannot be used.
            KmsServiceError: DependencyTimeoutException: others kept it locked for longer than ``patience``.
        """
        _make_file(path)
        connections: list[sqlite3.Connection] = []
        try:
            connections.append(_connect(path, patience))
            wrapper = prepare(connections[0], path, root_key, random, patience)
            connections.append(_connect(path, patience))
            return cls(path, connections[1], connections[0], wrapper)
        except BaseException as error:
            for connection in connections:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise translate(error, path) from None
            raise

    @classmethod
    def in_memory(cls, random: RandomSource) -> SqliteStore:
        """Make an empty store that is gone when closed; its root key is nowhere but in this process."""
        connection = _connect(_MEMORY, DEFAULT_PATIENCE)
        wrapper = prepare(connection, _MEMORY, random(ROOT_KEY_LENGTH), random, DEFAULT_PATIENCE)
        return cls(_MEMORY, connection, connection, wrapper)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._path)!r})"

    def __reduce__(self) -> str:
        raise TypeError("an open key store cannot be pickled or copied: open it again")

    def version(self) -> object:
        """Return a value that is another one after anybody has changed the store."""
        self._check_process()
        with self._read_lock:
            try:
                # A lone connection does not count its own commits, so these are counted here.
                return self._commits, self._reader.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error as error:
                raise translate(error, self._path) from None

    @contextmanager
    def read(self) -> Generator[SqliteTransaction]:
        """Begin a look."""
        self._check_process()
        with self._read_lock, _transaction(self._reader, self._path, "BEGIN"):
            yield SqliteTransaction(self._reader, self._wrapper)

    @contextmanager
    def write(self) -> Generator[SqliteTransaction]:
        """Begin a change."""
        self._check_process()
        with self._write_lock:
            transaction = SqliteTransaction(self._writer, self._wrapper)
            with _transaction(self._writer, self._path, "BEGIN IMMEDIATE"):
                yield transaction
            self._commits += 1
            if transaction.erased:
                # Rows erased still stand in the log until it is emptied. If somebody is reading, the next one does it.
                with suppress(sqlite3.Error):
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file."""
        if self._process != os.getpid():
            # SQLite's connections must not be touched in a child process, not even to close them.
            return
        for lock, connection in ((self._read_lock, self._reader), (self._write_lock, self._writer)):
            with lock:
                connection.close()

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise KeyStoreError(f"the key store {self._path} was opened before this process was forked: open it again")


def translate(error: sqlite3.Error, path: Path) -> KeyStoreError | KmsServiceError:
    """Return the error of this package that stands for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return faults.dependency_timeout()
    # SQLite's own texts name tables and columns but never values.
    return KeyStoreError(f"the key store {path} cannot be used: {_REASONS.get(code, str(error))}")


@contextmanager
def _transaction(connection: sqlite3.Connection, path: Path, begin: str) -> Generator[None]:
    try:
        connection.execute(begin)
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # A full disk has made SQLite roll back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise translate(error, path) from None


def _make_file(path: Path) -> None:
    """Make sure there is a file, and that a new one is nobody else's to read; SQLite's -wal and -shm copy its mode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    except FileExistsError:
        return
    except OSError as error:
        raise KeyStoreError(f"the key store {path} cannot be made: {error.strerror}") from None
    os.close(descriptor)
    sync_folder(path.parent)


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    # Autocommit, so that every transaction is one begun here; the locks make sharing between threads safe.
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        for setting in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection
