"""How many loads run at once, how long others wait for them, and what becomes of loads that hang."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from testkit.interrupts import handled_at

from envelope_sdk.cache.flight import Attempt, Flight
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.cache.settings import InFlight
from envelope_sdk.errors import KmsUnavailableError, LoadTimeoutError, UsageError

TTL = 60.0
SHORT = InFlight(takeover_seconds=0.01, wait_seconds=0.03)
"""Those who wait look at the (injected) clock often."""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hanging:
    """A loader that hangs until it is let go."""

    def __init__(self, text: bytes, fails: bool = False) -> None:
        self.value = bytearray(text)
        self.fails = fails
        self.loading, self.go_on = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self) -> bytearray:
        self.calls += 1
        self.loading.set()
        assert self.go_on.wait(30)
        if self.fails:
            raise KmsUnavailableError(self.value.decode(), operation="Decrypt", code="ThrottlingException")
        return self.value


def wipe(value: bytearray) -> None:
    value[:] = bytes(len(value))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def take(cache: LocalCache, load: Callable[[], bytearray], name: bytes = b"a", ttl: float = TTL) -> bytes:
    with cache.borrow(name, load, ttl_seconds=ttl, wipe=wipe) as value:
        return bytes(value)


def until_waiting(cache: LocalCache, count: int, name: bytes = b"a") -> None:
    """Return when so many threads wait for the load of ``name``: nothing public shows that."""
    while True:
        flight = cache.lending.traffic.flight(name)
        if flight is not None and flight.waiting >= count:
            return
        os.sched_yield()


def begun(pool: ThreadPoolExecutor, cache: LocalCache, load: Hanging, name: bytes = b"a") -> Future[bytes]:
    future = pool.submit(take, cache, load, name)
    assert load.loading.wait(30)
    return future


# --- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [TTL, 0.0], ids=["kept", "not kept"])
def test_no_more_loads_run_at_once_than_may(ttl: float, pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(in_flight=InFlight(loads=3))
    lock, all_three = threading.Lock(), threading.Barrier(3)
    running = most = 0

    def load() -> bytearray:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        # Thirty are a multiple of three: nobody waits here for ever, and fewer at a time would.
        all_three.wait(30)
        with lock:
            running -= 1
        return bytearray(b"key")

    futures = [pool.submit(take, cache, load, bytes([number]), ttl) for number in range(30)]

    assert [future.result(30) for future in futures] == [b"key"] * 30
    assert most == 3
    assert cache.usage()[:5] == (0, 0, 30, 0, 0)


def test_all_who_want_a_value_share_its_load_even_when_that_has_to_wait_for_its_turn(pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(in_flight=InFlight(loads=1))
    first, second = Hanging(b"first"), Hanging(b"second")
    futures = [begun(pool, cache, first)]
    futures += [pool.submit(take, cache, second, b"b") for _ in range(9)]
    until_waiting(cache, 9, b"b")
    assert second.calls == 0

    second.go_on.set()
    first.go_on.set()

    assert [future.result(30) for future in futures] == [b"first"] + [b"second"] * 9
    assert second.calls == 1


def test_a_load_within_a_load_needs_no_turn_of_its_own_and_is_kept() -> None:
    cache = LocalCache(in_flight=InFlight(loads=1))
    calls: list[bytes] = []

    def inner() -> bytearray:
        calls.append(b"inner")
        return bytearray(b"inner")

    def outer() -> bytearray:
        return bytearray(b"outer of " + take(cache, inner, b"b"))

    assert take(cache, outer) == b"outer of inner"
    assert take(cache, outer, b"c") == b"outer of inner"
    assert calls == [b"inner"]


def test_loads_within_loads_share_one_load(pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(in_flight=InFlight(loads=20))
    inner = Hanging(b"inner")

    def outer() -> bytearray:
        return bytearray(b"outer of " + take(cache, inner, b"b"))

    futures = [pool.submit(take, cache, outer, bytes((1, number))) for number in range(10)]
    assert inner.loading.wait(30)
    until_waiting(cache, 9, b"b")
    inner.go_on.set()

    assert {future.result(30) for future in futures} == {b"outer of inner"}
    assert inner.calls == 1


def test_a_turn_that_a_failing_load_had_is_given_to_the_next(pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(in_flight=InFlight(loads=1))
    first = Hanging(b"refused", fails=True)
    failing = begun(pool, cache, first)
    other = pool.submit(take, cache, lambda: bytearray(b"other"), b"b")
    until_waiting(cache, 1, b"b")
    first.go_on.set()

    assert other.result(30) == b"other"
    with pytest.raises(KmsUnavailableError, match="refused"):
        failing.result(30)


# --- how long ---------------------------------------------------------------------------------------------------------


def test_a_slow_load_is_waited_for_by_default(clock: Clock, pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(clock=clock)
    slow = Hanging(b"key")
    futures = [begun(pool, cache, slow)]
    clock.now += 9
    futures += [pool.submit(take, cache, slow) for _ in range(8)]
    until_waiting(cache, 8)
    slow.go_on.set()

    assert {future.result(30) for future in futures} == {b"key"}
    assert slow.calls == 1


def test_a_load_that_hangs_is_taken_over_by_one_of_those_who_wait(clock: Clock, pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(in_flight=SHORT, clock=clock)
    hanging, second = Hanging(b"late"), Hanging(b"key")
    first = begun(pool, cache, hanging)
    others = [pool.submit(take, cache, second) for _ in range(8)]
    until_waiting(cache, 8)
    clock.now += 0.01
    assert second.loading.wait(30)
    until_waiting(cache, 7)
    second.go_on.set()

    assert {other.result(30) for other in others} == {b"key"}
    assert second.calls == 1
    hanging.go_on.set()
    assert first.result(30) == b"late"
    assert not any(hanging.value)
    assert take(cache, second) == b"key"
    assert cache.usage()[:5] == (1, 7, 2, 0, 0)


def test_a_load_that_was_taken_over_and_comes_first_after_all_serves_everybody(
    clock: Clock, pool: ThreadPoolExecutor
) -> None:
    cache = LocalCache(in_flight=SHORT, clock=clock)
    hanging, second = Hanging(b"key"), Hanging(b"late")
    first = begun(pool, cache, hanging)
    clock.now += 0.01
    other = begun(pool, cache, second)
    waiting = pool.submit(take, cache, second)
    until_waiting(cache, 1)
    hanging.go_on.set()

    assert (first.result(30), waiting.result(30)) == (b"key", b"key")
    second.go_on.set()
    assert other.result(30) == b"late"
    assert not any(second.value)
    assert take(cache, second) == b"key"


def test_a_hanging_load_that_fails_after_all_fails_nobody_else(clock: Clock, pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(in_flight=SHORT, clock=clock)
    hanging, second = Hanging(b"refused", fails=True), Hanging(b"key")
    first = begun(pool, cache, hanging)
    clock.now += 0.01
    other = begun(pool, cache, second)
    hanging.go_on.set()
    with pytest.raises(KmsUnavailableError, match="refused"):
        first.result(30)
    waiting = pool.submit(take, cache, second)
    until_waiting(cache, 1)
    second.go_on.set()

    assert (other.result(30), waiting.result(30)) == (b"key", b"key")


def test_who_has_waited_too_long_gives_up_with_an_error_that_says_to_try_later(
    clock: Clock, pool: ThreadPoolExecutor
) -> None:
    cache = LocalCache(in_flight=SHORT, clock=clock)
    hanging, second = Hanging(b"first"), Hanging(b"second")
    first = begun(pool, cache, hanging)
    clock.now += 0.01
    other = begun(pool, cache, second)
    waiting = pool.submit(take, cache, second)
    until_waiting(cache, 1)
    clock.now += 0.03

    with pytest.raises(LoadTimeoutError, match=r"within 0\.03 seconds") as raised:
        waiting.result(30)
    assert (raised.value.retryable, raised.value.operation, raised.value.code) == (True, "Load", "WaitLimitExceeded")
    assert cache.usage().timeouts == 1
    for load in (hanging, second):
        load.go_on.set()
    assert (first.result(30), other.result(30)) == (b"first", b"second")


def test_who_has_waited_too_long_for_a_turn_gives_up_and_so_do_those_with_it(
    clock: Clock, pool: ThreadPoolExecutor
) -> None:
    cache = LocalCache(in_flight=InFlight(1, 0.01, 0.03), clock=clock)
    hanging = Hanging(b"first")
    first = begun(pool, cache, hanging)
    waiting = [pool.submit(take, cache, hanging, b"b") for _ in range(4)]
    until_waiting(cache, 4, b"b")
    clock.now += 0.03

    assert {type(each.exception(30)) for each in waiting} == {LoadTimeoutError}
    assert hanging.calls == 1
    hanging.go_on.set()
    assert first.result(30) == b"first"


def test_loads_that_hang_for_too_long_keep_nobody_from_trying(clock: Clock, pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(in_flight=InFlight(1, 10, 30), clock=clock)
    hanging = [Hanging(b"first"), Hanging(b"second")]
    futures = [begun(pool, cache, hanging[0])]
    clock.now += 30
    futures.append(begun(pool, cache, hanging[1]))
    clock.now += 30

    assert take(cache, lambda: bytearray(b"key")) == b"key"
    assert take(cache, lambda: bytearray(b"other"), b"b") == b"other"
    for load in hanging:
        load.go_on.set()
    assert [future.result(30) for future in futures] == [b"first", b"second"]
    assert [any(load.value) for load in hanging] == [False, False]


def test_who_waits_for_a_turn_gets_that_of_a_load_that_hangs_for_too_long(
    clock: Clock, pool: ThreadPoolExecutor
) -> None:
    cache = LocalCache(in_flight=InFlight(1, 0.01, 30), clock=clock)
    hanging = Hanging(b"first")
    first = begun(pool, cache, hanging)
    clock.now += 20
    waiting = pool.submit(take, cache, lambda: bytearray(b"other"), b"b")
    until_waiting(cache, 1, b"b")
    clock.now += 10

    assert waiting.result(30) == b"other"
    hanging.go_on.set()
    assert first.result(30) == b"first"


@pytest.mark.parametrize("loads", [1, 2])
def test_a_load_may_end_while_one_looks_how_long_to_wait_for_it(loads: int) -> None:
    limits, position = InFlight(takeover_seconds=10.0, wait_seconds=30.0), 0
    flight, found = Flight(b"a", 0), list[float]()
    while True:
        position += 1
        flight.loads = [Attempt(threading.Lock(), None) for _ in range(loads)]
        for load in flight.loads:
            load.began = 1000.0
        if not handled_at(position, flight.loads.clear, lambda: found.append(flight.patience(1001.0, limits))):
            break

    assert position > 20
    # For as long as there is nothing else to do, or else for a while.
    assert {9.0 if loads == 1 else 29.0, 10.0} <= set(found) <= {9.0, 10.0, 29.0}


def test_a_load_that_comes_after_the_cache_was_cleared_is_wiped(pool: ThreadPoolExecutor) -> None:
    cache = LocalCache()
    hanging = Hanging(b"late")
    first = begun(pool, cache, hanging)
    waiting = pool.submit(take, cache, hanging)
    until_waiting(cache, 1)
    cache.clear()
    assert take(cache, lambda: bytearray(b"newer")) == b"newer"
    hanging.go_on.set()

    assert (first.result(30), waiting.result(30)) == (b"late", b"late")
    assert not any(hanging.value)
    assert take(cache, hanging) == b"newer"


# --- many threads and keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every_nth_fails", [0, 3])
def test_64_threads_and_many_keys_cost_what_the_counts_say(every_nth_fails: int, pool: ThreadPoolExecutor) -> None:
    cache = LocalCache(8, in_flight=InFlight(loads=4))
    lock = threading.Lock()
    made: list[bytearray] = []
    calls = 0

    def load() -> bytearray:
        nonlocal calls
        with lock:
            calls += 1
            if every_nth_fails and calls % every_nth_fails == 0:
                raise KmsUnavailableError("no", operation="Decrypt", code="ThrottlingException")
            made.append(bytearray(b"a key that is not zero"))
            return made[-1]

    def ask(thread: int) -> list[Any]:
        seen: list[Any] = []
        for number in range(50):
            try:
                seen.append(take(cache, load, bytes([(thread * number) % 16])))
            except KmsUnavailableError as error:
                seen.append(error)
        return seen

    outcomes = [each for seen in pool.map(ask, range(64)) for each in seen]
    usage = cache.usage()
    failures = [each for each in outcomes if not isinstance(each, bytes)]

    assert {each for each in outcomes if isinstance(each, bytes)} == {b"a key that is not zero"}
    assert usage.borrows == len(outcomes) == 3200
    assert usage.loader_calls == calls == usage.loads + usage.failures
    assert len({id(failure) for failure in failures}) == len(failures)
    assert usage.entries <= 8
    cache.close()
    assert not any(any(key) for key in made)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loads": 0}, "loads is 1 or more"),
        ({"takeover_seconds": 0}, "takeover_seconds"),
        ({"wait_seconds": float("inf")}, "wait_seconds"),
        ({"takeover_seconds": 31}, "at most wait_seconds"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InFlight(**settings)


def test_a_number_of_loads_is_whole() -> None:
    with pytest.raises(TypeError):
        InFlight(loads=2.5)  # type: ignore[arg-type]
