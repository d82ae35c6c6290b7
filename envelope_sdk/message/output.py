"""Making ``bytes`` that a function fills in place, without the copy that ``bytes(bytearray)`` costs."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Final

from envelope_sdk.errors import UsageError

__all__ = ["check_room", "filled"]

_SMALL: Final = 4096
"""Bytes up to which copying costs less than setting up what saves the copy."""


def check_room(out: memoryview, length: int) -> None:
    """Raise :class:`UsageError` where ``out`` has no room for ``length`` bytes."""
    if len(out) < length:
        raise UsageError(f"the output has room for {len(out)} bytes, {length} are needed")


def filled(size: int, fill: Callable[[memoryview], int]) -> bytes:
    """Return what ``fill`` writes into a buffer of ``size`` bytes; it returns how many it wrote.

    Only call this with a size that bytes at hand account for, never with one that a message claims.
    """
    if size <= _SMALL:
        small = bytearray(size)
        return bytes(small[: fill(memoryview(small))])
    # Nobody else holds these bytes, so they are the ones written to, and the ones returned. Long ones come untouched
    # from the system: whichever thread writes to a page first has it made.
    buffer = BytesIO(bytes(size))
    with buffer.getbuffer() as view:
        written = fill(view)
    if written == size:
        return buffer.getvalue()
    try:
        buffer.truncate(written)
    except BufferError:
        # Somebody kept a piece of the buffer.
        return bytes(buffer.getbuffer()[:written])
    return buffer.getvalue()
