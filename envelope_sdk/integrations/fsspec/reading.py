"""Encrypted files of fsspec, open for reading: at any position, every byte authenticated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envelope_sdk.errors import AuthenticationError, MessageError, StreamError
from envelope_sdk.integrations.fsspec.library import AbstractBufferedFile
from envelope_sdk.integrations.fsspec.stored import AT_ONCE, READ_AHEAD, StoredMessage
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.random_access import FrameReader
from envelope_sdk.streams.ends import first_bytes_of, read_beginning, read_through
from envelope_sdk.streams.ranges import RandomAccessReader, frames_at_once

__all__ = ["BufferedReader", "StoredReader", "open_stored"]

_SUSPECT = (AuthenticationError, MessageError, StreamError, OSError)
"""What reading raises where the bytes are those of another object."""


class StoredReader(RandomAccessReader):
    """A :class:`~envelope_sdk.streams.RandomAccessReader` that says so where its object was replaced meanwhile."""

    def __init__(self, stored: StoredMessage, frames: FrameReader, **options: Any) -> None:
        """Authenticate the final frame; ``close()`` closes ``stored``. As the class below this one."""
        self._stored = stored
        super().__init__(stored, frames, close_source=True, **options)
        if stored.read_ahead >= READ_AHEAD:
            self._run = max(self._run, frames_at_once(self._layout, AT_ONCE))

    def _read_on(self, target: memoryview) -> int:
        position, end, frame = self._position, self._window_start + len(self._window), self._layout.frame_length
        if self._window_start <= position <= end or position % frame + len(target) <= frame:
            return super()._read_on(target)
        # Who goes somewhere and asks for more than its frame has knows what is wanted: a column, or the end of a line.
        count = self._read_range(position, target)
        self._window, self._window_start = b"", position + count
        self._position = position + count
        return count

    def _read_range(self, offset: int, target: memoryview) -> int:
        try:
            return super()._read_range(offset, target)
        except _SUSPECT as error:
            self._stored.explain(error)
            raise


def open_stored(
    stored: StoredMessage, machine: Callable[[], MessageDecryptor], *, verify_first: bool, **options: Any
) -> StoredReader:
    """Open a message, its header and its final frame authenticated.

    Args:
        stored: the message. It is closed with the reader, or where this raises.
        machine: returns a machine that has not started.
        verify_first: authenticate all of the message now, its signature included.
        options: ``read_ahead`` and ``cache_size`` of :class:`~envelope_sdk.streams.RandomAccessReader`.

    Raises:
        As :func:`envelope_sdk.streams.open_random_access`.
    """
    try:
        decryptor = machine()
        frames = read_beginning(first_bytes_of(stored), decryptor)
        if verify_first:
            read_through(stored, decryptor, frames.header.length)
        return StoredReader(stored, frames, **options)
    except BaseException as error:
        try:
            if isinstance(error, _SUSPECT):
                stored.explain(error)
        finally:
            stored.close()
        raise


class BufferedReader(AbstractBufferedFile):  # type: ignore[misc]
    """The same with one of fsspec's caches over it, for those who ask for one: ``cache_type="blockcache"``."""

    def __init__(self, fs: Any, path: str, reader: RandomAccessReader, block_size: int | None, **options: Any) -> None:
        """Take what to read from, and the cache to put over it, as ``fsspec.open`` names it."""
        self._reader = reader
        parent: Any = super()
        parent.__init__(fs, path, "rb", block_size, size=reader.size, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._reader.read_at(start, max(0, end - start))

    def close(self) -> None:
        """Close, and drop what is at hand."""
        parent: Any = super()
        parent.close()
        self._reader.close()
