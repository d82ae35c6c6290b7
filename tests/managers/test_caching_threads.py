"""Many threads, one data key: as many calls of KMS as the limits imply, whatever KMS does meanwhile."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from testkit.contracts import aes, caching
from testkit.managers import Asked, CountedKms

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptionContext
from envelope_sdk.client import EncryptResult
from envelope_sdk.errors import KmsError, KmsServiceError, KmsUnavailableError
from envelope_sdk.keyrings import KmsKeyring
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.quotas import Latency, LocalBuckets, RequestQuotas
from envelope_sdk.materials import EncryptionMaterials, EncryptionRequest

THREADS = 64
MESSAGES = 10_000
LIMIT = 300
LOADS = 34
"""10,000 messages, 300 to a data key."""

TENANTS = ["a", "b", "c", "d"]

Work = Callable[[int], Any]


@pytest.fixture(autouse=True)
def switching_often() -> Generator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(2e-5)
    yield
    sys.setswitchinterval(usual)


def together(work: Work, numbers: Iterable[int] = range(MESSAGES)) -> list[Any]:
    """Return what ``work`` returns for each number, done by all threads at once."""
    start = threading.Barrier(THREADS)
    numbers = list(numbers)

    def share(first: int) -> list[tuple[int, Any]]:
        start.wait()
        return [(number, work(number)) for number in numbers[first::THREADS]]

    with ThreadPoolExecutor(THREADS) as pool:
        done = [pair for pairs in pool.map(share, range(THREADS)) for pair in pairs]
    return [result for _, result in sorted(done, key=lambda pair: pair[0])]


@contextmanager
def counted(before: Callable[[str], object] = lambda _operation: None, **options: Any) -> Generator[Any]:
    """Yield a KMS that counts, and a keyring over it."""
    with LocalKms.in_memory(**options) as kms:
        key = kms.create_key()["KeyMetadata"]["Arn"]
        client = CountedKms(kms, before)
        yield client, KmsKeyring(client, key)


def text(number: int) -> bytes:
    return f"message {number}".encode()


def keys_of(results: Iterable[EncryptResult]) -> Counter[bytes]:
    """Return how many messages there are of each data key."""
    return Counter(result.header.encrypted_data_keys[0].ciphertext for result in results)


def check_read(client: Client, results: list[EncryptResult], contexts: Callable[[int], dict[str, str]]) -> None:
    def read(number: int) -> None:
        found = client.decrypt(results[number].ciphertext, encryption_context=contexts(number))

        assert found.plaintext == text(number)
        assert found.header.encryption_context == contexts(number)

    together(read)


@pytest.mark.slow
def test_there_are_exactly_as_many_calls_as_the_limit_of_messages_implies():
    with counted() as (kms, keyring), caching(keyring, max_messages=LIMIT) as manager:
        client = Client(materials_manager=manager)
        results = together(lambda number: client.encrypt(text(number)))

        assert kms.calls == {"GenerateDataKey": LOADS}
        assert sorted(keys_of(results).values()) == [100] + [LIMIT] * (LOADS - 1)

        check_read(client, results, lambda _number: {})
        assert kms.calls == {"GenerateDataKey": LOADS, "Decrypt": LOADS}


@pytest.mark.slow
def test_there_are_exactly_as_many_calls_as_the_limit_of_bytes_implies():
    # 1,000 bytes are three messages of 300 and not a byte of a fourth.
    with counted() as (kms, keyring), caching(keyring, max_bytes=1000) as manager:
        client = Client(materials_manager=manager)
        results = together(lambda _number: client.encrypt(bytes(300)), range(3000))

        assert kms.calls == {"GenerateDataKey": 1000}
        assert set(keys_of(results).values()) == {3}


def test_messages_of_any_length_never_overrun_the_limit_of_bytes():
    lengths = [random.Random(number).randrange(120) for number in range(4000)]
    manager = caching(aes(), max_bytes=1000, max_messages=30)
    policy, suite = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT, AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY

    def take(number: int) -> bytes | None:
        request = EncryptionRequest(EncryptionContext(), policy, suite, lengths[number])
        return manager.get_encryption_materials(request).plaintext_data_key

    used: Counter[bytes | None] = Counter()
    keys = together(take, range(4000))
    for key, length in zip(keys, lengths, strict=True):
        used[key] += length

    assert max(used.values()) <= 1000
    assert max(Counter(keys).values()) <= 30


@pytest.mark.slow
def test_contexts_are_never_mixed_up():
    def context(number: int) -> dict[str, str]:
        return {"tenant": TENANTS[number % len(TENANTS)]}

    with counted() as (kms, keyring), caching(keyring, max_messages=LIMIT) as manager:
        client = Client(materials_manager=manager)
        results = together(lambda number: client.encrypt(text(number), encryption_context=context(number)))

        # 2,500 messages of each of four tenants.
        assert kms.calls == {"GenerateDataKey": 4 * 9}
        owners = {(result.header.encrypted_data_keys, result.header.encryption_context["tenant"]) for result in results}
        assert len(owners) == 4 * 9
        assert all(result.header.encryption_context == context(number) for number, result in enumerate(results))
        check_read(client, results, context)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_with_a_kms_that_fails_at_random_only_its_failures_are_calls_more(seed: int):
    failures: list[str] = []
    chance, lock = random.Random(seed), threading.Lock()

    def fail(operation: str) -> None:
        with lock:
            if chance.random() < 0.4:
                failures.append(len(failures))
                raise KmsServiceError(
                    "KMSInternalException", f"failure {failures[-1]}", operation=operation, status=500
                )

    seen: dict[int, list[str]] = {thread: [] for thread in range(THREADS)}

    def stubborn(work: Callable[[], Any], thread: int) -> Any:
        while True:
            try:
                return work()
            except KmsError as error:
                seen[thread].append(str(error))

    with counted(fail) as (kms, keyring), caching(keyring, max_messages=LIMIT) as manager:
        client = Client(materials_manager=manager)
        results = together(lambda number: stubborn(lambda: client.encrypt(text(number)), number % THREADS))

        assert kms.granted == {"GenerateDataKey": LOADS}
        assert kms.calls["GenerateDataKey"] == LOADS + len(failures)
        assert sorted(keys_of(results).values()) == [100] + [LIMIT] * (LOADS - 1)
        assert failures
        # Whoever waited for a load hears of its failure once, and asks anew.
        assert all(len(heard) == len(set(heard)) for heard in seen.values())
        assert any("failure 0" in each for heard in seen.values() for each in heard)

        written = len(failures)
        texts = together(
            lambda number: stubborn(lambda: client.decrypt(results[number].ciphertext), number % THREADS).plaintext
        )
        assert texts == [text(number) for number in range(MESSAGES)]
        assert kms.granted["Decrypt"] == LOADS
        assert kms.calls["Decrypt"] == LOADS + len(failures) - written


@pytest.mark.slow
def test_with_a_kms_that_throttles_cached_messages_go_on_and_the_rest_may_be_tried_again():
    ticks, lock, refusals = [0], threading.Lock(), set[tuple[str, bool]]()
    quotas = RequestQuotas(rates={"Cryptographic operations (symmetric)": 4}, buckets=LocalBuckets(lambda: ticks[0]))

    def patient(work: Callable[[], Any]) -> Any:
        while True:
            try:
                return work()
            except KmsUnavailableError as error:
                with lock:
                    refusals.add((error.code, error.retryable))
                    ticks[0] += 10**8

    with counted(quotas=quotas) as (kms, keyring), caching(keyring, max_messages=LIMIT) as manager:
        client = Client(materials_manager=manager)
        results = together(lambda number: patient(lambda: client.encrypt(text(number))))

        assert kms.granted == {"GenerateDataKey": LOADS}
        assert kms.calls["GenerateDataKey"] > LOADS
        assert refusals == {("ThrottlingException", True)}
        assert sorted(keys_of(results).values()) == [100] + [LIMIT] * (LOADS - 1)
        texts = together(lambda number: patient(lambda: client.decrypt(results[number].ciphertext)).plaintext)
        assert texts == [text(number) for number in range(MESSAGES)]
        assert kms.granted["Decrypt"] == LOADS


def test_while_a_kms_takes_200_ms_everybody_waits_for_one_call():
    """The call returns when all the others have asked."""
    others, calling = threading.Semaphore(0), threading.Event()

    def sleep(seconds: float) -> None:
        assert seconds == 0.2
        calling.set()
        for _ in range(THREADS - 1):
            assert others.acquire(timeout=20)

    class Arriving(Asked):
        def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
            if calling.is_set():
                others.release()
            return super().get_encryption_materials(request)

    with LocalKms.in_memory() as kms:
        key = kms.create_key()["KeyMetadata"]["Arn"]
        slow = CountedKms(kms, lambda _operation: Latency(0.2, sleep=sleep).wait())
        manager = caching(KmsKeyring(slow, key), max_messages=THREADS)
        client = Client(materials_manager=Arriving(manager))
        with ThreadPoolExecutor(THREADS) as pool:
            done = [pool.submit(client.encrypt, text(0))]
            assert calling.wait(20)
            done += [pool.submit(client.encrypt, text(number)) for number in range(1, THREADS)]
            results = [future.result() for future in done]

    assert slow.calls == {"GenerateDataKey": 1}
    assert set(keys_of(results).values()) == {THREADS}


@pytest.mark.slow
def test_a_signal_handler_that_encrypts_waits_for_nobody_and_overruns_nothing():
    asked = Asked(aes())
    client = Client(materials_manager=caching(asked, max_messages=10))
    results: list[EncryptResult] = []

    def handle(_number: int, _frame: object) -> None:
        results.append(client.encrypt(b"from the handler"))

    before = signal.signal(signal.SIGALRM, handle)
    try:
        while len(results) < 3000:
            # One at a time: where encrypting takes long, handlers would interrupt each other for ever.
            signal.setitimer(signal.ITIMER_REAL, len(results) % 20 * 1e-5 + 1e-6)
            results.append(client.encrypt(b"from the program"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert max(keys_of(results).values()) <= 10
    assert len(results) / 10 <= len(asked.to_encrypt) <= len(results)
