"""The frames that were opened last: how many are kept, and which of them go."""

from __future__ import annotations

from envelope_sdk.streams.frame_cache import FrameCache

CONTENT = bytes(100)


def test_what_was_put_is_there():
    cache = FrameCache(1000)
    cache.put(7, CONTENT)
    assert cache.get(7) == CONTENT
    assert cache.get(8) is None


def test_the_one_least_recently_used_goes_first():
    cache = FrameCache(3 * 356)
    for number in (1, 2, 3):
        cache.put(number, CONTENT)
    cache.get(1)
    cache.put(4, CONTENT)
    assert [number for number in (1, 2, 3, 4) if cache.get(number)] == [1, 3, 4]


def test_it_never_holds_more_than_its_limit_and_counts_what_tiny_frames_take():
    cache = FrameCache(10_000)
    for number in range(1000):
        cache.put(number, b"x")
        assert cache.size <= 10_000
    assert sum(cache.get(number) is not None for number in range(1000)) == 38


def test_the_frame_opened_last_is_kept_however_long_it_is_and_then_alone():
    cache = FrameCache(500)
    cache.put(1, CONTENT)
    cache.put(2, bytes(1000))
    assert (cache.get(1), cache.get(2)) == (None, bytes(1000))
    cache.put(3, bytes(2000))
    assert (cache.get(2), cache.get(3)) == (None, bytes(2000))
    cache.put(4, CONTENT)
    assert (cache.get(3), cache.get(4)) == (None, CONTENT)


def test_a_limit_of_zero_keeps_nothing():
    cache = FrameCache(0)
    cache.put(1, b"")
    assert (cache.get(1), cache.size) == (None, 0)


def test_a_frame_put_twice_counts_once():
    cache = FrameCache(1000)
    cache.put(1, CONTENT)
    size = cache.size
    cache.put(1, CONTENT)
    assert cache.size == size


def test_cleared_it_holds_nothing():
    cache = FrameCache(1000)
    cache.put(1, CONTENT)
    cache.clear()
    assert (cache.get(1), cache.size) == (None, 0)
