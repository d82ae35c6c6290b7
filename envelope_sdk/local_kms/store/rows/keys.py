"""Keys, and what of them falls due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Key, KeyManager, KeyState, MultiRegionRole
from envelope_sdk.local_kms.store.rows.columns import (
    Rows,
    number_of,
    number_or_none,
    scope_of,
    text,
    text_or_none,
    time,
    time_or_none,
    whole,
)

__all__ = ["KeyRows"]

_COLUMNS: Final = (
    "account, region, key_id, created, description, usage, spec, origin, state, deletion, role, primary_region, policy,"
    " material_id, manager, rotation_days, next_rotation, deletion_days"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM keys"  # noqa: S608 - constants only, as below
_ONE: Final = f"{_SELECT} WHERE account = ? AND region = ? AND key_id = ?"
_PAGE: Final = f"{_SELECT} WHERE account = ? AND region = ? AND key_id > ? ORDER BY key_id LIMIT ?"
# So that SQLite takes the index keys_by_id, which holds all of it, rather than walk through the keys, policies and all.
_COUNT: Final = "SELECT count(*) FROM keys WHERE account = ? AND region || '' = ?"
_SCOPES: Final = "SELECT DISTINCT account, region FROM keys ORDER BY account, region"
_RELATED: Final = f"{_SELECT} WHERE account = ? AND key_id = ? ORDER BY region"
_TO_ERASE: Final = f"{_SELECT} WHERE deletion <= ?"
_TO_ROTATE: Final = f"{_SELECT} WHERE next_rotation <= ? ORDER BY next_rotation, account, region, key_id"
_ADD: Final = f"INSERT INTO keys ({_COLUMNS}) VALUES ({', '.join('?' * 18)})"  # noqa: S608
_UPDATE: Final = (
    "UPDATE keys SET description = ?, usage = ?, spec = ?, origin = ?, state = ?, deletion = ?, role = ?,"
    " primary_region = ?, policy = ?, material_id = ?, manager = ?, rotation_days = ?, next_rotation = ?,"
    " deletion_days = ? WHERE account = ? AND region = ? AND key_id = ?"
)
_NEXT_DUE: Final = (
    "SELECT (SELECT min(deletion) FROM keys WHERE deletion IS NOT NULL),"
    " (SELECT min(next_rotation) FROM keys WHERE next_rotation IS NOT NULL),"
    " (SELECT min(expiry) FROM materials WHERE expiry IS NOT NULL)"
)


class KeyRows(Rows):
    """The table ``keys``."""

    __slots__ = ()

    def key(self, scope: Scope, key_id: str) -> Key | None:
        """Return the key of that id."""
        row = self._connection.execute(_ONE, (scope.account, scope.region, key_id)).fetchone()
        return None if row is None else _key(row)

    def keys(self, scope: Scope, after: str, limit: int) -> Sequence[Key]:
        """Return up to ``limit`` keys after ``after``."""
        rows = self._connection.execute(_PAGE, (scope.account, scope.region, after, limit))
        return [_key(row) for row in rows]

    def count_keys(self, scope: Scope) -> int:
        """Return how many keys there are."""
        return whole(self._connection.execute(_COUNT, (scope.account, scope.region)).fetchone()[0])

    def scopes(self) -> Sequence[Scope]:
        """Return every account and Region that has keys."""
        return [scope_of(*row) for row in self._connection.execute(_SCOPES)]

    def related(self, account: str, key_id: str) -> Sequence[Key]:
        """Return the keys of that id in all Regions."""
        return [_key(row) for row in self._connection.execute(_RELATED, (account, key_id))]

    def next_due(self) -> datetime | None:
        """Return when anything is due next."""
        (row,) = self._connection.execute(_NEXT_DUE)
        return min((time(number) for number in row if number is not None), default=None)

    def due_rotations(self, due: datetime) -> Sequence[Key]:
        """Return the keys whose rotation is due."""
        return [_key(row) for row in self._connection.execute(_TO_ROTATE, (number_of(due),))]

    def add_key(self, key: Key, tags: Mapping[str, str]) -> None:
        """Add a key and its tags."""
        name = (key.scope.account, key.scope.region, key.key_id)
        self._connection.execute(_ADD, (*name, number_of(key.created), *_changeable(key)))
        self._connection.executemany("INSERT INTO tags VALUES (?, ?, ?, ?, ?)", [(*name, *tag) for tag in tags.items()])

    def update_key(self, key: Key) -> None:
        """Replace all of a key but its id and creation date."""
        name = (key.scope.account, key.scope.region, key.key_id)
        self._connection.execute(_UPDATE, (*_changeable(key), *name))

    def erase_keys(self, due: datetime) -> Sequence[Key]:
        """Erase the keys due, and all that hangs on them."""
        keys = [_key(row) for row in self._connection.execute(_TO_ERASE, (number_of(due),))]
        self._connection.execute("DELETE FROM keys WHERE deletion <= ?", (number_of(due),))
        return keys


def _changeable(key: Key) -> tuple[object, ...]:
    head = (key.description, key.usage, key.spec, key.origin, key.state.value, number_or_none(key.deletion))
    middle = (key.role and key.role.value, key.primary_region, key.policy, key.material_id, key.manager.value)
    return (*head, *middle, key.rotation_days, number_or_none(key.next_rotation), key.deletion_days)


def _key(row: tuple[Any, ...]) -> Key:
    account, region, key_id, created, description, usage, spec, origin, state, deletion, role, primary, *more = row
    policy, own, manager, rotation_days, next_rotation, deletion_days = more
    try:
        scope = Scope(text(account), text(region))
        return Key(
            scope=scope,
            key_id=text(key_id),
            created=time(created),
            description=text(description),
            usage=text(usage),
            spec=text(spec),
            origin=text(origin),
            state=KeyState(state),
            deletion=time_or_none(deletion),
            role=None if role is None else MultiRegionRole(role),
            primary_region=None if primary is None else Scope(scope.account, text(primary)).region,
            policy=text(policy),
            material_id=text_or_none(own),
            manager=KeyManager(manager),
            rotation_days=None if rotation_days is None else whole(rotation_days),
            next_rotation=time_or_none(next_rotation),
            deletion_days=None if deletion_days is None else whole(deletion_days),
        )
    except ValueError:
        # The id's own repr: it may be of any type.
        raise KeyStoreError(f"the key store's record of key {key_id!r:.80} is damaged") from None
