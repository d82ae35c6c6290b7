"""AWS KMS's quotas, as data.

Source: AWS KMS developer guide, "Request quotas" and "Resource quotas", as of November 2026. That guide gives no figure
for ML-KEM: it is taken to be that of ML-DSA.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = [
    "ECC",
    "ML_DSA",
    "ML_KEM",
    "OPERATION_RATES",
    "PAIR_RATES",
    "RSA",
    "SHARED_RATES",
    "SYMMETRIC",
    "SYMMETRIC_RATES_BY_REGION",
    "pair_quota",
]

SYMMETRIC: Final = "Cryptographic operations (symmetric)"
RSA: Final = "Cryptographic operations (RSA)"
ECC: Final = "Cryptographic operations (ECC)"
ML_DSA: Final = "Cryptographic operations (ML-DSA)"
ML_KEM: Final = "Cryptographic operations (ML-KEM)"

SHARED_RATES: Final[Mapping[str, float]] = MappingProxyType(
    {SYMMETRIC: 10_000, RSA: 1_000, ECC: 1_000, ML_DSA: 1_000, ML_KEM: 1_000}
)
"""Requests a second that all cryptographic operations with one kind of key may make together."""

SYMMETRIC_RATES_BY_REGION: Final[Mapping[str, float]] = MappingProxyType(
    {
        "us-east-1": 100_000,
        "us-west-2": 100_000,
        "eu-west-1": 100_000,
        "us-east-2": 20_000,
        "ap-southeast-1": 20_000,
        "ap-southeast-2": 20_000,
        "ap-northeast-1": 20_000,
        "eu-central-1": 20_000,
        "eu-west-2": 20_000,
    }
)
"""Where the first of them is larger."""

_PAIR_RATES: Final = {
    "RSA_2048": 20,
    "RSA_3072": 4,
    "RSA_4096": 1,
    **dict.fromkeys(("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"), 100),
    **dict.fromkeys(("ECC_NIST_EDWARDS25519", "SM2", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"), 100),
}


def pair_quota(spec: str) -> str:
    """Return the name of the quota for data key pairs of a spec."""
    return f"GenerateDataKeyPair ({spec})"


PAIR_RATES: Final[Mapping[str, float]] = MappingProxyType(
    {pair_quota(spec): rate for spec, rate in _PAIR_RATES.items()}
)
"""Requests a second for GenerateDataKeyPair and GenerateDataKeyPairWithoutPlaintext together, by spec of the pair."""

OPERATION_RATES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "CancelKeyDeletion": 5,
        "ConnectCustomKeyStore": 5,
        "CreateAlias": 5,
        "CreateCustomKeyStore": 5,
        "CreateGrant": 50,
        "CreateKey": 5,
        "DeleteAlias": 15,
        "DeleteCustomKeyStore": 5,
        "DeleteImportedKeyMaterial": 15,
        "DescribeCustomKeyStores": 5,
        "DescribeKey": 2_000,
        "DisableKey": 5,
        "DisableKeyRotation": 5,
        "DisconnectCustomKeyStore": 5,
        "EnableKey": 5,
        "EnableKeyRotation": 15,
        "GetKeyLastUsage": 5,
        "GetKeyPolicy": 1_000,
        "GetKeyRotationStatus": 1_000,
        "GetParametersForImport": 1,
        "GetPublicKey": 2_000,
        "ImportKeyMaterial": 15,
        "ListAliases": 500,
        "ListGrants": 100,
        "ListKeyPolicies": 100,
        "ListKeyRotations": 100,
        "ListKeys": 500,
        "ListResourceTags": 2_000,
        "ListRetirableGrants": 100,
        "PutKeyPolicy": 15,
        "ReplicateKey": 5,
        "RetireGrant": 50,
        "RevokeGrant": 50,
        "RotateKeyOnDemand": 5,
        "ScheduleKeyDeletion": 15,
        "TagResource": 10,
        "UntagResource": 5,
        "UpdateAlias": 5,
        "UpdateCustomKeyStore": 5,
        "UpdateKeyDescription": 5,
        "UpdatePrimaryRegion": 5,
    }
)
"""Requests a second of each operation that has a quota of its own, under the operation's name."""
