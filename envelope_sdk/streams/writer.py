"""Plaintext written here comes out encrypted on the other side."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn

from envelope_sdk.errors import StreamError
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.pushing import PushingWriter

if TYPE_CHECKING:
    from envelope_sdk.streams.contract import MachineSource

__all__ = ["EncryptingWriter", "encrypting_writer"]


class EncryptingWriter(PushingWriter):
    """A binary file object that encrypts what is written to it.

    ``close()`` ends the message. A ``with`` block that raises, and a writer that is dropped without being closed, do
    not: the message stays visibly incomplete, and a file that :class:`AtomicFile` holds never appears. Threads may
    share it: each ``write()`` stands in one piece.
    """

    _name: ClassVar = "encrypting writer"

    def __init__(self, raw: IO[bytes] | AtomicFile, encryptor: MessageEncryptor, *, close_raw: bool = False) -> None:
        """Write a message to ``raw``.

        Args:
            raw: a binary file object, or an :class:`AtomicFile`, which is committed on ``close()``.
            encryptor: a machine that has not started.
            close_raw: whether ``close()`` closes ``raw`` too; an :class:`AtomicFile` always is.
        """
        super().__init__(raw, close_raw=close_raw)
        self._encryptor = encryptor
        try:
            self._guarded(self._write_raw, encryptor.start())
        except BaseException:
            self.discard()
            raise

    @property
    def header(self) -> Header:
        """The message's header."""
        return self._encryptor.header

    def _push(self, piece: memoryview) -> None:
        out = self._room(self._encryptor.output_size(len(piece)))
        self._write_raw(out[: self._encryptor.update_into(piece, out)])

    def _finish(self) -> None:
        self._write_raw(self._encryptor.finish())

    def _raise_again(self, _what: str) -> NoReturn:
        why = f" ({self._failure})" if isinstance(self._failure, OSError) else ""
        raise StreamError(f"an earlier write failed{why}: {_what}") from self._failure


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
