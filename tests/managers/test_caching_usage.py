"""What a caching manager tells of itself: messages, calls of KMS made and saved, and what they cost."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import pytest
from testkit.branch_keys import MemoryStorage
from testkit.processes import in_child

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptionContext
from envelope_sdk.cache.usage import CacheUsage
from envelope_sdk.errors import CommitmentPolicyError, KmsAccessError, NoMatchingKeyError
from envelope_sdk.keyrings import HierarchicalKeyring, KmsKeyring, MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.hierarchical import BranchKeyStore, KmsKeyArn
from envelope_sdk.keyrings.kms.calls import KmsCalls, counted_calls
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import CachingMaterialsManager
from envelope_sdk.managers.recording import DECRYPT, ENCRYPT, Asked, Recorder
from envelope_sdk.managers.usage import MaterialsEvent, MaterialsEventKind, MaterialsUsage, ScopeUsage
from envelope_sdk.materials import EncryptionRequest

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
REQUEST = EncryptionRequest(EncryptionContext(), CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, SUITE, 4)
NO_KDF = AlgorithmSuite.AES_256_GCM_IV12_TAG16
MINUTE = 60.0


@pytest.fixture
def kms() -> LocalKms:
    return LocalKms.in_memory()


@pytest.fixture
def key(kms: LocalKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def keyring(kms: LocalKms, key: str) -> KmsKeyring:
    return KmsKeyring(kms, key)


def caching(keyring: Any, **options: Any) -> CachingMaterialsManager:
    return CachingMaterialsManager(keyring, max_age_seconds=MINUTE, **options)


class Events(list[MaterialsEvent]):
    """A hook that keeps what it is told."""

    def __call__(self, event: MaterialsEvent) -> None:
        self.append(event)

    def kinds(self) -> list[str]:
        return [f"{event.scope} {event.kind}" for event in self]


def test_it_begins_at_nothing(keyring: KmsKeyring) -> None:
    usage = caching(keyring).usage()

    assert usage[:6] == MaterialsUsage()[:6]
    assert usage.encrypt.messages == 0
    assert usage.dollars() == usage.dollars_saved() == 0


def test_the_first_message_loads_and_the_others_reuse(keyring: KmsKeyring) -> None:
    with caching(keyring) as manager:
        client = Client(materials_manager=manager)
        messages = [client.encrypt(b"text").ciphertext for _ in range(5)]
        for message in messages[:3]:
            client.decrypt(message)

        usage = manager.usage()

    assert usage.encrypt == ScopeUsage(reused=4, loaded=1)
    assert usage.decrypt == ScopeUsage(reused=2, loaded=1)
    assert usage.kms_calls == {"Decrypt": 1, "GenerateDataKey": 1}
    assert usage.kms_calls_saved == {"Decrypt": 2, "GenerateDataKey": 4}


def test_on_the_encrypting_side_what_was_loaded_is_data_keys_in_use(keyring: KmsKeyring) -> None:
    with caching(keyring, max_messages=3) as manager:
        client = Client(materials_manager=manager)
        made = {client.encrypt(b"text").header.encrypted_data_keys for _ in range(10)}

        usage = manager.usage()

    assert usage.encrypt == ScopeUsage(reused=6, loaded=4)
    assert usage.encrypt.loaded == len(made)


def test_each_reuse_saves_all_the_calls_that_loading_took(kms: LocalKms, key: str) -> None:
    other = str(kms.create_key()["KeyMetadata"]["Arn"])
    keyring = MultiKeyring(KmsKeyring(kms, key), [KmsKeyring(kms, other)])

    with caching(keyring) as manager:
        for _ in range(4):
            manager.get_encryption_materials(REQUEST)

        usage = manager.usage()

    assert usage.kms_calls == {"Encrypt": 1, "GenerateDataKey": 1}
    assert usage.kms_calls_saved == {"Encrypt": 3, "GenerateDataKey": 3}


def test_what_a_hierarchical_keyring_keeps_itself_is_not_saved_by_the_manager_above(kms: LocalKms, key: str) -> None:
    store = BranchKeyStore(MemoryStorage(), kms, logical_name="branch-keys", kms_key=KmsKeyArn(key))
    with HierarchicalKeyring(store, store.create_key(), ttl_seconds=MINUTE) as keyring, caching(keyring) as manager:
        client = Client(materials_manager=manager)
        messages = [client.encrypt(b"text").ciphertext for _ in range(5)]
        for message in messages:
            client.decrypt(message)

        usage = manager.usage()

    assert (usage.encrypt, usage.decrypt) == (ScopeUsage(reused=4, loaded=1), ScopeUsage(reused=4, loaded=1))
    # As many as without the manager.
    assert (usage.kms_calls, usage.kms_calls_saved, usage.dollars_saved()) == ({"Decrypt": 2}, {}, 0)


def test_of_managers_above_each_other_one_alone_claims_a_saved_call(keyring: KmsKeyring) -> None:
    message = Client(keyring).encrypt(b"text").ciphertext
    with caching(keyring) as lower, caching(lower) as upper:
        client = Client(materials_manager=upper)
        for _ in range(5):
            client.decrypt(message)

    # Without the upper one, the lower one would have saved them.
    assert (upper.usage().kms_calls, upper.usage().kms_calls_saved) == ({"Decrypt": 1}, {})
    assert lower.usage().decrypt == ScopeUsage(loaded=1)


def test_a_keyring_without_a_kms_makes_and_saves_no_calls() -> None:
    with caching(RawAesKeyring("tests", "key", bytes(32))) as manager:
        for _ in range(4):
            manager.get_encryption_materials(REQUEST)

        usage = manager.usage()

    assert (usage.encrypt.messages, usage.kms_calls, usage.kms_calls_saved) == (4, {}, {})


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST._replace(plaintext_length=None),
        REQUEST._replace(plaintext_length=11),
        REQUEST._replace(algorithm_suite=NO_KDF, commitment_policy=CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT),
    ],
    ids=["length unknown", "over the limit of bytes", "suite without a key derivation"],
)
def test_what_must_not_be_cached_counts_as_bypassed_with_its_calls(
    keyring: KmsKeyring, request_: EncryptionRequest
) -> None:
    with caching(keyring, max_bytes=10) as manager:
        for _ in range(3):
            manager.get_encryption_materials(request_)

        usage = manager.usage()

    assert usage.encrypt == ScopeUsage(bypassed=3)
    assert (usage.kms_calls, usage.kms_calls_saved) == ({"GenerateDataKey": 3}, {})


def test_messages_without_a_key_derivation_are_bypassed_when_decrypted_too(keyring: KmsKeyring) -> None:
    with caching(keyring) as manager:
        policy = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
        client = Client(materials_manager=manager, algorithm_suite=NO_KDF, commitment_policy=policy)
        message = client.encrypt(b"text").ciphertext
        client.decrypt(message)
        client.decrypt(message)

        usage = manager.usage()

    assert (usage.encrypt, usage.decrypt) == (ScopeUsage(bypassed=1), ScopeUsage(bypassed=2))


def test_messages_that_fail_count_with_the_calls_that_failed(kms: LocalKms, key: str, keyring: KmsKeyring) -> None:
    message = Client(keyring).encrypt(b"text").ciphertext
    kms.disable_key(KeyId=key)
    with caching(keyring) as manager:
        client = Client(materials_manager=manager)
        for _ in range(2):
            with pytest.raises(KmsAccessError):
                client.encrypt(b"text")
        with pytest.raises(NoMatchingKeyError):
            client.decrypt(message)

        usage = manager.usage()

    assert (usage.encrypt, usage.decrypt) == (ScopeUsage(failed=2), ScopeUsage(failed=1))
    assert (usage.kms_calls, usage.kms_calls_saved) == ({"Decrypt": 1, "GenerateDataKey": 2}, {})


def test_a_message_that_its_policy_forbids_has_failed_without_a_call(keyring: KmsKeyring) -> None:
    with caching(keyring) as manager:
        with pytest.raises(CommitmentPolicyError):
            manager.get_encryption_materials(REQUEST._replace(algorithm_suite=NO_KDF))

        usage = manager.usage()

    assert (usage.encrypt, usage.kms_calls) == (ScopeUsage(failed=1), {})


def test_a_snapshot_stays_as_it_was(keyring: KmsKeyring) -> None:
    with caching(keyring) as manager:
        manager.get_encryption_materials(REQUEST)
        before = manager.usage()
        manager.get_encryption_materials(REQUEST)

        assert before.encrypt.messages == 1
        assert manager.usage().encrypt.messages == 2


def test_closing_keeps_the_figures(keyring: KmsKeyring) -> None:
    with caching(keyring) as manager:
        manager.get_encryption_materials(REQUEST)

    assert manager.usage().encrypt.loaded == 1


# --- many threads ----------------------------------------------------------------------------------------------------


def test_64_threads_lose_no_message_and_no_call(keyring: KmsKeyring) -> None:
    each, threads = 100, 64
    events = Events()
    with caching(keyring, max_messages=10, on_event=events) as manager, counted_calls():
        start = threading.Barrier(threads)

        def work(_: int) -> int:
            start.wait()
            with counted_calls() as calls:
                for _ in range(each):
                    manager.get_encryption_materials(REQUEST)
            return calls.total()

        with ThreadPoolExecutor(threads) as pool:
            made = sum(pool.map(work, range(threads)))

        usage = manager.usage()

    assert usage.encrypt.messages == each * threads
    assert usage.encrypt.failed == usage.encrypt.bypassed == 0
    assert usage.kms_calls == {"GenerateDataKey": made}
    # Whoever loaded a key, one message is the first to use it.
    assert usage.encrypt.loaded == each * threads // 10 == made
    assert usage.kms_calls_saved == {"GenerateDataKey": usage.encrypt.reused}
    assert len(events) == usage.encrypt.messages
    assert sum(event.kms_calls.get("GenerateDataKey", 0) for event in events) == made


def test_snapshots_taken_meanwhile_fit_together(keyring: KmsKeyring) -> None:
    manager = caching(keyring, max_messages=7)
    done = threading.Event()
    seen: list[MaterialsUsage] = []

    def watch() -> None:
        while not done.is_set():
            seen.append(manager.usage())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: manager.get_encryption_materials(REQUEST), range(3000)))
    done.set()
    watcher.join()

    seen.append(manager.usage())
    counts = [usage.encrypt.messages for usage in seen]
    assert counts == sorted(counts)
    assert counts[-1] == 3000
    for usage in seen:
        assert usage.kms_calls_saved.get("GenerateDataKey", 0) == usage.encrypt.reused


# --- loads ahead of need ---------------------------------------------------------------------------------------------


class Refreshing:
    """A cache of one value, which another thread replaces before each later loan; the older one is lent meanwhile."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.usage_now: CacheUsage | None = None

    @contextmanager
    def borrow(self, identifier: bytes, load: Callable[[], Any], **options: Any) -> Generator[Any]:
        if not self.kept:
            self.kept.append(load())
            yield self.kept[0]
            return
        lent = self.kept[0]
        thread = threading.Thread(target=self._replace, args=(load,))
        thread.start()
        thread.join()
        yield lent

    def _replace(self, load: Callable[[], Any]) -> None:
        with suppress(KmsAccessError):
            self.kept[0] = load()

    def discard(self, identifier: bytes, value: object) -> None:
        raise AssertionError

    clear = close = lambda self: None

    def usage(self) -> CacheUsage | None:
        return self.usage_now


def test_loads_ahead_of_need_are_no_messages_but_their_calls_were_made(keyring: KmsKeyring) -> None:
    events = Events()
    manager = caching(keyring, cache=Refreshing(), on_event=events)
    for _ in range(3):
        manager.get_encryption_materials(REQUEST)

    usage = manager.usage()
    assert events.kinds() == [
        "encrypt loaded",
        "encrypt refreshed",
        "encrypt reused",
        "encrypt refreshed",
        # The first to use what the first refresh brought.
        "encrypt loaded",
    ]
    assert usage.encrypt == ScopeUsage(reused=1, loaded=2, refreshed=2)
    assert usage.kms_calls == {"GenerateDataKey": 3}
    assert usage.kms_calls_saved == {"GenerateDataKey": 1}
    assert [event.kms_calls for event in events] == [{"GenerateDataKey": 1}] * 2 + [{}, {"GenerateDataKey": 1}, {}]


def test_a_refresh_that_fails_has_made_its_calls_all_the_same(kms: LocalKms, key: str, keyring: KmsKeyring) -> None:
    manager = caching(keyring, cache=Refreshing())
    manager.get_encryption_materials(REQUEST)
    kms.disable_key(KeyId=key)
    manager.get_encryption_materials(REQUEST)

    usage = manager.usage()
    assert usage.encrypt == ScopeUsage(reused=1, loaded=1, refreshed=1)
    assert (usage.kms_calls, usage.kms_calls_saved) == ({"GenerateDataKey": 2}, {"GenerateDataKey": 1})


def test_the_figures_of_the_cache_come_with_it(keyring: KmsKeyring) -> None:
    cache = Refreshing()
    cache.usage_now = CacheUsage(hits=5)

    assert caching(keyring, cache=cache).usage().cache == CacheUsage(hits=5)


@pytest.mark.parametrize("usage", [lambda: "17 megabytes", {"bytes": 17}], ids=["another-method", "no-method"])
def test_what_a_cache_of_others_calls_usage_may_be_anything(usage: Any, keyring: KmsKeyring) -> None:
    class Another(Refreshing):
        pass

    Another.usage = staticmethod(usage) if callable(usage) else usage  # type: ignore[method-assign]

    assert caching(keyring, cache=Another()).usage() == MaterialsUsage()


def test_a_forked_child_counts_its_own_messages_only() -> None:
    manager = caching(RawAesKeyring("namespace", "name", bytes(range(32))))
    for _ in range(3):
        manager.get_encryption_materials(REQUEST)

    def counted() -> bool:
        begun_at_nothing = manager.usage() == MaterialsUsage(cache=CacheUsage())
        manager.get_encryption_materials(REQUEST)
        # Its cache was empty.
        return begun_at_nothing and manager.usage().encrypt == ScopeUsage(loaded=1)

    assert in_child(counted) == 0
    assert manager.usage().encrypt == ScopeUsage(loaded=1, reused=2)


@pytest.mark.parametrize("position", range(1, 12))
def test_a_signal_handler_may_fork_while_figures_are_added_up(position: int) -> None:
    recorder, places, home = Recorder(), iter(range(1, 1000)), os.getpid()
    children: list[int] = []

    class Interrupted(KmsCalls):
        __slots__ = ()

        def __hash__(self) -> int:
            if next(places) == position:
                children.append(os.fork())
            return super().__hash__()

    for _ in range(10):
        recorder.note(MaterialsEventKind.REUSED, ENCRYPT, KmsCalls(), Interrupted(), 0.0)
    try:
        messages = recorder.usage().encrypt.messages
        if os.getpid() != home:
            # What was interrupted is still the parent's.
            os._exit(0 if recorder.usage().encrypt.messages <= 1 else 1)
    finally:
        if os.getpid() != home:
            os._exit(2)

    assert messages == 10
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0]


# --- the hook --------------------------------------------------------------------------------------------------------


def test_the_hook_is_told_of_each_message(kms: LocalKms, key: str, keyring: KmsKeyring) -> None:
    events = Events()
    with caching(keyring, on_event=events) as manager:
        client = Client(materials_manager=manager)
        message = client.encrypt(b"text").ciphertext
        client.encrypt(b"text")
        client.decrypt(message)
        manager.get_encryption_materials(REQUEST._replace(plaintext_length=None))
        kms.disable_key(KeyId=key)
        with pytest.raises(KmsAccessError):
            client.encrypt(b"text", encryption_context={"another": "one"})

    assert events.kinds() == [
        "encrypt loaded",
        "encrypt reused",
        "decrypt loaded",
        "encrypt bypassed",
        "encrypt failed",
    ]
    assert [(event.kms_calls, event.kms_calls_saved) for event in events] == [
        ({"GenerateDataKey": 1}, {}),
        ({}, {"GenerateDataKey": 1}),
        ({"Decrypt": 1}, {}),
        ({"GenerateDataKey": 1}, {}),
        ({"GenerateDataKey": 1}, {}),
    ]


def test_a_hook_that_fails_is_logged_and_breaks_nothing(keyring: KmsKeyring, caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: MaterialsEvent) -> None:
        raise RuntimeError("of the hook")

    with caching(keyring, on_event=hook) as manager:
        client = Client(materials_manager=manager)
        with caplog.at_level(logging.ERROR):
            message = client.encrypt(b"text").ciphertext
            opened = client.decrypt(message).plaintext

        usage = manager.usage()

    assert opened == b"text"
    assert [(record.name, record.exc_info and str(record.exc_info[1])) for record in caplog.records] == [
        ("envelope_sdk.managers", "of the hook")
    ] * 2
    assert (usage.encrypt.messages, usage.decrypt.messages) == (1, 1)


def test_a_hook_may_use_the_manager_itself(keyring: KmsKeyring) -> None:
    seen: list[int] = []

    def hook(event: MaterialsEvent) -> None:
        seen.append(manager.usage().encrypt.messages)
        if len(seen) < 3:
            manager.get_encryption_materials(REQUEST)

    manager = caching(keyring, on_event=hook)
    manager.get_encryption_materials(REQUEST)

    assert seen == [1, 2, 3]


def test_events_say_how_long_the_message_waited() -> None:
    times = iter([10.0, 12.5, 20.0, 20.25])
    events = Events()
    recorder = Recorder(events, lambda: next(times))

    Asked(recorder, ENCRYPT).served(None)
    Asked(recorder, DECRYPT).failed()

    assert [event.seconds for event in events] == [2.5, 0.25]


def test_without_a_hook_nobody_looks_at_the_clock() -> None:
    def clock() -> float:
        raise AssertionError

    recorder = Recorder(None, clock)
    Asked(recorder, ENCRYPT).served(None)

    assert recorder.usage().encrypt.loaded == 1


def test_a_request_ends_once() -> None:
    recorder = Recorder()
    asked = Asked(recorder, ENCRYPT)
    asked.served(None)
    asked.failed()

    assert recorder.usage().encrypt == ScopeUsage(loaded=1)


def test_more_notes_than_are_kept_apart_are_all_counted() -> None:
    recorder = Recorder()
    saved = KmsCalls((("Decrypt", 2),), (("requests", 2),))
    for _ in range(5000):
        Asked(recorder, DECRYPT).served(saved)

    assert recorder.usage().decrypt.reused == 5000
    assert recorder.usage().kms_calls_saved == {"Decrypt": 10_000}


# --- money -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(1, 25))
def test_a_signal_handler_that_asks_for_the_figures_while_they_are_added_up_loses_none(position: int) -> None:
    recorder, places = Recorder(), iter(range(1, 1000))

    class Interrupted(KmsCalls):
        """A handler comes where Python looks at it."""

        __slots__ = ()

        def __hash__(self) -> int:
            if next(places) == position:
                assert recorder.usage().encrypt.messages <= 10
            return super().__hash__()

    for _ in range(10):
        recorder.note(MaterialsEventKind.REUSED, ENCRYPT, KmsCalls(), Interrupted(), 0.0)

    assert recorder.usage().encrypt.messages == 10
    assert recorder.usage().encrypt.messages == 10


def test_saved_calls_have_a_price(keyring: KmsKeyring) -> None:
    with caching(keyring) as manager:
        for _ in range(11):
            manager.get_encryption_materials(REQUEST)

        usage = manager.usage()

    assert usage.dollars() == Decimal("0.000003")
    assert usage.dollars_saved() == Decimal("0.00003")
    assert usage.dollars_saved({"requests": Decimal(5)}) == Decimal("0.005")


def test_calls_that_cost_more_save_more() -> None:
    recorder = Recorder()
    saved = KmsCalls((("DeriveSharedSecret", 1),), (("asymmetric requests", 1),))
    Asked(recorder, DECRYPT).served(saved)

    assert recorder.usage().kms_calls_saved_by_price == {"asymmetric requests": 1}
    assert recorder.usage().dollars_saved() == Decimal("0.000015")


def test_figures_cannot_be_changed_by_who_reads_them(keyring: KmsKeyring) -> None:
    usage: Any = caching(keyring).usage()

    with pytest.raises(TypeError):
        usage.kms_calls["Decrypt"] = 1


@pytest.mark.parametrize("way", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
def test_figures_can_be_copied_and_told_to_another_process(way: Callable[[Any], Any], keyring: KmsKeyring) -> None:
    manager = caching(keyring)
    for _ in range(2):
        manager.get_encryption_materials(REQUEST)
    usage = manager.usage()
    other = way(usage)

    assert other == usage
    assert type(other) is MaterialsUsage
    with pytest.raises(TypeError):
        other.kms_calls["GenerateDataKey"] = 0


def test_kinds_are_words_for_labels() -> None:
    assert [kind.value for kind in MaterialsEventKind] == ["reused", "loaded", "bypassed", "failed", "refreshed"]
