"""The parameters of every operation, and which of them are not plain JSON, as data.

Source: the service model (2014-11-01) as botocore 1.44 has it, custom key stores included; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["BLOBS", "INPUTS", "TIMESTAMPS"]

BLOBS: Final = frozenset(
    {
        "AttestationDocument",
        "CiphertextBlob",
        "EncryptedKeyMaterial",
        "ImportToken",
        "Mac",
        "Message",
        "Plaintext",
        "PublicKey",
        "SharedSecretCiphertextBlob",
        "Signature",
    }
)
"""Parameters that are bytes, base64 in JSON: of every operation that has one of that name, also within others."""

TIMESTAMPS: Final = frozenset({"ValidTo"})
"""Parameters that are times, in JSON seconds since 1970 as a number."""

_CUSTOM_KEY_STORE: Final = (
    "XksProxyUriEndpoint XksProxyUriPath XksProxyVpcEndpointServiceName XksProxyVpcEndpointServiceOwner "
    "XksProxyAuthenticationCredential XksProxyConnectivity CloudHsmClusterId KeyStorePassword"
)
_DATA_KEY: Final = "KeyId EncryptionContext KeySpec NumberOfBytes GrantTokens DryRun"
_KEY_PAIR: Final = "KeyId EncryptionContext KeyPairSpec GrantTokens DryRun"
_PAGE: Final = "Limit Marker"
_NAMES: Final = {
    "CancelKeyDeletion": "KeyId",
    "ConnectCustomKeyStore": "CustomKeyStoreId",
    "CreateAlias": "AliasName TargetKeyId",
    "CreateCustomKeyStore": f"CustomKeyStoreName TrustAnchorCertificate CustomKeyStoreType {_CUSTOM_KEY_STORE}",
    "CreateGrant": "KeyId GranteePrincipal RetiringPrincipal Operations Constraints GrantTokens Name DryRun "
    "GranteeServicePrincipal RetiringServicePrincipal",
    "CreateKey": "Policy Description KeyUsage CustomerMasterKeySpec KeySpec Origin CustomKeyStoreId "
    "BypassPolicyLockoutSafetyCheck Tags MultiRegion XksKeyId",
    "Decapsulate": "KeyId SharedSecretCiphertextBlob EncapsulationAlgorithm GrantTokens DryRun",
    "Decrypt": "CiphertextBlob EncryptionContext GrantTokens KeyId EncryptionAlgorithm Recipient DryRun "
    "DryRunModifiers",
    "DeleteAlias": "AliasName",
    "DeleteCustomKeyStore": "CustomKeyStoreId",
    "DeleteImportedKeyMaterial": "KeyId KeyMaterialId",
    "DeriveSharedSecret": "KeyId KeyAgreementAlgorithm PublicKey GrantTokens DryRun Recipient",
    "DescribeCustomKeyStores": f"CustomKeyStoreId CustomKeyStoreName {_PAGE}",
    "DescribeKey": "KeyId GrantTokens",
    "DisableKey": "KeyId",
    "DisableKeyRotation": "KeyId",
    "DisconnectCustomKeyStore": "CustomKeyStoreId",
    "EnableKey": "KeyId",
    "EnableKeyRotation": "KeyId RotationPeriodInDays",
    "Encapsulate": "KeyId EncapsulationAlgorithm GrantTokens DryRun",
    "Encrypt": "KeyId Plaintext EncryptionContext GrantTokens EncryptionAlgorithm DryRun",
    "GenerateDataKey": f"{_DATA_KEY} Recipient",
    "GenerateDataKeyPair": f"{_KEY_PAIR} Recipient",
    "GenerateDataKeyPairWithoutPlaintext": _KEY_PAIR,
    "GenerateDataKeyWithoutPlaintext": _DATA_KEY,
    "GenerateMac": "Message KeyId MacAlgorithm GrantTokens DryRun",
    "GenerateRandom": "NumberOfBytes CustomKeyStoreId Recipient",
    "GetKeyLastUsage": "KeyId",
    "GetKeyPolicy": "KeyId PolicyName",
    "GetKeyRotationStatus": "KeyId",
    "GetParametersForImport": "KeyId WrappingAlgorithm WrappingKeySpec",
    "GetPublicKey": "KeyId GrantTokens",
    "ImportKeyMaterial": "KeyId ImportToken EncryptedKeyMaterial ValidTo ExpirationModel ImportType "
    "KeyMaterialDescription KeyMaterialId",
    "ListAliases": f"KeyId {_PAGE}",
    "ListGrants": f"KeyId GrantId GranteePrincipal GranteeServicePrincipal {_PAGE}",
    "ListKeyPolicies": f"KeyId {_PAGE}",
    "ListKeyRotations": f"KeyId IncludeKeyMaterial {_PAGE}",
    "ListKeys": f"ResourceOwners {_PAGE}",
    "ListResourceTags": f"KeyId {_PAGE}",
    "ListRetirableGrants": f"RetiringPrincipal RetiringServicePrincipal {_PAGE}",
    "PutKeyPolicy": "KeyId PolicyName Policy BypassPolicyLockoutSafetyCheck",
    "ReEncrypt": "CiphertextBlob SourceEncryptionContext SourceKeyId DestinationKeyId DestinationEncryptionContext "
    "SourceEncryptionAlgorithm DestinationEncryptionAlgorithm GrantTokens DryRun DryRunModifiers",
    "ReplicateKey": "KeyId ReplicaRegion Policy BypassPolicyLockoutSafetyCheck Description Tags",
    "RetireGrant": "GrantToken KeyId GrantId DryRun",
    "RevokeGrant": "KeyId GrantId DryRun",
    "RotateKeyOnDemand": "KeyId",
    "ScheduleKeyDeletion": "KeyId PendingWindowInDays",
    "Sign": "KeyId Message MessageType GrantTokens SigningAlgorithm DryRun",
    "TagResource": "KeyId Tags",
    "UntagResource": "KeyId TagKeys",
    "UpdateAlias": "AliasName TargetKeyId",
    "UpdateCustomKeyStore": f"CustomKeyStoreId NewCustomKeyStoreName {_CUSTOM_KEY_STORE}",
    "UpdateKeyDescription": "KeyId Description",
    "UpdatePrimaryRegion": "KeyId PrimaryRegion",
    "Verify": "KeyId Message MessageType Signature SigningAlgorithm GrantTokens DryRun",
    "VerifyMac": "Message KeyId MacAlgorithm Mac GrantTokens DryRun",
}

INPUTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {operation: frozenset(names.split()) for operation, names in _NAMES.items()}
)
"""The names of every operation's parameters."""
