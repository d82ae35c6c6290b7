"""The other side's keyrings for multi-Region keys over the local KMS in two Regions."""

from __future__ import annotations

import pytest
from testkit.boto3_shaped import Boto3Shaped

from envelope_sdk import Client
from envelope_sdk.keyrings import KmsMrkKeyring
from envelope_sdk.local_kms import LocalKms

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

EAST, WEST = "us-east-1", "us-west-2"
PLAINTEXT = b"the same to both"
CONTEXT = {"purpose": "interop", "größe": "ñandú 😀"}


@pytest.fixture(scope="module")
def east():
    with LocalKms.in_memory(region=EAST) as opened:
        yield opened


@pytest.fixture(scope="module")
def west(east):
    return east.in_region(WEST)


@pytest.fixture(scope="module")
def keys(east):
    primary = east.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    return {EAST: primary, WEST: east.replicate_key(KeyId=primary, ReplicaRegion=WEST)["ReplicaKeyMetadata"]["Arn"]}


def their_keyring(peer, kms, key):
    return peer.mpl.create_aws_kms_mrk_keyring(
        peer.models.CreateAwsKmsMrkKeyringInput(kms_key_id=key, kms_client=Boto3Shaped(kms))
    )


@pytest.mark.parametrize("regions", [(EAST, WEST), (WEST, EAST), (WEST, WEST)], ids="-to-".join)
def test_the_peer_opens_in_one_region_what_was_encrypted_here_in_another(peer, east, keys, regions):
    here, there = (east.in_region(region) for region in regions)
    message = Client(KmsMrkKeyring(here, keys[here.region])).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext

    assert peer.decrypt(message, keyring=their_keyring(peer, there, keys[there.region])) == PLAINTEXT


@pytest.mark.parametrize("regions", [(EAST, WEST), (WEST, EAST), (WEST, WEST)], ids="-to-".join)
def test_what_the_peer_encrypted_in_one_region_is_opened_here_in_another(peer, east, keys, regions):
    there, here = (east.in_region(region) for region in regions)
    message = peer.encrypt(PLAINTEXT, context=CONTEXT, keyring=their_keyring(peer, there, keys[there.region]))

    assert Client(KmsMrkKeyring(here, keys[here.region])).decrypt(message).plaintext == PLAINTEXT


def test_the_peers_discovery_finds_the_replica(peer, east, west, keys):
    theirs = peer.mpl.create_aws_kms_mrk_discovery_keyring(
        peer.models.CreateAwsKmsMrkDiscoveryKeyringInput(
            kms_client=Boto3Shaped(west),
            region=WEST,
            discovery_filter=peer.models.DiscoveryFilter(account_ids=[west.account], partition="aws"),
        )
    )
    message = Client(KmsMrkKeyring(east, keys[EAST])).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext

    assert peer.decrypt(message, keyring=theirs) == PLAINTEXT
