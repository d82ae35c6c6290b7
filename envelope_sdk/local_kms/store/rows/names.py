"""Aliases and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Alias
from envelope_sdk.local_kms.store.rows.columns import Rows, number_of, text, time

__all__ = ["NameRows"]

_ALIAS: Final = "SELECT name, key_id, created, updated FROM aliases WHERE account = ? AND region = ?"
_PUT_ALIAS: Final = (
    "INSERT INTO aliases (account, region, name, key_id, created, updated) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (account, region, name) DO UPDATE SET key_id = excluded.key_id, updated = excluded.updated"
)
_TAGS: Final = "SELECT tag, value FROM tags WHERE account = ? AND region = ? AND key_id = ? ORDER BY tag"
_PUT_TAG: Final = (
    "INSERT INTO tags (account, region, key_id, tag, value) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (account, region, key_id, tag) DO UPDATE SET value = excluded.value"
)
_REMOVE_TAG: Final = "DELETE FROM tags WHERE account = ? AND region = ? AND key_id = ? AND tag = ?"


class NameRows(Rows):
    """The tables ``aliases`` and ``tags``."""

    __slots__ = ()

    def tags(self, scope: Scope, key_id: str) -> Mapping[str, str]:
        """Return a key's tags, by name."""
        rows = self._connection.execute(_TAGS, (scope.account, scope.region, key_id))
        return {text(tag): text(value) for tag, value in rows}

    def put_tags(self, scope: Scope, key_id: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        rows = [(scope.account, scope.region, key_id, *tag) for tag in tags.items()]
        self._connection.executemany(_PUT_TAG, rows)

    def remove_tags(self, scope: Scope, key_id: str, names: Sequence[str]) -> None:
        """Remove tags."""
        self._connection.executemany(_REMOVE_TAG, [(scope.account, scope.region, key_id, name) for name in names])

    def alias(self, scope: Scope, name: str) -> Alias | None:
        """Return the alias of that name."""
        row = self._connection.execute(f"{_ALIAS} AND name = ?", (scope.account, scope.region, name)).fetchone()
        return None if row is None else _alias(scope, row)

    def aliases(self, scope: Scope, after: str, limit: int, key_id: str | None) -> Sequence[Alias]:
        """Return up to ``limit`` aliases after ``after``."""
        narrowed, values = ("", ()) if key_id is None else (" AND key_id = ?", (key_id,))
        query = f"{_ALIAS} AND name > ?{narrowed} ORDER BY name LIMIT ?"
        rows = self._connection.execute(query, (scope.account, scope.region, after, *values, limit))
        return [_alias(scope, row) for row in rows]

    def put_alias(self, alias: Alias) -> None:
        """Add or replace an alias."""
        times = (number_of(alias.created), number_of(alias.updated))
        row = (alias.scope.account, alias.scope.region, alias.name, alias.key_id, *times)
        self._connection.execute(_PUT_ALIAS, row)

    def remove_alias(self, scope: Scope, name: str) -> None:
        """Remove an alias."""
        query = "DELETE FROM aliases WHERE account = ? AND region = ? AND name = ?"
        self._connection.execute(query, (scope.account, scope.region, name))


def _alias(scope: Scope, row: tuple[Any, ...]) -> Alias:
    name, key_id, created, updated = row
    return Alias(scope, text(name), text(key_id), time(created), time(updated))
