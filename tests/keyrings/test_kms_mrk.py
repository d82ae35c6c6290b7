"""Keyrings that know multi-Region keys: what one Region wrapped, a replica in another opens, without a call across."""

from __future__ import annotations

import pytest
from testkit.kms_regions import ACCOUNT, OTHER_ACCOUNT, World

from envelope_sdk import Client
from envelope_sdk.errors import KeyringError, KmsError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import (
    DiscoveryFilter,
    KmsKeyring,
    KmsMrkDiscoveryKeyring,
    KmsMrkKeyring,
    MultiKeyring,
    RawAesKeyring,
)
from envelope_sdk.local_kms import LocalKms

EAST, WEST, NORTH = "us-east-1", "us-west-2", "eu-north-1"
PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test", "größe": "ñandú 😀"}
RAW = RawAesKeyring("test", "raw", bytes(32))


@pytest.fixture
def world():
    return World()


@pytest.fixture
def primary(world):
    return world.create_key(EAST, multi_region=True)


@pytest.fixture
def replica(world, primary):
    return world.replicate(primary, WEST)


def encrypted(keyring):
    return Client(keyring).encrypt(PLAINTEXT, encryption_context=CONTEXT)


# --- KmsMrkKeyring ---------------------------------------------------------------------------------------------------


def test_what_one_region_wrapped_its_replica_opens_without_a_call_across_regions(world, primary, replica):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary))

    assert Client(KmsMrkKeyring(world.client(WEST), replica)).decrypt(message.ciphertext).plaintext == PLAINTEXT
    assert world.asked() == [(EAST, "GenerateDataKey"), (WEST, "Decrypt")]
    assert [call.key_id for call in world.calls] == [primary, replica]
    assert message.header.encrypted_data_keys[0].provider_info.decode() == primary


def test_what_the_replica_wrapped_the_primary_opens(world, primary, replica):
    message = encrypted(KmsMrkKeyring(world.client(WEST), replica)).ciphertext

    assert Client(KmsMrkKeyring(world.client(EAST), primary)).decrypt(message).plaintext == PLAINTEXT
    assert world.asked() == [(WEST, "GenerateDataKey"), (EAST, "Decrypt")]


def test_the_plain_keyring_opens_its_own_region_s_only(world, primary, replica):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext

    assert Client(KmsKeyring(world.client(EAST), primary)).decrypt(message).plaintext == PLAINTEXT
    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped for this key"):
        Client(KmsKeyring(world.client(WEST), replica)).decrypt(message)


def test_a_key_of_one_region_is_used_as_the_plain_keyring_uses_it(world):
    key, elsewhere = world.create_key(EAST), world.create_key(WEST)
    message = encrypted(KmsMrkKeyring(world.client(EAST), key)).ciphertext

    assert Client(KmsMrkKeyring(world.client(EAST), key)).decrypt(message).plaintext == PLAINTEXT
    with pytest.raises(NoMatchingKeyError, match="wrapped for this key"):
        Client(KmsMrkKeyring(world.client(WEST), elsewhere)).decrypt(message)
    assert world.asked() == [(EAST, "GenerateDataKey"), (EAST, "Decrypt")]


def test_a_multi_region_key_of_the_same_id_in_another_account_is_another_key(world, primary):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext
    stranger = primary.replace(ACCOUNT, OTHER_ACCOUNT).replace(EAST, WEST)
    with pytest.raises(NoMatchingKeyError, match="wrapped for this key"):
        Client(KmsMrkKeyring(world.client(WEST), stranger)).decrypt(message)
    assert len(world.calls) == 1


def test_as_a_child_it_wraps_the_data_key_of_another_keyring(world, primary, replica):
    message = encrypted(MultiKeyring(RAW, [KmsMrkKeyring(world.client(EAST), primary, grant_tokens=["token"])]))

    (call,) = world.calls
    assert (call.operation, call.parameters["EncryptionContext"]) == ("Encrypt", CONTEXT)
    assert call.parameters["GrantTokens"] == ["token"]
    opened = Client(KmsMrkKeyring(world.client(WEST), replica)).decrypt(message.ciphertext)
    assert opened.plaintext == PLAINTEXT


def test_the_replica_is_asked_with_the_context_and_the_grant_tokens(world, primary, replica):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext
    Client(KmsMrkKeyring(world.client(WEST), replica, grant_tokens=["token"])).decrypt(message)

    parameters = world.calls[-1].parameters
    assert (parameters["EncryptionContext"], parameters["GrantTokens"]) == (CONTEXT, ["token"])


def test_data_keys_of_both_regions_are_both_tried_with_the_own_key(world, primary, replica):
    keyring = MultiKeyring(KmsMrkKeyring(world.client(EAST), primary), [KmsMrkKeyring(world.client(WEST), replica)])
    message = encrypted(keyring).ciphertext
    world.refuse(replica, "DisabledException")
    world.calls.clear()

    with pytest.raises(NoMatchingKeyError) as caught:
        Client(KmsMrkKeyring(world.client(WEST), replica)).decrypt(message)
    assert len(caught.value.failures) == 2
    assert [call.key_id for call in world.calls] == [replica, replica]


@pytest.mark.parametrize("named", ["id", "alias", "alias-arn"])
def test_a_key_named_by_alias_or_id_encrypts_and_says_what_it_takes_to_decrypt(named, world, primary):
    alias_arn = f"arn:aws:kms:{EAST}:{ACCOUNT}:alias/mrk-app"
    world.aliases |= {"alias/mrk-app": primary, alias_arn: primary}
    key_id = {"id": primary.split("/")[1], "alias": "alias/mrk-app", "alias-arn": alias_arn}[named]
    client = Client(KmsMrkKeyring(world.client(EAST), key_id))
    message = client.encrypt(PLAINTEXT)

    assert message.header.encrypted_data_keys[0].provider_info.decode() == primary
    with pytest.raises(NoMatchingKeyError, match="to decrypt, give the key's ARN"):
        client.decrypt(message.ciphertext)
    assert world.asked() == [(EAST, "GenerateDataKey")]


def test_an_answer_that_names_the_replica_of_another_region_opens_nothing(world, primary, replica):
    """What was asked for is what has to answer, even where the key material is the same."""
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext

    class Elsewhere:
        def decrypt(self, **parameters):
            return world.client(WEST).decrypt(**parameters) | {"KeyId": primary}

    with pytest.raises(NoMatchingKeyError, match=f"the key {primary!r} where {replica!r} was asked for"):
        Client(KmsMrkKeyring(Elsewhere(), replica)).decrypt(message)


def test_a_client_of_another_region_than_the_key_s_is_told_by_the_service(world, primary):
    with pytest.raises(KmsError, match=f"Invalid arn {EAST}"):
        encrypted(KmsMrkKeyring(world.client(WEST), primary))


@pytest.mark.parametrize("key_id", ["", "alias/", "arn:aws:kms", "key/mrk-1"])
def test_an_identifier_that_can_name_no_key_is_refused(key_id, world):
    with pytest.raises(UsageError):
        KmsMrkKeyring(world.client(EAST), key_id)


def test_the_repr_names_the_key_and_no_grant_token(world, primary):
    keyring = KmsMrkKeyring(world.client(EAST), primary, grant_tokens=["secret"])

    assert repr(keyring) == f"KmsMrkKeyring({primary!r})"


# --- KmsMrkDiscoveryKeyring ------------------------------------------------------------------------------------------


def test_the_replica_in_its_region_is_asked_for(world, primary, replica):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext
    world.calls.clear()
    keyring = KmsMrkDiscoveryKeyring(world.client(WEST), WEST, grant_tokens=["token"])

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    (call,) = world.calls
    assert (call.region, call.operation, call.key_id) == (WEST, "Decrypt", replica)
    assert (call.parameters["EncryptionContext"], call.parameters["GrantTokens"]) == (CONTEXT, ["token"])


def test_keys_of_its_region_are_asked_for_by_their_name(world):
    key = world.create_key(WEST)
    message = encrypted(KmsKeyring(world.client(WEST), key)).ciphertext

    assert Client(KmsMrkDiscoveryKeyring(world.client(WEST), WEST)).decrypt(message).plaintext == PLAINTEXT
    assert world.calls[-1].key_id == key


def test_keys_of_one_other_region_are_not_asked_for(world):
    message = encrypted(KmsKeyring(world.client(EAST), world.create_key(EAST))).ciphertext
    with pytest.raises(NoMatchingKeyError, match=f"may ask for: one in {WEST}, or a multi-Region key"):
        Client(KmsMrkDiscoveryKeyring(world.client(WEST), WEST)).decrypt(message)
    assert world.asked() == [(EAST, "GenerateDataKey")]


def test_a_region_without_a_replica_says_so(world, primary):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext
    with pytest.raises(NoMatchingKeyError, match="NotFoundException") as caught:
        Client(KmsMrkDiscoveryKeyring(world.client(NORTH), NORTH)).decrypt(message)
    assert str(caught.value.failures[0]).endswith(f"(asked for {primary.replace(EAST, NORTH)})")


@pytest.mark.parametrize(
    ("discovery_filter", "asked"),
    [
        (DiscoveryFilter("aws", [ACCOUNT]), True),
        (DiscoveryFilter("aws", [OTHER_ACCOUNT]), False),
        (DiscoveryFilter("aws-us-gov", [ACCOUNT]), False),
    ],
    ids=["this-account", "another-account", "another-partition"],
)
def test_a_filter_says_whose_keys_are_asked_for(discovery_filter, asked, world, primary, replica):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext
    world.calls.clear()
    client = Client(KmsMrkDiscoveryKeyring(world.client(WEST), WEST, discovery_filter=discovery_filter))

    if asked:
        assert client.decrypt(message).plaintext == PLAINTEXT
    else:
        with pytest.raises(NoMatchingKeyError):
            client.decrypt(message)
    assert len(world.calls) == asked


def test_a_key_of_another_account_opens_where_that_account_allows_it(world):
    key = world.create_key(EAST, OTHER_ACCOUNT, multi_region=True)
    replica = world.replicate(key, WEST)
    message = encrypted(KmsMrkKeyring(world.client(EAST, OTHER_ACCOUNT), key)).ciphertext
    keyring = KmsMrkDiscoveryKeyring(world.client(WEST), WEST, discovery_filter=DiscoveryFilter("aws", [OTHER_ACCOUNT]))

    with pytest.raises(NoMatchingKeyError, match="AccessDeniedException"):
        Client(keyring).decrypt(message)
    world.allow(replica, ACCOUNT)
    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


def test_an_answer_from_another_key_opens_nothing(world, primary, replica):
    message = encrypted(KmsMrkKeyring(world.client(EAST), primary)).ciphertext

    class Elsewhere:
        def decrypt(self, **parameters):
            return world.client(WEST).decrypt(**parameters) | {"KeyId": primary}

    with pytest.raises(NoMatchingKeyError, match=f"the key {primary!r} where {replica!r} was asked for"):
        Client(KmsMrkDiscoveryKeyring(Elsewhere(), WEST)).decrypt(message)


def test_it_makes_and_wraps_no_data_keys(world):
    keyring = KmsMrkDiscoveryKeyring(world.client(WEST), WEST)
    for refusing in (keyring, MultiKeyring(RAW, [keyring])):
        with pytest.raises(KeyringError, match="only decrypts"):
            Client(refusing).encrypt(PLAINTEXT)
    assert world.calls == []


@pytest.mark.parametrize("region", ["", " ", "us:west", "us west"])
def test_a_region_that_can_be_none_is_refused(region, world):
    with pytest.raises(UsageError, match="the Region is"):
        KmsMrkDiscoveryKeyring(world.client(WEST), region)


def test_a_region_that_is_not_the_client_s_is_refused(world):
    with pytest.raises(UsageError, match=f"is {EAST!r}, but the KMS client asks {WEST!r}"):
        KmsMrkDiscoveryKeyring(world.client(WEST), EAST)


def test_a_local_kms_says_its_region_too():
    with LocalKms.in_memory(region=WEST) as kms:
        KmsMrkDiscoveryKeyring(kms, WEST)
        with pytest.raises(UsageError, match="they have to be one"):
            KmsMrkDiscoveryKeyring(kms, EAST)


def test_a_boto3_client_says_its_region_too():
    boto3 = pytest.importorskip("boto3")
    kms = boto3.client("kms", region_name=WEST, aws_access_key_id="testing", aws_secret_access_key="testing")

    KmsMrkDiscoveryKeyring(kms, WEST)
    with pytest.raises(UsageError, match="they have to be one"):
        KmsMrkDiscoveryKeyring(kms, EAST)


def test_a_client_that_does_not_tell_its_region_is_taken_at_the_caller_s_word():
    class Untold:
        def decrypt(self, **parameters):
            raise NotImplementedError

    KmsMrkDiscoveryKeyring(Untold(), WEST)


@pytest.mark.parametrize(("client", "region"), [(None, WEST), ("client", WEST)])
def test_a_client_that_cannot_be_one_is_a_type_error(client, region):
    with pytest.raises(TypeError, match="a KMS client is"):
        KmsMrkDiscoveryKeyring(client, region)


def test_swapped_arguments_are_a_type_error(world):
    with pytest.raises(TypeError, match="the Region is text, not RegionalKms"):
        KmsMrkDiscoveryKeyring(WEST, world.client(WEST))


def test_the_repr_shows_region_and_filter_and_no_grant_token(world):
    discovery_filter = DiscoveryFilter("aws", [ACCOUNT])
    kms = world.client(WEST)

    assert repr(KmsMrkDiscoveryKeyring(kms, WEST, grant_tokens=["secret"])) == f"KmsMrkDiscoveryKeyring({WEST!r})"
    assert (
        repr(KmsMrkDiscoveryKeyring(kms, WEST, discovery_filter=discovery_filter))
        == f"KmsMrkDiscoveryKeyring({WEST!r}, discovery_filter={discovery_filter!r})"
    )
