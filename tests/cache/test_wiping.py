"""Every way a value can go zeroes its buffer: looked at in the buffer itself. More ways are where their causes are."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import pytest

from envelope_sdk.cache.local import LocalCache
from envelope_sdk.cache.settings import Refresh
from envelope_sdk.errors import UsageError

TTL = 60.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wipe(value: bytearray) -> None:
    value[:] = bytes(len(value))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> LocalCache:
    return LocalCache(1, clock=clock)


@pytest.fixture
def key(cache: LocalCache) -> bytearray:
    """Return the buffer of a key that is kept as ``a``."""
    key = bytearray(b"0123456789abcdef0123456789abcdef")
    put(cache, key)
    assert any(key)
    return key


def put(cache: LocalCache, key: bytearray, name: bytes = b"a", ttl: float = TTL) -> None:
    with cache.borrow(name, lambda: key, ttl_seconds=ttl, wipe=wipe):
        pass


def test_expiry_of_an_idle_cache(cache: LocalCache, clock: Clock, key: bytearray) -> None:
    clock.now += TTL - 0.001
    cache.expire()
    assert any(key)

    clock.now += 0.001
    cache.expire()
    assert key == bytes(32)


def test_expiry_seen_by_a_look_at_the_counts(cache: LocalCache, clock: Clock, key: bytearray) -> None:
    clock.now += TTL
    cache.usage()

    assert key == bytes(32)


def test_eviction(cache: LocalCache, key: bytearray) -> None:
    put(cache, bytearray(b"other"), b"b")

    assert key == bytes(32)


def test_a_replacement_ahead_of_time(cache: LocalCache, clock: Clock, key: bytearray) -> None:
    clock.now += 55
    put(cache, bytearray(b"newer"))

    assert key == bytes(32)


def test_discarding(cache: LocalCache, key: bytearray) -> None:
    cache.discard(b"a", key)

    assert key == bytes(32)


@pytest.mark.parametrize("way", ["clear", "close"])
def test_clearing_and_closing(way: str, cache: LocalCache, key: bytearray) -> None:
    getattr(cache, way)()

    assert key == bytes(32)


def test_a_cache_that_nobody_holds_any_more() -> None:
    key = bytearray(b"0123456789abcdef0123456789abcdef")
    cache = LocalCache()
    put(cache, key)
    del cache
    gc.collect()

    assert key == bytes(32)


def test_a_loan_outlives_the_cache_and_is_wiped_at_its_end() -> None:
    key = bytearray(b"0123456789abcdef0123456789abcdef")
    cache = LocalCache()
    with cache.borrow(b"a", lambda: key, ttl_seconds=TTL, wipe=wipe):
        cache.close()
        del cache
        gc.collect()
        assert any(key)

    assert key == bytes(32)


def test_a_value_that_came_too_late_to_be_kept(clock: Clock) -> None:
    """Its time begins when it has been loaded, so that only a clock that leaps lets it expire on its way in."""
    key = bytearray(b"key")
    times = iter([1000.0, 1000.0, 1000.0, 1000.0])
    cache = LocalCache(refresh=Refresh(), clock=lambda: next(times, 2000.0))
    put(cache, key)
    cache.expire()

    assert key == bytes(3)


def test_a_loan_serves_one_block_at_a_time(cache: LocalCache, key: bytearray) -> None:
    loan = cache.borrow(b"a", lambda: key, ttl_seconds=TTL, wipe=wipe)
    with loan:
        with pytest.raises(UsageError, match="one block"), loan:
            raise AssertionError
        cache.close()
        assert any(key)

    assert key == bytes(32)


def test_a_loan_reveals_nothing(cache: LocalCache, key: bytearray) -> None:
    loan: Any = cache.borrow(b"a", lambda: key, ttl_seconds=TTL, wipe=wipe)
    with loan:
        assert repr(loan) == "Loan(<secret>)"
        for way in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                way(loan)
