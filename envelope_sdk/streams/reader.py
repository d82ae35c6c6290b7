"""An encrypted stream read here comes out as authenticated plaintext."""

from __future__ import annotations

from typing import IO, ClassVar

from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.pulling import PullingReader

__all__ = ["DecryptingReader"]


class DecryptingReader(PullingReader):
    """A binary file object that decrypts what it reads. It reads forward only.

    Every byte it returns is authenticated. Whether the message is complete is known only at its end, so a ``with``
    block that is left before the end raises :class:`StreamError`, unless ``partial_read`` says that this is meant.
    After an error every later read raises it again, or, where the read was interrupted, :class:`StreamError`.
    """

    _name: ClassVar = "decrypting reader"
    _left_early: ClassVar = (
        "the encrypted stream was left before its end, so what was read may be the beginning of a "
        "truncated message: read to the end, or open it with partial_read=True"
    )

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
        super().__init__(raw, close_raw=close_raw, partial_read=partial_read)
        self._decryptor = decryptor
        self._out = memoryview(b"")
        while decryptor.header is None and not self._at_end:
            self._fill()

    @property
    def header(self) -> Header:
        """The message's authenticated header."""
        header = self._decryptor.header
        assert header is not None
        return header

    def _fill(self) -> None:
        self._made = self._out[:0]
        sealed = self._take(CHUNK)
        if not sealed:
            self._decryptor.finish()
            self._at_end = True
            return
        size = self._decryptor.output_size(len(sealed))
        if size > len(self._out):
            self._out = memoryview(bytearray(size))
        released = self._decryptor.update_into(sealed, self._out)
        self._made = self._out[:released]
