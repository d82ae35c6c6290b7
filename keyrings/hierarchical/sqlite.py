"""Branch key records in a SQLite file: the hierarchical keyring on one machine, without DynamoDB.

Every call opens the file and closes it again, so that threads, processes and forked children share it without sharing
a connection; behind a cache that is a few times an hour. Within a process they come one after the other, and a fork
waits for the one that is under way. Writes are one transaction each in SQLite's rollback journal: a crash leaves the
records of before, and no second file to copy along.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from envelope_sdk.errors import AuthenticationError, KmsAccessError, KmsError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings.hierarchical.attributes import from_attributes, to_attributes
from envelope_sdk.keyrings.hierarchical.records import ACTIVE, BRANCH_KEY_ID, ENC, SECTION, TYPE, Record

__all__ = ["DEFAULT_PATIENCE", "SqliteStorage"]

DEFAULT_PATIENCE: Final = 10.0
"""Seconds to wait for another process's write before giving up."""

_MAX_PATIENCE: Final = 3600

_APPLICATION_ID: Final = 0x65424B53  # "eBKS": a database of another program is refused instead of being added to
_SCHEMA_VERSION: Final = 1
_TABLE: Final = """CREATE TABLE branch_keys (
    branch_key_id TEXT NOT NULL,
    type TEXT NOT NULL,
    attributes TEXT NOT NULL,
    PRIMARY KEY (branch_key_id, type)
) WITHOUT ROWID"""
_FILE_MODE: Final = 0o600

# SQLite keeps account of a process's own locks in its memory. A child forked in the middle of another thread's call
# inherits that account with nobody to settle it: the file stays locked to it, or, worse, passes for locked by itself.
_AT_WORK: Final = threading.RLock()
os.register_at_fork(before=_AT_WORK.acquire, after_in_parent=_AT_WORK.release, after_in_child=_AT_WORK.release)

_PRIMARY_CODE: Final = 0xFF
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_REFUSED: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}
)


class SqliteStorage:
    """Records in a file. Fulfils :class:`~envelope_sdk.keyrings.hierarchical.storage.BranchKeyStorage`.

    The keys in it are wrapped by the KMS; the file is nobody else's to read all the same.
    """

    __slots__ = ("_path", "_patience", "_uri")

    def __init__(self, path: str | os.PathLike[str], *, patience: float = DEFAULT_PATIENCE) -> None:
        """Name the file; it is made on first use.

        Args:
            path: the file. Its folder has to exist.
            patience: seconds to wait for other processes' writes.

        Raises:
            UsageError: no file can be called so, or nobody can wait for so long.
            KmsError: the file cannot be made or opened, or is no storage of branch keys.
        """
        # Absolute, so that a later change of folder does no harm, and that SQLite's special names are names of files.
        self._path = Path(path).absolute()
        if not 0 <= patience <= _MAX_PATIENCE:
            raise UsageError(f"patience is 0 to {_MAX_PATIENCE} seconds, not {patience}")
        self._patience = patience
        try:
            # Opened so, a file that has gone is not made again, empty.
            self._uri = self._path.as_uri() + "?mode=rw"
        except UnicodeEncodeError:
            self._uri = ""
        if not self._uri or "\0" in str(self._path):
            raise UsageError(f"no file can be called {os.fspath(path)!r}")
        self._make_file()
        with self._connection("Open") as connection:
            self._prepare(connection)

    def __repr__(self) -> str:
        return f"SqliteStorage({str(self._path)!r})"

    def get(self, branch_key_id: str, kind: str) -> Record | None:
        """Return the record of this ``type``, as last written."""
        with self._connection("Get") as connection:
            return _get(connection, branch_key_id, kind)

    def add(self, records: Sequence[Record]) -> bool:
        """Add all of the records, or none."""
        with self._writing("Add") as connection:
            if any(_get(connection, *_name(record)) is not None for record in records):
                return False
            for record in records:
                _put(connection, record)
            return True

    def add_version(self, version: Record, active: Record, *, replacing: bytes) -> bool:
        """Add one record and replace another, both or neither."""
        with self._writing("AddVersion") as connection:
            present = _get(connection, str(active[BRANCH_KEY_ID]), ACTIVE)
            if present is None or present.get(ENC) != replacing or _get(connection, *_name(version)) is not None:
                return False
            _put(connection, version)
            _put(connection, active)
            return True

    def records(self) -> Iterator[Record]:
        """Yield every record."""
        with self._connection("Records") as connection:
            rows = connection.execute("SELECT attributes FROM branch_keys ORDER BY branch_key_id, type").fetchall()
        for (attributes,) in rows:
            yield _decoded(attributes)

    def _make_file(self) -> None:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE_MODE))
        except FileExistsError:
            pass
        except OSError as error:
            raise self._error("Open", KmsAccessError, error.strerror or str(error), type(error).__name__) from None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if self._is_ours(connection):
            return
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have made the table while this one waited.
        if not self._is_ours(connection):
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        connection.execute("COMMIT")

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if (application, version) == (_APPLICATION_ID, _SCHEMA_VERSION):
            return True
        if application == _APPLICATION_ID:
            raise self._error("Open", KmsError, "a later version of envelope-sdk made it: upgrade", "SchemaVersion")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] or application or version:
            raise self._error("Open", KmsError, "it is a database of another program", "AnotherProgram")
        return False

    @contextmanager
    def _writing(self, operation: str) -> Generator[sqlite3.Connection]:
        with self._connection(operation) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            # Whatever ends the block otherwise closes the connection, which undoes what was begun.
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self, operation: str) -> Generator[sqlite3.Connection]:
        deadline = time.monotonic() + self._patience
        try:
            with _AT_WORK:
                # Not each thread's patience after the other's.
                left = max(0.0, deadline - time.monotonic())
                with closing(sqlite3.connect(self._uri, uri=True, timeout=left, isolation_level=None)) as connection:
                    # A key whose messages are written has to outlast a power cut: with FULL, the journal may come back.
                    connection.execute("PRAGMA synchronous = EXTRA")
                    connection.execute("PRAGMA trusted_schema = OFF")
                    yield connection
        except (sqlite3.Error, UnicodeDecodeError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
            kind = KmsUnavailableError if code in _BUSY else KmsAccessError if code in _REFUSED else KmsError
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            # SQLite's own texts name tables and columns but no values.
            raise self._error(operation, kind, str(error) if code else "it is damaged", name) from None

    def _error(self, operation: str, kind: type[KmsError], what: str, code: str) -> KmsError:
        return kind(f"the branch key storage {self._path} cannot be used: {what}", operation=operation, code=code)


def _name(record: Record) -> tuple[str, str]:
    return str(record[BRANCH_KEY_ID]), str(record[TYPE])


def _get(connection: sqlite3.Connection, branch_key_id: str, kind: str) -> Record | None:
    found = connection.execute(
        "SELECT attributes FROM branch_keys WHERE branch_key_id = ? AND type = ?", (branch_key_id, kind)
    ).fetchone()
    return None if found is None else _decoded(found[0])


def _put(connection: sqlite3.Connection, record: Record) -> None:
    connection.execute("INSERT OR REPLACE INTO branch_keys VALUES (?, ?, ?)", (*_name(record), _encoded(record)))


def _encoded(record: Record) -> str:
    """Return a record as DynamoDB's JSON, in which bytes are base64."""
    return json.dumps(to_attributes(record), default=lambda value: base64.b64encode(value).decode(), sort_keys=True)


def _decoded(text: Any) -> Record:
    try:
        item = json.loads(text)
        for attribute in item.values():
            if "B" in attribute:
                attribute["B"] = base64.b64decode(attribute["B"], validate=True)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise AuthenticationError("the record was altered: it cannot be read", section=SECTION) from None
    return from_attributes(item)
