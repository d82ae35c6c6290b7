"""GenerateDataKeyPair and its form without plaintext."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from testkit.kms_kinds import available

from envelope_sdk.local_kms import LocalKms

_SPECS = [
    *("RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"),
    pytest.param("RSA_3072", marks=pytest.mark.slow),
    pytest.param("RSA_4096", marks=pytest.mark.slow),
    *(
        pytest.param(spec, marks=pytest.mark.skipif(not available(spec), reason=f"no {spec} here"))
        for spec in ("ML_KEM_768", "ML_KEM_1024")
    ),
]
_each = pytest.mark.parametrize("spec", _SPECS)


def _public_half(private: bytes) -> bytes:
    key = load_der_private_key(private, None)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@_each
def test_the_two_halves_belong_together_and_the_blob_is_the_private_one(kms: LocalKms, key_id: str, spec: str) -> None:
    made = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec)
    opened = kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"])

    assert made["PublicKey"] == _public_half(made["PrivateKeyPlaintext"])
    assert opened["Plaintext"] == made["PrivateKeyPlaintext"]


@_each
def test_without_plaintext_the_private_half_is_in_the_blob_only(kms: LocalKms, key_id: str, spec: str) -> None:
    made = kms.generate_data_key_pair_without_plaintext(KeyId=key_id, KeyPairSpec=spec)
    opened = kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"])

    assert "PrivateKeyPlaintext" not in made
    assert made["PublicKey"] == _public_half(opened["Plaintext"])


def test_the_answer_says_which_key_and_spec(kms: LocalKms, key_id: str, arn: str) -> None:
    made = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256")
    material = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]

    assert (made["KeyId"], made["KeyPairSpec"], made["KeyMaterialId"]) == (arn, "ECC_NIST_P256", material)


def test_two_pairs_are_unlike(kms: LocalKms, key_id: str) -> None:
    made = [kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256")["PublicKey"] for _ in range(2)]
    assert load_der_public_key(made[0]) != load_der_public_key(made[1])


def test_the_context_is_bound(kms: LocalKms, key_id: str, refused: Any) -> None:
    made = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256", EncryptionContext={"a": "b"})
    blob = made["PrivateKeyCiphertextBlob"]

    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob)


_each_operation = pytest.mark.parametrize(
    "operation", ["generate_data_key_pair", "generate_data_key_pair_without_plaintext"]
)


@_each_operation
@pytest.mark.parametrize("spec", ["SM2", "ML_KEM_512"])
def test_a_pair_that_cannot_be_made_here_is_refused(
    kms: LocalKms, key_id: str, refused: Any, operation: str, spec: str
) -> None:
    for dry_run in (False, True):
        with refused("UnsupportedOperationException"):
            getattr(kms, operation)(KeyId=key_id, KeyPairSpec=spec, DryRun=dry_run)


@_each_operation
@pytest.mark.parametrize("spec", ["AES_256", "ML_DSA_44", "SYMMETRIC_DEFAULT"])
def test_what_is_no_spec_of_a_pair_is_refused(
    kms: LocalKms, key_id: str, refused: Any, operation: str, spec: str
) -> None:
    with refused("ValidationException"):
        getattr(kms, operation)(KeyId=key_id, KeyPairSpec=spec)


@_each_operation
def test_only_a_symmetric_key_encrypts_a_private_key(kms: LocalKms, refused: Any, operation: str) -> None:
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    hmac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    for key in (rsa, hmac):
        with refused("InvalidKeyUsageException"):
            getattr(kms, operation)(KeyId=key, KeyPairSpec="ECC_NIST_P256")


@_each_operation
def test_a_dry_run_makes_none(kms: LocalKms, key_id: str, random: Any, refused: Any, operation: str) -> None:
    before = random.calls
    with refused("DryRunOperationException"):
        getattr(kms, operation)(KeyId=key_id, KeyPairSpec="RSA_4096", DryRun=True)
    assert random.calls == before


def test_a_recipient_is_refused_as_not_supported(kms: LocalKms, key_id: str, refused: Any) -> None:
    with refused("UnsupportedOperationException", "Recipient is not supported by the local KMS."):
        kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256", Recipient={"AttestationDocument": b"x"})
