"""The view for tasks: the same values and the same loads as for threads, on asyncio and on trio."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from anyio import to_thread

from envelope_sdk.cache.aio import AsyncCache
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.cache.settings import InFlight
from envelope_sdk.errors import KmsUnavailableError, LoadTimeoutError, UsageError

TTL = 60.0

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(test: Callable[[], Awaitable[None]]) -> None:
        async def in_time() -> None:
            with anyio.fail_after(30):
                await test()

        anyio.run(in_time, backend=request.param)

    return run


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Loader:
    """Makes keys, counts, notes the threads, and waits or fails when it is told to."""

    def __init__(self, *, waits: bool = False, fails: bool = False) -> None:
        self.made: list[bytearray] = []
        self.threads: list[int] = []
        self.fails = fails
        self.loading, self.go_on, self.gone = threading.Event(), threading.Event(), threading.Event()
        if not waits:
            self.go_on.set()

    def __call__(self) -> bytearray:
        self.threads.append(threading.get_ident())
        self.loading.set()
        assert self.go_on.wait(30)
        if self.fails:
            raise KmsUnavailableError("no", operation="Decrypt", code="ThrottlingException")
        self.made.append(bytearray(b"key %d" % len(self.made)))
        return self.made[-1]

    def wipe(self, value: bytearray) -> None:
        value[:] = bytes(len(value))
        self.gone.set()

    @property
    def wiped(self) -> list[bool]:
        return [not any(key) for key in self.made]


async def take(view: AsyncCache, load: Loader, ttl: float = TTL, name: bytes = b"a") -> bytes:
    async with view.borrow(name, load, ttl_seconds=ttl, wipe=load.wipe) as value:
        return bytes(value)


def take_in_thread(cache: LocalCache, load: Loader) -> bytes:
    with cache.borrow(b"a", load, ttl_seconds=TTL, wipe=load.wipe) as value:
        return bytes(value)


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await anyio.lowlevel.checkpoint()


def waiting(cache: LocalCache, name: bytes = b"a") -> int:
    flight = cache.lending.traffic.flight(name)
    return 0 if flight is None else flight.waiting


def test_a_value_is_loaded_in_a_worker_thread_and_then_lent_without_one(run: Run) -> None:
    cache, load = LocalCache(), Loader()

    async def test() -> None:
        # Without a thread to be had, nothing could be loaded.
        none = anyio.CapacityLimiter(1)
        assert await take(AsyncCache(cache), load) == b"key 0"
        await none.acquire_on_behalf_of("somebody else")
        assert await take(AsyncCache(cache, limiter=none), load) == b"key 0"

    run(test)

    assert load.threads not in ([], [threading.get_ident()])
    assert take_in_thread(cache, load) == b"key 0"
    assert cache.usage()[:3] == (2, 0, 1)
    cache.close()
    assert load.wiped == [True]


def test_many_tasks_share_one_load_and_wait_in_no_thread(run: Run) -> None:
    cache, load = LocalCache(), Loader(waits=True)
    got: list[bytes] = []

    async def test() -> None:
        view = AsyncCache(cache, limiter=anyio.CapacityLimiter(1))

        async def one() -> None:
            got.append(await take(view, load))

        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(one)
            await until(lambda: waiting(cache) == 63)
            load.go_on.set()

    run(test)

    assert got == [b"key 0"] * 64
    assert cache.usage()[:3] == (0, 63, 1)


def test_tasks_and_threads_share_one_load(run: Run) -> None:
    cache, load = LocalCache(), Loader(waits=True)
    got: list[bytes] = []

    async def test() -> None:
        async def one() -> None:
            got.append(await take(AsyncCache(cache), load))

        with ThreadPoolExecutor(4) as pool:
            async with anyio.create_task_group() as group:
                threads = [pool.submit(take_in_thread, cache, load) for _ in range(4)]
                await until(load.loading.is_set)
                for _ in range(4):
                    group.start_soon(one)
                await until(lambda: waiting(cache) == 7)
                load.go_on.set()
            got.extend(thread.result(30) for thread in threads)

    run(test)

    assert got == [b"key 0"] * 8
    assert len(load.threads) == 1


def test_all_who_wait_get_a_failure_of_their_own(run: Run) -> None:
    cache, load = LocalCache(), Loader(waits=True, fails=True)
    failures: list[KmsUnavailableError] = []

    async def test() -> None:
        async def one() -> None:
            with pytest.raises(KmsUnavailableError) as raised:
                await take(AsyncCache(cache), load)
            failures.append(raised.value)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(one)
            await until(lambda: waiting(cache) == 7)
            load.go_on.set()

    run(test)

    assert len({id(failure) for failure in failures}) == 8
    assert len(load.threads) == 1


def test_a_task_that_is_cancelled_while_another_loads_lets_go_at_once(run: Run) -> None:
    cache, load = LocalCache(), Loader(waits=True)

    async def test() -> None:
        with ThreadPoolExecutor(1) as pool:
            thread = pool.submit(take_in_thread, cache, load)
            await until(load.loading.is_set)
            async with anyio.create_task_group() as group:
                group.start_soon(take, AsyncCache(cache), load)
                await until(lambda: waiting(cache) == 1)
                group.cancel_scope.cancel()
            assert waiting(cache) == 0
            load.go_on.set()
            assert thread.result(30) == b"key 0"

    run(test)
    cache.close()

    assert load.wiped == [True]


def test_a_load_goes_on_when_its_task_is_cancelled_and_serves_others(run: Run) -> None:
    cache, load = LocalCache(), Loader(waits=True)
    got: list[bytes] = []

    async def test() -> None:
        async def other() -> None:
            got.append(await take(AsyncCache(cache), load))

        async with anyio.create_task_group() as others:
            async with anyio.create_task_group() as group:
                group.start_soon(take, AsyncCache(cache), load)
                await until(load.loading.is_set)
                others.start_soon(other)
                await until(lambda: waiting(cache) == 1)
                group.cancel_scope.cancel()
            assert load.made == []
            load.go_on.set()

    run(test)

    assert got == [b"key 0"]
    assert len(load.threads) == 1
    cache.close()
    # The thread of the task that was cancelled has a loan of its own.
    assert load.gone.wait(30)
    assert load.wiped == [True]


def test_a_load_of_a_cancelled_task_that_comes_after_the_cache_was_closed_is_wiped(run: Run) -> None:
    cache, load = LocalCache(), Loader(waits=True)

    async def test() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(take, AsyncCache(cache), load)
            await until(load.loading.is_set)
            group.cancel_scope.cancel()
        cache.close()
        load.go_on.set()
        assert await to_thread.run_sync(load.gone.wait, 30)

    run(test)

    assert load.wiped == [True]


def test_a_task_that_is_cancelled_before_a_thread_is_free_leaves_the_load_to_the_next(run: Run) -> None:
    cache, load = LocalCache(), Loader()

    async def test() -> None:
        limiter = anyio.CapacityLimiter(1)
        await limiter.acquire_on_behalf_of("somebody else")
        async with anyio.create_task_group() as group:
            group.start_soon(take, AsyncCache(cache, limiter=limiter), load)
            await until(lambda: cache.lending.traffic.flight(b"a") is not None)
            group.cancel_scope.cancel()
        assert await take(AsyncCache(cache), load) == b"key 0"

    run(test)

    assert len(load.threads) == 1


def test_a_block_that_is_cancelled_gives_its_value_back(run: Run) -> None:
    cache, load = LocalCache(), Loader()

    async def test() -> None:
        inside = anyio.Event()

        async def one() -> None:
            async with AsyncCache(cache).borrow(b"a", load, ttl_seconds=TTL, wipe=load.wipe):
                cache.close()
                assert load.wiped == [False]
                inside.set()
                await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            await inside.wait()
            group.cancel_scope.cancel()

    run(test)

    assert load.wiped == [True]


def test_a_task_replaces_a_value_ahead_of_time_and_is_lent_the_old_one_where_that_fails(run: Run) -> None:
    clock, load = Clock(), Loader()
    cache = LocalCache(clock=clock)

    async def test() -> None:
        view = AsyncCache(cache)
        await take(view, load)
        clock.now += 55
        load.fails = True
        assert await take(view, load) == b"key 0"
        clock.now += 1
        load.fails = False
        assert await take(view, load) == b"key 1"

    run(test)

    assert load.wiped == [True, False]
    assert cache.usage()[:7] == (2, 0, 1, 0, 0, 1, 1)


def test_a_task_gives_up_like_a_thread(run: Run) -> None:
    clock, load = Clock(), Loader(waits=True)
    cache = LocalCache(in_flight=InFlight(1, 0.01, 0.03), clock=clock)

    async def test() -> None:
        with ThreadPoolExecutor(1) as pool:
            thread = pool.submit(take_in_thread, cache, load)
            await until(load.loading.is_set)
            async with anyio.create_task_group() as group:

                async def one() -> None:
                    with pytest.raises(LoadTimeoutError):
                        await take(AsyncCache(cache), load, name=b"b")

                group.start_soon(one)
                await until(lambda: waiting(cache, b"b") == 1)
                clock.now += 0.03
            load.go_on.set()
            assert thread.result(30) == b"key 0"

    run(test)


def test_a_closed_cache_lends_nothing_to_tasks(run: Run) -> None:
    cache, load = LocalCache(), Loader()
    cache.close()

    async def test() -> None:
        with pytest.raises(UsageError, match="closed"):
            await take(AsyncCache(cache), load)

    run(test)

    assert load.made == []


def test_neither_a_view_nor_its_loans_reveal_anything() -> None:
    view = AsyncCache(LocalCache(3))
    loan: Any = view.borrow(b"a", lambda: b"secret", ttl_seconds=TTL)

    assert (repr(view), repr(loan)) == ("AsyncCache(LocalCache(3))", "AsyncLoan(<secret>)")
    for each in (view, loan):
        for way in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                way(each)
