"""Making ``bytes`` that a function fills in place, without the copy that ``bytes(bytearray)`` costs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from io import BytesIO

from envelope_sdk.errors import EnvelopeError

__all__ = ["filled"]


def filled(size: int, fill: Callable[[memoryview], int]) -> bytes:
    """Return what ``fill`` writes into a buffer of ``size`` bytes; it returns how many it wrote.

    Only call this with a size that bytes at hand account for, never with one that a message claims.

    Where ``fill`` raises an error of this package, the frames it came through are emptied: machines keep their error,
    whose frames hold the machine, keys, unauthenticated plaintext, and views of the caller's buffers, which could then
    be neither closed nor resized before a garbage collection.
    """
    if size == 0:
        fill(memoryview(bytearray()))
        return b""
    buffer = BytesIO()
    buffer.seek(size - 1)
    buffer.write(b"\0")
    before = sys.exception()
    try:
        with buffer.getbuffer() as view:
            written = fill(view)
    except EnvelopeError as error:
        del buffer
        _empty_frames(error, before)
        raise
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
