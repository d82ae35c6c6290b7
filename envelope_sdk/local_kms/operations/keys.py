"""CreateKey, DescribeKey, ListKeys and what changes a key's state or description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.key_policies import new_key_policy
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.due import resume
from envelope_sdk.local_kms.identifiers import Scope, new_key_id
from envelope_sdk.local_kms.key_pairs import check_available, new_secret
from envelope_sdk.local_kms.kinds import ENCRYPT, KEY_SPECS, MAC, OLD_KEY_SPECS, SYMMETRIC, usages
from envelope_sdk.local_kms.materials import EXTERNAL, add_first, complete, expiration, new_material_id
from envelope_sdk.local_kms.model import Key, KeyState, MultiRegionRole
from envelope_sdk.local_kms.operations.custom_key_stores import refuse_custom_key_store, takes_custom_key_store
from envelope_sdk.local_kms.operations.metadata import key_metadata
from envelope_sdk.local_kms.operations.pages import read_page
from envelope_sdk.local_kms.operations.tags import checked_tags
from envelope_sdk.local_kms.parameters import KEY_USAGES, MAX_DESCRIPTION, ORIGINS, RESOURCE_OWNERS, Parameters
from envelope_sdk.local_kms.replicas import has_replicas
from envelope_sdk.local_kms.store.contract import ReadTransaction
from envelope_sdk.primitives.aead import wipe

__all__ = [
    "cancel_key_deletion",
    "check_key_quota",
    "create_key",
    "describe_key",
    "disable_key",
    "enable_key",
    "list_keys",
    "schedule_key_deletion",
    "update_key_description",
]

_DEFAULT_LIMIT: Final = 100
_MIN_WINDOW: Final = 7
_MAX_WINDOW: Final = 30


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What CreateKey asks for, checked."""

    description: str
    policy: str | None
    bypass: bool
    multi_region: bool
    tags: dict[str, str]
    spec: str
    usage: str
    origin: str


def create_key(call: Call) -> dict[str, Any]:
    """Make a key and its first material, unless that is to be imported; both are on disk before the answer."""
    wanted = _wanted(call)
    call.permit(None)
    scope = call.scope
    key_id = new_key_id(call.random, multi_region=wanted.multi_region)
    if wanted.tags:
        call.permit(None, "TagResource", scope.key_arn(key_id))
    policy = new_key_policy(call, scope.key_arn(key_id), wanted.policy, bypass=wanted.bypass)
    imported = wanted.origin == EXTERNAL
    key = Key(
        scope=scope,
        key_id=key_id,
        created=call.now,
        description=wanted.description,
        usage=wanted.usage,
        spec=wanted.spec,
        origin=wanted.origin,
        state=KeyState.PENDING_IMPORT if imported else KeyState.ENABLED,
        role=MultiRegionRole.PRIMARY if wanted.multi_region else None,
        primary_region=scope.region if wanted.multi_region else None,
        policy=policy,
        material_id=None if imported else new_material_id(call.random),
    )
    secret = bytearray() if imported else new_secret(key.spec, call.random)
    try:
        with call.store.write() as transaction:
            check_key_quota(call, scope, transaction)
            transaction.add_key(key, wanted.tags)
            if not imported:
                add_first(transaction, key, secret)
    finally:
        wipe(memoryview(secret))
    call.keys = (key,)
    return {"KeyMetadata": key_metadata(key)}


def describe_key(call: Call) -> dict[str, Any]:
    """Return all there is to know of a key but its material."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    parameters.grant_tokens()
    parameters.done()
    key = call.key(name, call.view)
    expiring = expiration(call.view.materials(key.scope, key.key_id)) if key.origin == EXTERNAL else {}
    return {"KeyMetadata": key_metadata(key, call.view.related(key)) | expiring}


def list_keys(call: Call) -> dict[str, Any]:
    """List the keys of the Region in the order of their ids."""
    parameters = Parameters(call.parameters)
    read = read_page(parameters, "keys", _DEFAULT_LIMIT, 1000)
    owners = parameters.choices("ResourceOwners", RESOURCE_OWNERS, minimum=1, maximum=2)
    parameters.done()
    page = read()
    call.permit(None)
    found: Sequence[Key] = ()
    # What other accounts share through AWS Resource Access Manager is nothing: there is none here.
    if not owners or "SELF" in owners:
        with call.store.read() as transaction:
            found = transaction.keys(call.scope, page.after, page.limit + 1)
    return page.answer("Keys", found, lambda key: key.key_id, lambda key: {"KeyId": key.key_id, "KeyArn": key.arn})


def enable_key(call: Call) -> dict[str, Any]:
    """Let a key be used again."""
    return _switch(call, KeyState.ENABLED)


def disable_key(call: Call) -> dict[str, Any]:
    """Let a key not be used for cryptography."""
    return _switch(call, KeyState.DISABLED)


def schedule_key_deletion(call: Call) -> dict[str, Any]:
    """Set the day on which a key and its material are erased."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    # The model says 1 to 365, so boto3 lets all of that through: the limits that count are the service's.
    given = parameters.number("PendingWindowInDays", _MIN_WINDOW, _MAX_WINDOW)
    parameters.done()
    window = _MAX_WINDOW if given is None else given
    try:
        deletion = call.now + timedelta(days=window)
    except OverflowError:
        raise faults.validation(f"There is no date {window} days from now.") from None
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        if has_replicas(transaction, key):
            going = replace(key, state=KeyState.PENDING_REPLICA_DELETION, deletion_days=window)
        else:
            going = replace(key, state=KeyState.PENDING_DELETION, deletion=deletion)
        transaction.update_key(going)
    answer: dict[str, Any] = {"KeyId": key.arn, "KeyState": going.state.value, "PendingWindowInDays": window}
    return answer if going.deletion is None else answer | {"DeletionDate": going.deletion}


def cancel_key_deletion(call: Call) -> dict[str, Any]:
    """Keep a key after all. It comes back disabled, as on AWS, or still without its material."""
    with call.store.write() as transaction:
        key = call.key(_only_key_id(call), transaction, aliases=False)
        state = KeyState.DISABLED if complete(transaction, key) else KeyState.PENDING_IMPORT
        transaction.update_key(replace(key, state=state, deletion=None, deletion_days=None))
    return {"KeyId": key.arn}


def update_key_description(call: Call) -> dict[str, Any]:
    """Replace a key's description."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    description = parameters.text("Description", MAX_DESCRIPTION, minimum=0, required=True)
    parameters.done()
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        transaction.update_key(replace(key, description=description or ""))
    return {}


def _only_key_id(call: Call) -> str:
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    parameters.done()
    return name


def _switch(call: Call, state: KeyState) -> dict[str, Any]:
    name = _only_key_id(call)
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        # An unavailable key stays so; AWS answers success all the same.
        if key.state is not KeyState.UNAVAILABLE:
            transaction.update_key(replace(key, state=state))
            if state is KeyState.ENABLED:
                call.note(resume(transaction, key, call.now, call.random))
    return {}


def check_key_quota(call: Call, scope: Scope, transaction: ReadTransaction) -> None:
    """Raise LimitExceededException where an account has as many keys in a Region as it may have."""
    present = transaction.count_keys(scope)
    if present >= call.limits.keys:
        raise faults.limit_exceeded("KMS keys", call.limits.keys, present)


def _wanted(call: Call) -> _Wanted:
    parameters = Parameters(call.parameters)
    description = parameters.text("Description", MAX_DESCRIPTION, minimum=0)
    policy = parameters.policy()
    usage = parameters.choice("KeyUsage", KEY_USAGES)
    spec = parameters.choice("KeySpec", KEY_SPECS)
    old_spec = parameters.choice("CustomerMasterKeySpec", OLD_KEY_SPECS)
    origin = parameters.choice("Origin", ORIGINS)
    bypass = parameters.flag("BypassPolicyLockoutSafetyCheck")
    multi_region = parameters.flag("MultiRegion")
    custom = takes_custom_key_store(parameters)
    tags = parameters.tags("Tags")
    parameters.done()
    if spec is not None and old_spec is not None:
        raise faults.validation("You cannot specify KeySpec and CustomerMasterKeySpec in the same request.")
    spec = spec or old_spec or SYMMETRIC
    usage = _checked_usage(spec, usage)
    refuse_custom_key_store(wanted=custom or origin in ("AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"))
    origin = _checked_origin(origin, spec, usage)
    by_name = checked_tags(tags, call.limits.tags_per_key)
    return _Wanted(description or "", policy, bypass, multi_region, by_name, spec, usage, origin)


def _checked_usage(spec: str, usage: str | None) -> str:
    """Return what the key is to be for, where a key of this spec can be."""
    if usage is None:
        if spec != SYMMETRIC:
            text = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
            raise faults.validation(text)
        return ENCRYPT
    if usage not in usages(spec):
        raise faults.validation(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    if spec == "SM2":
        raise faults.unsupported("KeySpec SM2 is not supported by the local KMS; AWS has it in its Regions in China.")
    return usage


def _checked_origin(origin: str | None, spec: str, usage: str) -> str:
    if origin in (None, "AWS_KMS"):
        return "AWS_KMS"
    if spec != SYMMETRIC and usage != MAC:
        check_available(spec)
    return EXTERNAL
