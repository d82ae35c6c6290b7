"""Opening a database: is it ours, is it new, and does the root key fit."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.store.passphrase import Derivation, Passphrase
from envelope_sdk.local_kms.store.root_key import (
    ROOT_KEY_VARIABLE,
    RootKey,
    decode_root_key,
    given_root_key,
    load_root_key,
    make_root_key_file,
)
from envelope_sdk.local_kms.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, STATEMENTS
from envelope_sdk.local_kms.store.session import BUSY_CODES, CHANGE, LOOK, PRIMARY_CODE
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["RootKeySource", "check_paths", "default_root_key_path", "prepare", "refuse_emptied"]

RootKeySource = bytes | os.PathLike[str] | Passphrase | None
"""Where the root key comes from: 32 bytes, the path of its file, a passphrase, or ``None`` for the environment variable
``ENVELOPE_KMS_ROOT_KEY`` if it is set and the file next to the database otherwise."""

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


def prepare(
    connection: sqlite3.Connection, path: Path, source: RootKeySource, random: RandomSource, patience: float
) -> MaterialWrapper:
    """Make the database if it is empty, check it otherwise, and return the wrapper of its root key.

    One of an earlier version is brought up to this one, once its root key is known to fit.

    Args:
        connection: open, in autocommit mode; to be closed if this fails.
        path: the database; ``:memory:`` for none.
        source: where the root key comes from.
        random: the source of a new root key and its salt.
        patience: seconds to wait for other processes.

    Raises:
        KeyStoreError: another program's database, a later schema, or a root key that is missing or does not fit.
        TypeError: the source is of another kind.
        sqlite3.Error: the database cannot be read or written.
    """
    _check_kind(source)
    # One look, so that a store made meanwhile is not seen in parts. Where it fails the connection is closed.
    connection.execute(LOOK)
    ours = _is_ours(connection, path)
    connection.execute("COMMIT")
    if not ours:
        _switch_to_wal(connection, patience)
        with _change(connection):
            # Another process may have made it while this one waited.
            if not _is_ours(connection, path):
                _create(connection, path, source, random)
    meta = {str(name): value for name, value in connection.execute("SELECT name, value FROM meta")}
    wrapper = _check(path, source, random, meta)
    if _version(connection) < SCHEMA_VERSION:
        with _change(connection):
            _migrate(connection)
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


def _check_kind(source: object) -> None:
    if source is not None and not isinstance(source, bytes | os.PathLike | Passphrase):
        raise TypeError(
            f"root_key is a {type(source).__name__}: give 32 bytes, a pathlib.Path of a root key file, or "
            "Passphrase(...)"
        )


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
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


def _create(connection: sqlite3.Connection, path: Path, source: RootKeySource, random: RandomSource) -> None:
    root_key, meta = _new_root_key(path, source, random)
    try:
        check = MaterialWrapper(root_key, random).check_value()
    finally:
        root_key.wipe()
    for statement in STATEMENTS:
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [*meta.items(), ("root key check", check)])
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _new_root_key(path: Path, source: RootKeySource, random: RandomSource) -> tuple[RootKey, dict[str, str]]:
    made_with = {"made with": _describe(path, source)}
    if isinstance(source, Passphrase):
        derivation = Derivation.new(random)
        return source.derive(derivation), made_with | {"derivation": derivation.to_json()}
    return _held_root_key(source) or make_root_key_file(_file(path, source), random), made_with


def _held_root_key(source: RootKeySource) -> RootKey | None:
    if isinstance(source, bytes):
        return given_root_key(source)
    text = os.environ.get(ROOT_KEY_VARIABLE) if source is None else None
    return None if text is None else decode_root_key(text, f"the environment variable {ROOT_KEY_VARIABLE}")


def _file(path: Path, source: RootKeySource) -> Path:
    return Path(source) if isinstance(source, os.PathLike) else default_root_key_path(path)


def _describe(path: Path, source: RootKeySource) -> str:
    if isinstance(source, Passphrase):
        return "a passphrase"
    if isinstance(source, bytes):
        return "a root key given by the program"
    if source is None and ROOT_KEY_VARIABLE in os.environ:
        return f"the environment variable {ROOT_KEY_VARIABLE}"
    return f"the root key file {_file(path, source).name}"


def _check(path: Path, source: RootKeySource, random: RandomSource, meta: Mapping[str, object]) -> MaterialWrapper:
    check = meta.get("root key check")
    if not isinstance(check, bytes):
        raise KeyStoreError(f"the key store {path} is damaged: it holds no record of its root key")
    root_key = _existing_root_key(path, source, meta)
    try:
        wrapper = MaterialWrapper(root_key, random)
    finally:
        root_key.wipe()
    if not wrapper.fits(check):
        raise KeyStoreError(
            f"the root key from {root_key.origin} is not that of the key store {path}, which was made with "
            f"{meta.get('made with')}"
        )
    return wrapper


def _existing_root_key(path: Path, source: RootKeySource, meta: Mapping[str, object]) -> RootKey:
    made_with = meta.get("made with")
    if isinstance(source, Passphrase):
        derivation = meta.get("derivation")
        if not isinstance(derivation, str):
            raise KeyStoreError(f"the key store {path} takes no passphrase: it was made with {made_with}")
        return source.derive(Derivation.from_json(derivation))
    held = _held_root_key(source)
    if held is not None:
        return held
    file = _file(path, source)
    root_key = load_root_key(file)
    if root_key is None:
        raise KeyStoreError(
            f"the root key of the key store {path} is missing: there is no file {file}. The store was made with "
            f"{made_with}: give or restore exactly that, since without it none of its keys can be used"
        )
    return root_key
