"""Reading ahead: the same bytes and errors, in their order, and never more than a piece in advance."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.streams.read_ahead import ReadAhead


def source(pieces: Iterable[bytes]) -> Iterator[memoryview]:
    yield from map(memoryview, pieces)
    while True:
        yield memoryview(b"")


def read(ahead: ReadAhead, size: int) -> bytes:
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: ahead.readinto(buffer)])


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=20), max_size=10),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
)
def test_what_is_read_comes_out_in_its_order(pieces: list[bytes], sizes: list[int]):
    found = b""
    with ReadAhead(source(pieces).__next__) as ahead:
        turn = 0
        while piece := read(ahead, sizes[turn % len(sizes)]):
            assert len(piece) <= sizes[turn % len(sizes)]
            found += piece
            turn += 1
        assert read(ahead, 1) == b""

    assert found == b"".join(pieces)


def test_the_next_piece_is_asked_for_only_when_the_last_was_taken():
    asked = threading.Semaphore(0)
    calls = 0

    def next_piece() -> memoryview:
        nonlocal calls
        calls += 1
        asked.release()
        return memoryview(b"ab")

    with ReadAhead(next_piece) as ahead:
        assert asked.acquire(timeout=20)
        assert read(ahead, 1) == b"a"
        assert calls == 1
        assert read(ahead, 1) == b"b"
        assert asked.acquire(timeout=20)
    assert calls == 2


def test_an_error_comes_after_what_was_read_before_it_and_stays():
    def failing() -> Iterator[memoryview]:
        yield memoryview(b"before")
        raise OSError("as it was told")

    with ReadAhead(failing().__next__) as ahead:
        assert read(ahead, 10) == b"before"
        for _ in range(2):
            with pytest.raises(OSError, match="as it was told"):
                read(ahead, 10)


@pytest.mark.parametrize("taken", [0, 1])
def test_closing_ends_the_other_thread_wherever_it_is(taken: int):
    before = threading.active_count()
    ahead = ReadAhead(source([b"ab", b"cd"]).__next__)
    if taken:
        read(ahead, 2)

    ahead.close()
    ahead.close()

    assert threading.active_count() == before
