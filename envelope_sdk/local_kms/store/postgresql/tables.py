"""The tables in PostgreSQL: those of SQLite, in its words, and the row that every change goes through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from envelope_sdk.local_kms.store.schema import MIGRATIONS, STATEMENTS

__all__ = ["FIRST_VERSION", "STATE", "migration", "statements"]

FIRST_VERSION: Final = 3
"""The first schema that there was in PostgreSQL."""

STATE: Final = (
    "CREATE TABLE store_state (one BOOLEAN PRIMARY KEY CHECK (one), schema_version BIGINT NOT NULL,"
    " version BIGINT NOT NULL) WITH (fillfactor = 10)"
)
"""One row: who writes holds its lock, and its version tells everybody else that something has changed."""

_WORDS: Final = (
    (re.compile(r"\bvalue NOT NULL"), "value BYTEA NOT NULL"),
    # In the order of their bytes, as pages of keys and aliases are.
    (re.compile(r"\bTEXT\b"), 'TEXT COLLATE "C"'),
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\s*\bWITHOUT ROWID\b"), ""),
)


def statements() -> Sequence[str]:
    """Return what makes the tables."""
    return [STATE, *(_translated(statement) for statement in STATEMENTS)]


def migration(version: int) -> Sequence[str]:
    """Return what makes tables of the next version out of those of ``version``."""
    return [_translated(statement) for statement in MIGRATIONS[version]]


def _translated(statement: str) -> str:
    for pattern, word in _WORDS:
        statement = pattern.sub(word, statement)
    return statement
