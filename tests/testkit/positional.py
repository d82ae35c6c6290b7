"""Sources of bytes at positions that count what is asked of them, and fail to order."""

from __future__ import annotations

from collections.abc import Callable


class CountingSource:
    """Bytes in memory. Every request is noted.

    Attributes:
        requests: offset and length of every request, in order.
        before: called before every request.
    """

    def __init__(self, content: bytes, *, read_ahead: int = 0) -> None:
        self._content = bytearray(content)
        self.size = len(content)
        self.read_ahead = read_ahead
        self.requests: list[tuple[int, int]] = []
        self.before: Callable[[], object] = lambda: None
        self.closed = False

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        self.before()
        self.requests.append((offset, len(buffer)))
        piece = self._content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self.closed = True

    def flip(self, offset: int) -> None:
        """Alter one byte under whoever reads."""
        self._content[offset] ^= 1

    def cut(self, length: int) -> None:
        """Leave only the first bytes under whoever reads."""
        del self._content[length:]

    @property
    def bytes_read(self) -> int:
        return sum(length for _, length in self.requests)
