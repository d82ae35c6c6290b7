"""A good call of each operation on one key, which questions spoil in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testkit.kms_conformance.lab import Lab
from testkit.kms_kinds import snake

SYMMETRIC = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
SIGNING = ("ECC_NIST_P256", "SIGN_VERIFY")
MAC = ("HMAC_256", "GENERATE_VERIFY_MAC")
AGREEMENT = ("ECC_NIST_P256", "KEY_AGREEMENT")

KINDS: Mapping[str, tuple[str, str]] = {
    "Decrypt": SYMMETRIC,
    "DeriveSharedSecret": AGREEMENT,
    "Encrypt": SYMMETRIC,
    "GenerateDataKey": SYMMETRIC,
    "GenerateDataKeyPair": SYMMETRIC,
    "GenerateDataKeyPairWithoutPlaintext": SYMMETRIC,
    "GenerateDataKeyWithoutPlaintext": SYMMETRIC,
    "GenerateMac": MAC,
    "GetPublicKey": SIGNING,
    "ReEncrypt": SYMMETRIC,
    "Sign": SIGNING,
    "Verify": SIGNING,
    "VerifyMac": MAC,
}
"""The kind of key that each operation for cryptography is tried with."""

TAKES_ALIASES = frozenset({*KINDS, "DescribeKey"})
"""Operations that take an alias where they take a key id (API reference, ``KeyId`` of each)."""

CHANGES = (
    *("CancelKeyDeletion", "CreateAlias", "DisableKey", "EnableKey", "ScheduleKeyDeletion", "TagResource"),
    *("UntagResource", "UpdateKeyDescription"),
)
"""Operations that change the key they are called with."""

LOOKS = ("DescribeKey", "ListAliases", "ListResourceTags")
"""Operations that only look at it."""

DRY_RUNS = (
    *("Decrypt", "DeriveSharedSecret", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair"),
    *("GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "ReEncrypt", "Sign"),
    *("Verify", "VerifyMac"),
)
"""Operations with ``DryRun``."""

_PLAIN: Mapping[str, Mapping[str, Any]] = {
    "CancelKeyDeletion": {},
    "DescribeKey": {},
    "DisableKey": {},
    "EnableKey": {},
    "Encrypt": {"Plaintext": b"x"},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"},
    "GenerateDataKeyPairWithoutPlaintext": {"KeyPairSpec": "ECC_NIST_P256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "GenerateMac": {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"},
    "GetPublicKey": {},
    "ListAliases": {},
    "ListResourceTags": {},
    "ScheduleKeyDeletion": {},
    "Sign": {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"},
    "TagResource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
    "UntagResource": {"TagKeys": ["a"]},
    "UpdateKeyDescription": {"Description": "new"},
}


def method(kms: Any, operation: str) -> Any:
    """Return the client's method for an operation."""
    return getattr(kms, snake(operation))


def parameters(lab: Lab, operation: str, key_id: str) -> dict[str, Any]:
    """Return what to call an operation with, for a key that it may be called with when this is asked for."""
    if operation == "CreateAlias":
        return {"AliasName": lab.alias(), "TargetKeyId": key_id}
    if operation == "DeriveSharedSecret":
        public = lab.kms.get_public_key(KeyId=lab.key(*AGREEMENT))["PublicKey"]
        return {"KeyId": key_id, "PublicKey": public, "KeyAgreementAlgorithm": "ECDH"}
    if operation in ("Decrypt", "ReEncrypt"):
        blob = lab.kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        names = {"KeyId": key_id} if operation == "Decrypt" else {"SourceKeyId": key_id, "DestinationKeyId": key_id}
        return {"CiphertextBlob": blob, **names}
    if operation == "Verify":
        given = {"KeyId": key_id, **_PLAIN["Sign"]}
        return given | {"Signature": lab.kms.sign(**given)["Signature"]}
    if operation == "VerifyMac":
        given = {"KeyId": key_id, **_PLAIN["GenerateMac"]}
        return given | {"Mac": lab.kms.generate_mac(**given)["Mac"]}
    return {"KeyId": key_id, **_PLAIN[operation]}


def renamed(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the same with the key called otherwise."""
    members = ("KeyId", "TargetKeyId", "SourceKeyId")
    return {member: name if member in members else value for member, value in given.items()}
