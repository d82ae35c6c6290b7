"""Commitments are compared whole, whatever kind of bytes they come as."""

from __future__ import annotations

import pytest

from envelope_sdk.primitives.commitment import equal_in_constant_time

KINDS = (bytes, bytearray, memoryview)


@pytest.mark.parametrize("right", KINDS)
@pytest.mark.parametrize("left", KINDS)
def test_byte_strings_of_any_kind_are_compared(left, right):
    assert equal_in_constant_time(left(b"same"), right(b"same"))
    assert not equal_in_constant_time(left(b"same"), right(b"some"))
    assert not equal_in_constant_time(left(b"same"), right(b"same and more"))


def test_text_is_not_compared():
    with pytest.raises(TypeError):
        equal_in_constant_time("same", b"same")  # type: ignore[arg-type]
