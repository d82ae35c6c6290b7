"""Bytes that can be read at any position, from any thread: files, file objects that can seek, and bytes in memory.

Whatever else can be read by ranges, an object in a store or behind HTTP, is one more :class:`PositionalSource`.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast, runtime_checkable

from envelope_sdk.errors import StreamError
from envelope_sdk.formats.cursor import byte_view
from envelope_sdk.streams.raw import read_at, read_some

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "BytesSource",
    "FileObjectSource",
    "FileSource",
    "PositionalSource",
    "Readable",
    "can_seek",
    "fetch",
    "positional",
]

_READ_AHEAD: Final = 2**16


@runtime_checkable
class PositionalSource(Protocol):
    """Bytes that stay the same while they are read, at any position and by several threads at once.

    An implementation holds on to what it was opened on: to an ETag, or to a file's time of change. Where the bytes
    are others by now, it raises :class:`StreamError`; it never returns those of another object.
    """

    @property
    def size(self) -> int:
        """How many bytes there are; it does not change."""
        ...

    @property
    def read_ahead(self) -> int:
        """How many bytes are worth asking for at once, where more is going to be read: many, where a call is dear."""
        ...

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from ``offset`` on, in one request, and return how many bytes came: fewer only at the end.

        Raises:
            StreamError: the bytes are not what they were when the source was opened.
            OSError: they cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of what is below."""
        ...


Readable: TypeAlias = "str | os.PathLike[str] | IO[bytes] | Buffer | PositionalSource"
"""What can be read at any position: a path, a file object that can seek, bytes, or a source of one's own."""


class FileSource:
    """A regular file, pinned by its size and time of change. A file that replaces it is not looked at."""

    read_ahead = _READ_AHEAD

    def __init__(self, file: str | os.PathLike[str] | int, start: int = 0) -> None:
        """Open the file; a descriptor is duplicated.

        Args:
            file: a path or a descriptor.
            start: where in the file the bytes begin.

        Raises:
            OSError: it cannot be opened; :class:`io.UnsupportedOperation` where it is no regular file.
        """
        self._file = io.FileIO(os.dup(file) if isinstance(file, int) else file, opener=_without_waiting)
        self._start = start
        pinned = os.fstat(self._file.fileno())
        if not stat.S_ISREG(pinned.st_mode):
            self._file.close()
            raise io.UnsupportedOperation("only a regular file can be read at any position")
        self._pinned = pinned.st_size, pinned.st_mtime_ns
        self.size: Final = max(0, pinned.st_size - start)

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from ``offset`` on; see :class:`PositionalSource`."""
        descriptor = self._file.fileno()
        count = read_at(descriptor, buffer, self._start + offset)
        now = os.fstat(descriptor)
        if (now.st_size, now.st_mtime_ns) != self._pinned:
            raise StreamError("the file was changed since it was opened: another program writes to it")
        return count

    def close(self) -> None:
        """Close this source's own descriptor."""
        self._file.close()


class FileObjectSource:
    """A binary file object that can seek: one thread reads at a time. Its position is nobody else's meanwhile."""

    read_ahead = _READ_AHEAD

    def __init__(self, file: IO[bytes], *, close_file: bool = False) -> None:
        """Take the file object; the bytes begin where it stands.

        Raises:
            OSError: it cannot seek.
        """
        self._file = file
        self._close_file = close_file
        self._lock = threading.Lock()
        self._start = file.tell()
        # Not all that can seek return where that leads.
        file.seek(0, os.SEEK_END)
        self.size: Final = max(0, file.tell() - self._start)

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from ``offset`` on; see :class:`PositionalSource`."""
        with self._lock:
            self._file.seek(self._start + offset)
            filled = 0
            while filled < len(buffer) and (count := read_some(self._file, buffer[filled:])):
                filled += count
            return filled

    def close(self) -> None:
        """Close the file object where that was asked for."""
        if self._close_file:
            self._file.close()


class BytesSource:
    """Bytes in memory, which nobody can resize while they are read."""

    read_ahead = _READ_AHEAD

    def __init__(self, data: Buffer) -> None:
        """Take any bytes-like object; it is not copied."""
        self._view = byte_view(cast("bytes", data))
        self.size: Final = len(self._view)

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from ``offset`` on; see :class:`PositionalSource`."""
        piece = self._view[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Let go of the bytes."""
        self._view = memoryview(b"")


def positional(source: Readable) -> PositionalSource:
    """Return a source over ``source``: itself, where it is one. A file object is read from where it stands.

    Raises:
        TypeError: it is nothing of the kind.
        OSError: it cannot be opened; :class:`io.UnsupportedOperation` where it cannot be read at any position.
    """
    if isinstance(source, str | os.PathLike):
        return FileSource(source)
    if isinstance(source, PositionalSource):
        return source
    with contextlib.suppress(TypeError):
        return BytesSource(cast("Buffer", source))
    if not hasattr(source, "read"):
        raise TypeError(
            "a message to read at any position is a path, a binary file object, bytes or a PositionalSource, not "
            + type(source).__name__
        )
    file = cast("Any", source)
    descriptor = _descriptor_below(file)
    if descriptor is not None:
        return FileSource(descriptor, file.tell())
    if not can_seek(file):
        raise io.UnsupportedOperation("the file object cannot seek, so it can be read from its beginning only")
    return FileObjectSource(file)


def can_seek(file: Any) -> bool:
    """Return whether a file object says that it can seek, and where it stands."""
    ask = getattr(file, "seekable", None)
    try:
        return ask is not None and bool(ask()) and file.tell() >= 0
    except (AttributeError, io.UnsupportedOperation):
        # A member of a tar archive that is read as a stream asks what has no answer.
        return False


def fetch(source: PositionalSource, offset: int, buffer: memoryview) -> None:
    """Fill all of ``buffer``, which lies within the size of ``source``.

    Raises:
        StreamError: the source became shorter.
        Otherwise as :meth:`PositionalSource.readinto_at`.
    """
    count = source.readinto_at(offset, buffer)
    if count != len(buffer):
        raise StreamError(
            f"only {count} of {len(buffer)} bytes are left at byte {offset} of the message: it became shorter while "
            "it was read"
        )


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; of a pipe, which is refused, the other end is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _descriptor_below(file: Any) -> int | None:
    """Return the descriptor of the regular file whose bytes a file object certainly passes on as they are."""
    raw = file.raw if type(file) is io.BufferedReader else file
    if type(raw) is not io.FileIO or raw.closed or not raw.readable():
        return None
    descriptor = raw.fileno()
    return descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
