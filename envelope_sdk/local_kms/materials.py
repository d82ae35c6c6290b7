"""A key's materials: their ids, which of them is the current one, and how the Regions of a key keep in step.

A symmetric key has several over time. One is current and encrypts; those before it only decrypt. Key material that is
imported may also wait for a rotation to make it current, and its secret may be gone: deleted, or expired. A material
that waits and is gone belongs to the key no more; its record is passed over everywhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.key_pairs import new_secret
from envelope_sdk.local_kms.model import Key, KeyState, MaterialRecord, MaterialState, MultiRegionRole, Rotation
from envelope_sdk.local_kms.store.contract import ReadTransaction, WriteTransaction
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.entropy import RandomSource

__all__ = [
    "EXTERNAL",
    "add_first",
    "belonging",
    "complete",
    "date_after",
    "erase",
    "expiration",
    "imported_material_id",
    "lasting",
    "make_current",
    "new_material_id",
    "primary_of",
    "regions_of",
    "renew",
    "replicate",
    "waiting",
    "waits_everywhere",
]

EXTERNAL: Final = "EXTERNAL"
"""The origin of keys whose material is imported."""

_ID_PURPOSE: Final = b"envelope-sdk local KMS imported material id 1"
_LASTING: Final = (MaterialState.CURRENT, MaterialState.NON_CURRENT)
_IN_USE: Final = (KeyState.ENABLED, KeyState.DISABLED)
_MILLISECOND: Final = timedelta(milliseconds=1)


def new_material_id(random: RandomSource) -> str:
    """Return the id of a material made here: 64 hexadecimal digits."""
    return _marked(random(32))


def imported_material_id(key: Key, secret: bytes | bytearray) -> str:
    """Return the id of an imported material: the same for the same secret and key, in every Region.

    Ids are public. This one is a MAC under the secret, of which it tells nothing that could be found without guessing
    the whole of it. ``secret`` is as the store keeps it: of an HMAC key it is not what users' messages are
    authenticated with.
    """
    name = f"{key.scope.account}:{key.key_id}".encode()
    return _marked(hmac.digest(secret, _ID_PURPOSE + name, "sha256"))


def belonging(records: Sequence[MaterialRecord]) -> Sequence[MaterialRecord]:
    """Return the materials that belong to their key: all but those that waited, and are gone."""
    return [record for record in records if record.present or record.state in _LASTING]


def lasting(records: Sequence[MaterialRecord]) -> Sequence[MaterialRecord]:
    """Return the materials that belong to their key for good: one is current, others were."""
    return [record for record in records if record.state in _LASTING]


def waiting(records: Sequence[MaterialRecord]) -> MaterialRecord | None:
    """Return the imported material that waits for a rotation to make it current."""
    return next((record for record in records if record.present and record.state not in _LASTING), None)


def waits_everywhere(transaction: ReadTransaction, key: Key) -> bool:
    """Return whether the material that waits for a rotation in the primary has been imported into all replicas."""
    keys = regions_of(transaction, key)
    primary = primary_of(keys)
    record = None if primary is None else waiting(transaction.materials(primary.scope, primary.key_id))
    if record is None:
        return False
    found = (waiting(transaction.materials(each.scope, each.key_id)) for each in keys)
    return all(each is not None and each.material_id == record.material_id for each in found)


def complete(transaction: ReadTransaction, key: Key) -> bool:
    """Return whether a key has all its materials, without any of which it cannot be used."""
    if key.origin != EXTERNAL:
        return True
    records = lasting(transaction.materials(key.scope, key.key_id))
    return bool(records) and all(record.present for record in records)


def expiration(records: Sequence[MaterialRecord]) -> dict[str, Any]:
    """Return the members of ``KeyMetadata`` that tell when imported material expires; none where it is all gone."""
    present = [record for record in lasting(records) if record.present]
    if not present:
        return {}
    earliest = min((record.expiry for record in present if record.expiry is not None), default=None)
    if earliest is None:
        return {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": earliest}


def regions_of(transaction: ReadTransaction, key: Key) -> Sequence[Key]:
    """Return a key in all its Regions, as it is now: a multi-Region key's primary and replicas, or just itself."""
    if key.role is not None:
        return transaction.related(key.scope.account, key.key_id)
    now = transaction.key(key.scope, key.key_id)
    return [] if now is None else [now]


def primary_of(keys: Sequence[Key]) -> Key | None:
    """Return the one of a key's Regions that leads; ``None`` where the store has lost it."""
    return next((key for key in keys if key.role is not MultiRegionRole.REPLICA), None)


def date_after(records: Sequence[MaterialRecord], moment: datetime) -> datetime:
    """Return the date that a material made at ``moment`` is given: that, or one just after the last of ``records``.

    Materials are kept in the order of their dates, so that no two of a key may have the same.
    """
    return max((_next(record.created) for record in records if record.created >= moment), default=moment)


def add_first(transaction: WriteTransaction, key: Key, secret: bytes | bytearray) -> None:
    """Add the material that ``key``, just made, names as its own."""
    record = MaterialRecord(key_id=key.key_id, material_id=key.material_id or "", created=key.created)
    transaction.add_material(key.scope, record, secret)


def renew(
    transaction: WriteTransaction, key: Key, moments: Sequence[datetime], rotation: Rotation, random: RandomSource
) -> None:
    """Give a key a new material for each of ``moments``, in all its Regions; the last becomes the current one."""
    keys = regions_of(transaction, key)
    created = moments[0]
    records = transaction.materials(key.scope, key.key_id)
    for each in keys:
        _retire_current(transaction, each)
    material_id = ""
    for number, moment in enumerate(moments, 1):
        created = date_after(records, moment) if number == 1 else max(moment, _next(created))
        material_id = new_material_id(random)
        state = MaterialState.CURRENT if number == len(moments) else MaterialState.NON_CURRENT
        record = MaterialRecord(
            key_id=key.key_id,
            material_id=material_id,
            created=created,
            state=state,
            rotated=moment,
            rotation=rotation,
        )
        _add_made(transaction, keys, record, random)
    for each in keys:
        transaction.update_key(replace(each, material_id=material_id))


def make_current(transaction: WriteTransaction, key: Key, material_id: str, moment: datetime) -> None:
    """Make a material that was imported and waits the current one, in this Region."""
    _retire_current(transaction, key)
    for record in transaction.materials(key.scope, key.key_id):
        if record.material_id == material_id:
            current = replace(record, state=MaterialState.CURRENT, rotated=moment, rotation=Rotation.ON_DEMAND)
            transaction.update_material(key.scope, current)
    transaction.update_key(replace(key, material_id=material_id))


def erase(transaction: WriteTransaction, key: Key, record: MaterialRecord) -> None:
    """Erase the secret of an imported material; a key that it belongs to for good is unusable until it is back."""
    transaction.update_material(key.scope, replace(record, present=False))
    if lasting([record]):
        if key.state in _IN_USE:
            transaction.update_key(replace(key, state=KeyState.PENDING_IMPORT))
    elif key.role is MultiRegionRole.PRIMARY:
        # What waits in replicas waits for this one.
        for each in regions_of(transaction, key):
            for other in transaction.materials(each.scope, each.key_id):
                if other.material_id == record.material_id and other.present:
                    transaction.update_material(each.scope, replace(other, present=False))


def replicate(transaction: WriteTransaction, source: Key, scope: Scope) -> None:
    """Give the key of the same id in ``scope``, which has no materials yet, those of ``source``.

    Imported material is not copied. The replica learns which it lacks, and needs every one before it can be used.
    """
    for record in lasting(transaction.materials(source.scope, source.key_id)):
        material = transaction.material(source.scope, record.material_id)
        secret = bytearray() if material is None else material.secret
        if source.origin == EXTERNAL:
            lacking = replace(record, present=False, expiry=None, description=None)
            transaction.add_material(scope, lacking, b"")
            transaction.update_material(scope, lacking)
        else:
            transaction.add_material(scope, record, secret)
        wipe(memoryview(secret))


def _next(date: datetime) -> datetime:
    try:
        return date + _MILLISECOND
    except OverflowError:
        return date


def _retire_current(transaction: WriteTransaction, key: Key) -> None:
    for record in transaction.materials(key.scope, key.key_id):
        if record.state is MaterialState.CURRENT:
            transaction.update_material(key.scope, replace(record, state=MaterialState.NON_CURRENT))


def _add_made(transaction: WriteTransaction, keys: Sequence[Key], record: MaterialRecord, random: RandomSource) -> None:
    secret = new_secret(keys[0].spec, random)
    try:
        for each in keys:
            transaction.add_material(each.scope, record, secret)
    finally:
        wipe(memoryview(secret))


def _marked(value: bytes) -> str:
    # The first two bits are 01, as in every AWS blob seen: that is what makes blobs begin ``AQIDAHh`` in base64.
    return bytes((value[0] & 0x3F | 0x40, *value[1:])).hex()
