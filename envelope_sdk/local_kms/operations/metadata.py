"""``KeyMetadata``: what AWS tells of a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.kinds import SYMMETRIC, algorithm_lists, named
from envelope_sdk.local_kms.model import Key, KeyState, MultiRegionRole

__all__ = ["key_metadata"]


def key_metadata(key: Key, related: Sequence[Key] = ()) -> dict[str, Any]:
    """Return ``KeyMetadata`` as AWS answers it for this key.

    Args:
        key: the key.
        related: for a multi-Region key, those of its id in all Regions, in their order; itself may be among them.
    """
    metadata: dict[str, Any] = {
        "AWSAccountId": key.scope.account,
        "KeyId": key.key_id,
        "Arn": key.arn,
        "CreationDate": key.created,
        "Enabled": key.state is KeyState.ENABLED,
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state.value,
        "Origin": key.origin,
        "KeyManager": key.manager.value,
        **named(key.spec),
        **algorithm_lists(key),
        "MultiRegion": key.role is not None,
    }
    if key.material_id is not None and key.spec == SYMMETRIC:
        metadata["CurrentKeyMaterialId"] = key.material_id
    if key.deletion is not None:
        metadata["DeletionDate"] = key.deletion
    if key.deletion_days is not None:
        metadata["PendingDeletionWindowInDays"] = key.deletion_days
    if key.role is not None and key.primary_region is not None:
        metadata["MultiRegionConfiguration"] = {
            "MultiRegionKeyType": key.role.value,
            "PrimaryKey": _place(key, key.primary_region),
            "ReplicaKeys": [_place(key, each.scope.region) for each in related if each.role is MultiRegionRole.REPLICA],
        }
    return metadata


def _place(key: Key, region: str) -> dict[str, str]:
    return {"Arn": Scope(key.scope.account, region).key_arn(key.key_id), "Region": region}
