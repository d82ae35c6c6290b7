"""KMS keyrings of both sides over one mocked AWS account."""

from __future__ import annotations

import boto3
import pytest

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import NoMatchingKeyError
from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring

pytest.importorskip("aws_encryption_sdk")
moto = pytest.importorskip("moto")
pytestmark = pytest.mark.interop

PLAINTEXT = b"the same to both"
CONTEXT = {"purpose": "interop", "größe": "ñandú 😀"}
SUITES = [
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
    AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256,
]
each_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.suite_id:04x}")


@pytest.fixture
def kms():
    with moto.mock_aws():
        yield boto3.client("kms", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def key(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def peer_keyring(peer, kms, key):
    return peer.mpl.create_aws_kms_keyring(peer.models.CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=kms))


@each_suite
def test_the_peer_s_kms_keyring_opens_ours(suite, peer, policy_of, kms, key, peer_keyring):
    client = Client(KmsKeyring(kms, key), commitment_policy=policy_of(suite), algorithm_suite=suite)
    message = client.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext

    assert peer.decrypt(message, suite, keyring=peer_keyring) == PLAINTEXT


@each_suite
def test_our_kms_keyring_opens_the_peer_s(suite, peer, policy_of, kms, key, peer_keyring):
    message = peer.encrypt(PLAINTEXT, suite, context=CONTEXT, keyring=peer_keyring)

    client = Client(KmsKeyring(kms, key), commitment_policy=policy_of(suite), algorithm_suite=suite)

    assert client.decrypt(message).plaintext == PLAINTEXT


def test_the_peer_s_kms_keyring_opens_what_ours_wrapped_as_a_child(peer, kms, key, peer_keyring):
    raw = RawAesKeyring("interop", "aes", bytes(32))
    message = Client(MultiKeyring(raw, [KmsKeyring(kms, key)])).encrypt(PLAINTEXT, encryption_context=CONTEXT)

    assert peer.decrypt(message.ciphertext, keyring=peer_keyring) == PLAINTEXT


def test_our_kms_keyring_opens_what_the_peer_s_wrapped_as_a_child(peer, kms, key, peer_keyring):
    raw = peer.aes_keyring(bytes(32))
    message = peer.encrypt(PLAINTEXT, context=CONTEXT, keyring=peer.multi_keyring(raw, [peer_keyring]))

    assert Client(KmsKeyring(kms, key)).decrypt(message).plaintext == PLAINTEXT


def test_neither_opens_a_message_for_another_kms_key(peer, kms, key, peer_keyring):
    another = kms.create_key()["KeyMetadata"]["Arn"]

    with pytest.raises(NoMatchingKeyError):
        Client(KmsKeyring(kms, another)).decrypt(peer.encrypt(PLAINTEXT, keyring=peer_keyring))
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.decrypt(Client(KmsKeyring(kms, another)).encrypt(PLAINTEXT).ciphertext, keyring=peer_keyring)
