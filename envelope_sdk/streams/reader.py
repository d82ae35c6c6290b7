"""An encrypted stream read here comes out as authenticated plaintext."""

from __future__ import annotations

import io
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from envelope_sdk.errors import StreamError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.streams.contract import CHUNK

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DecryptingReader"]


class DecryptingReader(io.BufferedIOBase):
    """A binary file object that decrypts what it reads. It reads forward only.

    Every byte it returns is authenticated. Whether the message is complete is known only at its end, so a ``with``
    block that is left before the end raises :class:`StreamError`, unless ``partial_read`` says that this is meant.
    After an error every later read raises the same error.
    """

    def __init__(
        self, raw: IO[bytes], decryptor: MessageDecryptor, *, close_raw: bool = False, partial_read: bool = False
    ) -> None:
        """Read a message from ``raw`` and authenticate its header at once.

        Args:
            raw: a binary file object at the start of a message, which has to end where the message does.
            decryptor: a machine that has not started.
            close_raw: whether ``close()`` closes ``raw`` too.
            partial_read: whether a ``with`` block may be left before the end of the message.

        Raises:
            As :meth:`envelope_sdk.Client.decrypt`, for what can be known from the header.
        """
        super().__init__()
        self._raw = raw
        self._decryptor = decryptor
        self._close_raw = close_raw
        self._partial_read = partial_read
        self._in = memoryview(bytearray(CHUNK))
        self._out = memoryview(bytearray(CHUNK))
        self._plain = self._out[:0]
        self._at_end = False
        self._position = 0
        while decryptor.header is None and not self._at_end:
            self._fill()

    @property
    def header(self) -> Header:
        """The message's authenticated header."""
        header = self._decryptor.header
        assert header is not None
        return header

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return how many bytes of plaintext have been read."""
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes of plaintext, fewer only at the end of the message, or all that is left."""
        if size is None or size < 0:
            pieces = io.BytesIO()
            while view := self.read_view():
                pieces.write(view)
            return pieces.getvalue()
        pieces = io.BytesIO()
        while (missing := size - pieces.tell()) > 0 and (view := self.read_view(missing)):
            pieces.write(view)
        return pieces.getvalue()

    def read1(self, size: int = -1, /) -> bytes:
        """Return some plaintext, at most ``size`` bytes; empty at the end of the message."""
        return bytes(self.read_view(None if size < 0 else size))

    def peek(self, size: int = 0, /) -> bytes:
        """Return some plaintext, at least a byte unless at the end, without moving on. Makes reading lines fast."""
        if self.closed:
            raise ValueError("peek into a closed decrypting reader")
        while not self._plain and not self._at_end:
            self._fill()
        return bytes(self._plain[: max(size, io.DEFAULT_BUFFER_SIZE)])

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` and return how many bytes that took; fewer than it holds only at the end."""
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target) and (view := self.read_view(len(target) - filled)):
            target[filled : filled + len(view)] = view
            filled += len(view)
        return filled

    def readinto1(self, buffer: Buffer, /) -> int:
        """Write some plaintext to ``buffer`` and return how many bytes; 0 at the end of the message."""
        target = memoryview(buffer).cast("B")
        view = self.read_view(len(target))
        target[: len(view)] = view
        return len(view)

    def read_view(self, size: int | None = None) -> memoryview:
        """Return some plaintext without a copy: at most ``size`` bytes, valid until the next call; empty at the end.

        Raises:
            MessageError, AuthenticationError: the message is cut short or altered.
            ValueError: the reader is closed.
        """
        if self.closed:
            raise ValueError("read from a closed decrypting reader")
        while not self._plain and not self._at_end and size != 0:
            self._fill()
        view = self._plain if size is None else self._plain[:size]
        self._plain = self._plain[len(view) :]
        self._position += len(view)
        return view

    def close(self) -> None:
        """Close, and close what is below if so asked. What was not read is not checked."""
        if self.closed:
            return
        self._plain = self._out[:0]
        try:
            if self._close_raw:
                self._raw.close()
        finally:
            super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; raise where the block ended well but the message was not read to its end.

        Raises:
            StreamError: plaintext is left unread.
            MessageError, AuthenticationError: the message does not end as it should.
        """
        try:
            if kind is None and not self._partial_read and not self.closed and self.read_view(1):
                raise StreamError(
                    "the encrypted stream was left before its end, so what was read may be the beginning of a "
                    "truncated message: read to the end, or open it with partial_read=True"
                )
        finally:
            self.close()

    def _fill(self) -> None:
        self._plain = self._out[:0]
        count = _read_into(self._raw, self._in)
        if count == 0:
            self._decryptor.finish()
            self._at_end = True
            return
        size = self._decryptor.output_size(count)
        if size > len(self._out):
            self._out = memoryview(bytearray(size))
        released = self._decryptor.update_into(self._in[:count], self._out)
        self._plain = self._out[:released]


def _read_into(raw: Any, buffer: memoryview) -> int:
    """Read some bytes; returns 0 at the end."""
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
    buffer[: len(data)] = data
    return len(data)
