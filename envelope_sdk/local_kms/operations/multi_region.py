"""ReplicateKey and UpdatePrimaryRegion.

AWS takes a few seconds for either operation, in which keys are ``Creating`` or ``Updating``. Here both are done when
the call returns, and the next call sees their end; ReplicateKey answers ``Creating`` nevertheless, as AWS does.

Source: AWS KMS API reference, "ReplicateKey" and "UpdatePrimaryRegion".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.key_policies import new_key_policy
from envelope_sdk.local_kms.call import Call, KeySource
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.materials import replicate
from envelope_sdk.local_kms.model import Key, KeyState, MultiRegionRole
from envelope_sdk.local_kms.operations.keys import check_key_quota
from envelope_sdk.local_kms.operations.metadata import key_metadata
from envelope_sdk.local_kms.operations.tags import checked_tags
from envelope_sdk.local_kms.parameters import MAX_DESCRIPTION, Parameters
from envelope_sdk.local_kms.store.contract import WriteTransaction

__all__ = ["replicate_key", "update_primary_region"]

_MAX_REGION: Final = 32
_REGION: Final = re.compile(r"^([a-z]+-){2,3}\d+$", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The replica that ReplicateKey asks for, checked but for its policy."""

    name: str
    scope: Scope
    policy: str | None
    bypass: bool
    description: str
    tags: dict[str, str]


def replicate_key(call: Call) -> dict[str, Any]:
    """Make a replica of a primary key in another Region: of the same id and materials, with a policy of its own."""
    wanted = _wanted(call)
    policy = _policy(call, wanted, _primary(call, wanted.name, call.view))
    with call.store.write() as transaction:
        primary = _primary(call, wanted.name, transaction)
        _check_region(primary, wanted.scope, transaction)
        check_key_quota(call, wanted.scope, transaction)
        replica = _replica(primary, wanted, policy, call.now)
        transaction.add_key(replica, wanted.tags)
        replicate(transaction, primary, replica.scope)
        related = transaction.related(primary.scope.account, primary.key_id)
    call.keys = (*call.keys, replica)
    metadata = key_metadata(replace(replica, state=KeyState.CREATING, material_id=None), related)
    tags = [{"TagKey": name, "TagValue": value} for name, value in wanted.tags.items()]
    return {"ReplicaKeyMetadata": metadata, "ReplicaPolicy": replica.policy, "ReplicaTags": tags}


def update_primary_region(call: Call) -> dict[str, Any]:
    """Make the replica in another Region the primary key, and the primary a replica."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    region = _region(parameters, "PrimaryRegion")
    parameters.done()
    with call.store.write() as transaction:
        primary = _primary(call, name, transaction)
        if region == primary.scope.region:
            raise faults.unsupported(f"{primary.arn} is already the primary key of its multi-Region key.")
        scope = Scope(primary.scope.account, region)
        replica = transaction.key(scope, primary.key_id)
        if replica is None:
            raise faults.key_not_found(scope.key_arn(primary.key_id))
        call.admit(replica)
        for key in transaction.related(primary.scope.account, primary.key_id):
            transaction.update_key(_placed_anew(key, primary, region))
    return {}


def _wanted(call: Call) -> _Wanted:
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    region = _region(parameters, "ReplicaRegion")
    policy = parameters.policy()
    bypass = parameters.flag("BypassPolicyLockoutSafetyCheck")
    description = parameters.text("Description", MAX_DESCRIPTION, minimum=0)
    tags = parameters.tags("Tags")
    parameters.done()
    scope = Scope(call.scope.account, region)
    return _Wanted(name, scope, policy, bypass, description or "", checked_tags(tags, call.limits.tags_per_key))


def _region(parameters: Parameters, name: str) -> str:
    return parameters.text(name, _MAX_REGION, pattern=_REGION, required=True) or ""


def _primary(call: Call, name: str, source: KeySource) -> Key:
    key = call.key(name, source, aliases=False)
    if key.role is not MultiRegionRole.PRIMARY:
        raise faults.not_primary(key.arn)
    return key


def _policy(call: Call, wanted: _Wanted, primary: Key) -> str:
    """Return the replica's key policy, once the caller may make keys there at all."""
    arn = wanted.scope.key_arn(primary.key_id)
    # These two are asked for in the replica's Region, and its parameters are the primary's.
    call.facts = {
        "aws:RequestedRegion": wanted.scope.region,
        "kms:KeyOrigin": primary.origin,
        "kms:KeySpec": primary.spec,
        "kms:KeyUsage": primary.usage,
        "kms:MultiRegion": True,
        "kms:MultiRegionKeyType": MultiRegionRole.REPLICA.value,
    }
    call.permit(None, "CreateKey")
    if wanted.tags:
        call.permit(None, "TagResource", arn)
    call.facts = None
    return new_key_policy(call, arn, wanted.policy, bypass=wanted.bypass)


def _check_region(primary: Key, scope: Scope, transaction: WriteTransaction) -> None:
    if scope.partition != primary.scope.partition:
        raise faults.unsupported(f"A key of the partition {primary.scope.partition} has no replica in {scope.region}.")
    if transaction.key(scope, primary.key_id) is not None:
        raise faults.key_exists(scope.key_arn(primary.key_id))


def _replica(primary: Key, wanted: _Wanted, policy: str, now: datetime) -> Key:
    imported = primary.origin == "EXTERNAL"
    return replace(
        primary,
        scope=wanted.scope,
        created=now,
        description=wanted.description,
        state=KeyState.PENDING_IMPORT if imported else KeyState.ENABLED,
        role=MultiRegionRole.REPLICA,
        policy=policy,
        # Imported material is imported into each Region by its owner.
        material_id=None if imported else primary.material_id,
        # The primary's rotation brings all replicas their new material.
        rotation_days=None,
        next_rotation=None,
    )


def _placed_anew(key: Key, former: Key, region: str) -> Key:
    """Return ``key`` as it is once the primary is in ``region``. Automatic rotation goes with the primary."""
    primary = key.scope.region == region
    return replace(
        key,
        role=MultiRegionRole.PRIMARY if primary else MultiRegionRole.REPLICA,
        primary_region=region,
        rotation_days=former.rotation_days if primary else None,
        next_rotation=former.next_rotation if primary else None,
    )
