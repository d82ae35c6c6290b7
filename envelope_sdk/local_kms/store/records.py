"""What a store holds about itself rather than about keys: its records, by name."""

from __future__ import annotations

from typing import Final

from envelope_sdk.local_kms.store.connection import Connection
from envelope_sdk.local_kms.store.sources import DERIVATION, GENERATION, MADE_WITH, WRAPPED, Records

__all__ = ["read_records", "replace_root_key_records", "write_records"]

_TEXTS: Final = frozenset({MADE_WITH, DERIVATION, GENERATION})


def read_records(connection: Connection) -> dict[str, object]:
    """Return all records."""
    return {str(name): _read(str(name), value) for name, value in connection.execute("SELECT name, value FROM meta")}


def write_records(connection: Connection, records: Records) -> None:
    """Add or replace records."""
    query = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    # A column of PostgreSQL has one type: text is kept as bytes.
    rows = [(name, value.encode() if isinstance(value, str) else value) for name, value in records.items()]
    connection.executemany(query, rows)


def replace_root_key_records(connection: Connection, records: Records) -> None:
    """Replace the records about the root key by those about another."""
    connection.execute("DELETE FROM meta WHERE name IN (?, ?)", (DERIVATION, WRAPPED))
    write_records(connection, records)


def _read(name: str, value: object) -> object:
    if name not in _TEXTS or not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
