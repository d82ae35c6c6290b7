"""psycopg, imported when a database is named and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError

__all__ = ["psycopg"]

_EXTRA: Final = "keys in PostgreSQL need psycopg 3: pip install 'envelope-sdk[postgresql]'"


def psycopg() -> Any:
    """Import psycopg and return it.

    Raises:
        KeyStoreError: it is not installed, or finds no libpq; the text says how to get it.
    """
    try:
        import_module("psycopg.conninfo")
        return import_module("psycopg")
    except ImportError as error:
        raise KeyStoreError(f"{_EXTRA} ({error})") from error
