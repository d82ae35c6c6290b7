"""How often and when keys were used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import LastUsage
from envelope_sdk.local_kms.store.rows.columns import Rows, number_of, scope_of, text, time, whole
from envelope_sdk.local_kms.store.schema import TRACKED_SINCE

__all__ = ["FigureRows"]

_COUNTS: Final = "SELECT account, region, key_id, class, count FROM usage_counts WHERE month = ?"
_ADD: Final = (
    "INSERT INTO usage_counts (account, region, key_id, month, class, count) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (account, region, key_id, month, class) DO UPDATE SET count = usage_counts.count + excluded.count"
)
_LAST: Final = (
    "SELECT operation, used, event_id, request_id FROM last_usage WHERE account = ? AND region = ? AND key_id = ?"
)
_PUT_LAST: Final = (
    "INSERT INTO last_usage (account, region, key_id, operation, used, event_id, request_id)"
    " SELECT account, region, key_id, ?, ?, ?, ? FROM keys WHERE account = ? AND region = ? AND key_id = ?"
    " ON CONFLICT (account, region, key_id) DO UPDATE SET operation = excluded.operation, used = excluded.used,"
    " event_id = excluded.event_id, request_id = excluded.request_id WHERE excluded.used >= last_usage.used"
)


class FigureRows(Rows):
    """The tables ``usage_counts`` and ``last_usage``."""

    __slots__ = ()

    def usage_counts(self, month: str) -> Mapping[tuple[Scope, str, str], int]:
        """Return the counts of a month."""
        rows = self._connection.execute(_COUNTS, (month,))
        return {(scope_of(row[0], row[1]), text(row[2]), text(row[3])): whole(row[4]) for row in rows}

    def add_usage(self, month: str, counts: Mapping[tuple[Scope, str, str], int]) -> None:
        """Add to the counts of a month."""
        rows = [(at.account, at.region, key_id, month, name, count) for (at, key_id, name), count in counts.items()]
        self._connection.executemany(_ADD, rows)

    def tracked_since(self) -> datetime | None:
        """Return since when uses are noted."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (TRACKED_SINCE,)).fetchone()
        return None if row is None else time(row[0])

    def last_usage(self, scope: Scope, key_id: str) -> LastUsage | None:
        """Return when a key was last used."""
        row = self._connection.execute(_LAST, (scope.account, scope.region, key_id)).fetchone()
        return None if row is None else LastUsage(text(row[0]), time(row[1]), text(row[2]), text(row[3]))

    def put_last_usage(self, scope: Scope, key_id: str, usage: LastUsage) -> None:
        """Note the last use of a key."""
        values = (usage.operation, number_of(usage.used), usage.event_id, usage.request_id)
        self._connection.execute(_PUT_LAST, (*values, scope.account, scope.region, key_id))
