"""The local cache: what it lends, to whom, for how long, and what becomes of what it held."""

from __future__ import annotations

import copy
import gc
import itertools
import os
import pickle
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from testkit.interrupts import handled_at
from testkit.processes import in_child

from envelope_sdk.cache.entries import Entries, Entry
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.errors import KmsUnavailableError, UsageError

TTL = 60.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wipe(value: bytearray) -> None:
    value[:] = bytes(len(value))


class Loader:
    """Makes keys, and counts."""

    def __init__(self) -> None:
        self.made: list[bytearray] = []

    def __call__(self) -> bytearray:
        self.made.append(bytearray(b"key %d" % len(self.made)))
        return self.made[-1]

    @property
    def wiped(self) -> list[bool]:
        return [not any(key) for key in self.made]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> LocalCache:
    # What is loaded ahead of time is told of in test_refresh.py.
    return LocalCache(3, refresh=None, clock=clock)


@pytest.fixture
def load() -> Loader:
    return Loader()


def until_waiting(cache: LocalCache, count: int, name: bytes = b"a") -> None:
    """Return when so many threads wait for the load of ``name``: nothing public shows that."""
    while True:
        flight = cache.lending.traffic.flight(name)
        if flight is not None and flight.waiting >= count:
            return
        os.sched_yield()


def take(cache: LocalCache, load: Callable[[], bytearray], name: bytes = b"a", ttl: float = TTL) -> bytes:
    with cache.borrow(name, load, ttl_seconds=ttl, wipe=wipe) as value:
        return bytes(value)


# --- how long ---------------------------------------------------------------------------------------------------------


def test_a_value_is_loaded_once_and_lent_until_its_time_is_over(cache: LocalCache, clock: Clock, load: Loader) -> None:
    assert take(cache, load) == b"key 0"
    clock.now += TTL - 0.001
    assert take(cache, load) == b"key 0"
    clock.now += 0.001
    assert take(cache, load) == b"key 1"


def test_use_does_not_lengthen_a_value_s_time(cache: LocalCache, clock: Clock, load: Loader) -> None:
    for _ in range(6):
        take(cache, load)
        clock.now += TTL / 4

    assert len(load.made) == 2


def test_each_borrower_s_own_limit_holds(cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load, ttl=100)
    clock.now += 10

    assert take(cache, load, ttl=100) == b"key 0"
    assert take(cache, load, ttl=10) == b"key 1"
    assert take(cache, load, ttl=100) == b"key 1"


def test_a_longer_limit_does_not_outlast_the_one_a_value_was_loaded_with(
    cache: LocalCache, clock: Clock, load: Loader
) -> None:
    take(cache, load, ttl=10)
    clock.now += 10

    assert take(cache, load, ttl=100) == b"key 1"


def test_without_any_time_each_loads_for_itself_and_nothing_is_kept(cache: LocalCache, load: Loader) -> None:
    assert [take(cache, load, ttl=0) for _ in range(2)] == [b"key 0", b"key 1"]
    assert load.wiped == [True, True]
    take(cache, load)
    assert take(cache, load, ttl=0) == b"key 3"


def test_a_load_that_takes_longer_than_the_limit_still_serves_its_caller(cache: LocalCache, clock: Clock) -> None:
    def slow() -> bytearray:
        clock.now += 2 * TTL
        return bytearray(b"late")

    assert take(cache, slow) == b"late"


def test_values_of_other_identifiers_are_others(cache: LocalCache, load: Loader) -> None:
    assert [take(cache, load, name) for name in (b"a", b"b", b"a")] == [b"key 0", b"key 1", b"key 0"]


# --- every way out wipes ----------------------------------------------------------------------------------------------


def test_what_has_expired_is_wiped_by_whatever_comes_next(cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load)
    clock.now += TTL
    take(cache, load, b"b")

    assert load.wiped == [True, False]


def test_the_least_recently_used_goes_where_there_are_too_many(cache: LocalCache, load: Loader) -> None:
    for name in (b"a", b"b", b"c", b"a", b"d"):
        take(cache, load, name)

    assert load.wiped == [False, True, False, False]


def test_what_is_replaced_is_wiped(cache: LocalCache, clock: Clock, load: Loader) -> None:
    take(cache, load, ttl=100)
    clock.now += 10
    take(cache, load, ttl=10)

    assert load.wiped == [True, False]


@pytest.mark.parametrize("way", ["clear", "close"])
def test_clearing_and_closing_wipe_everything(way: str, cache: LocalCache, load: Loader) -> None:
    for name in (b"a", b"b", b"c"):
        take(cache, load, name)

    getattr(cache, way)()

    assert load.wiped == [True, True, True]


def test_what_is_in_use_is_wiped_only_afterwards(cache: LocalCache, load: Loader) -> None:
    with cache.borrow(b"a", load, ttl_seconds=TTL, wipe=wipe) as outer:
        with cache.borrow(b"a", load, ttl_seconds=TTL, wipe=wipe) as inner:
            cache.clear()
            assert bytes(inner) == b"key 0"
        assert bytes(outer) == b"key 0"
    assert load.wiped == [True]


def test_a_block_that_fails_gives_its_value_back(cache: LocalCache, load: Loader) -> None:
    with pytest.raises(LookupError), cache.borrow(b"a", load, ttl_seconds=TTL, wipe=wipe):
        raise LookupError
    cache.clear()

    assert load.wiped == [True]


def test_a_value_is_discarded_once_and_only_itself(cache: LocalCache, load: Loader) -> None:
    take(cache, load)
    cache.discard(b"a", load.made[0])
    assert load.wiped == [True]

    take(cache, load)
    cache.discard(b"a", load.made[0])
    cache.discard(b"b", load.made[1])

    assert take(cache, load) == b"key 1"


def test_values_need_no_wiping(cache: LocalCache) -> None:
    with cache.borrow(b"a", lambda: "public", ttl_seconds=TTL) as value:
        assert value == "public"
    cache.close()


def test_what_was_loading_while_the_cache_was_cleared_is_not_kept(cache: LocalCache, load: Loader) -> None:
    def slow() -> bytearray:
        cache.clear()
        return load()

    assert take(cache, slow) == b"key 0"
    assert load.wiped == [True]
    assert take(cache, load) == b"key 1"


def test_a_closed_cache_lends_nothing(cache: LocalCache, load: Loader) -> None:
    cache.close()
    cache.close()

    with pytest.raises(UsageError, match="closed"):
        take(cache, load)
    assert load.made == []


def test_what_was_loading_while_the_cache_was_closed_still_serves_its_caller(cache: LocalCache, load: Loader) -> None:
    def slow() -> bytearray:
        cache.close()
        return load()

    assert take(cache, slow) == b"key 0"
    assert load.wiped == [True]


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failure_is_raised_and_not_kept(cache: LocalCache, load: Loader) -> None:
    def fail() -> bytearray:
        raise KmsUnavailableError("no", operation="Decrypt", code="Throttling")

    for _ in range(2):
        with pytest.raises(KmsUnavailableError):
            take(cache, fail)
    assert take(cache, load) == b"key 0"


def test_an_expired_value_is_not_lent_because_loading_another_fails(
    cache: LocalCache, clock: Clock, load: Loader
) -> None:
    def fail() -> bytearray:
        raise KmsUnavailableError("no", operation="Decrypt", code="Throttling")

    take(cache, load)
    clock.now += TTL

    with pytest.raises(KmsUnavailableError):
        take(cache, fail)
    assert load.wiped == [True]


# --- many threads -----------------------------------------------------------------------------------------------------

THREADS = 64


class Gate:
    """A loader that waits until so many threads are inside the cache, as far as that can be known."""

    def __init__(self, outcome: Callable[[], Any]) -> None:
        self.outcome = outcome
        self.calls = 0
        self.open = threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        assert self.open.wait(30)
        return self.outcome()


def all_at_once(cache: LocalCache, gate: Gate) -> list[Any]:
    barrier = threading.Barrier(THREADS + 1)

    def one() -> Any:
        barrier.wait()
        try:
            return take(cache, gate)
        except Exception as error:  # noqa: BLE001 - the outcome is compared by the caller
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(one) for _ in range(THREADS)]
        barrier.wait()
        until_waiting(cache, THREADS - 1)
        gate.open.set()
        return [future.result(timeout=30) for future in futures]


def test_many_threads_share_one_load(load: Loader) -> None:
    gate = Gate(load)
    cache = LocalCache()

    assert all_at_once(cache, gate) == [b"key 0"] * THREADS
    assert gate.calls == 1
    cache.close()
    assert load.wiped == [True]


def test_one_who_comes_between_a_look_and_a_load_loads_nothing_again(load: Loader) -> None:
    """Nothing holds the threads back here, so that a load may end while another thread is on its way to one."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        cache = LocalCache()
        with ThreadPoolExecutor(8) as pool:
            for number in range(300):
                name = number.to_bytes(2, "big")
                list(pool.map(lambda _, name=name: take(cache, load, name), range(8)))
                assert len(load.made) == number + 1
    finally:
        sys.setswitchinterval(interval)


def test_many_threads_share_one_failure() -> None:
    def fail() -> bytearray:
        raise KmsUnavailableError("throttled", operation="Decrypt", code="Throttling", request_id="r") from cause

    cause = OSError("why")
    gate = Gate(fail)

    failures = all_at_once(LocalCache(), gate)

    assert gate.calls == 1
    assert {type(failure) for failure in failures} == {KmsUnavailableError}
    assert {(str(failure), failure.code, failure.request_id) for failure in failures} == {
        ("throttled", "Throttling", "r")
    }
    assert all(failure.__cause__ is cause for failure in failures)
    assert len({id(failure) for failure in failures}) == THREADS


def test_a_failure_that_cannot_be_copied_is_shared_as_it_is() -> None:
    class Awkward(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("no")

    def fail() -> bytearray:
        raise Awkward

    assert {type(failure) for failure in all_at_once(LocalCache(), Gate(fail))} == {Awkward}


def test_what_is_evicted_before_those_who_waited_have_it_is_not_wiped_under_them(load: Loader) -> None:
    cache = LocalCache(1)

    def load_and_push_out() -> bytearray:
        return load()

    gate = Gate(load_and_push_out)
    pushed = threading.Thread(target=lambda: [take(cache, lambda: bytearray(b"x"), bytes((n,))) for n in range(50)])
    pushed.start()

    assert all_at_once(cache, gate) == [b"key 0"] * THREADS
    pushed.join()


# --- interruptions ----------------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """What a signal handler may raise."""


def test_an_interrupted_load_is_taken_over_by_one_who_waits(cache: LocalCache, load: Loader) -> None:
    loading = threading.Event()
    outcomes: list[Any] = []

    def interrupted() -> bytearray:
        loading.set()
        until_waiting(cache, 1)
        raise Interrupted

    def first() -> None:
        try:
            take(cache, interrupted)
        except Interrupted:
            outcomes.append("interrupted")

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert loading.wait(30)
    threads.append(threading.Thread(target=lambda: outcomes.append(take(cache, load))))
    threads[1].start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes, key=str) == [b"key 0", "interrupted"]
    assert take(cache, load) == b"key 0"


def test_one_who_is_interrupted_while_waiting_leaves_nothing_unwiped(cache: LocalCache, load: Loader) -> None:
    loading, go_on = threading.Event(), threading.Event()
    main = threading.get_ident()

    def slow() -> bytearray:
        loading.set()
        assert go_on.wait(30)
        return load()

    interrupted = threading.Event()

    def interrupt() -> None:
        until_waiting(cache, 1)
        # A signal that comes just before a thread begins to wait is handled only when it has waited.
        while not interrupted.wait(0.001):
            signal.pthread_kill(main, signal.SIGUSR1)

    def raise_it(_number: int, _frame: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise Interrupted

    loader = threading.Thread(target=lambda: take(cache, slow))
    loader.start()
    assert loading.wait(30)
    before = signal.signal(signal.SIGUSR1, raise_it)
    interrupter = threading.Thread(target=interrupt)
    try:
        interrupter.start()
        with pytest.raises(Interrupted):
            take(cache, load)
    finally:
        go_on.set()
        loader.join(30)
        interrupter.join(30)
        signal.signal(signal.SIGUSR1, before)
    cache.close()

    assert load.wiped == [True]


def test_a_loader_that_asks_for_its_own_value_does_not_wait_for_itself(cache: LocalCache, load: Loader) -> None:
    def again() -> bytearray:
        take(cache, load)
        return load()

    assert take(cache, again) == b"key 1"
    assert load.wiped == [True, False]


def test_two_loaders_that_ask_for_each_other_s_values_do_not_wait_for_each_other(
    cache: LocalCache, load: Loader
) -> None:
    both_loading = threading.Barrier(2)

    def asking_for(other: bytes) -> Callable[[], bytearray]:
        def one() -> bytearray:
            both_loading.wait(30)
            take(cache, load, other)
            return load()

        return one

    threads = [
        threading.Thread(target=take, args=(cache, asking_for(b"b"), b"a")),
        threading.Thread(target=take, args=(cache, asking_for(b"a"), b"b")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert not any(thread.is_alive() for thread in threads)


def test_a_signal_handler_inside_a_change_of_the_cache_loads_for_itself(load: Loader) -> None:
    answers: list[bytes] = []
    cache: LocalCache

    class Handling(Clock):
        """The clock is read in the middle of changes: where a signal handler would do the most harm."""

        def __call__(self) -> float:
            if self.now == 1000.0:
                self.now += 1
                answers.append(take(cache, load))
                cache.discard(b"a", None)
            return self.now

    cache = LocalCache(clock=Handling())

    assert take(cache, load) == b"key 1"
    assert answers == [b"key 0"]
    assert load.wiped == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("handling", ["borrow", "clear", "close", "discard"])
def test_a_signal_handler_may_do_anything_at_any_place(handling: str) -> None:
    def handle() -> None:
        if handling == "borrow":
            take(cache, load)
        elif handling == "discard":
            cache.discard(b"a", load.made[-1] if load.made else None)
        else:
            getattr(cache, handling)()
            forgotten.extend(load.made)

    def work() -> None:
        for name in (b"a", b"b", b"a"):
            take(cache, load, name)

    for position in itertools.count(1):
        cache, load = LocalCache(1), Loader()
        forgotten: list[bytearray] = []
        if not handled_at(position, handle, work):
            break
        assert not any(b"".join(forgotten)), position
        cache.close()
        assert all(load.wiped), position
    assert position > 500


def test_an_interrupt_on_entry_to_any_function_leaves_a_cache_that_works_and_nothing_unwiped() -> None:
    """But for a value that is on its way from its loader into the cache."""

    def handle() -> None:
        raise Interrupted

    def work() -> None:
        for name in (b"a", b"b", b"a"):
            with suppress(Interrupted):
                take(cache, load, name)

    unwiped: list[int] = []
    for position in itertools.count(1):
        cache, load = LocalCache(1), Loader()
        if not handled_at(position, handle, work, "call"):
            break
        take(cache, load, b"c")
        made = len(load.made)
        take(cache, load, b"c")
        assert len(load.made) == made, position
        cache.close()
        gc.collect(0)
        unwiped += [position] * load.wiped.count(False)
    assert position > 20
    assert len(unwiped) <= 3, unwiped


def test_an_interrupt_in_the_middle_of_a_change_leaves_a_cache_that_works(load: Loader) -> None:
    class Interrupting(Clock):
        armed = False

        def __call__(self) -> float:
            if self.armed:
                self.armed = False
                raise Interrupted
            return self.now

    clock = Interrupting()
    cache = LocalCache(clock=clock)
    take(cache, load)
    clock.armed = True

    with pytest.raises(Interrupted):
        take(cache, load)
    assert take(cache, load) == b"key 1"


def test_a_wipe_that_fails_leaves_nobody_waiting(clock: Clock) -> None:
    """It has to be the caller's mistake, and still no other thread may hang for it."""

    refusals = []

    def refuse(_value: object) -> None:
        refusals.append(None)
        if len(refusals) == 1:
            raise LookupError

    cache = LocalCache(1, clock=clock)
    with cache.borrow(b"a", bytearray, ttl_seconds=TTL, wipe=refuse):
        pass
    with pytest.raises(LookupError), cache.borrow(b"b", bytearray, ttl_seconds=TTL):
        pass

    assert take(cache, lambda: bytearray(b"again"), b"b") == b"again"


def test_a_failure_does_not_keep_the_frames_it_came_through(cache: LocalCache) -> None:
    class Held:
        pass

    def fail() -> bytearray:
        raise KmsUnavailableError("no", operation="Decrypt", code="Throttling")

    def ask() -> weakref.ref[Held]:
        held = Held()
        with suppress(KmsUnavailableError):
            take(cache, fail)
        return weakref.ref(held)

    gc.disable()
    try:
        assert ask()() is None
    finally:
        gc.enable()


def test_a_forked_child_begins_with_an_empty_cache_that_nobody_holds(load: Loader) -> None:
    cache = LocalCache()
    take(cache, load)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with cache.lending.lock:
            inside.set()
            assert leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(30)

    assert in_child(lambda: take(cache, load) == b"key 1") == 0

    leave.set()
    holder.join(30)
    assert take(cache, load) == b"key 0"


def test_a_forked_child_keeps_none_of_its_parent_s_values(load: Loader) -> None:
    cache = LocalCache()
    take(cache, load)
    with cache.borrow(b"b", load, ttl_seconds=TTL, wipe=wipe) as value:
        assert in_child(lambda: load.wiped == [True, False] and bytes(value) == b"key 1") == 0

    assert load.wiped == [False, False]


def test_a_child_that_a_signal_handler_forks_out_of_waiting_loads_for_itself(load: Loader) -> None:
    cache = LocalCache()
    loading, go_on = threading.Event(), threading.Event()
    main, parent = threading.get_ident(), os.getpid()
    children: list[int] = []

    def slow() -> bytearray:
        loading.set()
        assert go_on.wait(30)
        return load()

    def fork(_number: int, _frame: object) -> None:
        if children:
            return
        children.append(os.fork())
        if children[0] == 0:
            signal.alarm(20)
        else:
            go_on.set()

    def interrupt() -> None:
        until_waiting(cache, 1)
        while not children:
            signal.pthread_kill(main, signal.SIGUSR1)
            go_on.wait(0.5)

    loader = threading.Thread(target=lambda: take(cache, slow))
    loader.start()
    assert loading.wait(30)
    before = signal.signal(signal.SIGUSR1, fork)
    interrupter = threading.Thread(target=interrupt)
    try:
        interrupter.start()
        outcome = take(cache, load)
    finally:
        if os.getpid() != parent:
            os._exit(0 if load.made == [b"key 0"] else 1)
        interrupter.join(30)
        signal.signal(signal.SIGUSR1, before)
        loader.join(30)

    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert outcome == b"key 0"


# --- nothing shows ----------------------------------------------------------------------------------------------------


def test_neither_repr_nor_pickle_nor_copy_reveals_anything(cache: LocalCache, load: Loader) -> None:
    take(cache, load)

    assert repr(cache) == "LocalCache(3)"
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            way(cache)


def test_nor_do_its_parts(cache: LocalCache) -> None:
    key = bytearray(b"a secret key")
    with cache.borrow(b"a", lambda: key, ttl_seconds=TTL, wipe=wipe):
        entries = [each for each in gc.get_objects() if type(each) is Entry and each.value is key]
        collections = [each for each in gc.get_objects() if isinstance(each, Entries)]
        assert entries
        assert collections
        for part in (*entries, *collections, cache.lending):
            assert "secret key" not in repr(part)
            for way in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="cannot be pickled or copied"):
                    way(part)
        # A copy that is thrown away would have wiped it.
        assert key == b"a secret key"


@pytest.mark.parametrize("size", [0, -1])
def test_a_cache_keeps_something(size: int) -> None:
    with pytest.raises(UsageError, match="at least one entry"):
        LocalCache(size)


@pytest.mark.parametrize("max_entries", [float("nan"), 2.5])
def test_a_number_of_entries_is_whole(max_entries: float) -> None:
    with pytest.raises(TypeError):
        LocalCache(max_entries)
