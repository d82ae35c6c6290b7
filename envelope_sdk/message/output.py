"""Making ``bytes`` that a function fills in place, without the copy that ``bytes(bytearray)`` costs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from io import BytesIO
from typing import Final

from envelope_sdk.errors import EnvelopeError

__all__ = ["filled"]

_SMALL: Final = 4096
"""Bytes up to which copying costs less than setting up what saves the copy."""


def filled(size: int, fill: Callable[[memoryview], int]) -> bytes:
    """Return what ``fill`` writes into a buffer of ``size`` bytes; it returns how many it wrote.

    Only call this with a size that bytes at hand account for, never with one that a message claims.

    Where ``fill`` raises an error of this package, the frames it came through are emptied: machines keep their error,
    whose frames hold the machine, keys, unauthenticated plaintext, and views of the caller's buffers, which could then
    be neither closed nor resized before a garbage collection.
    """
    before = sys.exception()
    try:
        return _filled(size, fill)
    except EnvelopeError as error:
        _empty_frames(error, before)
        raise


def _filled(size: int, fill: Callable[[memoryview], int]) -> bytes:
    if size == 0:
        fill(memoryview(bytearray()))
        return b""
    if size <= _SMALL:
        small = bytearray(size)
        return bytes(small[: fill(memoryview(small))])
    buffer = BytesIO()
    buffer.seek(size - 1)
    buffer.write(b"\0")
    with buffer.getbuffer() as view:
        written = fill(view)
    try:
        buffer.truncate(written)
    except BufferError:
        # Something still looks at the buffer: an error that a keyring caught and kept does, through its frames.
        return bytes(buffer.getbuffer()[:written])
    return buffer.getvalue()


def _empty_frames(error: BaseException | None, before: BaseException | None) -> None:
    """Clear the variables of finished frames of ``error`` and what led to it, but not of what was ``before`` it."""
    while error is not None and error is not before:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
