"""All symmetric KMS keyrings of both sides, over one mocked AWS account with two Regions."""

from __future__ import annotations

import boto3
import pytest

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import NoMatchingKeyError, UsageError
from envelope_sdk.keyrings import (
    DiscoveryFilter,
    KmsDiscoveryKeyring,
    KmsKeyring,
    KmsMrkDiscoveryKeyring,
    KmsMrkKeyring,
    MultiKeyring,
    RawAesKeyring,
    kms_discovery_multi_keyring,
    kms_mrk_discovery_multi_keyring,
    kms_mrk_multi_keyring,
    kms_multi_keyring,
)

pytest.importorskip("aws_encryption_sdk")
moto = pytest.importorskip("moto")
pytestmark = pytest.mark.interop

EAST, WEST = "us-east-1", "us-west-2"
ACCOUNT, OTHER_ACCOUNT = "123456789012", "444455556666"
PLAINTEXT = b"the same to both"
CONTEXT = {"purpose": "interop", "größe": "ñandú 😀"}
SUITES = [
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
    AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256,
]


class Account:
    """One key for each Region, one multi-Region key with a replica, and the clients that both sides use."""

    def __init__(self):
        self.clients = {region: boto3.client("kms", region) for region in (EAST, WEST)}
        self.asked = []
        self.regions = []
        for region, client in self.clients.items():
            client.meta.events.register("before-call.kms", lambda region=region, **_: self.asked.append(region))
        self.east, self.west = (client.create_key()["KeyMetadata"]["Arn"] for client in self.clients.values())
        self.primary = self._multi_region_key()
        self.replica = self.primary.replace(EAST, WEST)

    def _multi_region_key(self):
        # moto gives these keys ids with hyphens, which AWS does not, and which are too long for its own ciphertexts:
        from moto.kms.models import kms_backends

        made = self.clients[EAST].create_key(MultiRegion=True)["KeyMetadata"]
        backend = kms_backends[ACCOUNT][EAST]
        key = backend.keys.pop(made["KeyId"])
        key.id = "mrk-" + made["KeyId"].removeprefix("mrk-").replace("-", "")
        key.arn = made["Arn"].replace(made["KeyId"], key.id)
        backend.keys[key.id] = key
        backend.replicate_key(key.id, WEST)
        return key.arn

    def supply(self, region):
        """A client supplier of either side; what has no Region gets the client of the first."""
        self.regions.append(region)
        return self.clients[region or EAST]


@pytest.fixture(scope="module")
def one_account():
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            environment.setenv(name, "testing")
        with moto.mock_aws():
            yield Account()


@pytest.fixture
def account(one_account):
    one_account.asked.clear()
    one_account.regions.clear()
    return one_account


class Ours:
    """This package's keyrings."""

    def __init__(self, account):
        self._account = account

    def kms(self, region, key):
        return KmsKeyring(self._account.clients[region], key)

    def multi(self, generator, *keys):
        return kms_multi_keyring(generator, keys, client_supplier=self._account.supply)

    def discovery(self, region, accounts=None):
        return KmsDiscoveryKeyring(self._account.clients[region], discovery_filter=self._filter(accounts))

    def discovery_multi(self, regions, accounts=None):
        return kms_discovery_multi_keyring(
            regions, discovery_filter=self._filter(accounts), client_supplier=self._account.supply
        )

    def mrk(self, region, key):
        return KmsMrkKeyring(self._account.clients[region], key)

    def mrk_multi(self, generator, *keys):
        return kms_mrk_multi_keyring(generator, keys, client_supplier=self._account.supply)

    def mrk_discovery(self, region, accounts=None, *, of=None):
        kms = self._account.clients[of or region]
        return KmsMrkDiscoveryKeyring(kms, region, discovery_filter=self._filter(accounts))

    def mrk_discovery_multi(self, regions, accounts=None):
        return kms_mrk_discovery_multi_keyring(
            regions, discovery_filter=self._filter(accounts), client_supplier=self._account.supply
        )

    def _filter(self, accounts):
        return accounts and DiscoveryFilter("aws", accounts)


class Theirs:
    """The peer's keyrings of the same kinds."""

    def __init__(self, account, peer):
        from aws_cryptographic_material_providers.mpl.references import IClientSupplier

        class Supplier(IClientSupplier):
            def get_client(self, param):
                return account.supply(param.region)

        self._account = account
        self._peer = peer
        self._supplier = Supplier()

    def _make(self, kind, **parameters):
        given = {name: value for name, value in parameters.items() if value is not None}
        create = getattr(self._peer.mpl, f"create_aws_kms_{kind}keyring")
        words = "".join({"mrk": "Mrk"}.get(word, word.capitalize()) for word in f"{kind}keyring".split("_"))
        return create(getattr(self._peer.models, f"CreateAwsKms{words}Input")(**given))

    def kms(self, region, key):
        return self._make("", kms_client=self._account.clients[region], kms_key_id=key)

    def multi(self, generator, *keys):
        return self._make("multi_", generator=generator, kms_key_ids=list(keys), client_supplier=self._supplier)

    def discovery(self, region, accounts=None):
        kms = self._account.clients[region]
        return self._make("discovery_", kms_client=kms, discovery_filter=self._filter(accounts))

    def discovery_multi(self, regions, accounts=None):
        return self._over_regions("discovery_multi_", regions, accounts)

    def mrk(self, region, key):
        return self._make("mrk_", kms_client=self._account.clients[region], kms_key_id=key)

    def mrk_multi(self, generator, *keys):
        return self._make("mrk_multi_", generator=generator, kms_key_ids=list(keys), client_supplier=self._supplier)

    def mrk_discovery(self, region, accounts=None, *, of=None):
        kms = self._account.clients[of or region]
        return self._make("mrk_discovery_", kms_client=kms, region=region, discovery_filter=self._filter(accounts))

    def mrk_discovery_multi(self, regions, accounts=None):
        return self._over_regions("mrk_discovery_multi_", regions, accounts)

    def _over_regions(self, kind, regions, accounts):
        return self._make(
            kind, regions=regions, client_supplier=self._supplier, discovery_filter=self._filter(accounts)
        )

    def _filter(self, accounts):
        return accounts and self._peer.models.DiscoveryFilter(partition="aws", account_ids=accounts)


@pytest.fixture
def ours(account):
    return Ours(account)


@pytest.fixture
def theirs(account, peer):
    return Theirs(account, peer)


WRITERS = {
    "kms": lambda side, account: side.kms(EAST, account.east),
    "multi": lambda side, account: side.multi(account.west, account.east),
    "mrk": lambda side, account: side.mrk(EAST, account.primary),
    "mrk-multi": lambda side, account: side.mrk_multi(account.primary, account.west),
}
READERS = {
    "kms": (lambda side, account: side.kms(EAST, account.east), {"kms", "multi"}),
    "multi": (lambda side, account: side.multi(None, account.west), {"multi", "mrk-multi"}),
    "discovery": (lambda side, account: side.discovery(EAST, [ACCOUNT]), set(WRITERS)),
    "discovery-of-others": (lambda side, account: side.discovery(EAST, [OTHER_ACCOUNT]), set()),
    "discovery-multi": (lambda side, account: side.discovery_multi([EAST, WEST]), set(WRITERS)),
    "discovery-multi-elsewhere": (
        lambda side, account: side.discovery_multi([WEST], [ACCOUNT]),
        {"multi", "mrk-multi"},
    ),
    "mrk": (lambda side, account: side.mrk(WEST, account.replica), {"mrk", "mrk-multi"}),
    "mrk-multi": (lambda side, account: side.mrk_multi(None, account.replica), {"mrk", "mrk-multi"}),
    "mrk-discovery": (lambda side, account: side.mrk_discovery(WEST, [ACCOUNT]), {"multi", "mrk", "mrk-multi"}),
    "mrk-discovery-of-others": (lambda side, account: side.mrk_discovery(WEST, [OTHER_ACCOUNT]), set()),
    "mrk-discovery-multi": (lambda side, account: side.mrk_discovery_multi([WEST, EAST]), set(WRITERS)),
}
each_writer = pytest.mark.parametrize("writer", WRITERS)
each_reader = pytest.mark.parametrize("reader", READERS)


# --- who opens what --------------------------------------------------------------------------------------------------


@each_reader
@each_writer
def test_the_peer_opens_what_we_wrapped_just_where_we_do(writer, reader, account, ours, theirs, peer):
    make, opens = READERS[reader]
    message = Client(WRITERS[writer](ours, account)).encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext

    if writer in opens:
        assert peer.decrypt(message, keyring=make(theirs, account)) == PLAINTEXT
        assert Client(make(ours, account)).decrypt(message).plaintext == PLAINTEXT
    else:
        with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
            peer.decrypt(message, keyring=make(theirs, account))


@each_reader
@each_writer
def test_we_open_what_the_peer_wrapped_just_where_it_does(writer, reader, account, ours, theirs, peer):
    make, opens = READERS[reader]
    message = peer.encrypt(PLAINTEXT, context=CONTEXT, keyring=WRITERS[writer](theirs, account))
    client = Client(make(ours, account))

    if writer in opens:
        assert client.decrypt(message).plaintext == PLAINTEXT
        assert peer.decrypt(message, keyring=make(theirs, account)) == PLAINTEXT
    else:
        with pytest.raises(NoMatchingKeyError):
            client.decrypt(message)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.suite_id:04x}")
@each_writer
def test_every_suite_goes_both_ways(writer, suite, account, ours, theirs, peer, policy_of):
    reader = [side.mrk_discovery_multi([WEST, EAST], [ACCOUNT]) for side in (ours, theirs)]
    client = Client(WRITERS[writer](ours, account), commitment_policy=policy_of(suite), algorithm_suite=suite)
    opener = Client(reader[0], commitment_policy=policy_of(suite))

    message = client.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext
    assert peer.decrypt(message, suite, keyring=reader[1]) == PLAINTEXT
    message = peer.encrypt(PLAINTEXT, suite, context=CONTEXT, keyring=WRITERS[writer](theirs, account))
    assert opener.decrypt(message).plaintext == PLAINTEXT


CHILDREN = {
    "kms": lambda side, account: side.kms(EAST, account.east),
    "multi": lambda side, account: side.multi(None, account.west, account.east),
    "mrk": lambda side, account: side.mrk(EAST, account.primary),
    "mrk-multi": lambda side, account: side.mrk_multi(None, account.primary),
}


@pytest.mark.parametrize("child", CHILDREN.values(), ids=CHILDREN.keys())
def test_what_either_wrapped_as_a_child_the_other_opens(child, account, ours, theirs, peer):
    # The peer's plain discovery keyring gives up at data keys of other keyrings, which it takes for malformed ARNs.
    readers = [side.mrk_discovery_multi([EAST, WEST]) for side in (ours, theirs)]
    raw = RawAesKeyring("interop", "aes", bytes(32))
    message = Client(MultiKeyring(raw, [child(ours, account)])).encrypt(PLAINTEXT, encryption_context=CONTEXT)
    assert peer.decrypt(message.ciphertext, keyring=readers[1]) == PLAINTEXT

    peer_raw = peer.aes_keyring(bytes(32))
    theirs_first = peer.multi_keyring(peer_raw, [child(theirs, account)])
    message = peer.encrypt(PLAINTEXT, context=CONTEXT, keyring=theirs_first)
    assert Client(readers[0]).decrypt(message).plaintext == PLAINTEXT
    assert Client(ours.discovery_multi([EAST, WEST])).decrypt(message).plaintext == PLAINTEXT


# --- which Regions are asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["mrk", "mrk-multi", "mrk-discovery", "mrk-discovery-multi"])
def test_a_replica_opens_the_message_with_one_call_in_its_own_region(reader, account, ours, theirs, peer):
    make, _ = READERS[reader]
    message = Client(ours.mrk(EAST, account.primary)).encrypt(PLAINTEXT).ciphertext
    assert account.asked == [EAST]

    assert Client(make(ours, account)).decrypt(message).plaintext == PLAINTEXT
    assert account.asked == [EAST, WEST]
    assert peer.decrypt(message, keyring=make(theirs, account)) == PLAINTEXT
    assert account.asked == [EAST, WEST, WEST]


@pytest.mark.parametrize("kind", ["multi", "mrk_multi"])
def test_both_ask_suppliers_for_the_same_regions(kind, account, ours, theirs):
    alias_arn = account.west.split("key/")[0] + "alias/app"
    keys = ["alias/app", account.west, alias_arn, account.east.split("/")[1], account.primary]
    getattr(ours, kind)(*keys)
    mine = account.regions[:]
    account.regions.clear()
    getattr(theirs, kind)(*keys)

    assert mine == account.regions == ["", WEST, WEST, "", EAST]


# --- what both refuse ------------------------------------------------------------------------------------------------

REFUSED = {
    "replicas-of-one-key": lambda side, account: side.mrk_multi(account.primary, account.replica),
    "a-replica-and-its-bare-id": lambda side, account: side.mrk_multi(
        account.primary, account.west, account.primary.split("/")[1]
    ),
    "no-key": lambda side, _: side.multi(None),
    "no-multi-region-key": lambda side, _: side.mrk_multi(None),
    "no-region": lambda side, _: side.discovery_multi([]),
    "no-region-for-replicas": lambda side, _: side.mrk_discovery_multi([]),
    "an-empty-region": lambda side, _: side.discovery_multi([EAST, ""]),
    "an-empty-region-for-replicas": lambda side, _: side.mrk_discovery_multi([EAST, ""]),
    "a-client-of-another-region": lambda side, _: side.mrk_discovery(WEST, of=EAST),
    "an-empty-key": lambda side, _: side.mrk(EAST, ""),
    "a-key-id-with-its-type": lambda side, _: side.kms(EAST, "key/1234abcd"),
    "an-arn-of-another-service": lambda side, _: side.kms(EAST, "arn:aws:s3:us-east-1:123456789012:key/1234abcd"),
    "an-arn-in-a-list": lambda side, account: side.multi(account.east, "arn:aws:kms"),
    "an-identifier-that-is-too-long": lambda side, _: side.kms(EAST, "a" * 2049),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_both_refuse_at_once(make, account, ours, theirs):
    with pytest.raises(UsageError):
        make(ours, account)
    with pytest.raises(Exception, match=r"."):
        make(theirs, account)


@pytest.mark.parametrize("kind", ["discovery", "mrk_discovery"])
def test_neither_encrypts_by_discovery(kind, ours, theirs, peer):
    with pytest.raises(Exception, match="only decrypts"):
        Client(getattr(ours, kind)(EAST)).encrypt(PLAINTEXT)
    with pytest.raises(peer.sdk.exceptions.AWSEncryptionSDKClientError):
        peer.encrypt(PLAINTEXT, keyring=getattr(theirs, kind)(EAST))
