"""Messages as asynchronous iterators of pieces: bytes of one side are asked for as those of the other are."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import ClassVar, Final, Self, TypeVar

try:
    from anyio import to_thread
except ImportError as error:
    raise ImportError("asynchronous streams need anyio: pip install 'envelope-sdk[async]'") from error

from envelope_sdk.errors import StreamError
from envelope_sdk.formats.cursor import BytesLike, byte_view
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.message.machine import again
from envelope_sdk.streams.contract import CHUNK, MachineSource

__all__ = ["DecryptedChunks", "EncryptedChunks", "decrypt_chunks", "encrypt_chunks"]

T = TypeVar("T")

_IN_LOOP: Final = 2**17
"""Bytes of an unsigned message, in or out, that are worked on in less time than handing them to a thread takes.

Twice what servers hand over at a time, which with the rest of a frame makes as much.
"""

_NOTHING: Final = memoryview(b"")


class _Chunks(AsyncIterator[bytes]):
    """Pieces that a machine makes of those of ``source``, which is asked for one when there is nothing to return.

    Short pieces are worked on in the event loop, long ones, signed messages and calls for keys in a worker thread.
    One task uses it at a time. After an error, or where the task that waited was cancelled, it has failed for good.
    """

    _left_early: ClassVar[str]

    def __init__(self, source: AsyncIterable[BytesLike], *, partial_read: bool) -> None:
        if not hasattr(source, "__aiter__"):
            raise TypeError(f"source is an asynchronous iterable of bytes, not {type(source).__name__}")
        self._source = aiter(source)
        self._partial_read = partial_read
        self._given = _NOTHING
        self._made = b""
        self._signed = True
        self._at_end = False
        self._closed = False
        self._busy = False
        self._failure: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece, never an empty one.

        Raises:
            EnvelopeError: no more can be made of what ``source`` gives, or an earlier call failed.
            ValueError: it is closed.
            Otherwise what ``source`` raises.
        """
        piece = await self._alone(self._next)
        if not piece:
            raise StopAsyncIteration
        return piece

    async def begin(self) -> Header:
        """Have the message's header, and return it; the first piece asks for it otherwise.

        Before an answer is begun, say: what is wrong with the keys or the header is raised here.

        Raises:
            As :meth:`__anext__`.
        """
        return await self._alone(self._begin)

    async def aclose(self) -> None:
        """Say that no more pieces are wanted; ``source`` is left to whoever made it.

        Raises:
            StreamError: there are more, and ``partial_read`` does not say that this is meant.
            EnvelopeError: the message does not end as it should.
        """
        if self._closed:
            return
        try:
            left = b"" if self._partial_read else await self._alone(self._next)
            if left:
                raise StreamError(self._left_early)
        finally:
            self._closed = True
            self._given, self._made = _NOTHING, b""

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, and raise where the block ended well but pieces are left."""
        if kind is None and not self._closed:
            await self.aclose()
        self._closed = True

    async def _begin(self) -> Header:
        """Have the header, and return it."""
        raise NotImplementedError

    async def _make(self, piece: memoryview) -> bytes:
        """Return what one more piece makes, possibly nothing."""
        raise NotImplementedError

    async def _finish(self) -> bytes:
        """Return what the end makes, possibly nothing."""
        raise NotImplementedError

    async def _next(self) -> bytes:
        await self._begin()
        made, self._made = self._made, b""
        while not made and not self._at_end:
            made = await self._step()
        return made

    async def _step(self) -> bytes:
        """Return what the next piece of the source makes, or the end."""
        if not self._given:
            try:
                self._given = byte_view(await anext(self._source))
            except StopAsyncIteration:
                self._at_end = True
                return await self._finish()
        piece, self._given = self._given[:CHUNK], self._given[CHUNK:] if len(self._given) > CHUNK else _NOTHING
        return await self._make(piece)

    async def _work(self, size: int, work: Callable[[], T]) -> T:
        if size > _IN_LOOP or self._signed:
            return await to_thread.run_sync(work)
        return work()

    async def _alone(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._closed:
            raise ValueError("read from closed chunks")
        if self._failure is not None:
            raise again(self._failure)
        if self._busy:
            raise StreamError("two tasks use one message at the same time")
        self._busy = True
        try:
            return await work()
        except BaseException as error:
            self._failure = again(error)
            raise
        finally:
            self._busy = False


class EncryptedChunks(_Chunks):
    """The pieces of a message, as an asynchronous iterator and context manager; see :func:`encrypt_chunks`."""

    _left_early: ClassVar = (
        "the encrypted chunks were left before their end, so whoever took them has the beginning of a message: "
        "read to the end, or make them with partial_read=True"
    )

    def __init__(
        self,
        source: AsyncIterable[BytesLike],
        make_encryptor: Callable[[], MessageEncryptor],
        *,
        partial_read: bool = False,
    ) -> None:
        """Encrypt the pieces of ``source``; ``make_encryptor`` is called, in a worker thread, with the first."""
        super().__init__(source, partial_read=partial_read)
        self._make_encryptor = make_encryptor
        self._encryptor: MessageEncryptor | None = None

    @property
    def length(self) -> int | None:
        """Bytes of the whole message; ``None`` where the plaintext's length is not known, and before ``begin()``."""
        return None if self._encryptor is None else self._encryptor.message_length

    async def _begin(self) -> Header:
        if self._encryptor is None:
            self._encryptor = machine = await to_thread.run_sync(self._make_encryptor)
            self._signed = machine.header.algorithm_suite.signed
            self._made = machine.start()
        return self._encryptor.header

    async def _make(self, piece: memoryview) -> bytes:
        machine = self._encryptor
        assert machine is not None
        size = max(len(piece), machine.output_size(len(piece)))
        return await self._work(size, partial(machine.update, piece))

    async def _finish(self) -> bytes:
        machine = self._encryptor
        assert machine is not None
        return await self._work(machine.output_size(0, last=True), machine.finish)


class DecryptedChunks(_Chunks):
    """The plaintext of a message, as an asynchronous iterator and context manager; see :func:`decrypt_chunks`."""

    _left_early: ClassVar = (
        "the decrypted chunks were left before their end, so what was read may be the beginning of a truncated "
        "message: read to the end, or make them with partial_read=True"
    )

    def __init__(
        self, source: AsyncIterable[BytesLike], decryptor: MessageDecryptor, *, partial_read: bool = False
    ) -> None:
        """Decrypt the pieces of ``source`` with a machine that has not started."""
        super().__init__(source, partial_read=partial_read)
        self._decryptor = decryptor

    async def _begin(self) -> Header:
        while (header := self._decryptor.header) is None:
            self._made += await self._step()
        self._signed = header.algorithm_suite.signed
        return header

    async def _make(self, piece: memoryview) -> bytes:
        # Nobody knows which piece completes the header, and has the keys asked for: until then, all go to a thread.
        size = max(len(piece), self._decryptor.output_size(len(piece)))
        return await self._work(size, partial(self._decryptor.update, piece))

    async def _finish(self) -> bytes:
        self._decryptor.finish()
        return b""


def encrypt_chunks(
    source: AsyncIterable[BytesLike],
    *,
    client: MachineSource,
    encryption_context: Mapping[str, str] | None = None,
    plaintext_length: int | None = None,
    partial_read: bool = False,
) -> EncryptedChunks:
    """Encrypt pieces of plaintext, as they come, to pieces of one message.

    What is returned is iterated over once. It holds one piece of ``source`` and what is made of a mebibyte of it, or a
    frame where that is longer, and asks for the next when it is asked for more than it has.

    Args:
        source: an asynchronous iterable of bytes-like objects of any length.
        client: makes the message; :class:`envelope_sdk.Client` is one.
        encryption_context: the pairs to store.
        plaintext_length: bytes that will come, where known; then it is an error if others do.
        partial_read: an ``async with`` block, or ``aclose()``, may leave pieces behind.

    Raises:
        TypeError: ``source`` is no asynchronous iterable.
    """
    make = partial(client.encryptor, encryption_context=encryption_context, plaintext_length=plaintext_length)
    return EncryptedChunks(source, make, partial_read=partial_read)


def decrypt_chunks(
    source: AsyncIterable[BytesLike],
    *,
    client: MachineSource,
    encryption_context: Mapping[str, str] | None = None,
    required_context_keys: Iterable[str] = (),
    release_unverified_plaintext: bool = False,
    partial_read: bool = False,
) -> DecryptedChunks:
    """Decrypt pieces of a message, as they come, to pieces of authenticated plaintext.

    Whether the message is complete is known only at its end: act on what comes before it only if it can be undone.

    Args:
        source: an asynchronous iterable of bytes-like objects of any length, which has to end where the message does.
        client: opens the message; :class:`envelope_sdk.Client` is one.
        encryption_context: pairs that the message must have.
        required_context_keys: keys that the message must have.
        release_unverified_plaintext: accept signed messages too, whose plaintext, though every frame of it is
            authenticated, comes out before the signature has been checked.
        partial_read: an ``async with`` block, or ``aclose()``, may leave pieces behind.

    Raises:
        TypeError: ``source`` is no asynchronous iterable.
    """
    decryptor = client.decryptor(
        encryption_context=encryption_context,
        required_context_keys=required_context_keys,
        refuse_signed=not release_unverified_plaintext,
    )
    return DecryptedChunks(source, decryptor, partial_read=partial_read)
