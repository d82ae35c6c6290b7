"""The tables of the SQLite store, and the numbers that tell its files from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["APPLICATION_ID", "MIGRATIONS", "SCHEMA_VERSION", "STATEMENTS", "TRACKED_SINCE"]

APPLICATION_ID: Final = 0x654B4D53
"""In the file's header (``eKMS``): a database of another program is refused instead of being added to."""

SCHEMA_VERSION: Final = 3
"""In the file's header as ``user_version``. A file of a later version is refused."""

TRACKED_SINCE: Final = "usage tracked since"
"""The entry of ``meta`` that says when a file older than version 3 began to note when keys are used."""

_MATERIALS: Final = (
    """CREATE TABLE materials (
        account TEXT NOT NULL, region TEXT NOT NULL, material_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        created INTEGER NOT NULL,
        state TEXT NOT NULL,
        rotated INTEGER, rotation TEXT,
        description TEXT,
        expiry INTEGER,
        wrapped BLOB,
        PRIMARY KEY (account, region, material_id),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID""",
    "CREATE INDEX materials_by_key ON materials (account, region, key_id)",
    "CREATE INDEX materials_by_expiry ON materials (expiry) WHERE expiry IS NOT NULL",
)

_SINCE_3_OF_KEYS: Final = (
    "CREATE INDEX keys_by_rotation ON keys (next_rotation) WHERE next_rotation IS NOT NULL",
    "CREATE INDEX keys_by_id ON keys (account, key_id)",
)

_SINCE_3: Final = (
    """CREATE TABLE grants (
        account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL, grant_id TEXT NOT NULL,
        token TEXT NOT NULL,
        created INTEGER NOT NULL, effective INTEGER NOT NULL,
        issuing_account TEXT NOT NULL,
        grantee TEXT NOT NULL, retiring TEXT,
        document TEXT NOT NULL,
        PRIMARY KEY (account, region, key_id, grant_id),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID""",
    "CREATE INDEX grants_by_retiring ON grants (account, region, retiring, key_id, grant_id)"
    " WHERE retiring IS NOT NULL",
    """CREATE TABLE identities (
        account TEXT NOT NULL, arn TEXT NOT NULL,
        created INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (account, arn)
    ) WITHOUT ROWID""",
    """CREATE TABLE access_keys (
        access_key_id TEXT PRIMARY KEY,
        account TEXT NOT NULL, arn TEXT NOT NULL,
        created INTEGER NOT NULL, expiry INTEGER,
        document TEXT NOT NULL,
        wrapped BLOB NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE usage_counts (
        account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL,
        month TEXT NOT NULL, class TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (account, region, key_id, month, class)
    ) WITHOUT ROWID""",
    """CREATE TABLE last_usage (
        account TEXT NOT NULL, region TEXT NOT NULL, key_id TEXT NOT NULL,
        operation TEXT NOT NULL, used INTEGER NOT NULL, event_id TEXT NOT NULL, request_id TEXT NOT NULL,
        PRIMARY KEY (account, region, key_id),
        FOREIGN KEY (account, region, key_id) REFERENCES keys ON DELETE CASCADE
    ) WITHOUT ROWID""",
)

MIGRATIONS: Final[Mapping[int, Sequence[str]]] = {
    # Nothing but the number: who knows version 1 only would take a private key for the secret of a symmetric key.
    1: (),
    # Materials get a table of other columns, into which who knows version 2 only, and has the file open, cannot write.
    2: (
        "ALTER TABLE keys ADD COLUMN manager TEXT NOT NULL DEFAULT 'CUSTOMER'",
        "ALTER TABLE keys ADD COLUMN rotation_days INTEGER",
        "ALTER TABLE keys ADD COLUMN next_rotation INTEGER",
        "ALTER TABLE keys ADD COLUMN deletion_days INTEGER",
        *_SINCE_3_OF_KEYS,
        "DROP INDEX materials_by_key",
        "ALTER TABLE materials RENAME TO materials_of_2",
        *_MATERIALS,
        "INSERT INTO materials SELECT account, region, material_id, key_id, created, 'CURRENT', NULL, NULL, NULL, NULL,"
        " wrapped FROM materials_of_2",
        "DROP TABLE materials_of_2",
        *_SINCE_3,
        f"INSERT INTO meta VALUES ('{TRACKED_SINCE}', 1000 * CAST(strftime('%s', 'now') AS INTEGER))",  # noqa: S608
    ),
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
        manager TEXT NOT NULL DEFAULT 'CUSTOMER',
        rotation_days INTEGER, next_rotation INTEGER,
        deletion_days INTEGER,
        PRIMARY KEY (account, region, key_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX keys_by_deletion ON keys (deletion) WHERE deletion IS NOT NULL",
    *_SINCE_3_OF_KEYS,
    *_MATERIALS,
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
    *_SINCE_3,
)
"""What makes the tables. Times are milliseconds since 1970, UTC. Account and Region are part of every key's name, so
that one file serves several of both."""
