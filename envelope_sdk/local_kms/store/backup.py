"""Copies of a store in a SQLite file, made while it is used, and how one of them becomes the store again.

A copy holds keys wrapped by the root key, but never the root key itself: that is backed up apart, or is lost.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.store.opening import check_paths, default_root_key_path, is_ours, prepare
from envelope_sdk.local_kms.store.root_key import sync_folder
from envelope_sdk.local_kms.store.rotation import check_secrets
from envelope_sdk.local_kms.store.session import PRIMARY_CODE, connect, translated
from envelope_sdk.local_kms.store.sources import Keeper, RootKeySource
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["restore_backup", "write_backup"]

_PATIENCE: Final = 10.0
_MAGIC: Final = b"SQLite format 3\0"
_PARTS: Final = ("", "-wal", "-shm", "-journal")


def write_backup(store: Path, target: Path, *, replace: bool) -> None:
    """Copy the store, as it is at one moment, to a file of its owner's alone; others may go on writing.

    Whatever was committed before is in it. It appears under its name only once it is complete and on disk.

    Args:
        store: the database, which is open.
        target: the copy.
        replace: whether a file that is there is replaced.

    Raises:
        UsageError: there is a file already, or it is the store itself.
        KeyStoreError: the store cannot be read, or the copy not be written.
    """
    check_paths(target, None)
    if any(os.path.realpath(target) == os.path.realpath(f"{store}{part}") for part in _PARTS):
        raise UsageError(f"{target} is the key store itself, not a place for its backup")
    if not replace and os.path.lexists(target):
        raise UsageError(f"{target} is there already, and is not replaced unless that is asked for")
    with _named_when_complete(target, replace=replace) as temporary:
        with closing(connect(store, _PATIENCE)) as connection, translated(store):
            connection.execute("VACUUM INTO ?", (str(temporary),))
        with closing(connect(temporary, _PATIENCE)) as copy, translated(temporary):
            _check_integrity(copy, temporary)


def restore_backup(
    backup: Path, store: Path, root_key: RootKeySource, random: RandomSource, *, replace: bool
) -> Path | None:
    """Make a backup the store, once it is known to be whole and every key in it to open with the root key.

    Args:
        backup: what :func:`write_backup` wrote; it is left as it is.
        store: the database it is to be.
        root_key: where the root key comes from.
        random: the source of nonces.
        replace: whether a store that is there is put aside; nobody must have it open.

    Returns:
        The new name of the database that was put aside.

    Raises:
        UsageError: there is something already, or the backup is the store itself.
        KeyStoreError: the backup is damaged or no key store, the root key is not its own, or somebody has the store
            open. Nothing is changed then.
    """
    for path in (backup, store):
        check_paths(path, root_key)
    if os.path.realpath(backup) == os.path.realpath(store):
        raise UsageError(f"the backup {backup} is the key store itself")
    there = [part for part in _PARTS if os.path.lexists(f"{store}{part}")]
    if there and not replace:
        raise UsageError(f"{store}{there[0]} is there already, and is not put aside unless that is asked for")
    keeper = Keeper(str(backup), default_root_key_path(store), root_key, random)
    with _named_when_complete(store, replace=replace) as temporary:
        _copy(backup, temporary)
        try:
            _check_backup(temporary, backup, keeper)
            return _put_aside(store) if there else None
        finally:
            for part in _PARTS[1:]:
                Path(f"{temporary}{part}").unlink(missing_ok=True)


@contextmanager
def _named_when_complete(target: Path, *, replace: bool) -> Generator[Path]:
    """Yield an empty file; after the block it is on disk and has its name. Where that fails it is gone."""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(descriptor)
    except OSError as error:
        raise KeyStoreError(f"{target} cannot be written: {error.strerror}") from None
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if replace:
            temporary.replace(target)
        else:
            os.link(temporary, target)
        sync_folder(target.parent)
    except FileExistsError:
        raise UsageError(f"{target} is there already, and is not replaced unless that is asked for") from None
    except OSError as error:
        raise KeyStoreError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _copy(backup: Path, temporary: Path) -> None:
    if any(os.path.lexists(f"{backup}{part}") for part in ("-wal", "-journal")):
        raise KeyStoreError(f"{backup} is in use, or was not closed: a backup is made by 'envelope kms backup'")
    try:
        shutil.copyfile(backup, temporary)
    except OSError as error:
        raise KeyStoreError(f"the backup {backup} cannot be read: {error.strerror}") from None


def _check_backup(temporary: Path, backup: Path, keeper: Keeper) -> None:
    with closing(connect(temporary, _PATIENCE)) as connection, translated(backup):
        if not is_ours(connection, backup):
            raise KeyStoreError(f"{backup} is empty: it is no backup of a key store")
        _check_integrity(connection, backup)
        wrapper = prepare(connection, backup, keeper, _PATIENCE)
        check_secrets(connection, wrapper)
        # Back from the log into the one file.
        connection.execute("PRAGMA journal_mode = DELETE")


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok" or connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise KeyStoreError(f"{path} is damaged: {found if found != 'ok' else 'records of a key that is not there'}")


def _put_aside(store: Path) -> Path:
    """Give the database another name as well; the log of one that is damaged gets only that."""
    _close_for_others(store)
    for number in count(1):
        aside = Path(f"{store}.replaced-{number}")
        if any(os.path.lexists(f"{aside}{part}") for part in _PARTS):
            continue
        # Hard-linked, so that at no moment there is no store.
        with suppress(FileNotFoundError):
            os.link(store, aside)
        for part in _PARTS[1:]:
            # Whatever is left of a log must not be taken for that of the database to come.
            with suppress(FileNotFoundError):
                Path(f"{store}{part}").rename(f"{aside}{part}")
        return aside
    raise AssertionError


def _close_for_others(store: Path) -> None:
    """Take the log into the database, which SQLite does only where nobody else has it open.

    Raises:
        KeyStoreError: somebody has.
    """
    if not _looks_like_sqlite(store):
        # SQLite would delete the log of what it does not take for a database.
        return
    try:
        with closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
            if mode == "delete":
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("ROLLBACK")
                return
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            # Damaged, or no database: that may be why there is to be another.
            return
    raise KeyStoreError(f"the key store {store} is open in another process: end that first")


def _looks_like_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
