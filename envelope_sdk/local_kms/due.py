"""What happens to keys by itself when its time comes: deletions, expiries, rotations.

Nothing waits for a clock here. Whoever next calls, or a server that looks from time to time, does what has fallen due
meanwhile, with the dates it would have happened at. It is one transaction, so that of several processes one does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from envelope_sdk.local_kms.call import ServiceEvent
from envelope_sdk.local_kms.materials import erase, regions_of, renew
from envelope_sdk.local_kms.model import Key, KeyState, Rotation
from envelope_sdk.local_kms.replicas import erase_due
from envelope_sdk.local_kms.store.contract import ReadTransaction, Store, WriteTransaction
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["after", "resume", "rotations", "settle"]

_ROTATING: Final = (KeyState.ENABLED, KeyState.UPDATING)


def settle(
    store: Store, now: datetime, random: RandomSource, record: Callable[[ServiceEvent], None]
) -> Sequence[ServiceEvent]:
    """Do everything that has fallen due.

    Args:
        store: where the keys are.
        now: up to when, UTC.
        random: the source of new key material.
        record: takes note of each thing done, before it is committed: what cannot be recorded does not happen.

    Returns:
        What was done, with the dates at which it was due.
    """
    with store.write() as transaction:
        erased = [ServiceEvent("DeleteKey", key, key.deletion or now) for key in erase_due(transaction, now)]
        events = [*erased, *_expire(transaction, now), *_rotate(transaction, now, random)]
        for event in events:
            record(event)
    return events


def resume(transaction: WriteTransaction, key: Key, now: datetime, random: RandomSource) -> Sequence[ServiceEvent]:
    """Rotate a key that has just been enabled at once, where it has missed a rotation; return what was done."""
    if key.rotation_days is None or key.next_rotation is not None:
        return ()
    _rotate_at(transaction, key, key.rotation_days, [now], random)
    return rotations(transaction, key, now, Rotation.AUTOMATIC)


def rotations(transaction: ReadTransaction, key: Key, moment: datetime, rotation: Rotation) -> Sequence[ServiceEvent]:
    """Return the events of a rotation: the key's own, and one in each Region that a replica of it follows in."""
    replicas = [each for each in regions_of(transaction, key) if each.scope != key.scope]
    return [
        ServiceEvent("RotateKey", key, moment, {"rotationType": rotation.value}),
        *(ServiceEvent("SynchronizeMultiRegionKey", replica, moment) for replica in replicas),
    ]


def after(moment: datetime, days: int) -> datetime | None:
    """Return the date ``days`` later; ``None`` where the calendar ends before."""
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        return None


def _expire(transaction: WriteTransaction, now: datetime) -> Sequence[ServiceEvent]:
    """Erase imported material whose time is over."""
    events: list[ServiceEvent] = []
    for scope, record in transaction.due_expiries(now):
        key = transaction.key(scope, record.key_id)
        if key is not None:
            details = {"keyMaterialId": record.material_id}
            events.append(ServiceEvent("DeleteExpiredKeyMaterial", key, record.expiry or now, details))
            erase(transaction, key, record)
    return events


def _rotate(transaction: WriteTransaction, now: datetime, random: RandomSource) -> Sequence[ServiceEvent]:
    events: list[ServiceEvent] = []
    for key in transaction.due_rotations(now):
        if key.state not in _ROTATING or key.rotation_days is None or key.next_rotation is None:
            # With days and no date it is overdue, and happens when the key is enabled.
            transaction.update_key(replace(key, next_rotation=None))
            continue
        moments = _moments(key.next_rotation, key.rotation_days, now)
        _rotate_at(transaction, key, key.rotation_days, moments, random)
        for moment in moments:
            events += rotations(transaction, key, moment, Rotation.AUTOMATIC)
    return events


def _rotate_at(
    transaction: WriteTransaction, key: Key, days: int, moments: Sequence[datetime], random: RandomSource
) -> None:
    renew(transaction, key, moments, Rotation.AUTOMATIC, random)
    renewed = transaction.key(key.scope, key.key_id)
    if renewed is not None:
        transaction.update_key(replace(renewed, next_rotation=after(moments[-1], days)))


def _moments(first: datetime, days: int, now: datetime) -> Sequence[datetime]:
    moments: list[datetime] = []
    moment: datetime | None = first
    while moment is not None and moment <= now:
        moments.append(moment)
        moment = after(moment, days)
    return moments
