"""Keys, materials, aliases and tags as rows: the SQL of the SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Alias, Key, KeyState, Material, MultiRegionRole
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper

__all__ = ["SqliteTransaction", "forgive"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_KEY_COLUMNS: Final = (
    "account, region, key_id, created, description, usage, spec, origin, state, deletion, role, primary_region, policy,"
    " material_id"
)
_KEY: Final = f"SELECT {_KEY_COLUMNS} FROM keys WHERE account = ? AND region = ? AND key_id = ?"  # noqa: S608 - constants only, as below
_KEYS: Final = (
    f"SELECT {_KEY_COLUMNS} FROM keys WHERE account = ? AND region = ? AND key_id > ? ORDER BY key_id LIMIT ?"  # noqa: S608
)
_DUE: Final = f"SELECT {_KEY_COLUMNS} FROM keys WHERE deletion <= ?"  # noqa: S608
_ADD_KEY: Final = f"INSERT INTO keys ({_KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_UPDATE_KEY: Final = (
    "UPDATE keys SET description = ?, usage = ?, spec = ?, origin = ?, state = ?, deletion = ?, role = ?,"
    " primary_region = ?, policy = ?, material_id = ? WHERE account = ? AND region = ? AND key_id = ?"
)
_MATERIAL: Final = "SELECT key_id, created, wrapped FROM materials WHERE account = ? AND region = ? AND material_id = ?"
_ALIAS: Final = "SELECT name, key_id, created, updated FROM aliases WHERE account = ? AND region = ?"
_PUT_ALIAS: Final = (
    "INSERT INTO aliases (account, region, name, key_id, created, updated) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (account, region, name) DO UPDATE SET key_id = excluded.key_id, updated = excluded.updated"
)
# The debt's value is random, so that paying one never passes for paying another that was run up meanwhile.
_DEBT_NAME: Final = "log to be emptied"
_RUN_UP_DEBT: Final = (
    "INSERT INTO meta VALUES (?, randomblob(16)) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


class SqliteTransaction:
    """Reads and writes over one connection, within whatever transaction it is in.

    Columns of SQLite hold values of any type, whatever their declaration says: each is checked when it is read.
    """

    __slots__ = ("_connection", "_wrapper")

    def __init__(self, connection: sqlite3.Connection, wrapper: MaterialWrapper) -> None:
        """Take the connection, and the wrapper for key material."""
        self._connection = connection
        self._wrapper = wrapper

    def key(self, scope: Scope, key_id: str) -> Key | None:
        """Return the key of that id."""
        row = self._connection.execute(_KEY, (scope.account, scope.region, key_id)).fetchone()
        return None if row is None else _key(row)

    def keys(self, scope: Scope, after: str, limit: int) -> Sequence[Key]:
        """Return up to ``limit`` keys after ``after``."""
        rows = self._connection.execute(_KEYS, (scope.account, scope.region, after, limit))
        return [_key(row) for row in rows]

    def material(self, scope: Scope, material_id: str) -> Material | None:
        """Return a key material, unwrapped."""
        row = self._connection.execute(_MATERIAL, (scope.account, scope.region, material_id)).fetchone()
        if row is None:
            return None
        key_id, created, wrapped = _text(row[0]), _time(row[1]), row[2]
        return Material(key_id, material_id, created, self._wrapper.unwrap(scope, key_id, material_id, wrapped))

    def tags(self, scope: Scope, key_id: str) -> Mapping[str, str]:
        """Return a key's tags, by name."""
        query = "SELECT tag, value FROM tags WHERE account = ? AND region = ? AND key_id = ? ORDER BY tag"
        rows = self._connection.execute(query, (scope.account, scope.region, key_id))
        return {_text(tag): _text(value) for tag, value in rows}

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

    def next_deletion(self) -> datetime | None:
        """Return when the next key is to be erased."""
        found = self._connection.execute("SELECT min(deletion) FROM keys WHERE deletion IS NOT NULL").fetchone()[0]
        return None if found is None else _time(found)

    def add_key(self, key: Key, tags: Mapping[str, str]) -> None:
        """Add a key and its tags."""
        name = (key.scope.account, key.scope.region, key.key_id)
        self._connection.execute(_ADD_KEY, (*name, _number(key.created), *_changeable(key)))
        self._connection.executemany("INSERT INTO tags VALUES (?, ?, ?, ?, ?)", [(*name, *tag) for tag in tags.items()])

    def add_material(self, scope: Scope, material: Material) -> None:
        """Wrap and add a material."""
        wrapped = self._wrapper.wrap(scope, material.key_id, material.material_id, material.secret)
        row = (scope.account, scope.region, material.material_id, material.key_id, _number(material.created), wrapped)
        self._connection.execute("INSERT INTO materials VALUES (?, ?, ?, ?, ?, ?)", row)

    def update_key(self, key: Key) -> None:
        """Replace all of a key but its id and creation date."""
        name = (key.scope.account, key.scope.region, key.key_id)
        self._connection.execute(_UPDATE_KEY, (*_changeable(key), *name))

    def erase_keys(self, due: datetime) -> Sequence[Key]:
        """Erase the keys due, and all that hangs on them."""
        keys = [_key(row) for row in self._connection.execute(_DUE, (_number(due),))]
        self._connection.execute("DELETE FROM keys WHERE deletion <= ?", (_number(due),))
        if keys:
            self._connection.execute(_RUN_UP_DEBT, (_DEBT_NAME,))
        return keys

    def debt(self) -> object:
        """Return the mark of erased rows that may still stand in the log; ``None`` where there is no such debt."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (_DEBT_NAME,)).fetchone()
        return None if row is None else row[0]

    def put_alias(self, alias: Alias) -> None:
        """Add or replace an alias."""
        times = (_number(alias.created), _number(alias.updated))
        row = (alias.scope.account, alias.scope.region, alias.name, alias.key_id, *times)
        self._connection.execute(_PUT_ALIAS, row)

    def remove_alias(self, scope: Scope, name: str) -> None:
        """Remove an alias."""
        query = "DELETE FROM aliases WHERE account = ? AND region = ? AND name = ?"
        self._connection.execute(query, (scope.account, scope.region, name))


def forgive(connection: sqlite3.Connection, debt: object) -> None:
    """Remove the mark ``debt``, and no other, once the log has been emptied."""
    connection.execute("DELETE FROM meta WHERE name = ? AND value = ?", (_DEBT_NAME, debt))


def _changeable(key: Key) -> tuple[object, ...]:
    deletion = None if key.deletion is None else _number(key.deletion)
    head = (key.description, key.usage, key.spec, key.origin, key.state.value, deletion)
    return (*head, key.role and key.role.value, key.primary_region, key.policy, key.material_id)


def _key(row: tuple[Any, ...]) -> Key:
    account, region, key_id, created, description, usage, spec, origin, state, deletion, role, primary, policy, own = (
        row
    )
    try:
        scope = Scope(_text(account), _text(region))
        return Key(
            scope=scope,
            key_id=_text(key_id),
            created=_time(created),
            description=_text(description),
            usage=_text(usage),
            spec=_text(spec),
            origin=_text(origin),
            state=KeyState(state),
            deletion=None if deletion is None else _time(deletion),
            role=None if role is None else MultiRegionRole(role),
            primary_region=None if primary is None else Scope(scope.account, _text(primary)).region,
            policy=_text(policy),
            material_id=None if own is None else _text(own),
        )
    except ValueError:
        # The id's own repr: it may be of any type.
        raise KeyStoreError(f"the key store's record of key {key_id!r:.80} is damaged") from None


def _alias(scope: Scope, row: tuple[Any, ...]) -> Alias:
    name, key_id, created, updated = row
    return Alias(scope, _text(name), _text(key_id), _time(created), _time(updated))


def _number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _time(number: object) -> datetime:
    try:
        if isinstance(number, int):
            return _EPOCH + number * _MILLISECOND
    except OverflowError:
        pass
    raise KeyStoreError("the key store holds a date that cannot be one: it is damaged")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise KeyStoreError("the key store holds something else where text belongs: it is damaged")
    return value
