"""KMS RSA keyrings of both sides over one KMS with real RSA (mocks of AWS have none)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from testkit.asymmetric_kms import AsymmetricKms

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import KeyringError, NoMatchingKeyError
from envelope_sdk.keyrings import KmsRsaKeyring, MultiKeyring, RawAesKeyring

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

PLAINTEXT = b"the same to both"
CONTEXTS = {"no-context": {}, "context": {"purpose": "interop", "größe": "ñandú 😀"}}
ALGORITHMS = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
SUITES = [
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256,
    AlgorithmSuite.AES_192_GCM_IV12_TAG16,
]
SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
each_context = pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())
each_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.suite_id:04x}")


@pytest.fixture(scope="module")
def kms():
    return AsymmetricKms()


@pytest.fixture(scope="module", params=["RSA_2048", "RSA_3072"])
def key(kms, request):
    return kms.create_key(KeySpec=request.param, KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]


@pytest.fixture
def their_keyring(peer, kms, key):
    def make(algorithm="RSAES_OAEP_SHA_256", *, reads=True):
        public = load_der_public_key(kms.public_key(key))
        return peer.mpl.create_aws_kms_rsa_keyring(
            peer.models.CreateAwsKmsRsaKeyringInput(
                kms_key_id=key,
                encryption_algorithm=algorithm,
                public_key=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
                kms_client=kms if reads else None,
            )
        )

    return make


@each_algorithm
@each_context
def test_the_peer_opens_ours(algorithm, context, peer, kms, key, their_keyring):
    offline = KmsRsaKeyring(None, key, algorithm, public_key=kms.public_key(key))
    message = Client(offline).encrypt(PLAINTEXT, encryption_context=context).ciphertext

    assert peer.decrypt(message, keyring=their_keyring(algorithm)) == PLAINTEXT


@each_algorithm
@each_context
def test_we_open_the_peer_s(algorithm, context, peer, kms, key, their_keyring):
    message = peer.encrypt(PLAINTEXT, context=context, keyring=their_keyring(algorithm, reads=False))

    assert Client(KmsRsaKeyring(kms, key, algorithm)).decrypt(message).plaintext == PLAINTEXT


@each_suite
def test_every_kind_of_unsigned_suite_goes_both_ways(suite, peer, policy_of, kms, key, their_keyring):
    keyring = KmsRsaKeyring(kms, key, public_key=kms.public_key(key))
    client = Client(keyring, commitment_policy=policy_of(suite), algorithm_suite=suite)

    assert peer.decrypt(client.encrypt(PLAINTEXT).ciphertext, suite, keyring=their_keyring()) == PLAINTEXT
    assert client.decrypt(peer.encrypt(PLAINTEXT, suite, keyring=their_keyring())).plaintext == PLAINTEXT


def test_neither_takes_a_signed_suite(peer, kms, key, their_keyring):
    keyring = KmsRsaKeyring(kms, key, public_key=kms.public_key(key))

    with pytest.raises(KeyringError, match="signed"):
        Client(keyring, algorithm_suite=SIGNED).encrypt(PLAINTEXT)
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError, match="asymmetric signing"):
        peer.encrypt(PLAINTEXT, SIGNED, keyring=their_keyring())


def test_children_of_multi_keyrings_open_on_the_other_side(peer, kms, key, their_keyring):
    keyring = KmsRsaKeyring(kms, key, public_key=kms.public_key(key))
    ours = Client(MultiKeyring(RawAesKeyring("interop", "aes", bytes(32)), [keyring])).encrypt(PLAINTEXT).ciphertext
    theirs = peer.encrypt(PLAINTEXT, keyring=peer.multi_keyring(peer.aes_keyring(bytes(32)), [their_keyring()]))

    assert peer.decrypt(ours, keyring=their_keyring()) == PLAINTEXT
    assert Client(keyring).decrypt(theirs).plaintext == PLAINTEXT


def test_neither_opens_a_message_for_another_key(peer, kms, key, their_keyring):
    other = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    keyring = KmsRsaKeyring(kms, other, public_key=kms.public_key(other))

    with pytest.raises(NoMatchingKeyError):
        Client(keyring).decrypt(peer.encrypt(PLAINTEXT, keyring=their_keyring()))
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.decrypt(Client(keyring).encrypt(PLAINTEXT).ciphertext, keyring=their_keyring())
