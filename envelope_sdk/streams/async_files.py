"""Encrypted files for asynchronous programs: every call that may wait does so in a worker thread."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, AnyStr, Generic, Literal, Self, TypeAlias, TypeVar, overload

try:
    from anyio import CancelScope, get_cancelled_exc_class, to_thread
except ImportError as error:
    raise ImportError("asynchronous streams need anyio: pip install 'envelope-sdk[async]'") from error

from envelope_sdk.errors import StreamError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.machine import again
from envelope_sdk.streams import opening
from envelope_sdk.streams.contract import MachineSource
from envelope_sdk.streams.line_ahead import LineAhead
from envelope_sdk.streams.opening import EncryptedFile

__all__ = ["AsyncEncryptedFile", "open"]

T = TypeVar("T")

_Bytes: TypeAlias = Literal["r", "rb", "w", "wb", "x", "xb"]
_Text: TypeAlias = Literal["rt", "wt", "xt"]


class AsyncEncryptedFile(Generic[AnyStr]):
    """An encrypted file whose methods are awaited; iterating over it gives its lines.

    An ``async with`` block ends as a ``with`` block over the file would: a message that is written ends with the block,
    and is discarded where the block raises or is cancelled; leaving one that is read before its end is an error. A call
    that is cancelled may or may not have been done, so the file has failed then: every later call raises.

    Lines that are iterated over are read many at a time; nothing else is read ahead.
    """

    def __init__(self, file: EncryptedFile) -> None:
        """Take a file that :func:`envelope_sdk.open` returned; nobody else uses it from now on."""
        self._file: Any = file
        self._turn = threading.Lock()
        self._failure: BaseException | None = None
        self._reading: LineAhead[AnyStr] = LineAhead(file)

    @property
    def wrapped(self) -> EncryptedFile:
        """The file below."""
        file: EncryptedFile = self._file
        return file

    @property
    def header(self) -> Header:
        """The message's header; authenticated, where it is read."""
        header: Header = getattr(self._file, "buffer", self._file).header
        return header

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._file.closed)

    async def read(self, size: int = -1) -> AnyStr:
        """Return ``size`` bytes or characters, fewer only at the end, or all that is left."""
        data: AnyStr = await self._run(self._reading.read, size)
        return data

    async def readline(self) -> AnyStr:
        """Return all to the end of the line; empty at the end of the message."""
        line: AnyStr = await self._run(self._reading.readline)
        return line

    async def read_at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of plaintext from ``offset`` on, fewer only where the message ends.

        Any number of tasks may do so at once, and be cancelled without harm. The position stays.

        Raises:
            UnsupportedOperation: the file is open for writing or as text, or cannot seek.
            Otherwise as :meth:`envelope_sdk.streams.RandomAccessReader.read_at`, and at first as :meth:`seek`.
        """
        self._require_positions()
        data: bytes = await to_thread.run_sync(self._file.read_at, offset, length)
        return data

    async def size(self) -> int:
        """Return how many bytes of plaintext the whole message has, authenticated.

        Raises:
            As :meth:`read_at`.
        """
        self._require_positions()
        return int(await self._run(lambda: self._file.size))

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in the plaintext, as the file can, and return it."""
        return int(await self._run(self._reading.seek, offset, whence))

    async def tell(self) -> int:
        """Return the position in the plaintext; of text, not while its lines are iterated over."""
        return int(await self._run(self._reading.tell))

    async def write(self, data: AnyStr) -> int:
        """Encrypt ``data``, all of it, and return its length."""
        return int(await self._run(self._file.write, data))

    async def flush(self) -> None:
        """Flush what is below. A frame that is not full yet stays here."""
        await self._run(self._file.flush)

    async def aclose(self) -> None:
        """Close: ends a message that is written. Once begun, it is not cancelled.

        Raises:
            StreamError: an earlier call was cancelled, so that there is no message.
            Otherwise as the file's ``close()``.
        """
        await self._end(None, None, None, self._file.close)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStr:
        """Return the next line."""
        line = self._line_at_hand() or await self._run(self._reading.next_line)
        if not line:
            raise StopAsyncIteration
        return line

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block as a ``with`` block over the file would be left."""
        await self._end(kind, error, trace, lambda: self._file.__exit__(None, None, None))

    async def _end(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        well: Callable[[], object],
    ) -> None:
        if self._file.closed:
            return
        failure = self._failure
        with CancelScope(shield=True):
            if kind is None and failure is None:
                await to_thread.run_sync(self._alone, well)
                return
            cause = failure or error
            await to_thread.run_sync(self._alone, self._file.__exit__, kind or StreamError, cause, trace)
        if kind is None and failure is not None:
            raise again(failure) from failure

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._failure is not None:
            raise again(self._failure)
        try:
            return await to_thread.run_sync(self._alone, work, *arguments)
        except get_cancelled_exc_class() as error:
            self._failure = again(error)
            raise

    def _require_positions(self) -> None:
        if not hasattr(self._file, "read_at"):
            raise io.UnsupportedOperation("this file cannot be read at any position")

    def _line_at_hand(self) -> AnyStr | None:
        """Return a line that has been read already, if nobody else is at it."""
        if self._failure is not None or not self._turn.acquire(blocking=False):
            return None
        try:
            return self._reading.at_hand()
        finally:
            self._turn.release()

    def _alone(self, work: Callable[..., T], *arguments: object) -> T:
        # A task of asyncio can be cancelled while its thread is still at work.
        with self._turn:
            return work(*arguments)


class _Opening:
    """A file that is opened in a worker thread for a task that may be gone when it is."""

    def __init__(self, make: Callable[[], EncryptedFile]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._file: EncryptedFile | None = None
        self._unwanted = False

    def run(self) -> EncryptedFile:
        file = self._make()
        with self._lock:
            self._file = file
            if self._unwanted:
                _give_up(file)
        return file

    def abandon(self) -> None:
        with self._lock:
            self._unwanted = True
            if self._file is not None:
                _give_up(self._file)


@overload
async def open(  # noqa: A001
    file: str | os.PathLike[str] | IO[bytes], mode: _Text, *, client: MachineSource, **options: Any
) -> AsyncEncryptedFile[str]: ...


@overload
async def open(  # noqa: A001
    file: str | os.PathLike[str] | IO[bytes], mode: _Bytes = "rb", *, client: MachineSource, **options: Any
) -> AsyncEncryptedFile[bytes]: ...


async def open(  # noqa: A001 - the name that gzip and its like use
    file: str | os.PathLike[str] | IO[bytes], mode: str = "rb", *, client: MachineSource, **options: Any
) -> AsyncEncryptedFile[Any]:
    """Open an encrypted file for an asynchronous program: ``async with await aio.open(path, client=client) as file``.

    Args:
        file: as for :func:`envelope_sdk.open`. So are ``mode`` and ``options``.
        client: makes and opens messages; :class:`envelope_sdk.Client` is one.

    Raises:
        As :func:`envelope_sdk.open`.
    """
    opened = _Opening(lambda: opening.open(file, mode, client=client, **options))
    try:
        return AsyncEncryptedFile(await to_thread.run_sync(opened.run))
    except get_cancelled_exc_class():
        opened.abandon()
        raise


def _give_up(file: EncryptedFile) -> None:
    """Close without ending a message."""
    file.__exit__(StreamError, None, None)
