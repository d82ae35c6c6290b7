"""Decrypting with whatever KMS key a message names."""

from __future__ import annotations

import pytest
from testkit.kms_regions import ACCOUNT, OTHER_ACCOUNT, World

from envelope_sdk import Client
from envelope_sdk.errors import KeyringError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import DiscoveryFilter, KmsDiscoveryKeyring, KmsKeyring, MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.kms.arn import KmsArn

REGION = "eu-west-1"
PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test", "größe": "ñandú 😀"}
RAW = RawAesKeyring("test", "raw", bytes(32))


@pytest.fixture
def world():
    return World()


@pytest.fixture
def kms(world):
    return world.client(REGION)


def message_for(world, *arns):
    """A message whose data key is wrapped under each of these keys, each by the key's own account."""
    keyrings = [
        KmsKeyring(world.client(KmsArn.parse(arn).region, KmsArn.parse(arn).account), arn, grant_tokens=["made"])
        for arn in arns
    ]
    message = Client(MultiKeyring(keyrings[0], keyrings[1:])).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    world.calls.clear()
    return message


# --- decrypting ------------------------------------------------------------------------------------------------------


def test_the_key_that_the_message_names_is_asked_for_with_the_context_and_the_grant_tokens(world, kms):
    key = world.create_key(REGION)
    message = message_for(world, key)

    assert Client(KmsDiscoveryKeyring(kms, grant_tokens=["token"])).decrypt(message).plaintext == PLAINTEXT
    (call,) = world.calls
    assert (call.operation, call.key_id) == ("Decrypt", key)
    assert (call.parameters["EncryptionContext"], call.parameters["GrantTokens"]) == (CONTEXT, ["token"])


def test_keys_of_any_account_are_asked_for_without_a_filter(world, kms):
    key = world.create_key(REGION, OTHER_ACCOUNT)
    world.allow(key, ACCOUNT)

    assert Client(KmsDiscoveryKeyring(kms)).decrypt(message_for(world, key)).plaintext == PLAINTEXT


@pytest.mark.parametrize(
    ("partition", "accounts", "asked"),
    [
        ("aws", [ACCOUNT], True),
        ("aws", [OTHER_ACCOUNT, ACCOUNT], True),
        ("aws", [OTHER_ACCOUNT], False),
        ("aws-cn", [ACCOUNT], False),
        ("aw", [ACCOUNT], False),
        ("aws", [ACCOUNT[:-1]], False),
    ],
)
def test_a_filter_says_whose_keys_are_asked_for(partition, accounts, asked, world, kms):
    message = message_for(world, world.create_key(REGION))
    client = Client(KmsDiscoveryKeyring(kms, discovery_filter=DiscoveryFilter(partition, accounts)))

    if asked:
        assert client.decrypt(message).plaintext == PLAINTEXT
    else:
        with pytest.raises(NoMatchingKeyError, match="that this keyring may ask for"):
            client.decrypt(message)
    assert len(world.calls) == asked


def test_keys_that_the_filter_refuses_are_passed_over(world, kms):
    mine, theirs = world.create_key(REGION), world.create_key(REGION, OTHER_ACCOUNT)
    message = message_for(world, theirs, mine)
    keyring = KmsDiscoveryKeyring(kms, discovery_filter=DiscoveryFilter("aws", [ACCOUNT]))

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    assert [call.key_id for call in world.calls] == [mine]


def test_data_keys_are_tried_in_message_order_until_one_opens(world, kms):
    keys = [world.create_key(REGION) for _ in range(3)]
    message = message_for(world, *keys)
    world.refuse(keys[0], "DisabledException")

    assert Client(KmsDiscoveryKeyring(kms)).decrypt(message).plaintext == PLAINTEXT
    assert [call.key_id for call in world.calls] == keys[:2]


def test_each_failure_says_which_key_was_asked_for(world, kms):
    keys = [world.create_key(REGION), world.create_key(REGION, OTHER_ACCOUNT), world.create_key("us-east-1")]
    message = message_for(world, *keys)
    world.refuse(keys[0], "DisabledException")

    with pytest.raises(NoMatchingKeyError) as caught:
        Client(KmsDiscoveryKeyring(kms)).decrypt(message)
    failures = caught.value.failures
    assert [failure.error.code for failure in failures] == [
        "DisabledException",
        "AccessDeniedException",
        "NotFoundException",
    ]
    assert [failure.error.request_id for failure in failures] == ["request-1", "request-2", "request-3"]
    for failure, key in zip(failures, keys, strict=True):
        assert str(failure).endswith(f"(asked for {key})")


def test_multi_region_keys_are_asked_for_by_the_name_in_the_message(world):
    key = world.create_key("us-east-1", multi_region=True)
    world.replicate(key, REGION)
    message = message_for(world, key)

    with pytest.raises(NoMatchingKeyError, match="Invalid arn us-east-1"):
        Client(KmsDiscoveryKeyring(world.client(REGION))).decrypt(message)
    assert Client(KmsDiscoveryKeyring(world.client("us-east-1"))).decrypt(message).plaintext == PLAINTEXT


def test_an_answer_from_another_key_opens_nothing(world, kms):
    key, other = world.create_key(REGION), world.create_key(REGION)
    message = message_for(world, key)

    class Swapping:
        def decrypt(self, **parameters):
            return kms.decrypt(**parameters) | {"KeyId": other}

    with pytest.raises(NoMatchingKeyError, match=f"the key {other!r} where {key!r} was asked for") as caught:
        Client(KmsDiscoveryKeyring(Swapping())).decrypt(message)
    assert caught.value.failures[0].error.code == "UnexpectedAnswer"


def test_a_message_without_kms_keys_names_none(kms):
    message = Client(RAW).encrypt(PLAINTEXT).ciphertext
    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped for a KMS key"):
        Client(KmsDiscoveryKeyring(kms)).decrypt(message)


# --- encrypting ------------------------------------------------------------------------------------------------------


def test_it_makes_no_data_keys(kms, world):
    with pytest.raises(KeyringError, match="only decrypts"):
        Client(KmsDiscoveryKeyring(kms)).encrypt(PLAINTEXT)
    assert world.calls == []


def test_it_wraps_no_data_keys(kms, world):
    with pytest.raises(KeyringError, match="only decrypts"):
        Client(MultiKeyring(RAW, [KmsDiscoveryKeyring(kms)])).encrypt(PLAINTEXT)
    assert world.calls == []


# --- what it is made of ----------------------------------------------------------------------------------------------


def test_a_filter_is_a_value():
    one = DiscoveryFilter("aws", (account for account in [ACCOUNT, OTHER_ACCOUNT]))
    other = DiscoveryFilter("aws", [OTHER_ACCOUNT, ACCOUNT, ACCOUNT])

    assert one == other
    assert hash(one) == hash(other)
    assert one != DiscoveryFilter("aws-cn", [ACCOUNT, OTHER_ACCOUNT])
    assert one != "aws"
    assert (one.partition, one.accounts) == ("aws", {ACCOUNT, OTHER_ACCOUNT})
    assert repr(one) == f"DiscoveryFilter('aws', [{ACCOUNT!r}, {OTHER_ACCOUNT!r}])"


@pytest.mark.parametrize("name", ["partition", "accounts", "other"])
def test_a_filter_cannot_be_changed(name):
    with pytest.raises(AttributeError):
        setattr(DiscoveryFilter("aws", [ACCOUNT]), name, "changed")


@pytest.mark.parametrize(
    ("partition", "accounts", "reason"),
    [
        ("aws", [], "a discovery filter needs an account"),
        ("", [ACCOUNT], "the partition is empty"),
        ("  ", [ACCOUNT], "the partition is empty"),
        ("aws", [""], "the account is empty"),
        ("aws", [ACCOUNT, " "], "the account is empty"),
        ("aws", [f"{ACCOUNT} "], "white space"),
        ("arn:aws", [ACCOUNT], "one part of an ARN"),
    ],
)
def test_a_filter_that_could_never_match_is_refused(partition, accounts, reason):
    with pytest.raises(UsageError, match=reason):
        DiscoveryFilter(partition, accounts)


@pytest.mark.parametrize(
    ("partition", "accounts"), [("aws", ACCOUNT), ("aws", [111122223333]), (None, [ACCOUNT]), (b"aws", [ACCOUNT])]
)
def test_a_filter_of_anything_but_text_is_a_type_error(partition, accounts):
    with pytest.raises(TypeError):
        DiscoveryFilter(partition, accounts)


@pytest.mark.parametrize("discovery_filter", [ACCOUNT, [ACCOUNT], {"partition": "aws"}, ()])
def test_a_filter_of_another_kind_is_a_type_error(discovery_filter, kms):
    with pytest.raises(TypeError, match="a discovery filter is a DiscoveryFilter, not"):
        KmsDiscoveryKeyring(kms, discovery_filter=discovery_filter)


@pytest.mark.parametrize(
    "client",
    [None, "arn:aws:kms:eu-west-1:111122223333:key/1", b"arn", object(), World().client, {REGION: "a client"}],
    ids=lambda client: type(client).__name__,
)
def test_a_client_that_cannot_be_one_is_a_type_error(client):
    with pytest.raises(TypeError, match="a KMS client is an object with boto3's methods"):
        KmsDiscoveryKeyring(client)


def test_the_repr_shows_the_filter_and_no_grant_token(kms):
    discovery_filter = DiscoveryFilter("aws", [ACCOUNT])

    assert repr(KmsDiscoveryKeyring(kms, grant_tokens=["secret"])) == "KmsDiscoveryKeyring()"
    assert (
        repr(KmsDiscoveryKeyring(kms, discovery_filter=discovery_filter))
        == f"KmsDiscoveryKeyring(discovery_filter={discovery_filter!r})"
    )
