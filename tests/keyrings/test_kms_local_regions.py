"""Keyrings that know multi-Region keys, over one local KMS in several Regions."""

from __future__ import annotations

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import NoMatchingKeyError
from envelope_sdk.keyrings import DiscoveryFilter, KmsKeyring, KmsMrkDiscoveryKeyring, KmsMrkKeyring
from envelope_sdk.local_kms import LocalKms

EAST, WEST = "us-east-1", "us-west-2"
PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test", "größe": "ñandú 😀"}


@pytest.fixture
def east():
    with LocalKms.in_memory(region=EAST) as kms:
        yield kms


@pytest.fixture
def west(east):
    return east.in_region(WEST)


@pytest.fixture
def primary(east):
    return east.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]


@pytest.fixture
def replica(east, primary):
    return east.replicate_key(KeyId=primary, ReplicaRegion=WEST)["ReplicaKeyMetadata"]["Arn"]


def encrypted(keyring):
    return Client(keyring).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext


def test_a_replica_opens_what_the_primary_wrapped(east, west, primary, replica):
    message = encrypted(KmsMrkKeyring(east, primary))

    assert Client(KmsMrkKeyring(west, replica)).decrypt(message).plaintext == PLAINTEXT


def test_the_primary_opens_what_a_replica_wrapped(east, west, primary, replica):
    message = encrypted(KmsMrkKeyring(west, replica))

    assert Client(KmsMrkKeyring(east, primary)).decrypt(message).plaintext == PLAINTEXT


def test_discovery_opens_it_in_its_own_region(east, west, primary, replica):
    message = encrypted(KmsMrkKeyring(east, primary))
    keyring = KmsMrkDiscoveryKeyring(west, region=WEST, discovery_filter=DiscoveryFilter("aws", [west.account]))

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


def test_a_keyring_that_knows_of_no_replicas_does_not_open_it(east, west, primary, replica):
    message = encrypted(KmsMrkKeyring(east, primary))

    with pytest.raises(NoMatchingKeyError):
        Client(KmsKeyring(west, replica)).decrypt(message)


def test_what_was_wrapped_before_the_primary_moved_is_opened_after(east, west, primary, replica):
    message = encrypted(KmsMrkKeyring(east, primary))
    east.update_primary_region(KeyId=primary, PrimaryRegion=WEST)

    for kms, key in ((east, primary), (west, replica)):
        assert Client(KmsMrkKeyring(kms, key)).decrypt(message).plaintext == PLAINTEXT


def test_a_replica_that_is_disabled_opens_nothing_while_the_primary_does(east, west, primary, replica):
    message = encrypted(KmsMrkKeyring(east, primary))
    west.disable_key(KeyId=replica)

    with pytest.raises(NoMatchingKeyError):
        Client(KmsMrkKeyring(west, replica)).decrypt(message)
    assert Client(KmsMrkKeyring(east, primary)).decrypt(message).plaintext == PLAINTEXT
