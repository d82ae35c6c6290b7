"""What a cache tells of itself: each event once, and no mistake of those who listen costs anybody a value."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from testkit.processes import in_child

from envelope_sdk.cache.local import LocalCache
from envelope_sdk.cache.usage import CacheEvent, CacheEventKind, CacheUsage
from envelope_sdk.errors import KmsUnavailableError

TTL = 60.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wipe(value: bytearray) -> None:
    value[:] = bytes(len(value))


def take(cache: LocalCache, name: bytes = b"a", ttl: float = TTL) -> None:
    with cache.borrow(name, lambda: bytearray(b"key"), ttl_seconds=ttl, wipe=wipe):
        pass


def fail() -> bytearray:
    raise KmsUnavailableError("no", operation="Decrypt", code="ThrottlingException")


def test_each_event_is_told_once_and_in_order() -> None:
    clock, events = Clock(), list[CacheEvent]()
    cache = LocalCache(2, on_event=events.append, clock=clock)

    def slow() -> bytearray:
        clock.now += 2
        return bytearray(b"key")

    with cache.borrow(b"a", slow, ttl_seconds=TTL, wipe=wipe) as value:
        pass
    take(cache)
    with pytest.raises(KmsUnavailableError), cache.borrow(b"b", fail, ttl_seconds=TTL):
        pass
    cache.discard(b"a", value)
    cache.discard(b"a", value)
    for name in (b"a", b"b", b"c"):
        take(cache, name)
    clock.now += 55
    with cache.borrow(b"c", fail, ttl_seconds=TTL):
        pass
    clock.now += 1
    take(cache, b"c")
    clock.now += 4
    take(cache, b"d", ttl=0)
    cache.close()

    assert [(event.kind.value, event.identifier, event.seconds) for event in events] == [
        ("load", b"a", 2.0),
        ("hit", b"a", 0.0),
        ("failure", b"b", 0.0),
        ("discard", b"a", 0.0),
        ("load", b"a", 0.0),
        ("load", b"b", 0.0),
        ("load", b"c", 0.0),
        ("eviction", b"a", 0.0),
        ("hit", b"c", 0.0),
        ("refresh_failure", b"c", 0.0),
        ("refresh", b"c", 0.0),
        ("hit", b"c", 0.0),
        ("expiry", b"b", 0.0),
        ("load", b"d", 0.0),
        ("clear", b"c", 0.0),
    ]


def test_counts_are_those_of_the_events_whether_anybody_listens_or_not() -> None:
    listened, quiet = LocalCache(1, on_event=lambda _event: None), LocalCache(1)
    for cache in (listened, quiet):
        for name in (b"a", b"a", b"b"):
            take(cache, name)

    assert listened.usage() == quiet.usage() == CacheUsage(hits=1, loads=2, evictions=1, entries=1)
    assert (quiet.usage().borrows, quiet.usage().loader_calls) == (3, 2)


def test_a_forked_child_counts_from_nothing() -> None:
    cache = LocalCache()
    take(cache)

    def counts() -> bool:
        empty = cache.usage() == CacheUsage()
        take(cache)
        return empty and cache.usage() == CacheUsage(loads=1, entries=1)

    assert in_child(counts) == 0
    assert cache.usage() == CacheUsage(loads=1, entries=1)


def test_a_value_whose_time_is_up_is_not_counted_as_kept() -> None:
    clock = Clock()
    cache = LocalCache(clock=clock)
    take(cache)
    clock.now += TTL

    assert cache.usage() == CacheUsage(loads=1, expiries=1)


def test_what_a_listener_raises_is_logged_and_costs_nobody_a_value(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(event: CacheEvent) -> None:
        raise LookupError(event.kind)

    cache = LocalCache(on_event=refuse)
    with caplog.at_level(logging.ERROR, "envelope_sdk.cache"):
        with cache.borrow(b"a", lambda: bytearray(b"key"), ttl_seconds=TTL, wipe=wipe) as value:
            assert value == b"key"
        with cache.borrow(b"a", fail, ttl_seconds=TTL) as again:
            assert again is value
        cache.clear()

    assert not any(value)
    assert [record.message for record in caplog.records] == [
        "on_event has raised at load",
        "on_event has raised at hit",
        "on_event has raised at clear",
    ]


def test_an_interrupt_of_a_listener_goes_on_and_loses_no_key() -> None:
    def interrupt(_event: CacheEvent) -> None:
        raise KeyboardInterrupt

    cache = LocalCache(on_event=interrupt)
    made = bytearray(b"key")
    with pytest.raises(KeyboardInterrupt), cache.borrow(b"a", lambda: made, ttl_seconds=TTL, wipe=wipe):
        raise AssertionError
    with pytest.raises(KeyboardInterrupt):
        cache.close()

    assert not any(made)


@pytest.mark.parametrize("way", ["clear", "close", "expire", "discard"])
def test_a_listener_is_called_outside_the_lock_of_the_cache(way: str) -> None:
    seen: list[CacheUsage] = []
    clock = Clock()

    with ThreadPoolExecutor(1) as pool:

        def look(event: CacheEvent) -> None:
            if event.kind is not CacheEventKind.LOAD:
                seen.append(pool.submit(lambda: cache.usage()).result(30))

        cache = LocalCache(on_event=look, clock=clock)
        with cache.borrow(b"a", lambda: bytearray(b"key"), ttl_seconds=TTL) as value:
            pass
        if way == "expire":
            clock.now += TTL
        if way == "discard":
            cache.discard(b"a", value)
        else:
            getattr(cache, way)()

    assert [usage.entries for usage in seen] == [0]


def test_a_listener_may_use_the_cache_and_other_threads_may_too() -> None:
    seen: list[CacheUsage] = []

    with ThreadPoolExecutor(1) as pool:

        def look(event: CacheEvent) -> None:
            if event.kind is CacheEventKind.LOAD and event.identifier == b"a":
                take(cache, b"b")
                seen.append(pool.submit(lambda: cache.usage()).result(30))

        cache = LocalCache(on_event=look)
        take(cache)

    assert [usage.loads for usage in seen] == [2]


def test_every_borrow_of_many_threads_is_told_as_exactly_one_event() -> None:
    events: list[CacheEvent] = []
    cache = LocalCache(2, on_event=events.append)
    barrier = threading.Barrier(16)

    def ask(number: int) -> None:
        barrier.wait(30)
        for step in range(40):
            take(cache, bytes([(number + step) % 4]))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    cache.close()
    answers = {CacheEventKind.HIT, CacheEventKind.WAIT, CacheEventKind.LOAD}
    told = [event for event in events if event.kind in answers]
    usage = cache.usage()

    assert len(told) == usage.borrows == 640
    assert usage.loads == usage.evictions + usage.clears
