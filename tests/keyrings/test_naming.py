"""What messages call their wrapping keys: the same in every message of a key, and different for different keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from testkit.branch_keys import FixedStore
from testkit.materials import to_wrap

from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.keyrings import HierarchicalKeyring, KmsKeyring, RawAesKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.keyrings.naming import WrappingKeyName, wrapping_key_material, wrapping_key_name
from envelope_sdk.keyrings.pkcs11.place import KeyName
from envelope_sdk.keyrings.pkcs11.provider_info import encode_provider_info
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.materials import Keyring

VERSIONS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")


def name_of(keyring: Keyring) -> WrappingKeyName:
    (key,) = keyring.on_encrypt(to_wrap()).encrypted_data_keys
    return wrapping_key_name(key)


@pytest.fixture
def kms() -> Iterator[LocalKms]:
    with LocalKms.in_memory() as kms:
        yield kms


def branch(version: str) -> HierarchicalKeyring:
    return HierarchicalKeyring(FixedStore("branch", version, bytes(32)), "branch", ttl_seconds=60)


@pytest.fixture
def keyrings(kms: LocalKms) -> list[Keyring]:
    pair = rsa.generate_private_key(65537, 2048)
    return [
        KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"]),
        KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"]),
        branch(VERSIONS[0]),
        branch(VERSIONS[1]),
        RawAesKeyring("ours", "name", bytes(32)),
        RawAesKeyring("ours", "other", bytes(32)),
        RawAesKeyring("theirs", "name", bytes(32)),
        RawRsaKeyring("ours", "name", RsaPadding.PKCS1, public_key=pair.public_key()),
    ]


def test_a_name_is_the_same_in_every_message(keyrings: list[Keyring]):
    assert [name_of(keyring) for keyring in keyrings] == [name_of(keyring) for keyring in keyrings]


def test_no_two_keys_have_the_same_name(keyrings: list[Keyring]):
    assert len({name_of(keyring) for keyring in keyrings}) == len(keyrings)


def test_names_that_owners_chose_are_not_unique(keyrings: list[Keyring]):
    assert [name_of(keyring).unique for keyring in keyrings] == [True] * 4 + [False] * 4


def test_the_iv_of_a_token_s_key_is_no_part_of_its_name():
    key = KeyName(token_label="token", key_label="key", key_id=b"1")
    names = {
        wrapping_key_name(EncryptedDataKey("pkcs11", encode_provider_info(key, bytes([byte]) * 12), b""))
        for byte in range(3)
    }

    assert len(names) == 1
    assert not names.pop().unique


@pytest.mark.parametrize("info", [b"", b"x", b"whatever a plug-in writes"])
def test_what_other_providers_say_is_taken_whole(info: bytes):
    assert wrapping_key_name(EncryptedDataKey("acme", info, b"w")) == WrappingKeyName("acme", info, b"", False)


def test_a_key_of_a_kms_says_which_material_wrapped(kms: LocalKms):
    arn = kms.create_key()["KeyMetadata"]["Arn"]

    def material() -> bytes:
        (key,) = KmsKeyring(kms, arn).on_encrypt(to_wrap()).encrypted_data_keys
        return wrapping_key_material(key)

    before = material(), material()
    kms.rotate_key_on_demand(KeyId=arn)

    assert len(before[0]) == 32
    assert before[0] == before[1] != material()


def test_other_keys_say_nothing_of_their_material(keyrings: list[Keyring]):
    keys = [keyring.on_encrypt(to_wrap()).encrypted_data_keys[0] for keyring in keyrings[2:]]

    assert set(map(wrapping_key_material, keys)) == {b""}
