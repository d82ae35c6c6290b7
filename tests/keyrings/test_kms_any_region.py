"""Decrypting with whatever KMS key a message names, in the Region that it names."""

from __future__ import annotations

import pytest
from testkit.kms_regions import ACCOUNT, OTHER_ACCOUNT, World
from testkit.materials import DATA_KEY, to_open

from envelope_sdk import Client, EncryptedDataKey
from envelope_sdk.errors import KeyringError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import DiscoveryFilter, KmsKeyring, MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.kms.any_region import KmsAnyRegionDiscoveryKeyring
from envelope_sdk.keyrings.kms.arn import KmsArn

PLAINTEXT = b"plaintext"


class Supplier:
    """Supplies the world's clients, and notes for which Regions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: list[str] = []

    def __call__(self, region):
        self.asked.append(region)
        if region == "nowhere":
            raise UsageError("no such Region")
        return self._world.client(region)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def supplier(world):
    return Supplier(world)


def message_for(world, *arns):
    keyrings = [KmsKeyring(world.client(KmsArn.parse(arn).region, KmsArn.parse(arn).account), arn) for arn in arns]
    message = Client(MultiKeyring(keyrings[0], keyrings[1:])).encrypt(PLAINTEXT).ciphertext
    world.calls.clear()
    return message


def test_each_key_is_asked_for_in_its_own_region(world, supplier):
    keys = [world.create_key("eu-west-1"), world.create_key("us-west-2")]
    message = message_for(world, *keys)
    world.refuse(keys[0], "DisabledException")

    opened = Client(KmsAnyRegionDiscoveryKeyring(supplier, grant_tokens=["token"])).decrypt(message)

    assert opened.plaintext == PLAINTEXT
    assert [(call.region, call.key_id, call.parameters["GrantTokens"]) for call in world.calls] == [
        ("eu-west-1", keys[0], ["token"]),
        ("us-west-2", keys[1], ["token"]),
    ]


def test_a_client_is_kept_once_it_has_opened_something(world, supplier):
    """Messages may name any number of Regions, and would otherwise have as many clients kept."""
    good, refused = world.create_key("eu-west-1"), world.create_key("us-west-2")
    messages = [message_for(world, refused, good)] * 2
    world.refuse(refused, "DisabledException")
    client = Client(KmsAnyRegionDiscoveryKeyring(supplier))

    for message in messages:
        client.decrypt(message)

    assert supplier.asked == ["us-west-2", "eu-west-1", "us-west-2"]


def test_keys_that_the_filter_leaves_out_are_asked_for_nowhere(world, supplier):
    message = message_for(world, world.create_key("eu-west-1", OTHER_ACCOUNT))
    keyring = KmsAnyRegionDiscoveryKeyring(supplier, discovery_filter=DiscoveryFilter("aws", [ACCOUNT]))

    with pytest.raises(NoMatchingKeyError, match="is wrapped for a KMS key that may be asked for"):
        Client(keyring).decrypt(message)
    assert (supplier.asked, world.calls) == ([], [])


def test_data_keys_of_other_providers_are_left_to_others(world, supplier):
    message = Client(RawAesKeyring("test", "raw", bytes(32))).encrypt(PLAINTEXT).ciphertext

    with pytest.raises(NoMatchingKeyError):
        Client(KmsAnyRegionDiscoveryKeyring(supplier)).decrypt(message)
    assert supplier.asked == []


def test_every_failure_is_told(world, supplier):
    refused = world.create_key("eu-west-1")
    world.refuse(refused, "DisabledException")
    names = [b"no ARN", refused.encode(), refused.replace("eu-west-1", "nowhere").encode()]
    keys = [EncryptedDataKey("aws-kms", name, b"x") for name in names]

    with pytest.raises(NoMatchingKeyError) as caught:
        KmsAnyRegionDiscoveryKeyring(supplier).on_decrypt(to_open(), keys)

    assert len(caught.value.failures) == 3
    assert "DisabledException" in str(caught.value)
    assert "no such Region" in str(caught.value)


def test_it_wraps_nothing(supplier):
    with pytest.raises(KeyringError, match="only decrypts"):
        Client(KmsAnyRegionDiscoveryKeyring(supplier)).encrypt(PLAINTEXT)


def test_materials_that_hold_a_data_key_are_refused(supplier):
    with pytest.raises(UsageError, match="already hold a data key"):
        KmsAnyRegionDiscoveryKeyring(supplier).on_decrypt(to_open().with_data_key(DATA_KEY), [])
