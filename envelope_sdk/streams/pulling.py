"""What both readers do: hand out, in whatever cut they are asked for, the bytes that a machine made of those below."""

from __future__ import annotations

import io
import operator
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, ClassVar, Final, NoReturn

from envelope_sdk.errors import StreamError
from envelope_sdk.message.machine import again
from envelope_sdk.streams.raw import read_some, view_to_fill

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PullingReader"]

_FIRST: Final = 2**14
"""Bytes that are read at first: most files are short, and making long buffers takes longer than reading those."""

_GROWTH: Final = 4
"""Times that a buffer grows where it was filled."""

_LINES: Final = 2**16
"""Bytes in which the ends of lines are looked for at a time."""


class PullingReader(io.BufferedIOBase):
    """A binary file object that makes what it returns of what it reads below. It reads forward only.

    After an error every later read raises it again, or, where the read was interrupted, :class:`StreamError`. Threads
    may share it: each read is of bytes that stand in one piece, and that no other read returns.
    """

    _name: ClassVar[str]
    _left_early: ClassVar[str]

    # One that could not be made is closed too, when it is dropped.
    _made = memoryview(b"")
    _lines, _lines_start = b"", 0
    _close_raw = False

    def __init__(self, raw: IO[bytes], *, close_raw: bool, partial_read: bool) -> None:
        """Read from ``raw``, and close it where ``close_raw``; a block may be left early where ``partial_read``."""
        super().__init__()
        self._raw = raw
        # What is returned is copied before another read may make anew what is at hand, and not yet authentic then.
        self._turn = threading.RLock()
        self._close_raw = close_raw
        self._partial_read = partial_read
        self._in = memoryview(b"")
        self._grows = True
        self._asked = 0
        self._at_end = False
        self._position = 0
        self._failure: BaseException | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the {self._name} holds a message key: it cannot be pickled or copied")

    def _fill(self) -> None:
        """Have ``_made`` hold what the next bytes below give, possibly nothing; set ``_at_end`` with the last."""
        raise NotImplementedError

    def _take(self, most: int) -> memoryview:
        """Return what comes next below, at most ``most`` bytes; empty at its end."""
        if self._grows:
            self._in = memoryview(bytearray(min(most, max(_FIRST, _GROWTH * len(self._in), self._asked))))
        count = self._read_raw(self._in)
        self._grows = count == len(self._in) < most
        return self._in[:count]

    def _read_raw(self, buffer: memoryview) -> int:
        """Read some bytes from below and return how many; 0 at the end."""
        return read_some(self._raw, buffer)

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return how many bytes have been read."""
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end, or all that is left."""
        size = -1 if size is None else operator.index(size)
        pieces = io.BytesIO()
        with self._turn:
            self._collect(None if size < 0 else size, pieces.write)
            return pieces.getvalue()

    def read1(self, size: int = -1, /) -> bytes:
        """Return some bytes, at most ``size``; empty at the end."""
        size = operator.index(size)
        with self._turn:
            try:
                return bytes(self.read_view(size))
            except BaseException as error:
                self._fail(error)
                raise

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return all to the end of the line, at most ``size`` bytes; empty at the end."""
        size = -1 if size is None else operator.index(size)
        with self._turn:
            try:
                # Most lines are at hand.
                index = self._position - self._lines_start
                end = self._lines.find(b"\n", index) + 1 if size < 0 else 0
                if end:
                    self._advance(end - index)
                    return self._lines[index:end]
                return self._read_line(sys.maxsize if size < 0 else size)
            except BaseException as error:
                self._fail(error)
                raise

    def _read_line(self, left: int) -> bytes:
        pieces: list[bytes] = []
        while left and self._at_hand():
            index = self._position - self._lines_start
            if index >= len(self._lines):
                self._lines, self._lines_start, index = bytes(self._made[:_LINES]), self._position, 0
            end = self._lines.find(b"\n", index, index + left) + 1 or min(index + left, len(self._lines))
            pieces.append(self._lines[index:end])
            self._advance(end - index)
            left -= end - index
            if pieces[-1].endswith(b"\n"):
                break
        return b"".join(pieces)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some bytes without moving on: at most ``size``, at least one unless at the end."""
        size = operator.index(size)
        with self._turn:
            try:
                return bytes(self._at_hand()[: size if size > 0 else io.DEFAULT_BUFFER_SIZE])
            except BaseException as error:
                self._fail(error)
                raise

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` and return how many bytes that took; fewer than it holds only at the end."""
        target = view_to_fill(buffer)
        filled = 0

        def put(view: memoryview) -> None:
            nonlocal filled
            target[filled : filled + len(view)] = view
            filled += len(view)

        with self._turn:
            self._collect(len(target), put)
            return filled

    def readinto1(self, buffer: Buffer, /) -> int:
        """Write some bytes to ``buffer`` and return how many; 0 at the end."""
        target = view_to_fill(buffer)
        with self._turn:
            try:
                view = self.read_view(len(target))
                target[: len(view)] = view
                return len(view)
            except BaseException as error:
                self._fail(error)
                raise

    def read_view(self, size: int | None = None) -> memoryview:
        """Return some bytes without a copy, valid until the next call; empty at the end.

        Args:
            size: the most bytes to return; ``None`` or less than 0 for as many as are at hand.

        Raises:
            EnvelopeError: no more can be made of what is below, or an earlier read was interrupted.
            OSError: the stream below cannot be read.
            ValueError: the reader is closed.
        """
        size = -1 if size is None else operator.index(size)
        with self._turn:
            try:
                view = self._at_hand() if size else self._made[:0]
                view = view if size < 0 else view[:size]
                self._advance(len(view))
            except BaseException as error:
                self._fail(error)
                raise
            return view

    def _collect(self, size: int | None, put: Callable[[memoryview], object]) -> None:
        """Hand ``size`` bytes to ``put``.

        Where that fails, what was handed over is lost, as what was about to be returned is by any other method, so the
        stream is failed.
        """
        # Who asks for much expects it to be there.
        self._asked = size or 0
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

    def _at_hand(self) -> memoryview:
        """Return what can be read next; empty at the end."""
        if self.closed:
            raise ValueError(f"read from a closed {self._name}")
        if self._failure is not None:
            raise again(self._failure)
        while not self._made and not self._at_end:
            self._fill()
        return self._made

    def _advance(self, count: int) -> None:
        self._made = self._made[count:]
        self._position += count

    def _fail(self, error: BaseException) -> None:
        self._made, self._lines = self._made[:0], b""
        if self._failure is None:
            self._failure = again(error)

    def close(self) -> None:
        """Close, and close what is below if so asked. What was not read is not looked at."""
        if self.closed:
            return
        self._made, self._lines = self._made[:0], b""
        try:
            if self._close_raw:
                self._raw.close()
        finally:
            super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; raise where the block ended well but not all was read.

        Raises:
            StreamError: something is left unread.
            EnvelopeError: the message does not end as it should.
        """
        try:
            if kind is None and not self._partial_read and not self.closed and self.read_view(1):
                raise StreamError(self._left_early)
        finally:
            self.close()
