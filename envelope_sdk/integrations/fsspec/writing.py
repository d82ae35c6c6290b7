"""Encrypted files of fsspec, open for writing: they appear whole, or not at all."""

from __future__ import annotations

import contextlib
import dis
import inspect
import io
import sys
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from envelope_sdk.errors import StreamError
from envelope_sdk.integrations.fsspec.stages import Stage
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.streams.writer import EncryptingWriter

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["CompressedUpload", "StoredWriter", "TextUpload"]

_CALLING_EXIT: Final = bytes([dis.opmap.get("WITH_EXCEPT_START", 0)])
"""The instruction that tells a context manager of an error."""


class StoredWriter(EncryptingWriter):
    """An :class:`~envelope_sdk.streams.EncryptingWriter` whose message takes its name when it is whole.

    ``close()`` ends the message and, outside of a transaction, commits it. Where an error leads out of the block that
    wrote, the message is discarded, also where what stands between, as ``fsspec.open`` and pandas do, just closes.
    """

    _name: ClassVar = "encrypted file"

    def __init__(self, stage: Stage, encryptor: MessageEncryptor, *, path: str, autocommit: bool) -> None:
        """Write a message.

        Args:
            stage: where it waits.
            path: what it will be called, for those who ask.
            encryptor: a machine that has not started.
            autocommit: whether ``close()`` commits; otherwise :meth:`commit` does, after that.
        """
        self.path: Final = path
        self._stage = stage
        self._autocommit = autocommit
        self._whole = False
        self._settled = False
        # What is being handled already says nothing about what is going to be written.
        self._handled = sys.exception()
        super().__init__(cast("Any", stage), encryptor)

    @property
    def whole(self) -> bool:
        """Whether the message has its end."""
        return self._whole

    @property
    def settled(self) -> bool:
        """Whether the message was committed or discarded."""
        return self._settled

    def commit(self) -> None:
        """Give the message, which has been closed, its name.

        Raises:
            StreamError: the message is not closed, or was discarded.
            OSError: the filesystem failed; nothing has that name, or what had it before.
        """
        if self._settled or not self._whole:
            raise StreamError("only a message that is whole and was not discarded is committed, once")
        self._settled = True
        try:
            self._stage.commit()
        except BaseException:
            # What made it fail is the error that matters.
            with contextlib.suppress(Exception):
                self._stage.discard()
            raise

    def discard(self) -> None:
        """Give the message up, also one that was closed and waits for the end of its transaction."""
        super().discard()
        if not self._settled:
            self._settled = True
            self._stage.discard()

    def flush(self) -> None:
        """Do nothing: what is to be seen is seen when the message is whole."""

    def close(self) -> None:
        """End the message, or discard it where an error leads out of the block that wrote it."""
        if not self.closed and self._is_abandoned():
            self.discard()
        else:
            super().close()
        self._handled = None

    def _commit(self) -> None:
        self._stage.finish()
        self._whole = True
        if self._autocommit:
            self.commit()

    def _is_abandoned(self) -> bool:
        error = sys.exception()
        if error is None or error is self._handled:
            return False
        # Handling an error and closing is somebody's decision; leaving a block because of one is not.
        frame = inspect.currentframe()
        while frame is not None and not _leaves_a_block(frame):
            frame = frame.f_back
        return frame is not None


def _leaves_a_block(frame: FrameType) -> bool:
    """Return whether a frame is one of an ``__exit__``, or calls one, of whatever language, because of an error."""
    at = frame.f_lasti
    return frame.f_code.co_name == "__exit__" or frame.f_code.co_code[at : at + 1] == _CALLING_EXIT


class CompressedUpload(io.BufferedIOBase):
    """What compresses, and the encrypted file that it writes to, closed together."""

    def __init__(self, compressor: Any, below: StoredWriter) -> None:
        """Take both."""
        super().__init__()
        self._compressor = compressor
        self._below = below

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Compress ``data`` and return its length."""
        view = memoryview(data).cast("B")
        self._compressor.write(view)
        return len(view)

    def discard(self) -> None:
        """Give the message up."""
        self._below.discard()
        # It may have something left to write.
        with contextlib.suppress(Exception):
            self._compressor.close()
        super().close()

    def close(self) -> None:
        """Write what is left and end the message; discard it where that fails."""
        if self.closed:
            return
        try:
            self._compressor.close()
            self._below.close()
        except BaseException:
            self.discard()
            raise
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
        """Leave it to what is below, which discards."""


class TextUpload(io.TextIOWrapper):
    """Text that goes to an encrypted file."""

    def __init__(self, below: StoredWriter | CompressedUpload, **options: Any) -> None:
        """Take what to write to; ``options`` are those of :class:`io.TextIOWrapper`."""
        self._below = below
        super().__init__(cast("Any", below), **options)

    def discard(self) -> None:
        """Give the message up."""
        self._below.discard()

    def close(self) -> None:
        """Write what is left and end the message; discard it where that fails."""
        if self.closed:
            return
        try:
            self.flush()
        except BaseException:
            self._below.discard()
            raise
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, or discard where the block raised."""
        if kind is None:
            self.close()
        else:
            self._below.discard()

    def __del__(self) -> None:
        """Leave it to what is below, which discards."""
