"""One connection to SQLite: one thread at a time, one transaction at a time, whatever interrupts it.

An interrupt (``KeyboardInterrupt``, or any exception of a signal handler) is raised when a statement returns, not while
it waits: a transaction may be open by then. So every one begins where an exception rolls it back.

A signal handler may also call the KMS itself, in the middle of a call of the same thread. It cannot wait for that call,
which goes on only after it. Looks are no trouble: one within another sees what that one sees. A change within a
transaction of the same connection is refused: it could be neither durable when it returns nor undone on its own.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import faults

__all__ = ["BUSY_CODES", "CHANGE", "LOOK", "PRIMARY_CODE", "Session", "connect", "translate", "translated"]

LOOK: Final = "BEGIN"
"""Begins a transaction that only reads."""

CHANGE: Final = "BEGIN IMMEDIATE"
"""Begins one that writes; nobody else writes meanwhile."""

PRIMARY_CODE: Final = 0xFF
"""The bits of SQLite's result codes that say what happened; the others say where."""

BUSY_CODES: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
"""Somebody else has the file: the same call may work later. ``PROTOCOL`` is a log contended for too long."""

_DAMAGED: Final = "it is damaged; restore it from a backup"
_REASONS: Final = {
    sqlite3.SQLITE_NOTADB: "it is not a database",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_IOERR: "reading or writing it failed",
    sqlite3.SQLITE_PERM: "permission is denied",
}


class Session:
    """A connection, shared by threads that wait for each other."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Take the connection, in autocommit mode, and the path for error messages."""
        self.connection = connection
        self._path = path
        self._lock = threading.RLock()
        self._begun: str | None = None

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed anything."""
        with self._lock:
            try:
                version: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise translate(error, self._path) from None
        return version

    @contextmanager
    def transaction(self, begin: str) -> Generator[None]:
        """Begin a transaction, :data:`LOOK` or :data:`CHANGE`, that ends with the block.

        Raises:
            UsageError: this thread is in a transaction already, and the two cannot be one.
            KeyStoreError, KmsServiceError: SQLite failed.
        """
        with self._lock, translated(self._path):
            if self._begun is not None:
                if not begin == self._begun == LOOK:
                    raise UsageError(
                        "the key store is in the middle of a transaction of this very thread: a signal handler cannot "
                        "change keys, nor use those in memory while they change"
                    )
                yield
                return
            self._begun = begin
            try:
                yield from self._run(begin)
            finally:
                self._begun = None

    def close(self) -> None:
        """Close the connection. Closing twice is no error."""
        with self._lock:
            self.connection.close()

    def _run(self, begin: str) -> Generator[None]:
        connection = self.connection
        try:
            if connection.in_transaction:
                # A second interrupt came when the first was being dealt with.
                connection.execute("ROLLBACK")
            connection.execute(begin)
            yield
            connection.execute("COMMIT")
        except BaseException:
            # Not always is there one: a full disk has made SQLite roll back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """Open a connection that waits ``patience`` seconds for others.

    Raises:
        KeyStoreError, KmsServiceError: SQLite failed.
    """
    with translated(path):
        # Autocommit, so that every transaction is one begun here; sessions make sharing between threads safe.
        connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            for setting in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {setting}")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Let SQLite's errors leave the block as those of this package."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error, path) from None


def translate(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> KeyStoreError | KmsServiceError:
    """Return the error of this package that stands for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    if code in BUSY_CODES:
        return faults.dependency_timeout()
    return KeyStoreError(f"the key store {path} cannot be used: {_reason(error, code)}")


def _reason(error: Exception, code: int) -> str:
    # Python cannot decode an error of SQLite's that quotes a damaged file, nor a column that holds no text; the error
    # about the latter shows its value.
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode"):
        return _DAMAGED
    # SQLite's own texts name tables and columns but never values.
    return _REASONS.get(code, str(error))
