"""Moving bytes to and from what is below a stream: file objects of any kind, and files at any position."""

from __future__ import annotations

import fcntl
import io
import os
import stat
from typing import TYPE_CHECKING, Any

from envelope_sdk.formats.cursor import BytesLike
from envelope_sdk.streams.files import AtomicFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["length_left", "read_at", "read_some", "regular_descriptor", "view_to_fill", "write_all", "write_at"]


def view_to_fill(buffer: Buffer) -> memoryview:
    """Return a view of a buffer that is to be read into, as bytes.

    Raises:
        TypeError: it cannot be written to, or does not lie in one piece.
    """
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise TypeError("what is read into has to be writable")
    return view


def read_some(raw: Any, buffer: memoryview) -> int:
    """Read some bytes from a file object into ``buffer`` and return how many; 0 at the end.

    Raises:
        BlockingIOError: it does not block, and has nothing yet.
        OSError: it cannot be read, or returned more than it was asked for.
    """
    # A pipe or socket behind a buffer hands over what it has; ``readinto`` would wait until ``buffer`` is full.
    waits = issubclass(type(raw), io.BufferedReader)
    readinto: Any = getattr(raw, "readinto1" if waits else "readinto", None)
    if readinto is not None:
        count = readinto(buffer)
        if count is None:
            raise BlockingIOError("the stream below does not block, and has nothing yet")
        return int(count)
    data: Any = raw.read(len(buffer))
    if data is None:
        raise BlockingIOError("the stream below does not block, and has nothing yet")
    if len(data) > len(buffer):
        raise OSError(f"the stream below returned {len(data)} bytes where {len(buffer)} were asked for")
    buffer[: len(data)] = data
    return len(data)


def write_all(raw: Any, data: BytesLike) -> None:
    """Write all of ``data`` to a file object.

    Raises:
        BlockingIOError: it does not block, and took nothing.
        OSError: it cannot be written, or says that it wrote what cannot be.
    """
    view = memoryview(data)
    while len(view):
        written: Any = raw.write(view)
        if written is None:
            raise BlockingIOError("the stream below does not block, and took nothing")
        if not 0 < written <= len(view):
            raise OSError(f"the stream below says it wrote {written} bytes of {len(view)}")
        view = view[written:]


def regular_descriptor(file: Any) -> int | None:
    """Return the descriptor of a regular file whose bytes are those that ``file`` reads or writes, else ``None``.

    Only for file objects that certainly add nothing: a compressed file, for one, has a descriptor too. And only where a
    position means something: what is opened to append is written at its end, wherever that is.
    """
    if type(file) is not io.FileIO and not isinstance(file, AtomicFile):
        return None
    descriptor = file.fileno()
    appending = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    return descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) and not appending else None


def length_left(file: Any) -> int | None:
    """Return how many bytes a file object holds from where it stands to its end; ``None`` where it is not cheap to say.

    Only for files on a disk, in memory and of :mod:`tempfile`: others may read all they have to find their end.
    """
    below: Any = file
    if type(file).__module__ == "tempfile":
        below = getattr(file, "_file", None) or getattr(file, "file", file)
    if type(below) in (io.BufferedReader, io.BufferedRandom):
        below = below.raw
    if type(below) is io.FileIO:
        status = os.fstat(below.fileno())
        # Through the buffer: it reads ahead, and knows where its user is.
        return max(0, status.st_size - int(file.tell())) if stat.S_ISREG(status.st_mode) else None
    if type(below) is io.BytesIO:
        return max(0, below.getbuffer().nbytes - below.tell())
    return None


def read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill ``buffer`` from ``offset`` on and return how many bytes that took, fewer only at the end of the file."""
    filled = 0
    while filled < len(buffer):
        count = _read_some_at(descriptor, buffer[filled:], offset + filled)
        if count == 0:
            break
        filled += count
    return filled


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``; raises :class:`OSError` where the disk is full."""
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)


def _read_some_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], offset)
    data = os.pread(descriptor, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)
