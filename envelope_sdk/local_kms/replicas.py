"""A primary key that is to be erased waits for its replicas, and its waiting period begins when they are gone.

Source: AWS KMS developer guide, "Deleting multi-Region keys"; API reference, ScheduleKeyDeletion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from envelope_sdk.local_kms.model import Key, KeyState, MultiRegionRole
from envelope_sdk.local_kms.store.contract import WriteTransaction

__all__ = ["erase_due", "has_replicas"]


def has_replicas(transaction: WriteTransaction, key: Key) -> bool:
    """Return whether ``key`` is a primary with replicas, those pending deletion included."""
    if key.role is not MultiRegionRole.PRIMARY:
        return False
    return len(transaction.related(key.scope.account, key.key_id)) > 1


def erase_due(transaction: WriteTransaction, now: datetime) -> Sequence[Key]:
    """Erase every key of any scope that is due by ``now``, and return them in the order in which they go.

    With the last replica of a primary key that waits for it, the primary's waiting period begins. It begins when that
    replica was due, not when anybody looked: a KMS that nobody calls comes to the same end. It may be over already.
    """
    erased: list[Key] = []
    while gone := transaction.erase_keys(now):
        erased += gone
        if not _release_primaries(transaction, gone):
            break
    return erased


def _release_primaries(transaction: WriteTransaction, erased: Sequence[Key]) -> bool:
    """Begin the waiting period of primary keys that have no replicas any more, and return whether any has begun."""
    begun = False
    for gone in erased:
        if gone.role is not MultiRegionRole.REPLICA:
            continue
        left = transaction.related(gone.scope.account, gone.key_id)
        if len(left) == 1 and left[0].state is KeyState.PENDING_REPLICA_DELETION:
            transaction.update_key(_waiting(left[0], gone))
            begun = True
    return begun


def _waiting(primary: Key, gone: Key) -> Key:
    """Return a primary key whose last replica is gone."""
    if gone.deletion is None or primary.deletion_days is None:
        # No store erases keys that are not due, and none waits for its replicas without a waiting period.
        return primary
    try:
        deletion = gone.deletion + timedelta(days=primary.deletion_days)
    except OverflowError:
        return primary
    return replace(primary, state=KeyState.PENDING_DELETION, deletion=deletion, deletion_days=None)
