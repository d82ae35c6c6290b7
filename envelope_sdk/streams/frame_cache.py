"""The frames that were opened last, so that what is read again soon is not decrypted again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

__all__ = ["FrameCache"]

_ENTRY: Final = 256
"""Bytes that an entry takes beside its content, so that tiny frames do not come to more than they look."""


class FrameCache:
    """Content of frames by sequence number; the one least recently used goes first. Safe to share between threads."""

    __slots__ = ("_frames", "_limit", "_lock", "_size")

    def __init__(self, limit: int) -> None:
        """Hold at most ``limit`` bytes, but the frame that was opened last however long it is; 0 for none at all."""
        self._limit = limit
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._size

    def get(self, number: int) -> bytes | None:
        """Return the content of a frame, if it is here."""
        with self._lock:
            content = self._frames.get(number)
            if content is not None:
                self._frames.move_to_end(number)
            return content

    def put(self, number: int, content: bytes) -> None:
        """Keep the content of a frame for a while."""
        if not self._limit:
            return
        with self._lock:
            replaced = self._frames.pop(number, None)
            self._frames[number] = content
            self._size += len(content) + _ENTRY - (0 if replaced is None else len(replaced) + _ENTRY)
            while self._size > self._limit and len(self._frames) > 1:
                _, dropped = self._frames.popitem(last=False)
                self._size -= len(dropped) + _ENTRY

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._frames.clear()
            self._size = 0
