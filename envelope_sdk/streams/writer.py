"""Plaintext written here comes out encrypted on the other side."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from envelope_sdk.errors import StreamError
from envelope_sdk.formats.cursor import BytesLike, byte_view
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.raw import write_all

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from envelope_sdk.streams.contract import MachineSource

__all__ = ["EncryptingWriter", "encrypting_writer"]


class EncryptingWriter(io.BufferedIOBase):
    """A binary file object that encrypts what is written to it.

    ``close()`` ends the message. A ``with`` block that raises, and a writer that is dropped without being closed, do
    not: the message stays visibly incomplete, and a file that :class:`AtomicFile` holds never appears. Threads may
    share it: each ``write()`` stands in one piece.
    """

    def __init__(self, raw: IO[bytes] | AtomicFile, encryptor: MessageEncryptor, *, close_raw: bool = False) -> None:
        """Write a message to ``raw``.

        Args:
            raw: a binary file object, or an :class:`AtomicFile`, which is committed on ``close()``.
            encryptor: a machine that has not started.
            close_raw: whether ``close()`` closes ``raw`` too; an :class:`AtomicFile` always is.
        """
        super().__init__()
        self._raw = raw
        self._encryptor = encryptor
        self._close_raw = close_raw or isinstance(raw, AtomicFile)
        # Reentrant, so that a signal handler that writes is refused by the machine instead of waiting for itself.
        self._lock = threading.RLock()
        self._failure: BaseException | None = None
        self._ended = False
        self._position = 0
        self._out = bytearray()
        try:
            self._guarded(self._write_raw, encryptor.start())
        except BaseException:
            self.discard()
            raise

    @property
    def header(self) -> Header:
        """The message's header."""
        return self._encryptor.header

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return how many bytes of plaintext have been written."""
        return self._position

    def write(self, data: Buffer, /) -> int:
        """Encrypt ``data``, all of it, and return its length in bytes.

        Raises:
            UsageError: more plaintext than announced, or than a message of this frame length can hold.
            OSError: writing failed; the message cannot be continued.
            StreamError: an earlier write failed.
            ValueError: the writer is closed.
        """
        view = byte_view(memoryview(data))
        with self._lock:
            self._require_open()
            self._guarded(self._encrypt, view)
        return len(view)

    def flush(self) -> None:
        """Flush what is below. A frame that is not full yet stays here: cutting it short would end the message."""
        with self._lock:
            if not self._ended:
                _flush(self._raw)

    def close(self) -> None:
        """End the message, and commit or close what is below.

        Raises:
            UsageError: less plaintext than announced.
            OSError: writing, syncing or renaming failed.
            StreamError: an earlier write failed, so that there is no message; the error is its cause.
        """
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self.closed:
            return
        if self._failure is not None:
            self.discard()
            raise StreamError("an earlier write failed: the message is discarded") from self._failure
        try:
            self._guarded(self._write_raw, self._encryptor.finish())
            self._ended = True
            self._guarded(self._commit)
        except BaseException:
            self.discard()
            raise
        super().close()

    def discard(self) -> None:
        """Give the message up: what was written stays without its end, and an :class:`AtomicFile` disappears."""
        self._ended = True
        if self.closed:
            return
        if self._close_raw:
            # The message is lost either way; what made it so is the error that matters.
            with contextlib.suppress(OSError):
                self._raw.close()
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, or discard where the block raised."""
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        """Discard: nobody said that the plaintext was complete."""
        if getattr(self, "_encryptor", None) is not None and not self.closed:
            warnings.warn(f"{type(self).__name__} was never closed; its message is discarded", ResourceWarning, 2)
            self.discard()

    def _encrypt(self, view: memoryview) -> None:
        for start in range(0, len(view), CHUNK):
            piece = view[start : start + CHUNK]
            size = self._encryptor.output_size(len(piece))
            if size > len(self._out):
                self._out = bytearray(size)
            out = memoryview(self._out)
            self._write_raw(out[: self._encryptor.update_into(piece, out)])
            self._position += len(piece)

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
            raise ValueError("write to a closed encrypting writer")
        if self._failure is not None:
            raise StreamError("an earlier write failed: this message cannot be continued") from self._failure


def encrypting_writer(
    raw: IO[bytes] | AtomicFile, client: MachineSource, *, close_raw: bool = False, **options: Any
) -> EncryptingWriter:
    """Return a writer for a new message of ``client``; ``options`` are those of ``client.encryptor``.

    Where no message can be begun, ``raw`` is closed if it was to be.
    """
    try:
        return EncryptingWriter(raw, client.encryptor(**options), close_raw=close_raw)
    except BaseException:
        if close_raw or isinstance(raw, AtomicFile):
            raw.close()
        raise


def _flush(raw: Any) -> None:
    flush = getattr(raw, "flush", None)
    if flush is not None:
        flush()
