"""Values are replaced before their time is up: by one borrower, while all others are lent what is kept."""

from __future__ import annotations

import gc
import itertools
import os
import queue
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from testkit.interrupts import handled_at
from testkit.processes import in_child

from envelope_sdk.cache.local import LocalCache
from envelope_sdk.cache.settings import InFlight, Refresh
from envelope_sdk.errors import KmsUnavailableError, UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.keyrings import KmsKeyring
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import CachingMaterialsManager
from envelope_sdk.materials import EncryptionRequest
from envelope_sdk.policy import CommitmentPolicy

TTL = 60.0
NEAR_THE_END = 55.0
"""Six seconds of sixty are the last tenth."""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Loader:
    """Makes keys, counts, and fails when it is told to."""

    def __init__(self) -> None:
        self.made: list[bytearray] = []
        self.calls = 0
        self.fails = False

    def __call__(self) -> bytearray:
        self.calls += 1
        if self.fails:
            raise KmsUnavailableError("no", operation="Decrypt", code="ThrottlingException")
        self.made.append(bytearray(b"key %d" % len(self.made)))
        return self.made[-1]

    @property
    def wiped(self) -> list[bool]:
        return [not any(key) for key in self.made]


def wipe(value: bytearray) -> None:
    value[:] = bytes(len(value))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def load() -> Loader:
    return Loader()


@pytest.fixture
def cache(clock: Clock) -> LocalCache:
    return LocalCache(clock=clock)


def take(cache: LocalCache, load: Callable[[], bytearray], ttl: float = TTL, name: bytes = b"a") -> bytes:
    with cache.borrow(name, load, ttl_seconds=ttl, wipe=wipe) as value:
        return bytes(value)


# --- when -------------------------------------------------------------------------------------------------------------


def test_a_value_is_replaced_in_the_last_tenth_of_its_time(cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load)
    clock.now += 53.9
    assert take(cache, load) == b"key 0"

    clock.now += 0.2
    assert take(cache, load) == b"key 1"
    assert load.wiped == [True, False]


def test_a_value_of_long_life_is_replaced_in_its_last_ten_seconds(
    cache: LocalCache, clock: Clock, load: Loader
) -> None:
    take(cache, load, 1000)
    clock.now += 989
    assert take(cache, load, 1000) == b"key 0"

    clock.now += 1
    assert take(cache, load, 1000) == b"key 1"


def test_each_borrower_s_own_limit_says_when(cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load, 1000)
    clock.now += NEAR_THE_END

    assert take(cache, load, 1000) == b"key 0"
    assert take(cache, load, TTL) == b"key 1"


def test_nothing_is_replaced_ahead_of_time_where_that_is_turned_off(clock: Clock, load: Loader) -> None:
    cache = LocalCache(refresh=None, clock=clock)
    take(cache, load)
    clock.now += TTL - 0.001

    assert take(cache, load) == b"key 0"


def test_the_replacement_s_time_begins_with_its_own_load(cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load)
    clock.now += NEAR_THE_END
    take(cache, load)
    clock.now += NEAR_THE_END - 5

    assert take(cache, load) == b"key 1"


# --- failures ---------------------------------------------------------------------------------------------------------


def test_while_replacing_fails_the_value_goes_on_being_lent(cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load)
    clock.now += NEAR_THE_END
    load.fails = True

    assert take(cache, load) == b"key 0"
    assert load.calls == 2
    assert (cache.usage().hits, cache.usage().refresh_failures, cache.usage().failures) == (1, 1, 0)


@pytest.mark.parametrize("ttl", [TTL, TTL / 2], ids=["whole time", "shorter limit"])
def test_nobody_tries_again_for_a_while(ttl: float, cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load)
    clock.now += ttl * 0.91
    load.fails = True

    for _ in range(5):
        take(cache, load, ttl)
    assert load.calls == 2
    clock.now += 1
    take(cache, load, ttl)
    assert load.calls == 3


def test_a_value_is_not_lent_past_its_time_because_replacing_it_fails(
    cache: LocalCache, clock: Clock, load: Loader
) -> None:
    def fail_late() -> bytearray:
        clock.now += 10
        return load()

    take(cache, load)
    clock.now += NEAR_THE_END
    load.fails = True

    with pytest.raises(KmsUnavailableError):
        take(cache, fail_late)
    assert cache.usage()[:4] == (0, 0, 1, 1)
    assert load.wiped == [True]


@pytest.mark.parametrize("way", ["clear", "discard"])
def test_what_was_taken_out_meanwhile_is_not_lent_because_replacing_it_fails(
    way: str, cache: LocalCache, clock: Clock, load: Loader
) -> None:
    def take_out_and_fail() -> bytearray:
        if way == "clear":
            cache.clear()
        else:
            cache.discard(b"a", load.made[0])
        return load()

    take(cache, load)
    clock.now += NEAR_THE_END
    load.fails = True

    with pytest.raises(KmsUnavailableError):
        take(cache, take_out_and_fail)
    assert load.wiped == [True]


def test_what_replaces_a_value_is_not_kept_where_the_cache_was_cleared_meanwhile(
    cache: LocalCache, clock: Clock, load: Loader
) -> None:
    def clear_and_load() -> bytearray:
        cache.clear()
        return load()

    take(cache, load)
    clock.now += NEAR_THE_END

    assert take(cache, clear_and_load) == b"key 1"
    assert load.wiped == [True, True]
    assert take(cache, load) == b"key 2"


# --- many threads -----------------------------------------------------------------------------------------------------


def test_one_borrower_replaces_while_all_others_are_lent_what_is_kept(clock: Clock, load: Loader) -> None:
    cache = LocalCache(clock=clock)
    loading, go_on = threading.Event(), threading.Event()

    def slow() -> bytearray:
        loading.set()
        assert go_on.wait(30)
        return load()

    take(cache, load)
    clock.now += NEAR_THE_END
    with ThreadPoolExecutor(64) as pool:
        one = pool.submit(take, cache, slow)
        assert loading.wait(30)
        clock.now += 2
        others = [pool.submit(take, cache, slow) for _ in range(63)]
        assert {other.result(30) for other in others} == {b"key 0"}
        go_on.set()
        assert one.result(30) == b"key 1"
    assert take(cache, slow) == b"key 1"
    assert load.wiped == [True, False]


def test_once_its_time_is_up_others_wait_for_the_replacement_and_load_nothing(clock: Clock, load: Loader) -> None:
    cache = LocalCache(clock=clock)
    loading, go_on = threading.Event(), threading.Event()

    def slow() -> bytearray:
        loading.set()
        assert go_on.wait(30)
        return load()

    take(cache, load)
    clock.now += NEAR_THE_END
    with ThreadPoolExecutor(9) as pool:
        futures = [pool.submit(take, cache, slow)]
        assert loading.wait(30)
        clock.now += 6
        futures += [pool.submit(take, cache, slow) for _ in range(8)]
        until_waiting(cache, 8)
        go_on.set()
        assert {future.result(30) for future in futures} == {b"key 1"}
    assert load.calls == 2
    assert cache.usage()[:3] == (1, 8, 1)


def test_nothing_is_replaced_while_too_many_load(clock: Clock, load: Loader) -> None:
    cache = LocalCache(in_flight=InFlight(loads=1), clock=clock)
    loading, go_on = threading.Event(), threading.Event()

    def slow() -> bytearray:
        loading.set()
        assert go_on.wait(30)
        return bytearray(b"other")

    take(cache, load)
    clock.now += NEAR_THE_END
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(take, cache, slow, TTL, b"b")
        assert loading.wait(30)
        assert take(cache, load) == b"key 0"
        go_on.set()
        other.result(30)
    assert take(cache, load) == b"key 1"


class StampingClock(Clock):
    """Writes down when the value of a loader began to count: at the first look at the clock after it was loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = threading.local()

    def __call__(self) -> float:
        now = self.now
        value: list[float] | None = self.loaded.__dict__.pop("value", None)
        if value is not None:
            value.append(now)
        return now


@pytest.mark.parametrize("with_executor", [False, True], ids=["borrowers load", "an executor loads"])
def test_nobody_is_ever_lent_a_value_past_its_time_or_a_wiped_one(with_executor: bool) -> None:
    """Threads that make time pass themselves, and loads that fail at random."""
    clock, dice = StampingClock(), random.Random(20)
    lock = threading.Lock()
    every: list[list[float]] = []
    failures = 0

    def load() -> list[float]:
        nonlocal failures
        with lock:
            if dice.random() < 0.3:
                failures += 1
                raise KmsUnavailableError("no", operation="Decrypt", code="ThrottlingException")
            every.append([])
            clock.loaded.value = every[-1]
            return every[-1]

    def ask(cache: LocalCache, ttl: float) -> int:
        lent = 0
        for _ in range(400):
            with lock:
                clock.now += 0.25
            asked = clock.now
            with (
                suppress(KmsUnavailableError),
                cache.borrow(b"a", load, ttl_seconds=ttl, wipe=list[float].clear) as value,
            ):
                assert value[0] + ttl > asked
                lent += 1
        return lent

    with ThreadPoolExecutor(8) as pool, ThreadPoolExecutor(2) as executor:
        # Time passes fast: a grace period must be long enough for threads that others keep from running.
        often = Refresh(40.0, 1.0, 0.5)
        cache = LocalCache(refresh=often, executor=executor if with_executor else None, clock=clock)
        lent = sum(pool.map(ask, [cache] * 8, [20, 40, 20, 60, 20, 40, 60, 80]))
    usage = cache.usage()
    cache.close()

    assert usage.borrows == 3200
    assert lent > 2000
    assert usage.refreshes > 0
    assert (usage.loads + usage.refreshes, usage.failures + usage.refresh_failures) == (len(every), failures)
    assert not any(every)


def until_waiting(cache: LocalCache, count: int, name: bytes = b"a") -> None:
    """Return when so many threads wait for the load of ``name``: nothing public shows that."""
    while True:
        flight = cache.lending.traffic.flight(name)
        if flight is not None and flight.waiting >= count:
            return
        os.sched_yield()


class Interrupted(BaseException):
    """What a signal handler may raise."""


@pytest.mark.parametrize("fails", [False, True], ids=["comes", "fails"])
def test_an_interrupt_while_a_value_is_replaced_leaves_a_cache_that_works_and_nothing_unwiped(fails: bool) -> None:
    """But for a value that is on its way from its loader into the cache."""

    def interrupt() -> None:
        raise Interrupted

    unwiped: list[int] = []
    for position in itertools.count(1):
        clock, load = Clock(), Loader()
        cache = LocalCache(clock=clock)
        take(cache, load)
        clock.now += NEAR_THE_END
        load.fails = fails
        with suppress(Interrupted):
            if not handled_at(position, interrupt, lambda cache=cache, load=load: take(cache, load), "call"):
                break
        load.fails = False
        clock.now += 1
        assert take(cache, load, name=b"b")
        assert take(cache, load)
        clock.now += TTL
        made = len(load.made)
        assert take(cache, load)
        assert len(load.made) == made + 1, position
        cache.close()
        gc.collect(0)
        unwiped += [position] * load.wiped.count(False)
    assert position > 20
    assert len(unwiped) <= 1, unwiped


# --- in threads of others ---------------------------------------------------------------------------------------------


def test_with_an_executor_no_borrower_loads_what_replaces_a_value(clock: Clock, load: Loader) -> None:
    with ThreadPoolExecutor(1) as pool:
        cache = LocalCache(executor=pool, clock=clock)
        loaded_by: list[int] = []

        def noted() -> bytearray:
            loaded_by.append(threading.get_ident())
            return load()

        take(cache, load)
        clock.now += NEAR_THE_END
        with cache.borrow(b"a", noted, ttl_seconds=TTL, wipe=wipe) as value:
            pool.submit(int).result(30)
            assert bytes(value) == b"key 0"
        assert loaded_by not in ([], [threading.get_ident()])
        assert load.wiped == [True, False]
        assert take(cache, noted) == b"key 1"
        assert cache.usage()[:6] == (2, 0, 1, 0, 0, 1)


def test_failures_in_an_executor_are_counted_and_nobody_sees_them(clock: Clock, load: Loader) -> None:
    with ThreadPoolExecutor(1) as pool:
        cache = LocalCache(executor=pool, clock=clock)
        take(cache, load)
        clock.now += NEAR_THE_END
        load.fails = True

        assert [take(cache, load) for _ in range(3)] == [b"key 0"] * 3
        pool.submit(int).result(30)
        assert (load.calls, cache.usage().refresh_failures) == (2, 1)


@pytest.mark.parametrize("way", ["clear", "close"])
def test_what_was_taken_out_before_an_executor_came_to_it_is_not_loaded(way: str, clock: Clock, load: Loader) -> None:
    with ThreadPoolExecutor(1) as pool:
        go_on = threading.Event()
        pool.submit(go_on.wait, 30)
        cache = LocalCache(executor=pool, clock=clock)
        take(cache, load)
        clock.now += NEAR_THE_END
        take(cache, load)
        getattr(cache, way)()
        go_on.set()
        pool.submit(int).result(30)

        assert (load.calls, load.wiped) == (1, [True])


def test_where_an_executor_has_been_shut_down_borrowers_replace_values(clock: Clock, load: Loader) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    cache = LocalCache(executor=pool, clock=clock)
    take(cache, load)
    clock.now += NEAR_THE_END
    assert take(cache, load) == b"key 0"

    clock.now += 1
    assert take(cache, load) == b"key 1"


def test_an_executor_that_takes_no_more_work_for_now_keeps_nobody_from_the_kept_value(
    clock: Clock, load: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Executor):
        full = True

        def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
            if self.full:
                raise queue.Full
            work(*arguments, **named)
            return Future()

    executor = Full()
    cache = LocalCache(executor=executor, clock=clock)
    take(cache, load)
    clock.now += NEAR_THE_END
    assert take(cache, load) == b"key 0"
    assert "took no load" in caplog.text

    executor.full = False
    clock.now += 1
    take(cache, load)
    assert take(cache, load) == b"key 1"


def test_a_forked_child_has_no_threads_of_an_executor(clock: Clock, load: Loader) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result(30)
        cache = LocalCache(executor=pool, clock=clock)

        def replaced() -> bool:
            take(cache, load)
            clock.now += NEAR_THE_END
            return take(cache, load) == b"key 1"

        assert in_child(replaced) == 0


# --- beneath a caching manager ----------------------------------------------------------------------------------------


def test_limits_of_use_hold_while_materials_are_replaced() -> None:
    clock = Clock()
    with LocalKms.in_memory() as kms, ThreadPoolExecutor(8) as pool:
        keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
        # Time leaps here while others wait.
        cache = LocalCache(in_flight=InFlight(wait_seconds=1e6), clock=clock)
        manager = CachingMaterialsManager(keyring, max_age_seconds=TTL, max_messages=12, cache=cache)
        policy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
        request = EncryptionRequest(EncryptionContext({}), policy, policy.default_suite(signed=False), 1)

        def ask(_: int) -> list[bytes]:
            keys: list[bytes] = []
            for _ in range(50):
                clock.now += 4.9
                keys.append(manager.get_encryption_materials(request).encrypted_data_keys[0].ciphertext)
            return keys

        uses = Counter(key for keys in pool.map(ask, range(8)) for key in keys)
        usage = cache.usage()
        cache.close()

    assert max(uses.values()) <= 12
    assert sum(uses.values()) == 400
    assert usage.refreshes > 0
    assert usage.loads + usage.refreshes >= len(uses) >= 400 / 12


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grace_seconds": 0}, "grace_seconds"),
        ({"grace_seconds": float("inf")}, "grace_seconds"),
        ({"interval_seconds": -1}, "interval_seconds"),
        ({"interval_seconds": float("nan")}, "interval_seconds"),
        ({"grace_seconds": 1, "interval_seconds": 2}, "at most grace_seconds"),
        ({"ttl_part": 0}, "ttl_part"),
        ({"ttl_part": 1}, "ttl_part"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Refresh(**settings)
