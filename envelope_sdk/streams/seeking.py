"""A decrypting reader over a file that can seek: it reads forward like any other, until it is told to go elsewhere."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from envelope_sdk.errors import AuthenticationError, EnvelopeError, MessageError
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.machine import again
from envelope_sdk.message.random_access import FrameReader
from envelope_sdk.streams.ends import read_beginning
from envelope_sdk.streams.positional import PositionalSource, positional
from envelope_sdk.streams.ranges import RandomAccessReader
from envelope_sdk.streams.raw import read_some
from envelope_sdk.streams.reader import DecryptingReader

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["SeekableDecryptingReader"]


class SeekableDecryptingReader(DecryptingReader):
    """A binary file object that decrypts what it reads, forward at first, and at any position from the first seek on.

    As long as it reads forward it is a :class:`DecryptingReader`: what was read may be the beginning of a message that
    was cut short, so a ``with`` block is not to be left before the end. Seeking elsewhere, :attr:`size` and positional
    reads authenticate the final frame first, and with it the size. From then on that question is settled, a block may
    be left at any time, and reads fail one by one, as those of :class:`~envelope_sdk.streams.RandomAccessReader` do.

    Signed messages, whose signature only a read to the end can check, are read forward only.
    """

    def __init__(
        self, raw: IO[bytes], decryptor: MessageDecryptor, *, close_raw: bool = False, partial_read: bool = False
    ) -> None:
        """Read a message from ``raw``, a binary file object that can seek; as :class:`DecryptingReader`."""
        self._below: Any = raw
        self._start = raw.tell()
        self._ranges: RandomAccessReader | None = None
        self._stays_failed = False
        self._failed_at_position: EnvelopeError | None = None
        # Not sought to again: not all can seek that say so.
        self._beginning = bytearray()
        self._frames: FrameReader = read_beginning(self._first_bytes, decryptor)
        self._unread = memoryview(bytes(self._beginning))[self._frames.header.length :]
        self._beginning.clear()
        super().__init__(raw, decryptor, close_raw=close_raw, partial_read=partial_read)

    @property
    def size(self) -> int:
        """Bytes of plaintext in the whole message, authenticated.

        Raises:
            As :meth:`seek`.
        """
        return self._at_random().size

    def seekable(self) -> bool:
        """Return whether the message is unsigned."""
        if self.closed:
            raise ValueError("seek in a closed decrypting reader")
        return not self._frames.header.algorithm_suite.signed

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position in the plaintext, which may lie past its end, and return it.

        Raises:
            MessageError, AuthenticationError: the message does not end as it should.
            StreamError: it was changed meanwhile.
            OSError: the position would be negative, or the message is signed.
            ValueError: there is no such ``whence``, or the reader is closed.
        """
        # As while reading forward: going elsewhere moves the file below, and takes over where reading stands.
        with self._turn:
            if self._ranges is None and (offset, whence) in ((self.tell(), os.SEEK_SET), (0, os.SEEK_CUR)):
                self._require_seekable()
                return self.tell()
            position = self._at_random().seek(offset, whence)
            self._failed_at_position = None
            return position

    def stay_failed(self) -> None:
        """From now on, raise the error of a read at a position again until told to go to one.

        For text over it: :class:`io.TextIOWrapper` loses the beginning of a line whose end it could not read.
        """
        self._stays_failed = True

    def read_at(self, offset: int, length: int) -> bytes:
        """Return plaintext from any position: :meth:`RandomAccessReader.read_at`."""
        return self._at_random().read_at(offset, length)

    def readinto_at(self, offset: int, buffer: Buffer) -> int:
        """Fill ``buffer`` from any position: :meth:`RandomAccessReader.readinto_at`."""
        return self._at_random().readinto_at(offset, buffer)

    def tell(self) -> int:
        """Return the position in the plaintext."""
        return super().tell() if self._ranges is None else self._ranges.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes of plaintext, fewer only at the end of the message, or all that is left."""
        with self._turn:
            return super().read(size) if self._ranges is None else self._at_position(self._ranges.read, size)

    def read1(self, size: int = -1, /) -> bytes:
        """Return some plaintext, at most ``size`` bytes; empty at the end of the message."""
        with self._turn:
            return super().read1(size) if self._ranges is None else self._at_position(self._ranges.read1, size)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` and return how many bytes that took; fewer than it holds only at the end."""
        with self._turn:
            return super().readinto(buffer) if self._ranges is None else self._ranges.readinto(buffer)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return plaintext to the end of the line, at most ``size`` bytes; empty at the end of the message."""
        with self._turn:
            return super().readline(size) if self._ranges is None else self._ranges.readline(size)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some plaintext without moving on: at most ``size`` bytes, at least one unless at the end."""
        with self._turn:
            return super().peek(size) if self._ranges is None else self._ranges.peek(size)

    def read_view(self, size: int | None = None) -> memoryview:
        """Return some plaintext without a copy, valid until the next call; empty at the end."""
        with self._turn:
            return super().read_view(size) if self._ranges is None else self._ranges.read_view(size)

    def close(self) -> None:
        """Close, and close what is below if so asked. What was not read is not checked."""
        try:
            if self._ranges is not None:
                self._ranges.close()
        finally:
            super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; raise where the block only read forward, ended well, and did not come to the end of the message."""
        if self._ranges is None or self.closed:
            super().__exit__(kind, error, trace)
        else:
            self.close()

    def _at_position(self, read: Callable[[int], bytes], size: int | None) -> bytes:
        if self._failed_at_position is not None:
            raise again(self._failed_at_position)
        try:
            return read(-1 if size is None else size)
        except BaseException as error:
            if self._stays_failed:
                self._failed_at_position = again(error)
            raise

    def _first_bytes(self, count: int) -> memoryview:
        buffer = memoryview(bytearray(count))
        while len(self._beginning) < count and (more := read_some(self._below, buffer[len(self._beginning) :])):
            self._beginning += buffer[len(self._beginning) :][:more]
        return memoryview(bytes(self._beginning))

    def _read_raw(self, buffer: memoryview) -> int:
        if not self._unread:
            return super()._read_raw(buffer)
        count = min(len(buffer), len(self._unread))
        buffer[:count] = self._unread[:count]
        self._unread = self._unread[count:]
        return count

    def _require_seekable(self) -> None:
        if not self.seekable():
            raise io.UnsupportedOperation(
                "a signed message is read forward only, so that its signature is checked at its end: see "
                "Client.random_access"
            )

    def _at_random(self) -> RandomAccessReader:
        """Return the reader that reads from now on, at the same position."""
        if self._ranges is not None:
            # Positional reads do not wait for those that move the position.
            return self._ranges
        with self._turn:
            if self._ranges is None:
                self._require_seekable()
                self._ranges = self._switched()
            return self._ranges

    def _switched(self) -> RandomAccessReader:
        if self._failure is not None:
            raise again(self._failure)
        behind = self._below.tell()
        self._below.seek(self._start)
        source: PositionalSource | None = None
        try:
            source = positional(self._below)
            ranges = RandomAccessReader(source, self._frames, close_source=True)
        except BaseException as error:
            if source is not None:
                source.close()
            self._below.seek(behind)
            if isinstance(error, MessageError | AuthenticationError):
                self._fail(error)
            raise
        ranges.seek(self._position)
        # What was at hand is not needed any more; of long frames it is much.
        self._in = self._out = self._made = self._unread = memoryview(b"")
        self._lines = b""
        return ranges
