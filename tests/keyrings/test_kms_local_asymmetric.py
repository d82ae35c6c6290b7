"""The KMS RSA and KMS ECDH keyrings over the bundled local KMS, whose asymmetric keys are as good as any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import KmsAccessError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import KmsEcdhKeyring, KmsRsaKeyring, RawEcdhKeyring
from envelope_sdk.keyrings.kms.api import EcdhKmsApi, RsaKmsApi
from envelope_sdk.local_kms import LocalKms

PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test", "gruß": "grüß"}
UNSIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
CURVES = {"ECC_NIST_P256": ec.SECP256R1(), "ECC_NIST_P384": ec.SECP384R1(), "ECC_NIST_P521": ec.SECP521R1()}


@pytest.fixture
def kms(tmp_path: Path) -> Iterator[LocalKms]:
    with LocalKms.open(tmp_path / "keys.db") as opened:
        yield opened


def new_key(kms: LocalKms, spec: str, usage: str) -> str:
    return str(kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"])


def public_key(kms: LocalKms, key: str) -> bytes:
    public = kms.get_public_key(KeyId=key)["PublicKey"]
    assert isinstance(public, bytes)
    return public


def client(keyring: KmsRsaKeyring | KmsEcdhKeyring | RawEcdhKeyring) -> Client:
    return Client(keyring, algorithm_suite=UNSIGNED)


def test_the_local_kms_has_what_the_keyrings_ask_of_a_kms(kms: LocalKms) -> None:
    rsa: RsaKmsApi = kms
    ecdh: EcdhKmsApi = kms

    assert rsa is ecdh


# --- RSA -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
def test_a_message_written_offline_with_the_public_key_opens_through_the_kms(kms: LocalKms, algorithm: str) -> None:
    key = new_key(kms, "RSA_2048", "ENCRYPT_DECRYPT")
    offline = KmsRsaKeyring(None, key, algorithm, public_key=public_key(kms, key))
    message = client(offline).encrypt(PLAINTEXT, encryption_context=CONTEXT)
    opened = client(KmsRsaKeyring(kms, key, algorithm)).decrypt(message.ciphertext)

    assert (opened.plaintext, dict(opened.header.encryption_context)) == (PLAINTEXT, CONTEXT)
    assert message.header.encrypted_data_keys[0].provider_info.decode() == key


def test_another_rsa_key_does_not_open_it(kms: LocalKms) -> None:
    key, other = (new_key(kms, "RSA_2048", "ENCRYPT_DECRYPT") for _ in "ab")
    wrong = KmsRsaKeyring(None, key, public_key=public_key(kms, other))
    message = client(wrong).encrypt(PLAINTEXT).ciphertext
    with pytest.raises(NoMatchingKeyError) as error:
        client(KmsRsaKeyring(kms, key)).decrypt(message)
    assert [failure.error.code for failure in error.value.failures] == ["InvalidCiphertextException"]


def test_a_disabled_rsa_key_opens_nothing_until_it_is_enabled(kms: LocalKms) -> None:
    key = new_key(kms, "RSA_2048", "ENCRYPT_DECRYPT")
    both = client(KmsRsaKeyring(kms, key, public_key=public_key(kms, key)))
    kms.disable_key(KeyId=key)
    message = both.encrypt(PLAINTEXT).ciphertext
    with pytest.raises(NoMatchingKeyError) as error:
        both.decrypt(message)
    kms.enable_key(KeyId=key)

    assert [type(failure.error) for failure in error.value.failures] == [KmsAccessError]
    assert both.decrypt(message).plaintext == PLAINTEXT


# --- ECDH ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", CURVES)
def test_a_key_of_the_kms_and_a_key_of_ones_own_correspond(kms: LocalKms, spec: str) -> None:
    key, partner = new_key(kms, spec, "KEY_AGREEMENT"), ec.generate_private_key(CURVES[spec])
    here = client(KmsEcdhKeyring.static(kms, key, partner.public_key()))
    there = client(RawEcdhKeyring.static(partner, public_key(kms, key)))

    for writer in (here, there):
        for reader in (here, there):
            message = writer.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
            assert reader.decrypt(message).plaintext == PLAINTEXT


def test_two_keys_of_two_kms_correspond(kms: LocalKms) -> None:
    with LocalKms.in_memory(region="eu-west-1") as abroad:
        one, other = new_key(kms, "ECC_NIST_P256", "KEY_AGREEMENT"), new_key(abroad, "ECC_NIST_P256", "KEY_AGREEMENT")
        message = client(KmsEcdhKeyring.static(kms, one, public_key(abroad, other))).encrypt(PLAINTEXT).ciphertext

        assert client(KmsEcdhKeyring.discovery(abroad, other)).decrypt(message).plaintext == PLAINTEXT


@pytest.mark.parametrize(("spec", "usage"), [("ECC_NIST_P256", "SIGN_VERIFY"), ("RSA_2048", "ENCRYPT_DECRYPT")])
def test_a_key_for_something_else_is_refused(kms: LocalKms, spec: str, usage: str) -> None:
    key = new_key(kms, spec, usage)
    with pytest.raises(UsageError):
        KmsEcdhKeyring.discovery(kms, key)
