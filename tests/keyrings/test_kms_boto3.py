"""The KMS keyring with boto3, over a mocked AWS account."""

from __future__ import annotations

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import KmsAccessError, NoMatchingKeyError
from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test", "größe": "ñandú 😀"}


@pytest.fixture
def kms():
    with moto.mock_aws():
        yield boto3.client("kms", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def key(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.mark.parametrize("sign", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("context", [{}, CONTEXT], ids=["no-context", "context"])
def test_a_message_round_trips(context, sign, kms, key):
    client = Client(KmsKeyring(kms, key), sign=sign)

    message = client.encrypt(PLAINTEXT, encryption_context=context)

    assert client.decrypt(message.ciphertext, encryption_context=context).plaintext == PLAINTEXT
    assert message.header.encrypted_data_keys[0].provider_info == key.encode()


def test_the_first_of_several_makes_the_key_and_any_of_them_opens_it(kms, key):
    another = kms.create_key()["KeyMetadata"]["Arn"]
    raw = RawAesKeyring("test", "key-1", bytes(32))
    keyrings = [KmsKeyring(kms, key), KmsKeyring(kms, another), raw]
    for first in range(3):
        generator, *children = keyrings[first:] + keyrings[:first]
        message = Client(MultiKeyring(generator, children)).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
        for keyring in keyrings:
            assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


def test_kms_refuses_another_context(kms, key):
    client = Client(KmsKeyring(kms, key))
    message = bytearray(client.encrypt(PLAINTEXT, encryption_context={"a": "b"}).ciphertext)
    message[message.index(b"\x00\x01b") + 2] = ord("c")
    with pytest.raises(NoMatchingKeyError, match="InvalidCiphertextException"):
        client.decrypt(message)


def test_an_alias_encrypts_and_the_key_s_arn_decrypts(kms, key):
    kms.create_alias(AliasName="alias/test", TargetKeyId=key)
    message = Client(KmsKeyring(kms, key)).encrypt(PLAINTEXT).ciphertext

    with pytest.raises(NoMatchingKeyError, match="give the key's ARN"):
        Client(KmsKeyring(kms, "alias/test")).decrypt(message)
    assert Client(KmsKeyring(kms, key)).decrypt(message).plaintext == PLAINTEXT


def test_grant_tokens_reach_kms(kms, key):
    client = Client(KmsKeyring(kms, key, grant_tokens=["token"]))
    seen = []
    for operation in ("GenerateDataKey", "Decrypt"):
        kms.meta.events.register(
            f"provide-client-params.kms.{operation}", lambda params, **_: seen.append(params["GrantTokens"])
        )

    assert client.decrypt(client.encrypt(PLAINTEXT).ciphertext).plaintext == PLAINTEXT
    assert seen == [["token"], ["token"]]


def test_a_key_that_does_not_exist_is_a_matter_of_access(kms, key):
    missing = key[:-4] + "0000"
    with pytest.raises(KmsAccessError) as caught:
        Client(KmsKeyring(kms, missing)).encrypt(PLAINTEXT)
    assert caught.value.code == "NotFoundException"
