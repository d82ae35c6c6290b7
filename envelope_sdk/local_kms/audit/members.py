"""What events show of calls: which parameters, which members of answers. Data only.

Source: AWS KMS developer guide, the examples of CloudTrail log entries, and what it says beside them: plaintexts,
ciphertexts, messages, signatures and grant tokens are left out. Whatever is not named here is left out as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

__all__ = ["ANSWERED", "DEFAULTS", "HIDDEN", "READ_ONLY", "SHOWN", "VERBATIM", "WITHOUT_PARAMETERS"]

SHOWN: Final = frozenset(
    {
        *("AliasName", "AttestationDocument", "BypassPolicyLockoutSafetyCheck", "CloudHsmClusterId", "Constraints"),
        *("CustomKeyStoreId", "CustomKeyStoreName", "CustomKeyStoreType", "CustomerMasterKeySpec", "Description"),
        *("DestinationEncryptionAlgorithm", "DestinationEncryptionContext", "DestinationKeyId", "DryRun"),
        *("DryRunModifiers", "EncapsulationAlgorithm", "EncryptionAlgorithm", "EncryptionContext", "ExpirationModel"),
        *("GrantId", "GranteePrincipal", "GranteeServicePrincipal", "ImportType", "IncludeKeyMaterial"),
        *("KeyAgreementAlgorithm", "KeyId", "KeyEncryptionAlgorithm", "KeyMaterialDescription", "KeyMaterialId"),
        *("KeyPairSpec", "KeySpec", "KeyUsage", "Limit", "MacAlgorithm", "Marker", "MessageType", "MultiRegion"),
        *("Name", "NewCustomKeyStoreName", "NumberOfBytes", "Operations", "Origin", "PendingWindowInDays", "Policy"),
        *("PolicyName", "PrimaryRegion", "Recipient", "ReplicaRegion", "ResourceOwners", "RetiringPrincipal"),
        *("RetiringServicePrincipal", "RotationPeriodInDays", "SigningAlgorithm", "SourceEncryptionAlgorithm"),
        *("SourceEncryptionContext", "SourceKeyId", "TagKeys", "Tags", "TargetKeyId", "ValidTo"),
        *("WrappingAlgorithm", "WrappingKeySpec", "XksKeyId", "XksProxyConnectivity", "XksProxyUriEndpoint"),
        *("XksProxyUriPath", "XksProxyVpcEndpointServiceName", "XksProxyVpcEndpointServiceOwner"),
        # Within others.
        *("EncryptionContextEquals", "EncryptionContextSubset", "SourceArn", "TagKey", "TagValue"),
    }
)
"""Parameters that are shown, whatever the operation, and the members of those."""

HIDDEN: Final = frozenset(
    {
        *("CiphertextBlob", "EncryptedKeyMaterial", "GrantToken", "GrantTokens", "ImportToken", "KeyStorePassword"),
        *("Mac", "Message", "Plaintext", "PublicKey", "SharedSecretCiphertextBlob", "Signature"),
        *("TrustAnchorCertificate", "XksProxyAuthenticationCredential"),
    }
)
"""Parameters known to be secret, large or of no use to a reader."""

VERBATIM: Final = frozenset(
    {
        *("EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext"),
        *("EncryptionContextEquals", "EncryptionContextSubset"),
    }
)
"""Parameters whose keys are the caller's own words."""

WITHOUT_PARAMETERS: Final = frozenset({"GenerateRandom", "RetireGrant"})
"""Operations whose events have no ``requestParameters``."""

_SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "CreateKey": {
            "bypassPolicyLockoutSafetyCheck": False,
            "description": "",
            "keyUsage": "ENCRYPT_DECRYPT",
            "multiRegion": False,
            "origin": "AWS_KMS",
        },
        "Decrypt": {"encryptionAlgorithm": _SYMMETRIC},
        "Encrypt": {"encryptionAlgorithm": _SYMMETRIC},
        "PutKeyPolicy": {"bypassPolicyLockoutSafetyCheck": False, "policyName": "default"},
        "ReEncrypt": {"destinationEncryptionAlgorithm": _SYMMETRIC, "sourceEncryptionAlgorithm": _SYMMETRIC},
        "ReplicateKey": {"bypassPolicyLockoutSafetyCheck": False, "description": ""},
        "ScheduleKeyDeletion": {"pendingWindowInDays": 30},
        "Sign": {"messageType": "RAW"},
        "Verify": {"messageType": "RAW"},
    }
)
"""Parameters that events show though the caller left them out."""

ANSWERED: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "CancelKeyDeletion": ("KeyId",),
        "CreateCustomKeyStore": ("CustomKeyStoreId",),
        "CreateGrant": ("GrantId",),
        "CreateKey": ("KeyMetadata",),
        "DeleteImportedKeyMaterial": ("KeyId", "KeyMaterialId"),
        "ImportKeyMaterial": ("KeyId", "KeyMaterialId"),
        "ReplicateKey": ("ReplicaKeyMetadata", "ReplicaPolicy", "ReplicaTags"),
        "RotateKeyOnDemand": ("KeyId",),
        "ScheduleKeyDeletion": ("KeyId", "DeletionDate", "KeyState", "PendingWindowInDays"),
    }
)
"""Members of answers that events show. Other changes of a key show its ARN as ``keyId``, which their answer has not."""

READ_ONLY: Final = frozenset(
    {
        *("Decapsulate", "Decrypt", "DeriveSharedSecret", "DescribeCustomKeyStores", "DescribeKey", "Encapsulate"),
        *("Encrypt", "GenerateDataKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"),
        *("GenerateDataKeyWithoutPlaintext", "GenerateMac", "GenerateRandom", "GetKeyLastUsage", "GetKeyPolicy"),
        *("GetKeyRotationStatus", "GetParametersForImport", "GetPublicKey", "ListAliases", "ListGrants"),
        *("ListKeyPolicies", "ListKeyRotations", "ListKeys", "ListResourceTags", "ListRetirableGrants", "ReEncrypt"),
        *("Sign", "Verify", "VerifyMac"),
    }
)
"""Operations that change nothing; cryptography does not."""
