"""Connections to PostgreSQL: as many as threads call at once, kept for the next call, and replaced when they are lost.

There are no locks, so that a signal handler may call in the middle of a call: it gets a connection of its own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.store.postgresql.driver import psycopg
from envelope_sdk.local_kms.store.postgresql.faults import cannot_connect, is_lost, translate
from envelope_sdk.local_kms.store.postgresql.place import DatabasePlace

__all__ = ["Adapter", "Connections"]

_SETTINGS: Final = (
    "SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false),"
    " set_config('statement_timeout', %s, false), set_config('idle_in_transaction_session_timeout', %s, false),"
    # What is answered is on disk. Stricter settings, which wait for copies too, are left as they are.
    " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
    " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)"
)
_STATEMENT_PATIENCE: Final = 6
_IDLE_SECONDS: Final = 60


class Adapter:
    """A connection that takes SQL with ``?`` for values. Fulfils :class:`~.connection.Connection`."""

    __slots__ = ("_connection", "changed")

    def __init__(self, connection: Any) -> None:
        """Take psycopg's connection, in whatever transaction it is in."""
        self._connection = connection
        self.changed = False

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        """Run a statement."""
        self.changed = self.changed or not statement.startswith("SELECT")
        return self._connection.execute(_with_percents(statement), values or None)

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> None:
        """Run a statement once for each of ``values``, without waiting for each answer."""
        # All of them first: what fails while they are made must not leave half of them under way.
        rows = list(values)
        if rows:
            self.changed = True
            with self._connection.cursor() as cursor:
                cursor.executemany(_with_percents(statement), rows)


class Connections:
    """The connections of one process to one database. Its repr shows no password, and it cannot be pickled."""

    def __init__(self, place: DatabasePlace, patience: float) -> None:
        """Take the database, and how many seconds to wait for others."""
        self._place = place
        self._patience = patience
        self._idle: deque[Any] = deque()
        self._closed = False
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"Connections({self._place!r})"

    def __reduce__(self) -> str:
        raise TypeError("connections to a database cannot be pickled or copied: open it again")

    @contextmanager
    def lease(self, first: str) -> Generator[tuple[Any, Any]]:
        """Run a statement that changes nothing, and yield the connection it ran on and its answer.

        Afterwards the connection is in no transaction. One that was lost since its last use is replaced unseen.

        Args:
            first: the statement, for instance ``BEGIN``.

        Raises:
            KeyStoreError, KmsServiceError: PostgreSQL failed, here or in the block.
        """
        self._check()
        connection, answer = self._begun(first)
        try:
            yield connection, answer
        except psycopg().Error as error:
            if is_lost(error):
                self._drop(connection)
            raise translate(error, self._place) from None
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close all; those in use are closed when they are given back."""
        self._closed = True
        if self._process != os.getpid():
            # They are the parent's.
            return
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def connect(self) -> Any:
        """Open another connection.

        Raises:
            psycopg.Error: there is none to be had.
        """
        connection = psycopg().connect(**self._place.parameters, autocommit=True)
        milliseconds = [str(round(seconds * 1000)) for seconds in self._times()]
        try:
            connection.execute(_SETTINGS, (self._place.schema, *milliseconds))
        except BaseException:
            connection.close()
            raise
        return connection

    def first(self) -> None:
        """Open the first connection, whose failure is one of settings rather than of the moment.

        Raises:
            KeyStoreError: it cannot be opened.
        """
        try:
            self._idle.append(self.connect())
        except psycopg().Error as error:
            raise cannot_connect(error, self._place, self._place.without_secrets(str(error))) from None

    def _times(self) -> tuple[float, float, float]:
        return self._patience, self._patience * _STATEMENT_PATIENCE, _IDLE_SECONDS

    def _begun(self, first: str) -> tuple[Any, Any]:
        error_type = psycopg().Error
        with suppress(IndexError):
            connection = self._idle.pop()
            try:
                return connection, connection.execute(first)
            except error_type as error:
                self._drop(connection)
                if not is_lost(error):
                    raise translate(error, self._place) from None
                # The server was started again, and the others are no better.
                while self._idle:
                    self._drop(self._idle.pop())
        try:
            connection = self.connect()
            return connection, connection.execute(first)
        except error_type as error:
            raise translate(error, self._place) from None

    def _give_back(self, connection: Any) -> None:
        try:
            if not connection.closed and connection.info.transaction_status:
                connection.execute("ROLLBACK")
        except psycopg().Error:
            self._drop(connection)
        if connection.closed:
            return
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _drop(self, connection: Any) -> None:
        with suppress(psycopg().Error):
            connection.close()

    def _check(self) -> None:
        if self._process != os.getpid():
            raise KeyStoreError(f"{self._place} was opened before this process was forked: open it again")
        if self._closed:
            raise KeyStoreError(f"{self._place} cannot be used: it is closed")


@lru_cache(maxsize=256)
def _with_percents(statement: str) -> str:
    # No statement here has a percent sign or a question mark of its own.
    return statement.replace("?", "%s")
