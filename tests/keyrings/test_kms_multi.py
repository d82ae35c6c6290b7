"""One keyring over several KMS keys or Regions, each with the client of its Region."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from testkit.kms_regions import ACCOUNT, OTHER_ACCOUNT, World

from envelope_sdk import Client
from envelope_sdk.errors import KeyringError, KmsAccessError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import (
    DiscoveryFilter,
    KmsKeyring,
    LimitedRegionsClientSupplier,
    MultiKeyring,
    RawAesKeyring,
    kms_discovery_multi_keyring,
    kms_mrk_discovery_multi_keyring,
    kms_mrk_multi_keyring,
    kms_multi_keyring,
)
from envelope_sdk.local_kms import LocalKms

EAST, WEST, NORTH = "us-east-1", "us-west-2", "eu-north-1"
PLAINTEXT = b"plaintext"
CONTEXT = {"purpose": "test"}
RAW = RawAesKeyring("test", "raw", bytes(32))
OVER_KEYS = [kms_multi_keyring, kms_mrk_multi_keyring]
OVER_REGIONS = [kms_discovery_multi_keyring, kms_mrk_discovery_multi_keyring]
over_keys = pytest.mark.parametrize("build", OVER_KEYS, ids=lambda build: build.__name__)
over_regions = pytest.mark.parametrize("build", OVER_REGIONS, ids=lambda build: build.__name__)


class Asked:
    """A client supplier that remembers the Regions it was asked for."""

    def __init__(self, supplier):
        self.regions = []
        self._supplier = supplier

    def __call__(self, region):
        self.regions.append(region)
        return self._supplier(region or EAST)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def supplier(world):
    return Asked(world.client)


def encrypted(keyring):
    return Client(keyring).encrypt(PLAINTEXT, encryption_context=CONTEXT)


def named_keys(message):
    return [key.provider_info.decode() for key in message.header.encrypted_data_keys]


# --- over keys -------------------------------------------------------------------------------------------------------


@over_keys
def test_the_generator_makes_the_data_key_and_all_wrap_it_each_in_its_region(build, world, supplier):
    keys = [world.create_key(EAST), world.create_key(WEST, multi_region=True), world.create_key(EAST)]
    keyring = build(keys[0], iter(keys[1:]), client_supplier=supplier, grant_tokens=iter(["token"]))
    message = encrypted(keyring)

    assert type(keyring) is MultiKeyring
    assert named_keys(message) == keys
    assert [(call.region, call.operation, call.key_id) for call in world.calls] == [
        (EAST, "GenerateDataKey", keys[0]),
        (WEST, "Encrypt", keys[1]),
        (EAST, "Encrypt", keys[2]),
    ]
    assert [call.parameters["GrantTokens"] for call in world.calls] == [["token"]] * 3
    assert [call.parameters["EncryptionContext"] for call in world.calls] == [CONTEXT] * 3
    assert supplier.regions == [EAST, WEST, EAST]


@over_keys
def test_each_of_the_keys_opens_what_all_of_them_wrapped(build, world, supplier):
    keys = [world.create_key(EAST), world.create_key(WEST), world.create_key(NORTH)]
    message = encrypted(build(keys[0], keys[1:], client_supplier=supplier)).ciphertext

    for key in keys:
        assert Client(build(None, [key], client_supplier=supplier)).decrypt(message).plaintext == PLAINTEXT
    assert Client(build(keys[2], keys[:1], client_supplier=supplier)).decrypt(message).plaintext == PLAINTEXT


@over_keys
def test_the_next_key_opens_the_message_where_one_is_refused(build, world, supplier):
    keys = [world.create_key(EAST), world.create_key(WEST)]
    keyring = build(keys[0], keys[1:], client_supplier=supplier)
    message = encrypted(keyring).ciphertext
    world.refuse(keys[0], "KMSInvalidStateException")

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    world.refuse(keys[1], "AccessDeniedException")
    with pytest.raises(NoMatchingKeyError) as caught:
        Client(keyring).decrypt(message)
    assert [failure.error.code for failure in caught.value.failures] == [
        "KMSInvalidStateException",
        "AccessDeniedException",
    ]


@over_keys
def test_one_key_that_cannot_wrap_fails_the_whole(build, world, supplier):
    keys = [world.create_key(EAST), world.create_key(WEST)]
    world.refuse(keys[1], "DisabledException")
    with pytest.raises(KmsAccessError) as caught:
        encrypted(build(keys[0], keys[1:], client_supplier=supplier))
    assert (caught.value.operation, caught.value.code) == ("Encrypt", "DisabledException")


@over_keys
def test_without_a_generator_it_wraps_what_another_keyring_made(build, world, supplier):
    key = world.create_key(WEST)
    keyring = build(None, [key], client_supplier=supplier)

    with pytest.raises(KeyringError, match="without a generator"):
        encrypted(keyring)
    message = encrypted(MultiKeyring(RAW, [keyring])).ciphertext
    assert world.asked() == [(WEST, "Encrypt")]
    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


@over_keys
def test_keys_of_several_accounts_stand_together_where_they_allow_it(build, world, supplier):
    mine, theirs = world.create_key(EAST), world.create_key(EAST, OTHER_ACCOUNT)
    keyring = build(mine, [theirs], client_supplier=supplier)
    with pytest.raises(KmsAccessError):
        encrypted(keyring)
    world.allow(theirs, ACCOUNT)
    message = encrypted(keyring).ciphertext

    reader = build(None, [theirs], client_supplier=partial(world.client, account=OTHER_ACCOUNT))
    assert Client(reader).decrypt(message).plaintext == PLAINTEXT


@over_keys
@pytest.mark.parametrize("named", ["id", "alias"])
def test_keys_without_a_region_get_the_default_region_s_client(named, build, world, supplier):
    """A bare id or alias says no Region: the supplier is asked with the empty text, and may know a default."""
    key = world.create_key(EAST)
    world.aliases["alias/app"] = key
    key_id = {"id": key.split("/")[1], "alias": "alias/app"}[named]
    message = encrypted(build(key_id, client_supplier=supplier))

    assert supplier.regions == [""]
    assert named_keys(message) == [key]
    assert world.calls[0].key_id == key_id


@over_keys
def test_an_alias_arn_gets_its_region_s_client(build, world, supplier):
    alias = f"arn:aws:kms:{WEST}:{ACCOUNT}:alias/app"
    world.aliases[alias] = world.create_key(WEST)

    assert named_keys(encrypted(build(alias, client_supplier=supplier))) == [world.aliases[alias]]
    assert supplier.regions == [WEST]


@over_keys
@pytest.mark.parametrize("key_id", ["", "alias/", "arn:aws:kms", "arn:aws:s3:us-east-1:1:key/1", "key/1", "ключ"])
def test_an_identifier_that_can_name_no_key_is_refused_before_a_client_is_made(key_id, build, world, supplier):
    valid = world.create_key(EAST)
    for generator, key_ids in ((key_id, []), (valid, [valid, key_id]), (None, [key_id])):
        with pytest.raises(UsageError):
            build(generator, key_ids, client_supplier=supplier)
    assert supplier.regions == []


@over_keys
@pytest.mark.parametrize("tokens", ["token", ["token"] * 11, [""]])
def test_grant_tokens_are_checked_before_a_client_is_made(tokens, build, world, supplier):
    with pytest.raises((TypeError, UsageError)):
        build(world.create_key(EAST), client_supplier=supplier, grant_tokens=tokens)
    assert supplier.regions == []


@over_keys
def test_no_key_at_all_is_refused(build, supplier):
    with pytest.raises(UsageError, match="needs at least one"):
        build(None, [], client_supplier=supplier)


@over_keys
def test_one_text_as_keys_is_a_type_error(build, world, supplier):
    key = world.create_key(EAST)
    with pytest.raises(TypeError, match="key_ids is a collection"):
        build(key, key, client_supplier=supplier)


@over_keys
def test_a_supplier_may_refuse_a_region(build, world):
    limited = LimitedRegionsClientSupplier(world.client, [EAST])
    build(world.create_key(EAST), client_supplier=limited)
    with pytest.raises(UsageError, match="the Region 'us-west-2' is none of those that may be asked: us-east-1"):
        build(world.create_key(EAST), [world.create_key(WEST)], client_supplier=limited)
    with pytest.raises(UsageError, match="the default Region is none"):
        build("alias/app", client_supplier=limited)


def test_replicas_open_each_other_s_messages_with_the_keyring_that_knows_them(world, supplier):
    primary = world.create_key(EAST, multi_region=True)
    replica = world.replicate(primary, WEST)
    message = encrypted(kms_mrk_multi_keyring(primary, client_supplier=supplier)).ciphertext

    reader = kms_mrk_multi_keyring(None, [replica], client_supplier=supplier)
    assert Client(reader).decrypt(message).plaintext == PLAINTEXT
    assert world.asked() == [(EAST, "GenerateDataKey"), (WEST, "Decrypt")]
    with pytest.raises(NoMatchingKeyError):
        Client(kms_multi_keyring(None, [replica], client_supplier=supplier)).decrypt(message)


def test_one_multi_region_key_in_two_regions_is_refused_where_both_would_match(world, supplier):
    primary = world.create_key(EAST, multi_region=True)
    replica = world.replicate(primary, WEST)
    single = world.create_key(EAST)
    bare = primary.split("/")[1]

    for generator, key_ids in ((primary, [replica]), (None, [single, primary, replica]), (primary, [bare])):
        with pytest.raises(UsageError, match="each multi-Region key is given once") as caught:
            kms_mrk_multi_keyring(generator, key_ids, client_supplier=supplier)
        assert single not in str(caught.value)
    assert supplier.regions == []
    kms_multi_keyring(primary, [replica], client_supplier=supplier)
    kms_mrk_multi_keyring(single, [single, primary], client_supplier=supplier)


# --- over Regions ----------------------------------------------------------------------------------------------------


def test_every_region_is_asked_in_turn_for_the_key_that_is_named(world, supplier):
    key = world.create_key(WEST)
    message = encrypted(KmsKeyring(world.client(WEST), key)).ciphertext
    world.calls.clear()
    keyring = kms_discovery_multi_keyring(
        iter([EAST, WEST, NORTH]), client_supplier=supplier, grant_tokens=iter(["token"])
    )

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    assert supplier.regions == [EAST, WEST, NORTH]
    assert [(call.region, call.key_id) for call in world.calls] == [(EAST, key), (WEST, key)]
    assert [call.parameters["GrantTokens"] for call in world.calls] == [["token"]] * 2


def test_keys_of_one_region_are_asked_for_there_only_by_the_keyring_that_knows_replicas(world, supplier):
    key = world.create_key(NORTH)
    message = encrypted(KmsKeyring(world.client(NORTH), key)).ciphertext
    world.calls.clear()
    keyring = kms_mrk_discovery_multi_keyring([EAST, WEST, NORTH], client_supplier=supplier, grant_tokens=["token"])

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    assert [(call.region, call.key_id) for call in world.calls] == [(NORTH, key)]
    assert world.calls[0].parameters["GrantTokens"] == ["token"]


def test_the_first_region_with_a_replica_opens_the_message(world, supplier):
    primary = world.create_key(EAST, multi_region=True)
    replica = world.replicate(primary, WEST)
    message = encrypted(kms_mrk_multi_keyring(primary, client_supplier=supplier)).ciphertext
    world.calls.clear()
    keyring = kms_mrk_discovery_multi_keyring([NORTH, WEST, EAST], client_supplier=supplier)

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    assert [(call.region, call.key_id) for call in world.calls] == [
        (NORTH, primary.replace(EAST, NORTH)),
        (WEST, replica),
    ]


def test_the_nearest_region_first_means_one_call(world, supplier):
    primary = world.create_key(EAST, multi_region=True)
    world.replicate(primary, WEST)
    message = encrypted(kms_mrk_multi_keyring(primary, client_supplier=supplier)).ciphertext
    keyring = kms_mrk_discovery_multi_keyring([WEST, EAST], client_supplier=supplier)

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    assert world.asked() == [(EAST, "GenerateDataKey"), (WEST, "Decrypt")]


@over_regions
def test_the_filter_holds_in_every_region(build, world, supplier):
    key = world.create_key(WEST, OTHER_ACCOUNT)
    world.allow(key, ACCOUNT)
    message = encrypted(KmsKeyring(world.client(WEST), key)).ciphertext
    world.calls.clear()

    refusing = build([EAST, WEST], discovery_filter=DiscoveryFilter("aws", [ACCOUNT]), client_supplier=supplier)
    with pytest.raises(NoMatchingKeyError) as caught:
        Client(refusing).decrypt(message)
    assert len(caught.value.failures) == 2
    assert world.calls == []
    allowing = build([EAST, WEST], discovery_filter=DiscoveryFilter("aws", [OTHER_ACCOUNT]), client_supplier=supplier)
    assert Client(allowing).decrypt(message).plaintext == PLAINTEXT


@over_regions
def test_the_failures_of_all_regions_are_in_one_error(build, world, supplier):
    keys = [world.create_key(EAST), world.create_key(WEST)]
    message = encrypted(kms_multi_keyring(keys[0], keys[1:], client_supplier=supplier)).ciphertext
    for key in keys:
        world.refuse(key, "DisabledException")
    world.calls.clear()

    with pytest.raises(NoMatchingKeyError) as caught:
        Client(build([EAST, WEST], client_supplier=supplier)).decrypt(message)
    assert len(caught.value.failures) == len(world.calls)
    assert [str(failure).count("DisabledException") for failure in caught.value.failures].count(1) == 2


@over_regions
def test_it_neither_makes_nor_wraps_data_keys(build, world, supplier):
    keyring = build([EAST], client_supplier=supplier)
    for refusing in (keyring, MultiKeyring(RAW, [keyring])):
        with pytest.raises(KeyringError):
            encrypted(refusing)
    assert world.calls == []


@over_regions
@pytest.mark.parametrize(
    ("regions", "reason"),
    [
        ([], "at least one Region is needed"),
        ([EAST, ""], "the Region is empty"),
        ([" "], "the Region is empty"),
        ([EAST, WEST, EAST], "each Region is given once"),
        ([f"{EAST}\n"], "white space"),
    ],
    ids=["none", "empty", "blank", "twice", "newline"],
)
def test_regions_are_checked_before_a_client_is_made(regions, reason, build, supplier):
    with pytest.raises(UsageError, match=reason):
        build(regions, client_supplier=supplier)
    assert supplier.regions == []


@over_regions
@pytest.mark.parametrize("regions", [EAST, [None], [b"us-east-1"]], ids=["one-text", "none", "bytes"])
def test_regions_that_are_no_texts_are_a_type_error(regions, build, supplier):
    with pytest.raises(TypeError):
        build(regions, client_supplier=supplier)


@over_regions
def test_filter_and_grant_tokens_are_checked_before_a_client_is_made(build, supplier):
    with pytest.raises(TypeError, match="a discovery filter is"):
        build([EAST], discovery_filter=ACCOUNT, client_supplier=supplier)
    with pytest.raises(TypeError, match="not one text"):
        build([EAST], client_supplier=supplier, grant_tokens="token")
    assert supplier.regions == []


def test_a_supplier_that_goes_elsewhere_is_refused(world):
    with pytest.raises(UsageError, match="they have to be one"):
        kms_mrk_discovery_multi_keyring([EAST, WEST], client_supplier=lambda _region: world.client(EAST))


# --- suppliers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [*OVER_KEYS, *OVER_REGIONS], ids=lambda build: build.__name__)
def test_a_client_in_place_of_a_supplier_is_a_type_error(build, world):
    argument = [EAST] if build in OVER_REGIONS else world.create_key(EAST)
    with pytest.raises(TypeError, match="a client supplier is called with a Region"):
        build(argument, client_supplier=world.client(EAST))


@pytest.mark.parametrize("build", [*OVER_KEYS, *OVER_REGIONS], ids=lambda build: build.__name__)
def test_left_out_boto3_makes_the_clients(build, monkeypatch):
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with moto.mock_aws():
        key = boto3.client("kms", WEST).create_key()["KeyMetadata"]["Arn"]
        message = encrypted(kms_multi_keyring(key)).ciphertext
        reader = build([EAST, WEST]) if build in OVER_REGIONS else build(key)

        assert Client(reader).decrypt(message).plaintext == PLAINTEXT


def test_local_kms_serve_a_region_each(tmp_path):
    services = {region: LocalKms.open(tmp_path / "keys.db", region=region) for region in (EAST, WEST)}
    keys = {region: kms.create_key()["KeyMetadata"]["Arn"] for region, kms in services.items()}
    message = encrypted(kms_multi_keyring(keys[EAST], [keys[WEST]], client_supplier=services.__getitem__))

    assert named_keys(message) == [keys[EAST], keys[WEST]]
    services[EAST].disable_key(KeyId=keys[EAST])
    for reader in (
        kms_multi_keyring(keys[EAST], [keys[WEST]], client_supplier=services.__getitem__),
        kms_discovery_multi_keyring([EAST, WEST], client_supplier=services.__getitem__),
        kms_mrk_discovery_multi_keyring([EAST, WEST], client_supplier=services.__getitem__),
    ):
        assert Client(reader).decrypt(message.ciphertext).plaintext == PLAINTEXT
    for kms in services.values():
        kms.close()


# --- threads ---------------------------------------------------------------------------------------------------------


def test_keyrings_are_shared_by_threads(world):
    """Each message gets its own data key, and each is opened with the key it was wrapped for."""
    primary = world.create_key(EAST, multi_region=True)
    world.replicate(primary, WEST)
    single = world.create_key(NORTH)
    writer = Client(kms_mrk_multi_keyring(primary, [single], client_supplier=world.client))
    reader = Client(kms_mrk_discovery_multi_keyring([WEST, NORTH], client_supplier=world.client))

    def there_and_back(number):
        plaintext, context = b"%d" % number, {"number": str(number)}
        message = writer.encrypt(plaintext, encryption_context=context).ciphertext
        return reader.decrypt(message, encryption_context=context).plaintext

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(there_and_back, range(200))) == [b"%d" % number for number in range(200)]
    wrapped = [call for call in world.calls if call.operation == "Encrypt"]
    assert len({call.parameters["Plaintext"] for call in wrapped}) == 200
    assert {(call.region, call.operation) for call in world.calls} == {
        (EAST, "GenerateDataKey"),
        (NORTH, "Encrypt"),
        (WEST, "Decrypt"),
    }
    assert len(world.calls) == 600
