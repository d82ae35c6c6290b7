"""The hierarchical keyring: messages under branch keys, and how seldom the KMS and the table are asked."""

from __future__ import annotations

import copy
import hashlib
import pickle
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testkit.branch_keys import CountingKms, CountingStorage, MemoryStorage
from testkit.materials import CONTEXT, DATA_KEY, SUITE, to_open, to_wrap

from envelope_sdk import AlgorithmSuite, Client, EncryptionContext
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.errors import (
    AuthenticationError,
    KeyringError,
    KmsAccessError,
    KmsServiceError,
    KmsUnavailableError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.formats import EncryptedDataKey, parse_header
from envelope_sdk.keyrings import HierarchicalKeyring, MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.hierarchical import BranchKeyStore, ContextKeySupplier
from envelope_sdk.materials import Keyring

PLAINTEXT = b"plaintext"
TTL = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def branch_key(store: BranchKeyStore, kms: CountingKms) -> str:
    name = store.create_key()
    kms.calls.clear()
    return name


@pytest.fixture
def keyring(store: BranchKeyStore, branch_key: str, clock: Clock) -> HierarchicalKeyring:
    return HierarchicalKeyring(store, branch_key, ttl_seconds=TTL, clock=clock)


@pytest.fixture
def client(keyring: HierarchicalKeyring) -> Client:
    return Client(keyring)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_it_is_a_keyring(keyring: HierarchicalKeyring) -> None:
    assert isinstance(keyring, Keyring)


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: f"{suite.suite_id:04x}")
def test_a_data_key_of_every_suite_comes_back(suite: AlgorithmSuite, keyring: HierarchicalKeyring) -> None:
    wrapped = keyring.on_encrypt(to_wrap(None, suite=suite))

    assert len(wrapped.plaintext_data_key) == suite.key_length
    opened = keyring.on_decrypt(to_open(suite=suite), wrapped.encrypted_data_keys)
    assert opened.plaintext_data_key == wrapped.plaintext_data_key


@pytest.mark.parametrize("sign", [False, True])
def test_a_message_opens_and_names_its_branch_key(sign: bool, keyring: HierarchicalKeyring, branch_key: str) -> None:
    client = Client(keyring, sign=sign)
    message = client.encrypt(PLAINTEXT, encryption_context={"a": "b"})

    assert client.decrypt(message.ciphertext).plaintext == PLAINTEXT
    (wrapped,) = message.header.encrypted_data_keys
    assert (wrapped.provider_id, wrapped.provider_info) == ("aws-kms-hierarchy", branch_key.encode())
    assert len(wrapped.ciphertext) == 60 + 32


def test_a_data_key_that_is_there_is_wrapped_and_kept(keyring: HierarchicalKeyring) -> None:
    before = to_wrap()
    after = keyring.on_encrypt(before)

    assert after.plaintext_data_key == DATA_KEY
    assert before.encrypted_data_keys == ()
    assert len(after.encrypted_data_keys) == 1


def test_the_context_is_bound(keyring: HierarchicalKeyring) -> None:
    wrapped = keyring.on_encrypt(to_wrap())
    another = to_open(context=EncryptionContext({"purpose": "other"}))

    with pytest.raises(NoMatchingKeyError) as caught:
        keyring.on_decrypt(another, wrapped.encrypted_data_keys)
    assert type(caught.value.failures[0].error) is AuthenticationError


def test_messages_of_every_version_open(store: BranchKeyStore, branch_key: str, client: Client, clock: Clock) -> None:
    messages = []
    for _ in range(3):
        messages.append(client.encrypt(PLAINTEXT).ciphertext)
        store.version_key(branch_key)
        clock.now += TTL

    versions = {parse_header(message).body.encrypted_data_keys[0].ciphertext[28:44] for message in messages}
    assert len(versions) == 3
    assert [client.decrypt(message).plaintext for message in messages] == [PLAINTEXT] * 3


def test_a_supplier_chooses_the_branch_key_of_each_message(store: BranchKeyStore) -> None:
    ids = {tenant: store.create_key() for tenant in ("a", "b")}
    client = Client(HierarchicalKeyring(store, ContextKeySupplier(ids, key="tenant"), ttl_seconds=TTL))

    for tenant, branch_key in ids.items():
        message = client.encrypt(PLAINTEXT, encryption_context={"tenant": tenant})
        assert message.header.encrypted_data_keys[0].provider_info == branch_key.encode()
        assert client.decrypt(message.ciphertext).plaintext == PLAINTEXT


def test_a_context_for_which_there_is_no_branch_key_is_refused_on_both_sides(
    store: BranchKeyStore, branch_key: str, keyring: HierarchicalKeyring
) -> None:
    choosing = HierarchicalKeyring(store, ContextKeySupplier({"a": branch_key}, key="tenant"), ttl_seconds=TTL)

    with pytest.raises(KeyringError, match="has no 'tenant'"):
        choosing.on_encrypt(to_wrap())
    with pytest.raises(NoMatchingKeyError, match="has no 'tenant'"):
        choosing.on_decrypt(to_open(), keyring.on_encrypt(to_wrap()).encrypted_data_keys)


def test_a_supplier_is_not_asked_about_messages_that_are_of_no_branch_key(store: BranchKeyStore) -> None:
    class Never:
        def get_branch_key_id(self, encryption_context: Mapping[str, str]) -> str:
            raise AssertionError(encryption_context)

    message = Client(RawAesKeyring("test", "key", bytes(32))).encrypt(PLAINTEXT).ciphertext
    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys is wrapped under this branch key"):
        Client(HierarchicalKeyring(store, Never(), ttl_seconds=TTL)).decrypt(message)


@pytest.mark.parametrize("answer", ["", None, b"id"])
def test_what_a_supplier_returns_has_to_be_an_id(answer: Any, store: BranchKeyStore) -> None:
    class Odd:
        def get_branch_key_id(self, encryption_context: Mapping[str, str]) -> Any:
            return answer

    with pytest.raises((UsageError, TypeError), match="branch key id"):
        HierarchicalKeyring(store, Odd(), ttl_seconds=TTL).on_encrypt(to_wrap())


def test_another_branch_key_opens_nothing_and_asks_nobody(
    store: BranchKeyStore, keyring: HierarchicalKeyring, storage: CountingStorage
) -> None:
    other = HierarchicalKeyring(store, "other", ttl_seconds=TTL)
    wrapped = keyring.on_encrypt(to_wrap()).encrypted_data_keys
    storage.reads.clear()

    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys"):
        other.on_decrypt(to_open(), wrapped)
    assert not storage.reads


def test_every_data_key_is_tried_and_every_failure_told_in_order(keyring: HierarchicalKeyring, branch_key: str) -> None:
    good = keyring.on_encrypt(to_wrap()).encrypted_data_keys[0]
    info = branch_key.encode()
    short = EncryptedDataKey("aws-kms-hierarchy", info, good.ciphertext[:-1])
    altered = EncryptedDataKey("aws-kms-hierarchy", info, good.ciphertext[:-1] + bytes([good.ciphertext[-1] ^ 1]))
    unknown = EncryptedDataKey("aws-kms-hierarchy", info, good.ciphertext[:28] + bytes(16) + good.ciphertext[44:])
    foreign = [EncryptedDataKey("aws-kms-hierarchy", b"\xff", b""), EncryptedDataKey("aws-kms", info, good.ciphertext)]

    assert keyring.on_decrypt(to_open(), [*foreign, short, altered, unknown, good]).plaintext_data_key == DATA_KEY
    with pytest.raises(NoMatchingKeyError) as caught:
        keyring.on_decrypt(to_open(), [*foreign, short, altered, unknown])
    assert [type(failure.error) for failure in caught.value.failures] == [
        KeyringError,
        AuthenticationError,
        KeyringError,
    ]


def test_each_altered_byte_of_a_wrapped_data_key_is_found(keyring: HierarchicalKeyring) -> None:
    good = keyring.on_encrypt(to_wrap()).encrypted_data_keys[0]

    for position in range(len(good.ciphertext)):
        altered = bytearray(good.ciphertext)
        altered[position] ^= 1
        with pytest.raises(NoMatchingKeyError):
            keyring.on_decrypt(to_open(), [good._replace(ciphertext=bytes(altered))])


def test_materials_with_a_data_key_are_refused_on_the_way_back(keyring: HierarchicalKeyring) -> None:
    with pytest.raises(UsageError, match="already hold a data key"):
        keyring.on_decrypt(to_open(DATA_KEY), [])


def test_it_stands_in_a_multi_keyring_beside_others(keyring: HierarchicalKeyring) -> None:
    raw = RawAesKeyring("test", "key", bytes(32))
    message = Client(MultiKeyring(keyring, [raw])).encrypt(PLAINTEXT).ciphertext

    assert Client(raw).decrypt(message).plaintext == PLAINTEXT
    assert Client(MultiKeyring(None, [raw, keyring])).decrypt(message).plaintext == PLAINTEXT
    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT


# --- calls ------------------------------------------------------------------------------------------------------------


def test_many_messages_cost_one_call_and_one_read_on_either_side(
    client: Client, kms: CountingKms, storage: CountingStorage
) -> None:
    messages = [client.encrypt(PLAINTEXT).ciphertext for _ in range(20)]
    assert (kms.calls, storage.reads) == ({"decrypt": 1}, {"branch:ACTIVE": 1})

    kms.calls.clear()
    storage.reads.clear()
    for message in messages:
        client.decrypt(message)
    assert kms.calls == {"decrypt": 1}
    assert list(storage.reads.values()) == [1]


def test_each_version_costs_a_call_on_decryption(
    store: BranchKeyStore, branch_key: str, client: Client, clock: Clock, kms: CountingKms
) -> None:
    messages = []
    for _ in range(3):
        messages += [client.encrypt(PLAINTEXT).ciphertext for _ in range(3)]
        store.version_key(branch_key)
        clock.now += TTL
    kms.calls.clear()

    for message in messages * 2:
        client.decrypt(message)

    assert kms.calls == {"decrypt": 3}


def test_after_its_time_a_branch_key_is_asked_for_again(client: Client, clock: Clock, kms: CountingKms) -> None:
    client.encrypt(PLAINTEXT)
    clock.now += TTL / 2
    client.encrypt(PLAINTEXT)
    assert kms.calls == {"decrypt": 1}

    clock.now += TTL / 2
    client.encrypt(PLAINTEXT)
    assert kms.calls == {"decrypt": 2}


def test_without_any_time_every_message_asks(store: BranchKeyStore, branch_key: str, kms: CountingKms) -> None:
    client = Client(HierarchicalKeyring(store, branch_key, ttl_seconds=0))

    for message in [client.encrypt(PLAINTEXT).ciphertext for _ in range(3)]:
        client.decrypt(message)

    assert kms.calls == {"decrypt": 6}


def test_64_threads_cost_one_call_and_one_read(client: Client, kms: CountingKms, storage: CountingStorage) -> None:
    barrier = threading.Barrier(64)

    def encrypt(_: int) -> bytes:
        barrier.wait(30)
        return client.encrypt(PLAINTEXT).ciphertext

    def decrypt(message: bytes) -> bytes:
        barrier.wait(30)
        return client.decrypt(message).plaintext

    with ThreadPoolExecutor(64) as pool:
        messages = list(pool.map(encrypt, range(64)))
        assert (kms.calls, storage.reads) == ({"decrypt": 1}, {"branch:ACTIVE": 1})
        kms.calls.clear()
        assert list(pool.map(decrypt, messages)) == [PLAINTEXT] * 64
        assert kms.calls == {"decrypt": 1}


def test_a_new_version_is_used_once_the_older_one_s_time_is_over(
    store: BranchKeyStore, branch_key: str, client: Client, clock: Clock
) -> None:
    def version() -> bytes:
        return client.encrypt(PLAINTEXT).header.encrypted_data_keys[0].ciphertext[28:44]

    first = version()
    store.version_key(branch_key)
    assert version() == first

    clock.now += TTL
    assert version() != first


# --- shared caches ----------------------------------------------------------------------------------------------------


def shared(store: BranchKeyStore, branch_key: str, cache: LocalCache, partition: str | None, ttl: float = TTL):
    return HierarchicalKeyring(store, branch_key, ttl_seconds=ttl, cache=cache, partition=partition)


def test_keyrings_of_one_partition_share_branch_keys(store: BranchKeyStore, branch_key: str, kms: CountingKms) -> None:
    cache = LocalCache()
    for _ in range(2):
        shared(store, branch_key, cache, "one").on_encrypt(to_wrap())

    assert kms.calls == {"decrypt": 1}


@pytest.mark.parametrize("partitions", [("one", "two"), (None, None), ("one", None)])
def test_keyrings_of_other_partitions_do_not(
    partitions: tuple[str | None, str | None], store: BranchKeyStore, branch_key: str, kms: CountingKms
) -> None:
    cache = LocalCache()
    for partition in partitions:
        shared(store, branch_key, cache, partition).on_encrypt(to_wrap())

    assert kms.calls == {"decrypt": 2}


def test_what_encrypts_is_never_taken_for_what_decrypts(
    store: BranchKeyStore, branch_key: str, kms: CountingKms
) -> None:
    keyring = shared(store, branch_key, LocalCache(), "one")
    keyring.on_decrypt(to_open(), keyring.on_encrypt(to_wrap()).encrypted_data_keys)

    assert kms.calls == {"decrypt": 2}


def test_a_shared_cache_knows_branch_keys_by_the_specification_s_names(store: BranchKeyStore, branch_key: str) -> None:
    names: list[bytes] = []

    class Listening(LocalCache):
        def borrow(self, identifier: bytes, *arguments: Any, **options: Any) -> Any:
            names.append(identifier)
            return super().borrow(identifier, *arguments, **options)

    keyring = shared(store, branch_key, Listening(), "one")
    keyring.on_decrypt(to_open(), keyring.on_encrypt(to_wrap()).encrypted_data_keys)

    version = store.get_active(branch_key).version
    encrypting = b"\x02\0\x01\0one\0branch-keys\0" + branch_key.encode()
    decrypting = b"\x02\0\x02\0one\0branch-keys\0" + branch_key.encode() + b"\0" + version.encode()
    assert names == [hashlib.sha384(encrypting).digest(), hashlib.sha384(decrypting).digest()]


def test_each_keyring_s_own_time_holds_in_a_shared_cache(
    store: BranchKeyStore, branch_key: str, kms: CountingKms, clock: Clock
) -> None:
    cache = LocalCache(clock=clock)
    shared(store, branch_key, cache, "one", ttl=100).on_encrypt(to_wrap())
    clock.now += 10
    shared(store, branch_key, cache, "one", ttl=100).on_encrypt(to_wrap())
    assert kms.calls == {"decrypt": 1}

    shared(store, branch_key, cache, "one", ttl=10).on_encrypt(to_wrap())
    assert kms.calls == {"decrypt": 2}


def test_a_closed_keyring_forgets_its_keys_and_leaves_a_shared_cache_alone(
    store: BranchKeyStore, branch_key: str, kms: CountingKms
) -> None:
    with HierarchicalKeyring(store, branch_key, ttl_seconds=TTL) as keyring:
        keyring.on_encrypt(to_wrap())
    with pytest.raises(UsageError, match="closed"):
        keyring.on_encrypt(to_wrap())

    cache = LocalCache()
    with shared(store, branch_key, cache, "one") as keyring:
        keyring.on_encrypt(to_wrap())
    kms.calls.clear()
    shared(store, branch_key, cache, "one").on_encrypt(to_wrap())
    assert not kms.calls


def test_a_cache_that_is_empty_is_used_all_the_same(store: BranchKeyStore, branch_key: str, kms: CountingKms) -> None:
    class Sized(LocalCache):
        def __len__(self) -> int:
            return 0

    cache = Sized()
    for _ in range(2):
        shared(store, branch_key, cache, "one").on_encrypt(to_wrap())

    assert kms.calls == {"decrypt": 1}


# --- outages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["kms", "table"])
def test_past_its_time_a_branch_key_is_not_used_though_a_service_is_out(
    service: str, client: Client, clock: Clock, kms: CountingKms, storage: CountingStorage
) -> None:
    message = client.encrypt(PLAINTEXT).ciphertext
    client.decrypt(message)
    if service == "kms":
        kms.failure = KmsServiceError("KMSInternalException", "out of order", status=500)
    else:
        storage.failure = KmsUnavailableError("out of order", operation="GetItem", code="InternalServerError")
    clock.now += TTL - 1
    assert client.decrypt(message).plaintext == PLAINTEXT

    clock.now += 1
    for call in (lambda: client.encrypt(PLAINTEXT), lambda: client.decrypt(message)):
        with pytest.raises(KmsUnavailableError, match="out of order") as caught:
            call()
        assert caught.value.retryable

    kms.failure = storage.failure = None
    assert client.decrypt(message).plaintext == PLAINTEXT


def test_a_revoked_permission_is_told_as_such(client: Client, kms: CountingKms) -> None:
    message = client.encrypt(PLAINTEXT).ciphertext
    kms.failure = KmsServiceError("AccessDeniedException", "not you")

    with pytest.raises(NoMatchingKeyError, match="not you") as caught:
        client.decrypt(message)
    assert type(caught.value.failures[0].error) is KmsAccessError


def test_an_altered_record_is_told_on_both_sides(client: Client, memory: MemoryStorage, branch_key: str) -> None:
    message = client.encrypt(PLAINTEXT).ciphertext
    for record in memory.held.values():
        record["create-time"] = "2000-01-01T00:00:00.000000Z"

    with pytest.raises(NoMatchingKeyError, match="was altered") as caught:
        client.decrypt(message)
    assert type(caught.value.failures[0].error) is AuthenticationError


# --- arguments --------------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "negative": (UsageError, {"ttl_seconds": -1}),
    "not a number": (UsageError, {"ttl_seconds": float("nan")}),
    "for ever": (UsageError, {"ttl_seconds": float("inf")}),
    "no entries": (UsageError, {"max_entries": 0}),
    "a time that no clock reaches": (UsageError, {"ttl_seconds": 10**400}),
    "a time of text": (TypeError, {"ttl_seconds": "60"}),
    "a partition of bytes": (TypeError, {"partition": b"one"}),
    "an empty partition": (UsageError, {"partition": ""}),
    "a partition with a null": (UsageError, {"partition": "a\0b"}),
    "an empty id": (UsageError, {"branch_key": ""}),
    "no supplier": (TypeError, {"branch_key": lambda context: "id"}),
    "bytes": (TypeError, {"branch_key": b"id"}),
}


@pytest.mark.parametrize(("error", "changes"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_keyring_refuses(error: type[Exception], changes: dict[str, Any], store: BranchKeyStore) -> None:
    arguments: dict[str, Any] = {"branch_key": "id", "ttl_seconds": 1} | changes
    with pytest.raises(error):
        HierarchicalKeyring(store, arguments.pop("branch_key"), **arguments)


def test_nothing_of_its_keys_shows(keyring: HierarchicalKeyring, branch_key: str) -> None:
    keyring.on_encrypt(to_wrap(suite=SUITE, context=CONTEXT))

    assert repr(keyring) == f"HierarchicalKeyring('branch-keys', {branch_key!r})"
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            way(keyring)
