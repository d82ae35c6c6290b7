"""The condition keys of KMS: their types, and the operations whose requests have them ("AWS KMS condition keys").

Whoever makes a :class:`~envelope_sdk.local_kms.policy.requests.Request` gives it these keys, of the operation's
parameters and the key at hand, defaults included: a policy may ask for the value that a parameter has by default.
Besides, the ``aws:`` keys that every request has (``aws:CurrentTime``, ``aws:SourceIp``, ...), tags
(``aws:ResourceTag/...``, ``aws:RequestTag/...``, ``aws:TagKeys``), and those of the caller, which are there by
themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["CONDITION_KEYS", "CRYPTOGRAPHIC", "KEY_OPERATIONS", "ConditionKey", "KeyType", "keys_of"]

_DATA_KEYS: Final = frozenset(
    {
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
    }
)
_RE_ENCRYPT: Final = frozenset({"ReEncryptFrom", "ReEncryptTo"})
_SYMMETRIC: Final = _DATA_KEYS | _RE_ENCRYPT | {"Decrypt", "Encrypt"}

CRYPTOGRAPHIC: Final = _SYMMETRIC | {
    "Decapsulate",
    "DeriveSharedSecret",
    "Encapsulate",
    "GenerateMac",
    "Sign",
    "Verify",
    "VerifyMac",
}
"""The actions that use a key's material."""

KEY_OPERATIONS: Final = CRYPTOGRAPHIC | {
    "CancelKeyDeletion",
    "CreateAlias",
    "CreateGrant",
    "DeleteAlias",
    "DeleteImportedKeyMaterial",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "EnableKey",
    "EnableKeyRotation",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListResourceTags",
    "PutKeyPolicy",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
}
"""The actions that are authorized for one key: the documentation's "KMS key resource operations"."""


class KeyType(Enum):
    """What the values of a condition key are."""

    STRING = "String"
    BOOLEAN = "Bool"
    NUMBER = "Numeric"
    DATE = "Date"
    ARN = "ARN"


@dataclass(frozen=True, slots=True)
class ConditionKey:
    """One condition key.

    Attributes:
        name: as policies write it; ``KEY`` in it stands for the name of a pair.
        type: of its values.
        operations: the actions, without ``kms:``, whose requests have it.
        several: whether a request may have several values, so that policies need ``ForAnyValue`` or ``ForAllValues``.
    """

    name: str
    type: KeyType
    operations: frozenset[str]
    several: bool = False


def _key(
    name: str, operations: frozenset[str] | str, kind: KeyType = KeyType.STRING, *, several: bool = False
) -> ConditionKey:
    listed = frozenset(operations.split()) if isinstance(operations, str) else operations
    return ConditionKey(name, kind, listed, several)


_MADE_OR_USED: Final = KEY_OPERATIONS | {"CreateKey"}
_WITH_CONTEXT: Final = _SYMMETRIC | {"CreateGrant"}

CONDITION_KEYS: Final[tuple[ConditionKey, ...]] = (
    _key("kms:BypassPolicyLockoutSafetyCheck", "CreateKey PutKeyPolicy ReplicateKey", KeyType.BOOLEAN),
    _key("kms:CallerAccount", KEY_OPERATIONS),
    _key("kms:CustomerMasterKeySpec", _MADE_OR_USED),
    _key("kms:CustomerMasterKeyUsage", _MADE_OR_USED),
    _key("kms:DataKeyPairSpec", "GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext"),
    _key("kms:EncryptionAlgorithm", _SYMMETRIC),
    _key("kms:EncryptionContext:KEY", _WITH_CONTEXT),
    _key("kms:EncryptionContextKeys", _WITH_CONTEXT, several=True),
    _key("kms:ExpirationModel", "ImportKeyMaterial"),
    _key("kms:GrantConstraintType", "CreateGrant"),
    _key("kms:GrantIsForAWSResource", "CreateGrant ListGrants RevokeGrant", KeyType.BOOLEAN),
    _key("kms:GrantOperations", "CreateGrant", several=True),
    _key("kms:GranteePrincipal", "CreateGrant"),
    _key("kms:KeyAgreementAlgorithm", "DeriveSharedSecret"),
    _key("kms:KeyOrigin", _MADE_OR_USED),
    _key("kms:KeySpec", _MADE_OR_USED),
    _key("kms:KeyUsage", _MADE_OR_USED),
    _key("kms:MacAlgorithm", "GenerateMac VerifyMac"),
    _key("kms:MessageType", "Sign Verify"),
    _key("kms:MultiRegion", _MADE_OR_USED, KeyType.BOOLEAN),
    _key("kms:MultiRegionKeyType", _MADE_OR_USED),
    _key("kms:PolicyName", "GetKeyPolicy PutKeyPolicy"),
    _key("kms:PrimaryRegion", "UpdatePrimaryRegion"),
    _key("kms:ReEncryptOnSameKey", _RE_ENCRYPT, KeyType.BOOLEAN),
    _key("kms:ReplicaRegion", "ReplicateKey"),
    _key("kms:RequestAlias", CRYPTOGRAPHIC | {"DescribeKey", "GetPublicKey"}),
    _key("kms:ResourceAliases", KEY_OPERATIONS, several=True),
    _key("kms:RetiringPrincipal", "CreateGrant"),
    _key("kms:RotationPeriodInDays", "EnableKeyRotation", KeyType.NUMBER),
    _key("kms:ScheduleKeyDeletionPendingWindowInDays", "ScheduleKeyDeletion", KeyType.NUMBER),
    _key("kms:SigningAlgorithm", "Sign Verify"),
    _key("kms:ValidTo", "ImportKeyMaterial", KeyType.DATE),
    _key("kms:ViaService", KEY_OPERATIONS),
    _key("kms:WrappingAlgorithm", "GetParametersForImport"),
    _key("kms:WrappingKeySpec", "GetParametersForImport"),
)
"""All of them but those of Nitro enclaves, by name."""


def keys_of(action: str) -> frozenset[str]:
    """Return the names of the condition keys that a request for ``action``, without ``kms:``, may have."""
    return frozenset(key.name for key in CONDITION_KEYS if action in key.operations)
