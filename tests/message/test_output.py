"""Filling bytes in place."""

from __future__ import annotations

import pytest

from envelope_sdk.message.output import filled


@pytest.mark.parametrize(
    ("size", "written"), [(0, 0), (1, 0), (1, 1), (10, 4), (4096, 4096), (4097, 0), (5000, 4), (5000, 5000)]
)
def test_what_was_written_is_returned(size: int, written: int):
    def fill(out: memoryview) -> int:
        assert len(out) == size
        out[:written] = b"x" * written
        return written

    assert filled(size, fill) == b"x" * written


@pytest.mark.parametrize("size", [10, 5000])
@pytest.mark.parametrize("written", [0, 4, 10])
def test_a_piece_of_the_buffer_that_is_still_held_does_no_harm(size: int, written: int):
    held: list[memoryview] = []

    def fill(out: memoryview) -> int:
        out[:10] = b"abcdefghij"
        held.append(out[2:])
        return written

    assert filled(size, fill) == b"abcdefghij"[:written]


def test_an_error_while_filling_comes_through():
    def fill(_out: memoryview) -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        filled(10, fill)
