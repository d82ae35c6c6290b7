"""An encrypted stream read here comes out as authenticated plaintext."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final

from envelope_sdk.errors import StreamError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.machine import again
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.raw import read_some

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DecryptingReader"]

_LINE: Final = 1024
"""Bytes in which the end of a line is looked for at a time."""


class DecryptingReader(io.BufferedIOBase):
    """A binary file object that decrypts what it reads. It reads forward only.

    Every byte it returns is authenticated. Whether the message is complete is known only at its end, so a ``with``
    block that is left before the end raises :class:`StreamError`, unless ``partial_read`` says that this is meant.
    After an error every later read raises it again, or, where the read was interrupted, :class:`StreamError`.
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
        self._failure: BaseException | None = None
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
        pieces = io.BytesIO()
        self._collect(None if size is None or size < 0 else size, pieces.write)
        return pieces.getvalue()

    def read1(self, size: int = -1, /) -> bytes:
        """Return some plaintext, at most ``size`` bytes; empty at the end of the message."""
        return bytes(self.read_view(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return plaintext to the end of the line, at most ``size`` bytes; empty at the end of the message."""
        left = sys.maxsize if size is None or size < 0 else size
        pieces: list[bytes] = []
        while left and (window := self.peek(min(left, _LINE))[:left]):
            piece = window[: window.find(b"\n") + 1] or window
            pieces.append(piece)
            self.read_view(len(piece))
            left -= len(piece)
            if piece.endswith(b"\n"):
                break
        return b"".join(pieces)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some plaintext without moving on: at most ``size`` bytes, at least one unless at the end."""
        self._require_plain()
        return bytes(self._plain[: size if size > 0 else io.DEFAULT_BUFFER_SIZE])

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` and return how many bytes that took; fewer than it holds only at the end."""
        target = memoryview(buffer).cast("B")
        filled = 0

        def put(view: memoryview) -> None:
            nonlocal filled
            target[filled : filled + len(view)] = view
            filled += len(view)

        self._collect(len(target), put)
        return filled

    def readinto1(self, buffer: Buffer, /) -> int:
        """Write some plaintext to ``buffer`` and return how many bytes; 0 at the end of the message."""
        target = memoryview(buffer).cast("B")
        view = self.read_view(len(target))
        target[: len(view)] = view
        return len(view)

    def read_view(self, size: int | None = None) -> memoryview:
        """Return some plaintext without a copy, valid until the next call; empty at the end.

        Args:
            size: the most bytes to return; ``None`` or less than 0 for as many as are at hand.

        Raises:
            MessageError, AuthenticationError: the message is cut short or altered.
            StreamError: an earlier read was interrupted.
            OSError: the stream below cannot be read.
            ValueError: the reader is closed.
        """
        if size != 0:
            self._require_plain()
        view = self._plain if size is None or size < 0 else self._plain[:size]
        self._plain = self._plain[len(view) :]
        self._position += len(view)
        return view

    def _collect(self, size: int | None, put: Callable[[memoryview], object]) -> None:
        """Hand ``size`` bytes to ``put``; where that fails, what was handed over is lost, so the stream is failed."""
        try:
            while size is None or size > 0:
                view = self.read_view(size)
                if not view:
                    return
                put(view)
                size = None if size is None else size - len(view)
        except BaseException as error:
            self._fail(error)
            raise

    def _require_plain(self) -> None:
        """Have plaintext at hand unless the message is at its end."""
        if self.closed:
            raise ValueError("read from a closed decrypting reader")
        if self._failure is not None:
            raise again(self._failure)
        while not self._plain and not self._at_end:
            try:
                self._fill()
            except BaseException as error:
                self._fail(error)
                raise

    def _fail(self, error: BaseException) -> None:
        self._plain = self._out[:0]
        if self._failure is None:
            self._failure = again(error)

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
        count = read_some(self._raw, self._in)
        if count == 0:
            self._decryptor.finish()
            self._at_end = True
            return
        size = self._decryptor.output_size(count)
        if size > len(self._out):
            self._out = memoryview(bytearray(size))
        released = self._decryptor.update_into(self._in[:count], self._out)
        self._plain = self._out[:released]
