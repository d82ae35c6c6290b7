"""Messages where fsspec has them, read at any position, each pinned to what it was when it was opened."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any, Final

from envelope_sdk.errors import StreamError
from envelope_sdk.integrations.fsspec.library import (
    AbstractBufferedFile,
    CachingFileSystem,
    LocalFileSystem,
    MemoryFile,
)
from envelope_sdk.streams.positional import FileObjectSource, FileSource, PositionalSource, can_seek, positional

__all__ = ["AT_ONCE", "READ_AHEAD", "StoredMessage", "replaced"]

READ_AHEAD: Final = 2**20
"""Bytes worth asking a store for at once, where more is going to be read."""

AT_ONCE: Final = 2**23
"""Bytes that are asked of a store in one request, where so many are wanted."""

_IDENTITIES: Final = ("ETag", "etag", "generation", "version_id", "VersionId", "md5", "content_md5", "md5Hash")
"""What stores call that which is another for other bytes."""

_TIMES: Final = ("mtime", "LastModified", "last_modified", "updated", "modified", "created", "ino")


def replaced(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether what a filesystem tells about a file shows that it is another one by now."""
    if before.get("size") != now.get("size"):
        return True
    known = [name for name in _IDENTITIES if before.get(name) is not None and now.get(name) is not None]
    known = known or [name for name in _TIMES if before.get(name) is not None and now.get(name) is not None]
    return any(before[name] != now[name] for name in known)


class StoredMessage:
    """A message in a filesystem of fsspec, as a :class:`~envelope_sdk.streams.PositionalSource`.

    A local file is held open, so one that replaces it is not looked at. Of a store, ranges are asked for one by one:
    where it can be told to, it refuses those of another object (``If-Match``), and where bytes turn out not to be
    authentic, :meth:`explain` asks it whether they are another object's.
    """

    def __init__(self, target: Any, path: str, options: Mapping[str, Any]) -> None:
        """Find out what is there.

        Args:
            target: the filesystem.
            path: what the message is called there.
            options: for the filesystem to open it with.

        Raises:
            OSError: nothing is, or it cannot be read at any position.
        """
        self._target = target
        self._path = path
        self._details: dict[str, Any] = dict(target.info(path))
        self._below = _below(target, path, self._details, options)
        self.size: Final = self._below.size
        self.read_ahead: Final = self._below.read_ahead

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from ``offset`` on; see :class:`~envelope_sdk.streams.PositionalSource`."""
        return self._below.readinto_at(offset, buffer)

    def explain(self, error: Exception) -> None:
        """Raise :class:`StreamError` where ``error`` came of the message's being replaced or removed meanwhile."""
        try:
            self._target.invalidate_cache(self._target._parent(self._path))
            now = self._target.info(self._path)
        except FileNotFoundError:
            raise StreamError(f"{self._path} was removed since it was opened") from error
        except Exception:  # noqa: BLE001 - any store's own; the error at hand is the one to tell
            return
        if replaced(self._details, now):
            raise StreamError(f"{self._path} was replaced since it was opened") from error

    def close(self) -> None:
        """Let go of the file below."""
        self._below.close()


def _below(target: Any, path: str, details: Mapping[str, Any], options: Mapping[str, Any]) -> PositionalSource:
    if isinstance(target, LocalFileSystem):
        return FileSource(path)
    file = target.open(path, "rb", **options)
    if isinstance(file, MemoryFile):
        # One object for all who open it, position included.
        return _Ranges(target, path, int(details["size"]))
    if isinstance(file, AbstractBufferedFile) and not isinstance(target, CachingFileSystem):
        return _Fetched(file, shared=bool(target.async_impl))
    if can_seek(file) and type(file) is not io.BufferedReader:
        return FileObjectSource(file, close_file=True)
    try:
        return positional(file)
    finally:
        # It has a descriptor of its own.
        file.close()


class _Ranges:
    """Ranges of a file in memory."""

    read_ahead = READ_AHEAD

    def __init__(self, target: Any, path: str, size: int) -> None:
        self._target, self._path = target, path
        self.size: Final = size

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        return _filled(buffer, self._target.cat_file(self._path, start=offset, end=offset + len(buffer)))

    def close(self) -> None: ...


class _Fetched:
    """Ranges of a file in a store, past the buffers of the file object, which hold on to the object's identity."""

    read_ahead = READ_AHEAD

    def __init__(self, file: Any, *, shared: bool) -> None:
        self._file = file
        # Filesystems over one connection are asked by one thread at a time.
        self._lock = None if shared else threading.Lock()
        if file.size is None:
            file.close()
            raise OSError("the filesystem does not tell how long the file is, so no range of it can be read")
        self.size: Final = int(file.size)

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        end = min(offset + len(buffer), self.size)
        if self._lock is None:
            return _filled(buffer, self._file._fetch_range(offset, end))
        with self._lock:
            return _filled(buffer, self._file._fetch_range(offset, end))

    def close(self) -> None:
        self._file.close()


def _filled(buffer: memoryview, data: bytes) -> int:
    if len(data) > len(buffer):
        raise OSError(f"the filesystem returned {len(data)} bytes where {len(buffer)} were asked for")
    buffer[: len(data)] = data
    return len(data)
