"""While KMS throttles: what is cached goes on, what is not fails in a way that says so, and nothing stampedes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest
from testkit.simulated import Simulation
from testkit.throttling import Switch, together

from envelope_sdk import Client
from envelope_sdk.errors import KmsPacingError, KmsUnavailableError
from envelope_sdk.keyrings import HierarchicalKeyring, KmsDiscoveryKeyring, KmsKeyring, MultiKeyring, Pacer
from envelope_sdk.keyrings.hierarchical import BranchKeyStore, KmsKeyArn, SqliteStorage
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.quotas import LocalBuckets, RequestQuotas
from envelope_sdk.managers import CachingMaterialsManager

THREADS = 64
SYMMETRIC = "Cryptographic operations (symmetric)"
SECOND = 1_000_000_000


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def throttle() -> Switch:
    return Switch()


@pytest.fixture
def kms(throttle: Switch) -> Generator[LocalKms]:
    with LocalKms.in_memory(quotas=RequestQuotas(buckets=throttle)) as kms:
        yield kms


@pytest.fixture
def arn(kms: LocalKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(kms: LocalKms, arn: str, clock: Clock) -> Generator[Client]:
    with CachingMaterialsManager(KmsKeyring(kms, arn), max_age_seconds=60, clock=clock) as manager:
        yield Client(materials_manager=manager)


def messages_of(client: Client, *teams: str) -> list[bytes]:
    return [client.encrypt(b"text", encryption_context={"team": team}).ciphertext for team in teams]


# --- cached and not cached --------------------------------------------------------------------------------------------


def test_messages_whose_data_key_is_cached_go_on(client: Client, throttle: Switch) -> None:
    (before,) = messages_of(client, "red")
    assert client.decrypt(before).plaintext == b"text"
    throttle.on = True
    asked = throttle.asked
    messages = messages_of(client, *["red"] * 50)

    assert [client.decrypt(message).plaintext for message in [before, *messages]] == [b"text"] * 51
    assert throttle.asked == asked


@pytest.mark.parametrize("operation", ["GenerateDataKey", "Decrypt"])
def test_one_whose_data_key_is_not_fails_and_may_be_tried_again(
    operation: str, kms: LocalKms, arn: str, client: Client, throttle: Switch
) -> None:
    (message,) = messages_of(Client(KmsKeyring(kms, arn)), "red")
    throttle.on = True
    work = partial(client.decrypt, message) if operation == "Decrypt" else partial(messages_of, client, "red")
    with pytest.raises(KmsUnavailableError) as caught:
        work()
    error = caught.value

    assert (error.operation, error.code, error.retryable) == (operation, "ThrottlingException", True)
    assert arn in str(error)
    assert "cache data keys" in " ".join(error.__notes__)
    throttle.on = False
    assert client.decrypt(messages_of(client, "red")[0]).plaintext == b"text"
    assert client.decrypt(message).plaintext == b"text"


def test_a_data_key_past_its_time_is_not_used_however_long_kms_throttles(
    client: Client, throttle: Switch, clock: Clock
) -> None:
    (message,) = messages_of(client, "red")
    client.decrypt(message)
    throttle.on = True
    clock.now += 60
    for _ in range(3):
        with pytest.raises(KmsUnavailableError):
            messages_of(client, "red")
        with pytest.raises(KmsUnavailableError):
            client.decrypt(message)
        clock.now += 1000


def test_a_quota_of_tokens_lets_the_next_key_through_when_there_is_one_again() -> None:
    time = Simulation()
    quotas = RequestQuotas(rates={SYMMETRIC: 2}, buckets=LocalBuckets(time.clock))
    with LocalKms.in_memory(quotas=quotas) as kms:
        keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
        with CachingMaterialsManager(keyring, max_age_seconds=60) as manager:
            client = Client(materials_manager=manager)
            messages_of(client, "red", "green")
            with pytest.raises(KmsUnavailableError):
                messages_of(client, "blue")
            messages_of(client, "red", "green", "red")
            time.now += SECOND // 2

            messages_of(client, "blue")
            with pytest.raises(KmsUnavailableError):
                messages_of(client, "white")


# --- nothing stampedes ------------------------------------------------------------------------------------------------


class Watched:
    """A KMS client that counts the calls that are under way at one time."""

    def __init__(self, kms: LocalKms) -> None:
        self.most = 0
        self._kms = kms
        self._now = 0
        self._lock = threading.Lock()

    def generate_data_key(self, **parameters: Any) -> Any:
        return self._watch(self._kms.generate_data_key, parameters)

    def encrypt(self, **parameters: Any) -> Any:
        return self._watch(self._kms.encrypt, parameters)

    def decrypt(self, **parameters: Any) -> Any:
        return self._watch(self._kms.decrypt, parameters)

    def _watch(self, method: Callable[..., Any], parameters: dict[str, Any]) -> Any:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            return method(**parameters)
        finally:
            with self._lock:
                self._now -= 1


def root_of(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@pytest.mark.parametrize("operation", ["GenerateDataKey", "Decrypt"])
def test_many_threads_that_want_one_key_ask_once_at_a_time_and_share_each_failure(
    operation: str, kms: LocalKms, arn: str, throttle: Switch
) -> None:
    (message,) = messages_of(Client(KmsKeyring(kms, arn)), "red")
    watched = Watched(kms)
    with CachingMaterialsManager(KmsKeyring(watched, arn), max_age_seconds=60) as manager:
        client = Client(materials_manager=manager)
        work = (lambda: client.decrypt(message)) if operation == "Decrypt" else (lambda: client.encrypt(b"text"))
        throttle.on = True
        before = throttle.asked
        failures = together([work] * THREADS)
        calls = throttle.asked - before

        assert {type(failure) for failure in failures} == {KmsUnavailableError}
        assert watched.most == 1
        # As many failures as calls, and not one more, however many callers they were told to; none of them twice.
        causes = {id(root_of(failure)) for failure in failures if isinstance(failure, Exception)}
        assert len(causes) <= calls <= THREADS
        assert len({id(failure) for failure in failures}) == THREADS
        if operation == "GenerateDataKey":
            assert len(causes) == calls
        throttle.on = False
        before = throttle.asked
        assert not any(isinstance(result, Exception) for result in together([work] * THREADS))
        assert throttle.asked - before == 1


def test_threads_that_want_a_key_each_make_one_call_each(client: Client, throttle: Switch) -> None:
    throttle.on = True
    before = throttle.asked
    works = [lambda team=str(number): messages_of(client, team) for number in range(THREADS)]

    assert {type(failure) for failure in together(works)} == {KmsUnavailableError}
    assert throttle.asked - before == THREADS


@pytest.mark.parametrize("seed", range(3))
def test_with_a_kms_that_throttles_at_random_each_key_is_made_once_all_the_same(seed: int) -> None:
    chance = random.Random(seed)
    throttle = Switch(lambda: chance.random() < 0.3)
    codes: set[str] = set()

    def until_it_works(client: Client, team: str) -> None:
        while True:
            try:
                messages_of(client, team)
            except KmsUnavailableError as error:
                codes.add(error.code)
            else:
                return

    with LocalKms.in_memory(quotas=RequestQuotas(buckets=throttle)) as kms:
        keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
        with CachingMaterialsManager(keyring, max_age_seconds=60) as manager:
            client = Client(materials_manager=manager)

            def work(number: int) -> None:
                for turn in range(8):
                    until_it_works(client, str((number + turn) % 4))

            throttle.on = True
            before = throttle.passed
            results = together([partial(work, number) for number in range(16)])

    assert results == [None] * 16
    assert throttle.passed - before == 4
    assert codes <= {"ThrottlingException"}


# --- with a pacer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pace", [20, 40])
def test_at_a_pace_below_the_quota_kms_never_throttles(pace: float) -> None:
    time = Simulation()
    quotas = RequestQuotas(rates={SYMMETRIC: 20}, buckets=LocalBuckets(time.clock))
    with LocalKms.in_memory(quotas=quotas) as kms:
        pacer = Pacer(pace, burst=1, max_wait_seconds=60, clock=time.clock, wait=time.wait)
        keyring = KmsKeyring(pacer.paced(kms), kms.create_key()["KeyMetadata"]["Arn"])
        client = Client(keyring)
        for number in range(60):
            time.at(0, partial(messages_of, client, str(number)))
        errors = time.run()

    throttled = [error for error in errors if isinstance(error, KmsUnavailableError)]
    assert (len(throttled) == 0) is (pace <= 20)
    assert time.now == pytest.approx(59 / pace * SECOND, rel=0.001)


def test_a_pacer_that_refuses_leaves_what_is_cached_alone(kms: LocalKms, arn: str) -> None:
    pacer = Pacer(0.001, burst=2, max_wait_seconds=0)
    with CachingMaterialsManager(KmsKeyring(pacer.paced(kms), arn), max_age_seconds=60) as manager:
        client = Client(materials_manager=manager)
        messages = messages_of(client, "red")
        client.decrypt(messages[0])
        for _ in range(10):
            messages += messages_of(client, "red")

        assert {client.decrypt(message).plaintext for message in messages} == {b"text"}
        with pytest.raises(KmsPacingError):
            messages_of(client, "blue")


# --- other keyrings ---------------------------------------------------------------------------------------------------


def test_each_key_that_was_asked_for_is_told(kms: LocalKms, arn: str, throttle: Switch, tmp_path: Any) -> None:
    other = str(kms.create_key()["KeyMetadata"]["Arn"])
    both = MultiKeyring(KmsKeyring(kms, arn), [KmsKeyring(kms, other)])
    store = BranchKeyStore(SqliteStorage(tmp_path / "keys.db"), kms, logical_name="keys", kms_key=KmsKeyArn(arn))
    branch_key = store.create_key()
    message = Client(both).encrypt(b"text").ciphertext
    with HierarchicalKeyring(store, branch_key, ttl_seconds=60) as hierarchical:
        branch_message = Client(hierarchical).encrypt(b"text").ciphertext
    throttle.on = True
    with HierarchicalKeyring(store, branch_key, ttl_seconds=60) as hierarchical:
        works: list[tuple[Callable[[], Any], list[str]]] = [
            (lambda: Client(both).encrypt(b"x"), ["KMS GenerateDataKey answered Throttling", arn]),
            (lambda: Client(both).decrypt(message), ["cannot be opened for now", arn, other]),
            (lambda: Client(KmsDiscoveryKeyring(kms)).decrypt(message), ["cannot be opened for now", arn, other]),
            (lambda: Client(hierarchical).encrypt(b"x"), ["KMS Decrypt answered Throttling", arn]),
            (
                lambda: Client(hierarchical).decrypt(branch_message),
                [f"HierarchicalKeyring('keys', '{branch_key}')", arn],
            ),
        ]
        for work, said in works:
            with pytest.raises(KmsUnavailableError) as caught:
                work()

            assert caught.value.code == "ThrottlingException"
            assert [part for part in said if part not in str(caught.value)] == []
            assert len(caught.value.__notes__) == 1
