"""What is read here is the encrypted message of the plaintext below: for whoever reads what it sends or stores."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, ClassVar, NoReturn

from envelope_sdk.errors import StreamError, UsageError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.pulling import PullingReader
from envelope_sdk.streams.raw import length_left

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from envelope_sdk.streams.contract import MachineSource

__all__ = ["EncryptingReader", "encrypting_reader"]


class EncryptingReader(PullingReader):
    """A binary file object that reads plaintext below and returns the message that it encrypts it to.

    It is the body of an upload: ``upload_fileobj``, HTTP clients, :func:`shutil.copyfileobj`. It reads forward only,
    once. What was read cannot be read again: the file below may have changed, and a second content under the same key
    and number would give both away. Who has to send again makes another reader.

    A ``with`` block that is left before the message's end raises :class:`StreamError`, unless ``partial_read`` says
    that this is meant. After an error every later read raises it again.
    """

    _name: ClassVar = "encrypting reader"
    _left_early: ClassVar = (
        "the encrypting reader was left before its end, so whoever took what was read has the beginning of a message: "
        "read to the end, or make it with partial_read=True"
    )

    def __init__(
        self, raw: IO[bytes], encryptor: MessageEncryptor, *, close_raw: bool = False, partial_read: bool = False
    ) -> None:
        """Read plaintext from ``raw``.

        Args:
            raw: a binary file object, read from where it stands to its end.
            encryptor: a machine that has not started. What length was announced to it, ``raw`` has to hold.
            close_raw: whether ``close()`` closes ``raw`` too.
            partial_read: whether a ``with`` block may be left before the end of the message.

        Raises:
            UsageError: the message would have more frames than a message holds.
        """
        super().__init__(raw, close_raw=close_raw, partial_read=partial_read)
        self._encryptor = encryptor
        self._taken = 0
        self._looks_at_end = False
        announced = encryptor.plaintext_length
        self._most = CHUNK if announced is None else min(CHUNK, announced + 1)
        self._out = memoryview(b"")
        self._length = encryptor.message_length
        self._made = memoryview(encryptor.start())

    @property
    def header(self) -> Header:
        """The message's header."""
        return self._encryptor.header

    @property
    def length(self) -> int | None:
        """Bytes of the whole message: what a ``Content-Length`` says. ``None`` where the plaintext's is not known."""
        return self._length

    @property
    def plaintext_length(self) -> int | None:
        """Bytes of plaintext to be read; ``None`` where that is not known."""
        return self._encryptor.plaintext_length

    def tell(self) -> int:
        """Return how many bytes of the message have been read, or, after a look at its end, its length."""
        return self.length or 0 if self._looks_at_end else self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go nowhere: only to the end, to learn the length where it is known, and back to where reading stands.

        That is how HTTP clients find out how long a body is. They, and S3's, also go back to the start to send a body
        again, or to hash it before they send it, and that is refused.

        Raises:
            UnsupportedOperation: the place is any other.
        """
        if self.closed:
            raise ValueError("seek in a closed encrypting reader")
        if whence == os.SEEK_END and offset == 0 and self.length is not None:
            self._looks_at_end, self._lines = True, b""
        elif whence == os.SEEK_SET and offset == self._position:
            self._looks_at_end = False
        elif whence != os.SEEK_CUR or offset != 0:
            self._refuse_to_move()
        return self.tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; raise where the block ended well but not all was read, as the class says."""
        self._looks_at_end = False
        super().__exit__(kind, error, trace)

    def _at_hand(self) -> memoryview:
        return memoryview(b"") if self._looks_at_end and not self.closed else super()._at_hand()

    def _fill(self) -> None:
        self._made = self._made[:0]
        plain = self._take(self._most)
        self._taken += len(plain)
        self._check_announced(last=not plain)
        if not plain:
            self._made = memoryview(self._encryptor.finish())
            self._at_end = True
            return
        size = self._encryptor.output_size(len(plain))
        if size > len(self._out):
            self._out = memoryview(bytearray(size))
        self._made = self._out[: self._encryptor.update_into(plain, self._out)]

    def _check_announced(self, *, last: bool) -> None:
        announced = self._encryptor.plaintext_length
        if announced is not None and (self._taken > announced or (last and self._taken < announced)):
            raise StreamError(
                f"{announced} bytes of plaintext were to be read, and the file below holds "
                f"{'less' if last else 'more'}: it changed meanwhile, or another length was announced"
            )

    def _refuse_to_move(self) -> NoReturn:
        raise io.UnsupportedOperation(
            "an encrypting reader reads once: going back would encrypt another time under the same key. "
            "To send a message again, make another reader, or keep the message"
        )


def encrypting_reader(
    file: IO[bytes],
    *,
    client: MachineSource,
    encryption_context: Mapping[str, str] | None = None,
    plaintext_length: int | None = None,
    partial_read: bool = False,
) -> EncryptingReader:
    """Return a file object from which the encrypted message of what ``file`` holds can be read.

    Args:
        file: a binary file object, read from where it stands to its end. It stays open.
        client: makes the message; :class:`envelope_sdk.Client` is one.
        encryption_context: the pairs to store.
        plaintext_length: how many bytes ``file`` holds. For files on a disk, in memory and of :mod:`tempfile` it is
            found out; others, where it is known, make :attr:`EncryptingReader.length` known by it.
        partial_read: a ``with`` block may be left before the end of the message.

    Raises:
        TypeError: ``file`` is no binary file object.
        EnvelopeError: as :meth:`envelope_sdk.Client.encrypt`.
    """
    if isinstance(file, io.TextIOBase) or not hasattr(file, "read"):
        raise TypeError(f"file is a binary file object to read, not {type(file).__name__}")
    if plaintext_length is not None and plaintext_length < 0:
        raise UsageError(f"a plaintext length of {plaintext_length} bytes is less than 0")
    length = length_left(file) if plaintext_length is None else plaintext_length
    encryptor = client.encryptor(encryption_context=encryption_context, plaintext_length=length)
    return EncryptingReader(file, encryptor, partial_read=partial_read)
