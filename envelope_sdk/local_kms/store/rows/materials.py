"""Key materials: what is known of them, and their secrets, wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Material, MaterialRecord, MaterialState, Rotation
from envelope_sdk.local_kms.store.rows.columns import (
    Rows,
    number_of,
    number_or_none,
    scope_of,
    text,
    text_or_none,
    time,
    time_or_none,
)

__all__ = ["MaterialRows"]

_WRAPPED: Final = (
    "SELECT key_id, created, wrapped FROM materials"
    " WHERE account = ? AND region = ? AND material_id = ? AND wrapped IS NOT NULL"
)
_RECORD: Final = (
    "SELECT account, region, key_id, material_id, created, state, wrapped IS NOT NULL, rotated, rotation, description,"
    " expiry FROM materials"
)
_OF_KEY: Final = f"{_RECORD} WHERE account = ? AND region = ? AND key_id = ? ORDER BY created, material_id"
# From account to account by the primary key, which begins with it: there are few, and of materials there are many.
_OWNER: Final = (
    "WITH RECURSIVE accounts (account) AS (SELECT min(account) FROM materials UNION ALL"
    " SELECT (SELECT min(account) FROM materials WHERE account > accounts.account) FROM accounts"
    " WHERE accounts.account IS NOT NULL)"
    " SELECT materials.account, materials.key_id FROM accounts JOIN materials ON materials.account = accounts.account"
    " AND materials.region = ? AND materials.material_id = ? ORDER BY materials.account LIMIT 1"
)
_EXPIRED: Final = f"{_RECORD} WHERE expiry <= ? AND wrapped IS NOT NULL ORDER BY expiry, account, region, material_id"
_UPDATE: Final = (
    "UPDATE materials SET state = ?, rotated = ?, rotation = ?, description = ?, expiry = ?"
    " WHERE account = ? AND region = ? AND material_id = ?"
)
_SET_WRAPPED: Final = "UPDATE materials SET wrapped = ? WHERE account = ? AND region = ? AND material_id = ?"


class MaterialRows(Rows):
    """The table ``materials``."""

    __slots__ = ()

    def material(self, scope: Scope, material_id: str) -> Material | None:
        """Return a key material, unwrapped."""
        row = self._connection.execute(_WRAPPED, (scope.account, scope.region, material_id)).fetchone()
        if row is None:
            return None
        key_id, created, wrapped = text(row[0]), time(row[1]), row[2]
        return Material(key_id, material_id, created, self._wrapper.unwrap(scope, key_id, material_id, wrapped))

    def owner_of(self, region: str, material_id: str) -> tuple[Scope, str] | None:
        """Return where the key of a material is, and its id."""
        row = self._connection.execute(_OWNER, (region, material_id)).fetchone()
        return None if row is None else (scope_of(row[0], region), text(row[1]))

    def materials(self, scope: Scope, key_id: str) -> Sequence[MaterialRecord]:
        """Return what is known of all materials of a key."""
        rows = self._connection.execute(_OF_KEY, (scope.account, scope.region, key_id))
        return [_record(row) for row in rows]

    def seal(self, purpose: str, secret: bytes | bytearray) -> bytes:
        """Wrap a secret for somebody else to keep."""
        return self._wrapper.seal(purpose, secret)

    def unseal(self, purpose: str, sealed: bytes) -> bytearray | None:
        """Unwrap it."""
        return self._wrapper.unseal(purpose, sealed)

    def due_expiries(self, due: datetime) -> Sequence[tuple[Scope, MaterialRecord]]:
        """Return the materials that expire by ``due``."""
        rows = self._connection.execute(_EXPIRED, (number_of(due),))
        return [(scope_of(row[0], row[1]), _record(row)) for row in rows]

    def add_material(self, scope: Scope, record: MaterialRecord, secret: bytes | bytearray) -> None:
        """Wrap and add a material."""
        wrapped = self._wrapper.wrap(scope, record.key_id, record.material_id, secret)
        name = (scope.account, scope.region, record.material_id, record.key_id, number_of(record.created))
        row = (*name, *_changeable(record), wrapped)
        self._connection.execute("INSERT INTO materials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def update_material(self, scope: Scope, record: MaterialRecord) -> None:
        """Replace what is known of a material; unless it is present, erase its secret."""
        name = (scope.account, scope.region, record.material_id)
        self._connection.execute(_UPDATE, (*_changeable(record), *name))
        if not record.present:
            self._connection.execute(_SET_WRAPPED, (None, *name))

    def replace_secret(self, scope: Scope, key_id: str, material_id: str, secret: bytes | bytearray) -> None:
        """Wrap and put back a secret."""
        wrapped = self._wrapper.wrap(scope, key_id, material_id, secret)
        name = (scope.account, scope.region, material_id)
        self._connection.execute(_SET_WRAPPED, (wrapped, *name))


def _changeable(record: MaterialRecord) -> tuple[object, ...]:
    rotation = record.rotation and record.rotation.value
    # An expiry that is over is no longer due.
    expiry = record.expiry if record.present else None
    return (record.state.value, number_or_none(record.rotated), rotation, record.description, number_or_none(expiry))


def _record(row: tuple[Any, ...]) -> MaterialRecord:
    _, _, key_id, material_id, created, state, present, rotated, rotation, description, expiry = row
    try:
        return MaterialRecord(
            key_id=text(key_id),
            material_id=text(material_id),
            created=time(created),
            state=MaterialState(state),
            present=bool(present),
            rotated=time_or_none(rotated),
            rotation=None if rotation is None else Rotation(rotation),
            description=text_or_none(description),
            expiry=time_or_none(expiry),
        )
    except ValueError:
        raise KeyStoreError(f"the key store's record of material {material_id!r:.80} is damaged") from None
