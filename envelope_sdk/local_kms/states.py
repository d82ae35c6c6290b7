"""Which key states forbid which operations, as data.

Source: AWS KMS developer guide, "Key states of AWS KMS keys", the table and its footnotes. Where that table documents
two errors for cryptography with a key pending deletion, this follows what AWS is recorded to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.model import Key, KeyState

__all__ = ["CONDITIONS", "FORBIDDEN", "ORIGINS", "check_state"]

CONDITIONS: Final[Mapping[KeyState, str]] = MappingProxyType(
    {
        KeyState.CREATING: "creating",
        KeyState.PENDING_DELETION: "pending deletion",
        KeyState.PENDING_IMPORT: "pending import",
        KeyState.PENDING_REPLICA_DELETION: "pending replica deletion",
        KeyState.UNAVAILABLE: "unavailable",
        KeyState.UPDATING: "updating",
    }
)
"""AWS's words for a state in ``KMSInvalidStateException``: ``<key ARN> is <words>.``"""

_GOING: Final = frozenset({KeyState.PENDING_DELETION, KeyState.PENDING_REPLICA_DELETION})
_CRYPTOGRAPHY: Final = _GOING | {
    KeyState.DISABLED,
    KeyState.PENDING_IMPORT,
    KeyState.UNAVAILABLE,
    KeyState.CREATING,
}
_SWITCHING: Final = _GOING | {KeyState.PENDING_IMPORT, KeyState.CREATING, KeyState.UPDATING}

_IMPORTING: Final = _GOING | {KeyState.UNAVAILABLE, KeyState.CREATING}

FORBIDDEN: Final[Mapping[str, frozenset[KeyState]]] = MappingProxyType(
    {
        "CancelKeyDeletion": frozenset(KeyState) - _GOING,
        "CreateAlias": _GOING,
        "CreateGrant": _CRYPTOGRAPHY - {KeyState.UNAVAILABLE},
        "Decapsulate": _CRYPTOGRAPHY,
        "Decrypt": _CRYPTOGRAPHY,
        "DeleteImportedKeyMaterial": frozenset({KeyState.CREATING, KeyState.UPDATING}),
        "DeriveSharedSecret": _CRYPTOGRAPHY,
        "DescribeKey": frozenset(),
        "DisableKey": _SWITCHING,
        "DisableKeyRotation": _CRYPTOGRAPHY,
        "EnableKey": _SWITCHING,
        "EnableKeyRotation": _CRYPTOGRAPHY,
        "Encapsulate": _CRYPTOGRAPHY,
        "Encrypt": _CRYPTOGRAPHY,
        "GenerateDataKey": _CRYPTOGRAPHY,
        "GenerateDataKeyPair": _CRYPTOGRAPHY,
        "GenerateDataKeyPairWithoutPlaintext": _CRYPTOGRAPHY,
        "GenerateDataKeyWithoutPlaintext": _CRYPTOGRAPHY,
        "GenerateMac": _CRYPTOGRAPHY,
        "GetKeyLastUsage": frozenset(),
        "GetKeyPolicy": frozenset(),
        "GetKeyRotationStatus": frozenset(),
        "GetParametersForImport": _IMPORTING | {KeyState.UPDATING},
        "GetPublicKey": _CRYPTOGRAPHY,
        "ImportKeyMaterial": _IMPORTING,
        "ListAliases": frozenset(),
        "ListGrants": frozenset(),
        "ListKeyPolicies": frozenset(),
        "ListKeyRotations": frozenset(),
        "ListResourceTags": frozenset(),
        "PutKeyPolicy": frozenset(),
        "ReEncrypt": _CRYPTOGRAPHY,
        "ReplicateKey": _CRYPTOGRAPHY | {KeyState.UPDATING},
        "RetireGrant": frozenset(),
        "RevokeGrant": frozenset(),
        "RotateKeyOnDemand": _CRYPTOGRAPHY,
        "ScheduleKeyDeletion": _GOING | {KeyState.UPDATING},
        "Sign": _CRYPTOGRAPHY,
        "TagResource": _GOING,
        "UntagResource": _GOING,
        "UpdateAlias": _GOING,
        "UpdateKeyDescription": _GOING,
        "UpdatePrimaryRegion": _CRYPTOGRAPHY,
        "Verify": _CRYPTOGRAPHY,
        "VerifyMac": _CRYPTOGRAPHY,
    }
)
"""By operation, the states of the key it names in which it fails."""

ORIGINS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DeleteImportedKeyMaterial": "EXTERNAL",
        "DisableKeyRotation": "AWS_KMS",
        "EnableKeyRotation": "AWS_KMS",
        "GetKeyRotationStatus": "AWS_KMS",
        "GetParametersForImport": "EXTERNAL",
        "ImportKeyMaterial": "EXTERNAL",
    }
)
"""By operation, the origin of the keys it is for, where it is not for all. A key of another is refused for that,
whatever its state."""


def check_state(operation: str, key: Key) -> None:
    """Raise AWS's error where the origin or the state of ``key`` forbids ``operation``."""
    if ORIGINS.get(operation, key.origin) != key.origin:
        raise faults.wrong_origin(key.arn, key.origin)
    if key.state not in FORBIDDEN[operation]:
        return
    if operation == "CancelKeyDeletion":
        raise faults.invalid_state(key.arn, "not pending deletion")
    if key.state is KeyState.DISABLED:
        raise faults.disabled(key.arn)
    raise faults.invalid_state(key.arn, CONDITIONS[key.state])
