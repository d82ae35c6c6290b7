"""Standard input, output and error, as whoever started the process left them: closed, full, or not blocking."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PatientStream", "settle", "standard_input", "standard_output"]


class PatientStream(io.RawIOBase):
    """A file descriptor that waits until it can be read or written, whether or not it blocks.

    ``O_NONBLOCK`` is not the process's own: everybody who shares a terminal, pipe or socket shares the flag. Without
    waiting, "nothing there yet" would pass for the end. Closing it leaves the descriptor open.
    """

    def __init__(self, descriptor: int, *, writable: bool = False, lossy: bool = False) -> None:
        """Take a descriptor.

        Args:
            descriptor: an open one.
            writable: whether it is for writing; for reading otherwise.
            lossy: whether what cannot be written is dropped without an error.
        """
        super().__init__()
        self._file = io.FileIO(descriptor, "w" if writable else "r", closefd=False)
        self._lossy = lossy

    @property
    def name(self) -> int:
        """The file descriptor, as of every raw file that was opened by one."""
        return self._file.fileno()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._file.isatty()

    def readable(self) -> bool:
        """Whether it is for reading."""
        return self._file.readable()

    def writable(self) -> bool:
        """Whether it is for writing."""
        return self._file.writable()

    def readinto(self, buffer: Buffer, /) -> int:
        """Read some bytes, waiting for them, and return how many; 0 at the end only."""
        while True:
            # 0 is the end, None is not: typeshed knows of the first alone.
            count: Any = self._file.readinto(buffer)
            if count is not None:
                return int(count)
            self._wait(select.POLLIN)

    def write(self, data: Buffer, /) -> int:
        """Write all of ``data``, waiting for room, and return its length."""
        view = memoryview(data).cast("B")
        total = len(view)
        try:
            while len(view):
                count: Any = self._file.write(view)
                if count is None:
                    self._wait(select.POLLOUT)
                else:
                    view = view[count:]
        except OSError:
            if not self._lossy:
                raise
        return total

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._file.fileno(), event)
        poll.poll()


def settle() -> None:
    """Make the standard streams wait where they do not block, and drop what standard error does not take.

    What is closed stays closed to us, but its number is taken, so that no file that is opened later becomes, say,
    standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = _settled(sys.stdin, lambda number: io.BufferedReader(PatientStream(number)))
    # Without a buffer: nothing is left over that would fail once more when the process ends.
    sys.stdout = _settled(sys.stdout, lambda number: PatientStream(number, writable=True))
    sys.stderr = _settled(sys.stderr, lambda number: PatientStream(number, writable=True, lossy=True))


def _settled(stream: Any, patient: Callable[[int], io.BufferedReader | PatientStream]) -> Any:
    try:
        binary: Any = patient(stream.fileno())
    except (AttributeError, OSError, ValueError):
        # Closed, or not a file at all: what somebody put in its place in this process.
        return stream
    return io.TextIOWrapper(binary, stream.encoding, stream.errors, write_through=True)


def standard_input() -> IO[bytes]:
    """Return standard input as bytes, without a buffer.

    Raises:
        OSError: this process was started without one.
    """
    return _standard(sys.stdin, "standard input")


def standard_output() -> IO[bytes]:
    """Return standard output for bytes, without a buffer.

    Raises:
        OSError: this process was started without one.
    """
    return _standard(sys.stdout, "standard output")


def _standard(stream: Any, name: str) -> IO[bytes]:
    if stream is None:
        raise OSError(errno.EBADF, "closed", name)
    binary: IO[bytes] = stream.buffer
    raw: IO[bytes] = getattr(binary, "raw", binary)
    return raw
