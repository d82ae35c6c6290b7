"""The other side over boto3 and the local KMS's server, in the place of AWS: both directions, two Regions."""

from __future__ import annotations

import pytest
from testkit.kms_http import client

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import NoMatchingKeyError
from envelope_sdk.keyrings import KmsEcdhKeyring, KmsKeyring, KmsRsaKeyring
from envelope_sdk.local_kms.server.background import BackgroundServer

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

PLAINTEXT = b"the same to both" * 1000
CONTEXT = {"purpose": "interop", "größe": "ñandú 😀"}
SUITES = [
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
    AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256,
]
UNSIGNED = SUITES[0]
REGIONS = ["us-east-1", "eu-west-1"]


@pytest.fixture(scope="module")
def server():
    with BackgroundServer() as server:
        yield server


@pytest.fixture(params=REGIONS)
def kms(request, server):
    return client(server.url, region=request.param)


@pytest.fixture
def key(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def theirs(peer, kms, key):
    return peer.mpl.create_aws_kms_keyring(peer.models.CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=kms))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.suite_id:04x}")
def test_messages_go_both_ways(suite, peer, policy_of, kms, key, theirs):
    ours = Client(KmsKeyring(kms, key), commitment_policy=policy_of(suite), algorithm_suite=suite)

    message = ours.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext

    assert peer.decrypt(message, suite, keyring=theirs) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, suite, context=CONTEXT, keyring=theirs)).plaintext == PLAINTEXT


def test_the_peer_s_key_provider_of_old_finds_the_server_by_its_own_session(peer, server, kms, key, monkeypatch):
    import botocore.session

    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "000000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    session = botocore.session.Session()
    provider = peer.sdk.StrictAwsKmsMasterKeyProvider(key_ids=[key], botocore_session=session)
    ours = Client(KmsKeyring(kms, key))

    assert peer.decrypt(ours.encrypt(PLAINTEXT).ciphertext, key_provider=provider) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, key_provider=provider)).plaintext == PLAINTEXT


def test_another_account_s_server_side_key_does_not_open_a_message(peer, server, kms, key, theirs):
    message = peer.encrypt(PLAINTEXT, keyring=theirs)
    other = client(server.url, region=kms.meta.region_name, key_id="111122223333")
    with pytest.raises(NoMatchingKeyError):
        Client(KmsKeyring(other, key)).decrypt(message)


def test_a_disabled_key_opens_nothing_on_either_side(peer, kms, key, theirs):
    message = peer.encrypt(PLAINTEXT, keyring=theirs)
    kms.disable_key(KeyId=key)
    with pytest.raises(NoMatchingKeyError):
        Client(KmsKeyring(kms, key)).decrypt(message)
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.decrypt(message, keyring=theirs)


def test_rsa_goes_both_ways(peer, kms):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    theirs = peer.mpl.create_aws_kms_rsa_keyring(
        peer.models.CreateAwsKmsRsaKeyringInput(
            kms_key_id=key,
            encryption_algorithm="RSAES_OAEP_SHA_256",
            public_key=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            kms_client=kms,
        )
    )
    ours = Client(KmsRsaKeyring(kms, key, "RSAES_OAEP_SHA_256", public_key=public), algorithm_suite=UNSIGNED)

    assert peer.decrypt(ours.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext, keyring=theirs) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, UNSIGNED, context=CONTEXT, keyring=theirs)).plaintext == PLAINTEXT


def test_ecdh_works_over_the_server(kms):
    mine, other = (
        kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"] for _ in range(2)
    )
    public = {key: kms.get_public_key(KeyId=key)["PublicKey"] for key in (mine, other)}
    sender = Client(KmsEcdhKeyring.static(kms, mine, public[other]), algorithm_suite=UNSIGNED)
    recipient = Client(KmsEcdhKeyring.static(kms, other, public[mine]), algorithm_suite=UNSIGNED)

    assert recipient.decrypt(sender.encrypt(PLAINTEXT).ciphertext).plaintext == PLAINTEXT
