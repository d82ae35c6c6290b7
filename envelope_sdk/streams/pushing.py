"""What both writers do: turn what is written into what goes to the file below, and end it whole or not at all."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import warnings
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from envelope_sdk.formats.cursor import BytesLike, byte_view
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.raw import write_all

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PushingWriter"]


class PushingWriter(io.BufferedIOBase):
    """A binary file object that makes what it writes below of what is written to it.

    ``close()`` ends the message. A ``with`` block that raises, and a writer that is dropped without being closed, do
    not. Threads may share it: each ``write()`` stands in one piece.

    What is written through (:class:`io.TextIOWrapper`, for one) closes what it writes to, and does so when a block
    raises as well. So a ``close()`` on the way of an error through this object's own block is settled by how the block
    ends.
    """

    _name: ClassVar[str]

    _in_block = False
    _left_to_block = False
    _error_before: BaseException | None = None

    def __init__(self, raw: IO[bytes] | AtomicFile, *, close_raw: bool) -> None:
        """Write to ``raw``, which ``close()`` closes too where ``close_raw``, and if it is an :class:`AtomicFile`."""
        super().__init__()
        self._raw = raw
        self._close_raw = close_raw or isinstance(raw, AtomicFile)
        # Reentrant, so that a signal handler that writes is refused by the machine instead of waiting for itself.
        self._lock = threading.RLock()
        self._failure: BaseException | None = None
        self._ended = False
        self._position = 0
        self._out = memoryview(b"")

    def __reduce__(self) -> NoReturn:
        # A copy that is dropped would give up the message of the one that it was made of.
        raise TypeError(f"the {self._name} holds a message key: it cannot be pickled or copied")

    def _push(self, piece: memoryview) -> None:
        """Write what one more piece makes."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Write what the end makes."""
        raise NotImplementedError

    def _raise_again(self, _what: str) -> NoReturn:
        """Raise because of the failure that there was; ``_what`` says what it means for the message."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._left_to_block or super().closed

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return how many bytes have been written here."""
        return self._position

    def write(self, data: Buffer, /) -> int:
        """Take ``data``, all of it, and return its length in bytes.

        Raises:
            EnvelopeError: it is not what it has to be, or an earlier write failed.
            OSError: writing failed; the message cannot be continued.
            ValueError: the writer is closed.
        """
        view = byte_view(memoryview(data))
        with self._lock:
            self._require_open()
            self._guarded(self._push_all, view)
        return len(view)

    def flush(self) -> None:
        """Flush what is below. A frame that is not whole yet stays here."""
        with self._lock:
            if not self._ended:
                _flush(self._raw)

    def close(self) -> None:
        """End the message, and commit or close what is below.

        Raises:
            EnvelopeError: the message is not complete, or an earlier write failed.
            OSError: writing, syncing or renaming failed.
        """
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self.closed:
            return
        error = sys.exception()
        if self._in_block and error is not None and error is not self._error_before:
            self._left_to_block = True
            return
        if self._failure is not None:
            self.discard()
            self._raise_again("the message is discarded")
        try:
            self._guarded(self._finish)
            self._ended = True
            self._guarded(self._commit)
        except BaseException:
            self.discard()
            raise
        super().close()

    def discard(self) -> None:
        """Give the message up: what was written stays without its end, and an :class:`AtomicFile` disappears."""
        self._ended = True
        self._left_to_block = False
        if self.closed:
            return
        if self._close_raw:
            # The message is lost either way; what made it so is the error that matters.
            with contextlib.suppress(OSError):
                self._raw.close()
        super().close()

    def __enter__(self) -> Self:
        super().__enter__()
        self._in_block, self._error_before = True, sys.exception()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, or discard where the block raised."""
        self._in_block = self._left_to_block = False
        self._error_before = None
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        """Discard: nobody said that what was written was complete."""
        if getattr(self, "_lock", None) is not None and not super().closed:
            warnings.warn(f"{type(self).__name__} was never closed; its message is discarded", ResourceWarning, 2)
            self.discard()

    def _push_all(self, view: memoryview) -> None:
        for start in range(0, len(view), CHUNK):
            piece = view[start : start + CHUNK]
            self._push(piece)
            self._position += len(piece)

    def _room(self, size: int) -> memoryview:
        if size > len(self._out):
            self._out = memoryview(bytearray(size))
        return self._out

    def _write_raw(self, data: BytesLike) -> None:
        write_all(self._raw, data)

    def _commit(self) -> None:
        if isinstance(self._raw, AtomicFile):
            self._raw.commit()
            return
        _flush(self._raw)
        if self._close_raw:
            self._raw.close()

    def _guarded(self, action: Any, *arguments: Any) -> None:
        try:
            action(*arguments)
        except BaseException as error:
            self._failure = error
            self._ended = True
            raise

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError(f"write to a closed {self._name}")
        if self._failure is not None:
            self._raise_again("this message cannot be continued")


def _flush(raw: Any) -> None:
    flush = getattr(raw, "flush", None)
    if flush is not None:
        flush()
