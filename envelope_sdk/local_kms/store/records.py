"""What a store holds about itself rather than about keys: its records, by name."""

from __future__ import annotations

from envelope_sdk.local_kms.store.connection import Connection
from envelope_sdk.local_kms.store.sources import DERIVATION, WRAPPED, Records

__all__ = ["read_records", "replace_root_key_records", "write_records"]


def read_records(connection: Connection) -> dict[str, object]:
    """Return all records."""
    return {str(name): value for name, value in connection.execute("SELECT name, value FROM meta")}


def write_records(connection: Connection, records: Records) -> None:
    """Add or replace records."""
    query = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    connection.executemany(query, list(records.items()))


def replace_root_key_records(connection: Connection, records: Records) -> None:
    """Replace the records about the root key by those about another."""
    connection.execute("DELETE FROM meta WHERE name IN (?, ?)", (DERIVATION, WRAPPED))
    write_records(connection, records)
