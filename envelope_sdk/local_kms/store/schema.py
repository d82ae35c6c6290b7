"""The tables of the SQLite store, and the numbers that tell its files from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["APPLICATION_ID", "MIGRATIONS", "SCHEMA_VERSION", "STATEMENTS"]

APPLICATION_ID: Final = 0x654B4D53
"""In the file's header (``eKMS``): a database of another program is refused instead of being added to."""

SCHEMA_VERSION: Final = 2
"""In the file's header as ``user_version``. A file of a later version is refused."""

MIGRATIONS: Final[Mapping[int, Sequence[str]]] = {
    # Nothing but the number: who knows version 1 only would take a private key for the secret of a symmetric key.
    1: (),
}
"""By version, what makes a file of the next version out of one of it."""

STATEMENTS: Final = (
    """CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE keys (
        account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL,
        created INTEGER NOT NULL,
        description TEXT NOT NULL,
        usage TEXT NOT NULL, spec TEXT NOT NULL, origin TEXT NOT NULL,
        state TEXT NOT NULL,
        deletion INTEGER,
        role TEXT, primary_region TEXT,
        policy TEXT NOT NULL,
        material_id TEXT,
        PRIMARY KEY (account, region, key_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX keys_by_deletion ON keys (deletion) WHERE deletion IS NOT NULL",
    """CREATE TABLE materials (
        account TEXT NOT NULL, region TEXT NOT NULL, material_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        created INTEGER NOT NULL,
        wrapped BLOB NOT NULL,
        PRIMARY KEY (account, region, material_id),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID""",
    "CREATE INDEX materials_by_key ON materials (account, region, key_id)",
    """CREATE TABLE aliases (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        key_id TEXT NOT NULL,
        created INTEGER NOT NULL, updated INTEGER NOT NULL,
        PRIMARY KEY (account, region, name),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID""",
    "CREATE INDEX aliases_by_key ON aliases (account, region, key_id, name)",
    """CREATE TABLE tags (
        account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL,
        tag TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (account, region, key_id, tag),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID""",
)
"""What makes the tables. Times are milliseconds since 1970, UTC. Account and Region are part of every key's name, so
that one file serves several of both."""
