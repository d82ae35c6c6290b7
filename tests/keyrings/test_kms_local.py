"""The KMS keyring over the bundled local KMS: the same keyring, another service behind the same door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import AuthenticationError, KmsAccessError, KmsError, NoMatchingKeyError
from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring
from envelope_sdk.local_kms import LocalKms

PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test", "gruß": "grüß"}


@pytest.fixture
def kms(tmp_path: Path) -> Iterator[LocalKms]:
    with LocalKms.open(tmp_path / "keys.db") as opened:
        yield opened


@pytest.fixture
def key(kms: LocalKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def client(kms: LocalKms, key: str) -> Client:
    return Client(KmsKeyring(kms, key))


@pytest.mark.parametrize("sign", [False, True])
def test_a_message_under_a_local_key_opens_and_names_the_key(sign: bool, kms: LocalKms, key: str) -> None:
    client = Client(KmsKeyring(kms, key), sign=sign)
    message = client.encrypt(PLAINTEXT, encryption_context=CONTEXT)

    assert client.decrypt(message.ciphertext).plaintext == PLAINTEXT
    (wrapped,) = message.header.encrypted_data_keys
    assert (wrapped.provider_id, wrapped.provider_info.decode()) == ("aws-kms", key)
    assert len(wrapped.ciphertext) == 184


def test_a_message_opens_after_the_store_was_closed_and_opened_again(tmp_path: Path) -> None:
    with LocalKms.open(tmp_path / "keys.db") as kms:
        key = kms.create_key()["KeyMetadata"]["Arn"]
        message = Client(KmsKeyring(kms, key)).encrypt(PLAINTEXT).ciphertext
    with LocalKms.open(tmp_path / "keys.db") as kms:
        assert Client(KmsKeyring(kms, key)).decrypt(message).plaintext == PLAINTEXT


def test_the_context_is_bound_by_the_kms(kms: LocalKms, key: str, client: Client) -> None:
    """Two contexts that run together to the same letters are not the same."""
    wrapped = client.encrypt(PLAINTEXT, encryption_context={"ab": "c"}).header.encrypted_data_keys[0].ciphertext

    assert kms.decrypt(CiphertextBlob=wrapped, EncryptionContext={"ab": "c"})["KeyId"] == key
    with pytest.raises(Exception, match="InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=wrapped, EncryptionContext={"a": "bc"})


def test_a_pair_the_message_was_not_made_with_opens_nothing(client: Client) -> None:
    message = client.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    with pytest.raises(NoMatchingKeyError, match="InvalidCiphertextException") as caught:
        client.decrypt(message, encryption_context={"other": "pair"})

    assert isinstance(caught.value.failures[0].error, KmsError)


def test_a_disabled_key_is_a_refusal_both_ways(kms: LocalKms, key: str, client: Client) -> None:
    message = client.encrypt(PLAINTEXT).ciphertext
    kms.disable_key(KeyId=key)

    with pytest.raises(KmsAccessError, match="is disabled"):
        client.encrypt(PLAINTEXT)
    with pytest.raises(NoMatchingKeyError, match="is disabled") as caught:
        client.decrypt(message)
    assert isinstance(caught.value.failures[0].error, KmsAccessError)

    kms.enable_key(KeyId=key)
    assert client.decrypt(message).plaintext == PLAINTEXT


def test_a_key_of_another_store_opens_nothing(client: Client) -> None:
    message = client.encrypt(PLAINTEXT).ciphertext
    with LocalKms.in_memory() as other:
        stranger = Client(KmsKeyring(other, other.create_key()["KeyMetadata"]["Arn"]))
        with pytest.raises(NoMatchingKeyError, match="none of the message's data keys"):
            stranger.decrypt(message)


def test_a_local_key_and_a_raw_key_each_open_the_same_message(kms: LocalKms, key: str) -> None:
    local, raw = KmsKeyring(kms, key), RawAesKeyring("test", "key", bytes(32))
    for keyring in (MultiKeyring(local, [raw]), MultiKeyring(raw, [local])):
        message = Client(keyring).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
        for single in (local, raw):
            assert Client(single).decrypt(message).plaintext == PLAINTEXT


def test_an_alias_encrypts_and_says_what_it_takes_to_decrypt(kms: LocalKms, key: str, client: Client) -> None:
    kms.create_alias(AliasName="alias/app", TargetKeyId=key)
    by_alias = Client(KmsKeyring(kms, "alias/app"))
    message = by_alias.encrypt(PLAINTEXT).ciphertext

    assert client.decrypt(message).plaintext == PLAINTEXT
    with pytest.raises(NoMatchingKeyError, match="give the key's ARN"):
        by_alias.decrypt(message)


def test_an_altered_wrapped_key_opens_nothing(client: Client) -> None:
    result = client.encrypt(PLAINTEXT)
    wrapped = result.header.encrypted_data_keys[0].ciphertext
    start = result.ciphertext.index(wrapped)
    for offset in range(0, len(wrapped), 7):
        altered = bytearray(result.ciphertext)
        altered[start + offset] ^= 1
        with pytest.raises((NoMatchingKeyError, AuthenticationError)):
            client.decrypt(altered)


def test_the_longest_context_that_a_message_can_hold_goes_through_the_kms(client: Client) -> None:
    # The pair count, the two lengths and the key take seven bytes.
    longest = {"k": "x" * (65_535 - 7)}
    message = client.encrypt(PLAINTEXT, encryption_context=longest).ciphertext

    assert client.decrypt(message, encryption_context=longest).plaintext == PLAINTEXT
