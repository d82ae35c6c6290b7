"""Opening a database: are the tables ours, are they there, and does the root key fit."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.store.postgresql.connections import Adapter, Connections
from envelope_sdk.local_kms.store.postgresql.place import DatabasePlace
from envelope_sdk.local_kms.store.postgresql.tables import FIRST_VERSION, migration, statements
from envelope_sdk.local_kms.store.records import read_records, write_records
from envelope_sdk.local_kms.store.schema import SCHEMA_VERSION
from envelope_sdk.local_kms.store.sources import Keeper
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper

__all__ = ["LOCK", "prepare"]

LOCK: Final = "SELECT schema_version FROM store_state FOR UPDATE"
"""Waits for whoever writes; nobody else does until the transaction ends."""

_TABLES: Final = (
    "SELECT to_regclass(%s) IS NOT NULL,"
    " (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s),"
    " EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
)


def prepare(connections: Connections, place: DatabasePlace, keeper: Keeper) -> MaterialWrapper:
    """Make the tables if there are none, check them otherwise, and return the wrapper of the root key.

    Tables of an earlier version are brought up to this one, once the root key is known to fit.

    Raises:
        KeyStoreError: another program's schema, a later version, a database that is not UTF-8, or a root key that is
            missing or does not fit.
        KmsServiceError: DependencyTimeoutException: others kept it locked.
    """
    with connections.lease("BEGIN") as (connection, _):
        encoding = connection.execute("SHOW server_encoding").fetchone()[0]
        if encoding != "UTF8":
            raise KeyStoreError(f"{place} cannot be used: it is encoded in {encoding}, not in UTF-8")
        if not _is_ours(connection, place):
            # Several may start at once on an empty database.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_number(place.schema),))
            if not _is_ours(connection, place):
                wrapper = _create(connection, place, keeper)
                connection.execute("COMMIT")
                return wrapper
    with connections.lease("BEGIN ISOLATION LEVEL REPEATABLE READ") as (connection, _):
        version = _version(connection, place)
        records = read_records(Adapter(connection))
        wrapper = keeper.open(records)
        unsettled = keeper.unsettled(records)
    if version < SCHEMA_VERSION or unsettled:
        _bring_up(connections, place, keeper)
    return wrapper


def _is_ours(connection: Any, place: DatabasePlace) -> bool:
    names = (f"{place.schema}.store_state", place.schema, place.schema)
    ours, others, _ = connection.execute(_TABLES, names).fetchone()
    if not ours and others:
        raise KeyStoreError(f"{place} is of another program, not a key store: choose another schema")
    return bool(ours)


def _create(connection: Any, place: DatabasePlace, keeper: Keeper) -> MaterialWrapper:
    names = (f"{place.schema}.store_state", place.schema, place.schema)
    if not connection.execute(_TABLES, names).fetchone()[2]:
        connection.execute(f"CREATE SCHEMA {place.schema}")
    for statement in statements():
        connection.execute(statement)
    wrapper, records = keeper.make()
    write_records(Adapter(connection), records)
    connection.execute("INSERT INTO store_state VALUES (true, %s, 1)", (SCHEMA_VERSION,))
    return wrapper


def _version(connection: Any, place: DatabasePlace) -> int:
    row = connection.execute("SELECT schema_version FROM store_state").fetchone()
    if row is None:
        raise KeyStoreError(f"{place} is damaged: it has no state; restore it from a backup")
    version = int(row[0])
    if version > SCHEMA_VERSION:
        raise KeyStoreError(
            f"{place} was made by a later version of envelope-sdk (schema {version}, this one knows {SCHEMA_VERSION}): "
            "upgrade envelope-sdk"
        )
    if version < FIRST_VERSION:
        raise KeyStoreError(f"{place} is damaged: there is no schema {version}; restore it from a backup")
    return version


def _bring_up(connections: Connections, place: DatabasePlace, keeper: Keeper) -> None:
    with connections.lease("BEGIN") as (connection, _):
        connection.execute(LOCK)
        for version in range(_version(connection, place), SCHEMA_VERSION):
            for statement in migration(version):
                connection.execute(statement)
        query = "UPDATE store_state SET schema_version = %s, version = version + 1"
        connection.execute(query, (SCHEMA_VERSION,))
        keeper.settle(read_records(Adapter(connection)))
        connection.execute("COMMIT")


def _number(schema: str) -> int:
    digest = hashlib.sha256(f"envelope-sdk local KMS {schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
