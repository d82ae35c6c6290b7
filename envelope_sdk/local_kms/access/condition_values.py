"""The condition keys of a call: which parameter, or what of the key, each is taken from, as a table.

A parameter left out counts with its default, as a policy may ask for that. Which operations have which key stands in
:mod:`~envelope_sdk.local_kms.policy.condition_keys`.

Source: the developer guide's "AWS KMS condition keys" and IAM's "AWS global condition context keys".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.catalogue import View, all_aliases
from envelope_sdk.local_kms.identifiers import ALIAS_PREFIX
from envelope_sdk.local_kms.kinds import ENCRYPT, SYMMETRIC
from envelope_sdk.local_kms.model import Key, MultiRegionRole
from envelope_sdk.local_kms.policy import DEFAULT_POLICY_NAME, CallerKind, ConditionValue, keys_of

__all__ = ["BY_REQUEST", "Asked", "condition_values", "encryption_context"]

_Value = ConditionValue | None


class Asked(NamedTuple):
    """What is asked for.

    Attributes:
        call: the call.
        action: a permission without ``kms:``.
        key: the key it is about, if any.
    """

    call: Call
    action: str
    key: Key | None


def condition_values(asked: Asked) -> dict[str, ConditionValue]:
    """Return the condition keys of a request but those of its caller and its encryption context."""
    call = asked.call
    values = {name: value for name in _keys(asked.action) if (value := _VALUES[name](asked)) is not None}
    values.update(_global(call))
    values.update(_tags(asked))
    # What the operation alone knows, then what the requester brings along, such as aws:SourceArn.
    values.update(call.facts or {})
    values.update(call.requester.conditions or {})
    return values


def encryption_context(call: Call, action: str) -> Mapping[str, str] | None:
    """Return the encryption context that a permission is asked for with; for CreateGrant the new grant's constraint."""
    if action == "CreateGrant":
        constraints: Any = call.parameters.get("Constraints") or {}
        equals, subset = (_pairs(constraints, f"EncryptionContext{name}") for name in ("Equals", "Subset"))
        return {**subset, **equals} or None
    name = _CONTEXTS.get(action, "EncryptionContext")
    return _pairs(call.parameters, name) or None


_CONTEXTS: Final = {"ReEncryptFrom": "SourceEncryptionContext", "ReEncryptTo": "DestinationEncryptionContext"}
_ALGORITHMS: Final = {"ReEncryptFrom": "SourceEncryptionAlgorithm", "ReEncryptTo": "DestinationEncryptionAlgorithm"}
_NAMES: Final = {"ReEncryptFrom": "SourceKeyId", "ReEncryptTo": "DestinationKeyId"}

BY_REQUEST: Final = frozenset({"kms:CallerAccount", "kms:EncryptionContext:KEY", "kms:EncryptionContextKeys"})
"""Keys that a request has by its caller and encryption context."""


@lru_cache(maxsize=256)
def _keys(action: str) -> tuple[str, ...]:
    return tuple(sorted(keys_of(action) - BY_REQUEST))


def _pairs(parameters: Any, name: str) -> dict[str, str]:
    return dict(parameters.get(name) or {})


# --- of a parameter --------------------------------------------------------------------------------------------------


def _parameter(name: str, default: _Value = None) -> Callable[[Asked], _Value]:
    def value(asked: Asked) -> _Value:
        given: Any = asked.call.parameters.get(name)
        return default if given is None else given

    return value


def _strings(name: str) -> Callable[[Asked], _Value]:
    def value(asked: Asked) -> _Value:
        given: Any = asked.call.parameters.get(name)
        return None if given is None else tuple(given)

    return value


def _encryption_algorithm(asked: Asked) -> _Value:
    return _parameter(_ALGORITHMS.get(asked.action, "EncryptionAlgorithm"), SYMMETRIC)(asked)


def _constraint_types(asked: Asked) -> _Value:
    constraints: Any = asked.call.parameters.get("Constraints") or {}
    return tuple(name for name in ("EncryptionContextEquals", "EncryptionContextSubset") if constraints.get(name))


def _for_aws_resource(asked: Asked) -> _Value:
    requester = asked.call.requester
    return requester.via_service is not None or requester.caller.kind is CallerKind.SERVICE


def _request_alias(asked: Asked) -> _Value:
    name: Any = asked.call.parameters.get(_NAMES.get(asked.action, "KeyId"))
    if not isinstance(name, str):
        return None
    resource = name.split(":", 5)[-1]
    return resource if resource.startswith(ALIAS_PREFIX) else None


# --- of the key, or of the one to be made ----------------------------------------------------------------------------


def _spec(asked: Asked) -> _Value:
    if asked.key is not None:
        return asked.key.spec
    given: Any = asked.call.parameters
    return given.get("KeySpec") or given.get("CustomerMasterKeySpec") or SYMMETRIC


def _usage(asked: Asked) -> _Value:
    return asked.key.usage if asked.key is not None else _parameter("KeyUsage", ENCRYPT)(asked)


def _origin(asked: Asked) -> _Value:
    return asked.key.origin if asked.key is not None else _parameter("Origin", "AWS_KMS")(asked)


def _multi_region(asked: Asked) -> _Value:
    return asked.key.role is not None if asked.key is not None else _parameter("MultiRegion", False)(asked)


def _multi_region_type(asked: Asked) -> _Value:
    if asked.key is not None:
        return asked.key.role and asked.key.role.value
    return MultiRegionRole.PRIMARY.value if _multi_region(asked) else None


def _aliases(asked: Asked) -> _Value:
    key, records = asked.key, asked.call.records
    if key is None:
        return None
    where = (key.scope, key.key_id)
    found = records.aliases(*where) if isinstance(records, View) else all_aliases(records, *where)
    return tuple(alias.name for alias in found)


# --- of every request ------------------------------------------------------------------------------------------------


def _global(call: Call) -> dict[str, ConditionValue]:
    requester = call.requester
    values: dict[str, ConditionValue] = {
        "aws:CurrentTime": call.now,
        "aws:EpochTime": int(call.now.timestamp()),
        "aws:RequestedRegion": requester.scope.region,
        "aws:SecureTransport": requester.secure,
        "aws:ViaAWSService": requester.via_service is not None,
    }
    if requester.source_ip is not None:
        values["aws:SourceIp"] = requester.source_ip
    if requester.user_agent:
        values["aws:UserAgent"] = requester.user_agent
    return values


def _tags(asked: Asked) -> dict[str, ConditionValue]:
    call, key = asked.call, asked.key
    values: dict[str, ConditionValue] = {}
    if key is not None:
        for name, value in call.records.tags(key.scope, key.key_id).items():
            values[f"aws:ResourceTag/{name}"] = value
    given: Any = call.parameters
    names: list[str] = list(given.get("TagKeys") or ())
    for tag in given.get("Tags") or ():
        names.append(tag["TagKey"])
        values[f"aws:RequestTag/{tag['TagKey']}"] = tag["TagValue"]
    if names:
        values["aws:TagKeys"] = names
    return values


def _valid_to(asked: Asked) -> _Value:
    given = asked.call.parameters.get("ValidTo")
    return given if isinstance(given, datetime) else None


_VALUES: Final[Mapping[str, Callable[[Asked], _Value]]] = MappingProxyType(
    {
        "kms:BypassPolicyLockoutSafetyCheck": _parameter("BypassPolicyLockoutSafetyCheck", False),
        "kms:CustomerMasterKeySpec": _spec,
        "kms:CustomerMasterKeyUsage": _usage,
        "kms:DataKeyPairSpec": _parameter("KeyPairSpec"),
        "kms:EncryptionAlgorithm": _encryption_algorithm,
        "kms:ExpirationModel": _parameter("ExpirationModel", "KEY_MATERIAL_EXPIRES"),
        "kms:GrantConstraintType": _constraint_types,
        "kms:GrantIsForAWSResource": _for_aws_resource,
        "kms:GrantOperations": _strings("Operations"),
        "kms:GranteePrincipal": _parameter("GranteePrincipal"),
        "kms:KeyAgreementAlgorithm": _parameter("KeyAgreementAlgorithm"),
        "kms:KeyOrigin": _origin,
        "kms:KeySpec": _spec,
        "kms:KeyUsage": _usage,
        "kms:MacAlgorithm": _parameter("MacAlgorithm"),
        "kms:MessageType": _parameter("MessageType", "RAW"),
        "kms:MultiRegion": _multi_region,
        "kms:MultiRegionKeyType": _multi_region_type,
        "kms:PolicyName": _parameter("PolicyName", DEFAULT_POLICY_NAME),
        "kms:PrimaryRegion": _parameter("PrimaryRegion"),
        # A fact of the operation: it alone knows both keys.
        "kms:ReEncryptOnSameKey": lambda _: None,
        "kms:ReplicaRegion": _parameter("ReplicaRegion"),
        "kms:RequestAlias": _request_alias,
        "kms:ResourceAliases": _aliases,
        "kms:RetiringPrincipal": _parameter("RetiringPrincipal"),
        "kms:RotationPeriodInDays": _parameter("RotationPeriodInDays", 365),
        "kms:ScheduleKeyDeletionPendingWindowInDays": _parameter("PendingWindowInDays", 30),
        "kms:SigningAlgorithm": _parameter("SigningAlgorithm"),
        "kms:ValidTo": _valid_to,
        "kms:ViaService": lambda asked: asked.call.requester.via_service,
        "kms:WrappingAlgorithm": _parameter("WrappingAlgorithm"),
        "kms:WrappingKeySpec": _parameter("WrappingKeySpec"),
    }
)
