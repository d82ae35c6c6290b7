"""Bounded reading: the only way the parsers take bytes.

A cursor never takes a length on trust. Asking for more bytes than there are raises :class:`NeedMoreBytes`, which a
push machine answers by waiting and a whole-message reader by reporting the message as truncated; either way nothing is
allocated from a length that the bytes themselves do not back.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, TypeAlias

from envelope_sdk.errors import LimitExceededError, MessageError, TruncatedMessageError

__all__ = ["BytesLike", "Cursor", "NeedMoreBytes", "byte_view"]

BytesLike: TypeAlias = "bytes | bytearray | memoryview[int]"
"""What the package takes as bytes."""


def byte_view(data: BytesLike) -> memoryview:
    """Return ``data`` as a flat view of bytes, copied only where it does not lie in one piece.

    Raises:
        TypeError: it is not bytes-like; text, for instance.
    """
    view = memoryview(data)
    if view.format == "B" and view.ndim == 1 and view.c_contiguous:
        return view
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


class NeedMoreBytes(Exception):
    """The bytes so far end inside a field.

    Attributes:
        total: the bytes, from the start of what is being read, without which that field cannot be read.
        section: the part of the message that wants them.
    """

    def __init__(self, total: int, section: str) -> None:
        super().__init__(f"{section} needs {total} bytes")
        self.total = total
        self.section = section

    def as_truncated(self, available: int) -> TruncatedMessageError:
        """Return the error that says the message ends at ``available`` bytes from its start."""
        return TruncatedMessageError("the message ends early", section=self.section, offset=available)


class Cursor:
    """A position in bytes that only moves forward.

    Attributes:
        data: the bytes; only those before ``end`` may be read.
        end: how far they may be read: to their end, or to the limit.
        position: bytes taken so far, from the start of ``data``.
        section: the name that errors give to the part being read.
    """

    __slots__ = ("_limit", "data", "end", "position", "section")

    def __init__(self, data: BytesLike, section: str, *, limit: int | None = None) -> None:
        """Stand at the start of ``data``; reading past ``limit`` bytes is refused even where the bytes are there."""
        size = len(data)
        self.data = data
        self.end = size if limit is None or limit > size else limit
        self._limit = limit
        self.position = 0
        self.section = section

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes as a copy of its own."""
        start = self.position
        end = start + count
        if end > self.end:
            self.require(count)
        self.position = end
        piece = self.data[start:end]
        return piece if type(piece) is bytes else bytes(piece)

    def take_counted(self) -> bytes:
        """Return the bytes that follow a 16-bit count of them, as a copy of its own."""
        start = self.position + 2
        if start > self.end:
            self.require(2)
        data = self.data
        end = start + (data[start - 2] << 8 | data[start - 1])
        if end > self.end:
            self.position = start
            self.require(end - start)
        self.position = end
        piece = data[start:end]
        return piece if type(piece) is bytes else bytes(piece)

    def unpack(self, fields: Struct) -> tuple[Any, ...]:
        """Return the next fields, all of which have to be there: :class:`NeedMoreBytes` asks for the last of them."""
        start = self.position
        end = start + fields.size
        if end > self.end:
            self.require(fields.size)
        self.position = end
        return fields.unpack_from(self.data, start)

    def require(self, count: int) -> None:
        """Raise :class:`NeedMoreBytes` unless ``count`` more bytes are there; takes none of them.

        Raises:
            LimitExceededError: they would go past the limit.
        """
        end = self.position + count
        if end <= self.end:
            return
        if self._limit is not None and end > self._limit:
            raise LimitExceededError(
                f"the message's header needs more than the {self._limit} bytes allowed; raise "
                "Limits.max_header_length if the message is trusted to be this large",
                limit="max_header_length",
            )
        raise NeedMoreBytes(end, self.section)

    def u8(self) -> int:
        """Return the next byte."""
        start = self.position
        if start >= self.end:
            self.require(1)
        self.position = start + 1
        return self.data[start]

    def u16(self) -> int:
        """Return the next two bytes as a big-endian number."""
        start = self.position
        if start + 2 > self.end:
            self.require(2)
        self.position = start + 2
        data = self.data
        return data[start] << 8 | data[start + 1]

    def u32(self) -> int:
        """Return the next four bytes as a big-endian number."""
        start = self.position
        end = start + 4
        if end > self.end:
            self.require(4)
        self.position = end
        return int.from_bytes(self.data[start:end], "big")

    def error(self, reason: str, *, back: int = 0) -> MessageError:
        """Return the error for malformed bytes ``back`` bytes before the position."""
        return MessageError(reason, section=self.section, offset=self.position - back)
