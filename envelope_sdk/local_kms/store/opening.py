"""Opening a database: is it ours, is it new, and does the root key fit."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.store.records import read_records, write_records
from envelope_sdk.local_kms.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, STATEMENTS
from envelope_sdk.local_kms.store.session import BUSY_CODES, CHANGE, LOOK, PRIMARY_CODE
from envelope_sdk.local_kms.store.sources import Keeper, RootKeySource
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper

__all__ = ["check_paths", "default_root_key_path", "is_ours", "prepare", "refuse_emptied"]

_RETRY_SECONDS: Final = 0.01
_FIRST_USE_SECONDS: Final = 1.0


def default_root_key_path(path: Path) -> Path:
    """Return where the root key of the database ``path`` is kept unless the caller says otherwise."""
    # As text: the root folder, which is no database, has no name to change.
    return Path(f"{path}.rootkey")


def check_paths(path: Path, source: RootKeySource) -> None:
    """Raise :class:`UsageError` where the path of the database or of the root key is none that a file can have."""
    for name in (path, source):
        if not isinstance(name, os.PathLike):
            continue
        try:
            encoded = os.fsencode(name)
        except UnicodeEncodeError:
            encoded = b"\0"
        if b"\0" in encoded:
            raise UsageError(f"no file can be called {os.fspath(name)!r}")


def refuse_emptied(path: Path, patience: float) -> None:
    """Raise :class:`KeyStoreError` where the database was there before, has no content, but has a root key beside it.

    That is what an interrupted copy or a bad restore leaves. Taking it for a new store would hide the loss.

    A store at its first use does not look like that: its file has a header before the root key is made. It does where
    the root key was put there beforehand, until the process that has just made the file gets on; that is waited for.
    """
    root_key_file = default_root_key_path(path)
    deadline = time.monotonic() + min(patience, _FIRST_USE_SECONDS)
    # The root key is looked for first: the other way round, a store could be made between the two.
    while os.path.lexists(root_key_file) and _is_empty(path):
        if time.monotonic() > deadline:
            raise KeyStoreError(
                f"the key store {path} is empty, but its root key {root_key_file} is there: restore the database from "
                "a backup, or move both files away to begin anew"
            )
        time.sleep(_RETRY_SECONDS)


def _is_empty(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        # SQLite will say it better.
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def prepare(connection: sqlite3.Connection, path: Path, keeper: Keeper, patience: float) -> MaterialWrapper:
    """Make the database if it is empty, check it otherwise, and return the wrapper of its root key.

    One of an earlier version is brought up to this one, once its root key is known to fit.

    Args:
        connection: open, in autocommit mode; to be closed if this fails.
        path: the database; ``:memory:`` for none.
        keeper: where the root key comes from.
        patience: seconds to wait for other processes.

    Raises:
        KeyStoreError: another program's database, a later schema, or a root key that is missing or does not fit.
        sqlite3.Error: the database cannot be read or written.
    """
    # One look, so that a store made meanwhile is not seen in parts. Where it fails the connection is closed.
    connection.execute(LOOK)
    ours = is_ours(connection, path)
    connection.execute("COMMIT")
    _switch_to_wal(connection, patience)
    if not ours:
        with _change(connection):
            # Another process may have made it while this one waited.
            if not is_ours(connection, path):
                return _create(connection, keeper)
    records = read_records(connection)
    wrapper = keeper.open(records)
    if _version(connection) < SCHEMA_VERSION or keeper.unsettled(records):
        with _change(connection):
            _migrate(connection)
            keeper.settle(read_records(connection))
    return wrapper


@contextmanager
def _change(connection: sqlite3.Connection) -> Generator[None]:
    try:
        connection.execute(CHANGE)
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has made SQLite roll back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to this version, from whatever version another process may have left meanwhile."""
    for version in range(_version(connection), SCHEMA_VERSION):
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")


def is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database is a key store; not, where it is empty.

    Raises:
        KeyStoreError: it is another program's, or of a schema that this version does not know.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = _version(connection)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == 0 and version == 0 and tables == 0:
        return False
    if application != APPLICATION_ID:
        raise KeyStoreError(f"{path} is a database of another program, not a key store")
    if version > SCHEMA_VERSION:
        raise KeyStoreError(
            f"{path} was made by a later version of envelope-sdk (schema {version}, this one knows {SCHEMA_VERSION}): "
            "upgrade envelope-sdk"
        )
    if version < min(MIGRATIONS):
        raise KeyStoreError(
            f"the key store {path} is damaged: there is no schema {version}; restore the database from a backup"
        )
    return True


def _switch_to_wal(connection: sqlite3.Connection, patience: float) -> None:
    # SQLite does not wait for others here, whatever its busy timeout: several processes starting at once need a loop.
    if connection.execute("PRAGMA journal_mode").fetchone()[0] in ("wal", "memory"):
        return
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & PRIMARY_CODE) not in BUSY_CODES or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _create(connection: sqlite3.Connection, keeper: Keeper) -> MaterialWrapper:
    wrapper, records = keeper.make()
    for statement in STATEMENTS:
        connection.execute(statement)
    write_records(connection, records)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return wrapper
