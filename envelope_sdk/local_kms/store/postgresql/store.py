"""The store in PostgreSQL.

Every change bumps a number in a row that it locks first, so that one is made at a time; every call reads the number. A
change made through one server is so in force on all at their next call, for the price of one round trip a call.
Notifications (``LISTEN``) would save that, but come some time after the change.

A look is one snapshot (``REPEATABLE READ``); a change reads what was committed before it got the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import LastUsage
from envelope_sdk.local_kms.store.in_force import RootKeyInForce
from envelope_sdk.local_kms.store.opening import check_paths
from envelope_sdk.local_kms.store.postgresql.connections import Adapter, Connections
from envelope_sdk.local_kms.store.postgresql.opening import LOCK, prepare
from envelope_sdk.local_kms.store.postgresql.place import DatabasePlace
from envelope_sdk.local_kms.store.rotation import tidy_root_key_files
from envelope_sdk.local_kms.store.rows.access import AccessRows
from envelope_sdk.local_kms.store.rows.figures import FigureRows
from envelope_sdk.local_kms.store.rows.keys import KeyRows
from envelope_sdk.local_kms.store.rows.materials import MaterialRows
from envelope_sdk.local_kms.store.rows.names import NameRows
from envelope_sdk.local_kms.store.sources import CHECK, Keeper, RootKeySource
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["DEFAULT_SCHEMA", "PostgresqlStore", "PostgresqlTransaction"]

DEFAULT_SCHEMA: Final = "envelope_kms"
"""The schema that the tables are in unless told otherwise."""

_PATIENCE: Final = 10.0
_VERSION: Final = "SELECT version FROM store_state"
_LOOK: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_CHANGE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_SEEN: Final = "SELECT schema_version, (SELECT value FROM meta WHERE name = ?) FROM store_state"
_CHANGED: Final = "UPDATE store_state SET version = version + 1"


class PostgresqlTransaction(KeyRows, MaterialRows, NameRows, AccessRows, FigureRows):
    """Reads and writes over one connection, within whatever transaction it is in."""

    __slots__ = ()

    def add_usage(self, month: str, counts: Mapping[tuple[Scope, str, str], int]) -> None:
        """Add to the counts of a month."""
        with self._unnoticed():
            super().add_usage(month, counts)

    def put_last_usage(self, scope: Scope, key_id: str, usage: LastUsage) -> None:
        """Note the last use of a key."""
        with self._unnoticed():
            super().put_last_usage(scope, key_id, usage)

    @contextmanager
    def _unnoticed(self) -> Generator[None]:
        # Nobody keeps figures at hand: what others do keep need not be dropped for them.
        adapter = cast("Adapter", self._connection)
        before = adapter.changed
        yield
        adapter.changed = before


class PostgresqlStore:
    """Keys in a PostgreSQL database. Fulfils :class:`~envelope_sdk.local_kms.store.contract.Store`."""

    def __init__(
        self, place: DatabasePlace, connections: Connections, in_force: RootKeyInForce, random: RandomSource
    ) -> None:
        """Take what :meth:`open` makes; not for callers."""
        self._place = place
        self._connections = connections
        self._in_force = in_force
        self._random = random
        self._writing: set[int] = set()

    @classmethod
    def open(
        cls,
        url: str,
        root_key: RootKeySource,
        random: RandomSource,
        *,
        schema: str = DEFAULT_SCHEMA,
        patience: float = _PATIENCE,
    ) -> PostgresqlStore:
        """Open the store in a database, making its tables on first use.

        Args:
            url: ``postgresql://user@host/database``, as libpq takes it; it may hold the password, which is never shown.
            root_key: where the root key comes from; ``None`` for the environment variable alone.
            random: the source of root key and nonces.
            schema: the schema that the tables are in, which is made if it is not there.
            patience: seconds to wait for a connection, and for other servers' writes.

        Raises:
            UsageError: the URL or the schema cannot be one, or there is no root key.
            KeyStoreError: the database or the root key cannot be used, or psycopg is not installed.
            KmsServiceError: DependencyTimeoutException: others kept it locked for longer than ``patience``.
        """
        place = DatabasePlace(url, schema, patience)
        check_paths(Path(), root_key)
        keeper = Keeper(str(place), None, root_key, random)
        connections = Connections(place, patience)
        try:
            connections.first()
            wrapper = prepare(connections, place, keeper)
        except BaseException:
            connections.close()
            raise
        return cls(place, connections, RootKeyInForce(str(place), keeper, wrapper), random)

    def __repr__(self) -> str:
        return f"PostgresqlStore({str(self._place)!r})"

    def __reduce__(self) -> str:
        raise TypeError("an open key store cannot be pickled or copied: open it again")

    @property
    def remote(self) -> bool:
        """Whether looks wait for another machine: they do."""
        return True

    def version(self) -> object:
        """Return a value that is another one after anybody has changed the store; one round trip."""
        with self._connections.lease(_VERSION) as (_, answer):
            row = answer.fetchone()
        if row is None:
            raise KeyStoreError(f"{self._place} is damaged: it has no state; restore it from a backup")
        return row[0]

    @contextmanager
    def read(self) -> Generator[PostgresqlTransaction]:
        """Begin a look."""
        before = self._in_force.wrappers
        with self._connections.lease(_LOOK) as (connection, _):
            yield self._transaction(Adapter(connection), before)
            connection.execute("COMMIT")

    @contextmanager
    def write(self) -> Generator[PostgresqlTransaction]:
        """Begin a change."""
        thread = threading.get_ident()
        if thread in self._writing:
            raise UsageError(
                "the key store is in the middle of a change of this very thread: a signal handler cannot change keys "
                "then"
            )
        try:
            # Inside, so that an interrupt leaves no mark behind.
            self._writing.add(thread)
            with self._connections.lease(_CHANGE) as (connection, _):
                connection.execute(LOCK)
                adapter = Adapter(connection)
                yield self._transaction(adapter, ())
                if adapter.changed:
                    connection.execute(_CHANGED)
                connection.execute("COMMIT")
        finally:
            self._writing.discard(thread)

    def rotate_root_key(self, root_key: RootKeySource) -> None:
        """Put everything under another root key, in one transaction, while the store is in use.

        See :meth:`~envelope_sdk.local_kms.LocalKms.rotate_root_key`.
        """
        check_paths(Path(), root_key)
        old, new = self._in_force.keeper, Keeper(str(self._place), None, root_key, self._random)
        with self.write() as transaction:
            # Without figures, as of a table filled a moment ago, the wrong index is used: thirty times slower.
            transaction.connection.execute("ANALYZE materials")
            wrapper = self._in_force.change(transaction.connection, transaction.wrapper, new)
        self._in_force.changed(new, wrapper)
        with self.write() as transaction:
            tidy_root_key_files(transaction.connection, old, new)

    def backup(self, path: Path, *, replace: bool = False) -> None:  # noqa: ARG002 - the contract's signature
        """Refuse: PostgreSQL has its own ways to be backed up.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self._place} is backed up with PostgreSQL's own tools, for instance pg_dump")

    def close(self) -> None:
        """Close all connections. Closing twice is no error."""
        self._connections.close()

    def _transaction(self, adapter: Adapter, before: tuple[MaterialWrapper, ...]) -> PostgresqlTransaction:
        row: Any = adapter.execute(_SEEN, (CHECK,)).fetchone()
        schema, check = row or (None, None)
        return PostgresqlTransaction(adapter, self._in_force.wrapper(adapter, schema, check, before))
