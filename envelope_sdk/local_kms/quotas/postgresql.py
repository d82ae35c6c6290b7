"""Request quotas that servers on several hosts share, counted in the PostgreSQL database that their keys are in."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final

from envelope_sdk.errors import LocalKmsError
from envelope_sdk.local_kms.quotas.buckets import LocalBuckets
from envelope_sdk.local_kms.store.postgresql.connections import Connections
from envelope_sdk.local_kms.store.postgresql.place import DatabasePlace

__all__ = ["PostgresqlBuckets"]

_LOG: Final = logging.getLogger(__name__)
_TAKE: Final = """
INSERT INTO buckets AS known (name, level, at) VALUES (%(name)s, %(burst)s - 1, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET at = clock_timestamp(), level = -1 + least(%(burst)s,
    known.level + %(rate)s * greatest(0, extract(epoch FROM clock_timestamp() - known.at)))
WHERE least(%(burst)s, known.level + %(rate)s * greatest(0, extract(epoch FROM clock_timestamp() - known.at))) >= 1
RETURNING level
"""
_TABLE: Final = (
    # Lost in a crash, after which all buckets are full.
    "CREATE UNLOGGED TABLE IF NOT EXISTS {0}.buckets (name TEXT PRIMARY KEY, level DOUBLE PRECISION NOT NULL,"
    " at TIMESTAMPTZ NOT NULL) WITH (fillfactor = 50)"
)
_LOCK: Final = "SELECT pg_advisory_xact_lock(%s)"
_NUMBER: Final = 0x654B4D53_71756F74


class PostgresqlBuckets:
    """Token buckets in PostgreSQL, as ``buckets=`` of :class:`~envelope_sdk.local_kms.quotas.RequestQuotas`.

    For those who have a database but no Redis, which is quicker: calls that count against one quota wait for each other
    here. While the database cannot be reached every process counts for itself, and says so once in the log.

    Fulfils :class:`~envelope_sdk.local_kms.quotas.Buckets`. Safe to share between threads. Its repr shows no password.
    """

    __slots__ = ("_clock", "_connections", "_local", "_lost", "_pause", "_place", "_until")

    def __init__(
        self,
        url: str,
        *,
        schema: str = "envelope_kms_quotas",
        timeout: float = 2.0,
        pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where the database is, and make the table if it is not there.

        Args:
            url: as :meth:`LocalKms.open_postgresql <envelope_sdk.local_kms.LocalKms.open_postgresql>` takes it.
            schema: a schema for the buckets alone.
            timeout: seconds to wait for others before counting here.
            pause: seconds until the database is asked again after that.
            clock: returns seconds; anything but the default is for tests.

        Raises:
            UsageError: the URL or the schema cannot be one.
            KeyStoreError: the database cannot be used.
        """
        self._place = DatabasePlace(url, schema, timeout)
        self._connections = Connections(self._place, timeout)
        self._local = LocalBuckets()
        self._clock = clock
        self._pause = pause
        self._lost = False
        self._until = -math.inf
        try:
            self._connections.first()
            self._make(schema)
        except BaseException:
            self._connections.close()
            raise

    def __repr__(self) -> str:
        return f"PostgresqlBuckets({str(self._place)!r})"

    def __reduce__(self) -> str:
        raise TypeError("connections to a database cannot be pickled or copied: make another")

    def take(self, name: str, rate: float, burst: float) -> bool:
        """Take one token out of a bucket; in the database or, while that is not to be had, here."""
        if self._clock() < self._until:
            return self._local.take(name, rate, burst)
        try:
            values = {"name": name, "rate": float(rate), "burst": float(burst)}
            with self._connections.lease(_TAKE, values) as (_, answer):
                taken = answer.fetchone() is not None
        except LocalKmsError as error:
            self._until = self._clock() + self._pause
            if not self._lost:
                self._lost = True
                _LOG.warning("%s: request quotas are counted in each process", error)
            return self._local.take(name, rate, burst)
        if self._lost:
            self._lost = False
            _LOG.warning("the database is back: request quotas are shared again")
        return taken

    def close(self) -> None:
        """Close all connections. Closing twice is no error."""
        self._connections.close()

    def _make(self, schema: str) -> None:
        with self._connections.lease("BEGIN") as (connection, _):
            if connection.execute("SELECT to_regclass(%s)", (f"{schema}.buckets",)).fetchone()[0] is None:
                # IF NOT EXISTS alone is no help against others who do the same at this moment.
                connection.execute(_LOCK, (_NUMBER,))
                if connection.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone()[0] is None:
                    connection.execute(f"CREATE SCHEMA {schema}")
                connection.execute(_TABLE.format(schema))
            connection.execute("COMMIT")
