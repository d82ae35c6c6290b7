"""The body of a message as a source of plaintext, which is decrypted to where it is wanted."""

from __future__ import annotations

from typing import Any, Self

from envelope_sdk.formats.body import FRAME_OVERHEAD
from envelope_sdk.formats.header import HEADER_CHUNK
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.streams.contract import CHUNK
from envelope_sdk.streams.raw import length_left, read_some
from envelope_sdk.streams.transfer import Ring

__all__ = ["DecryptedSource"]


class DecryptedSource:
    """What ``encrypt_stream`` reads of a message that is made anew.

    Whole frames are read, and decrypted straight into the buffers that they are asked for with, where these hold any.
    The hash of a signed message has a thread of its own, as when a message is decrypted to a file.

    Every byte is authenticated, but whether the message is whole, and its signature holds, is known only when
    :meth:`readinto` has returned 0 where it was given room.
    """

    def __init__(self, raw: Any, decryptor: MessageDecryptor, *, threads: int) -> None:
        """Begin behind the header.

        Args:
            raw: a binary file object that stands behind the header of the message, and ends where the message does.
            decryptor: a machine that has read the header, and no more.
            threads: the most threads to use.
        """
        header = decryptor.header
        assert header is not None
        self._raw = raw
        self._decryptor = decryptor
        self._length = header.frame_length
        self._stride = self._length + FRAME_OVERHEAD
        self._whole = (CHUNK // self._stride * self._stride if self._length else 0) or CHUNK
        self._left = length_left(raw)
        self._own = self._made = memoryview(b"")
        self._at_end = False
        self._ring = Ring(decryptor, threads)

    def __enter__(self) -> Self:
        self._ring.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._ring.__exit__(*error)

    def readinto(self, buffer: memoryview) -> int:
        """Write some bytes of plaintext to ``buffer`` and return how many; 0 at the end of the message.

        Raises:
            As :meth:`envelope_sdk.message.decryptor.MessageDecryptor.update_into` and ``finish``. What ``buffer`` holds
                then is without meaning.
        """
        frames = len(buffer) // self._length if self._length else 0
        while len(buffer) and not self._made and not self._at_end:
            count = self._decrypt(buffer, frames)
            if count:
                return count
        count = min(len(buffer), len(self._made))
        buffer[:count] = self._made[:count]
        self._made = self._made[count:]
        return count

    def _decrypt(self, buffer: memoryview, frames: int) -> int:
        """Decrypt some more, to ``buffer`` where that holds whole frames, and return how many bytes are there."""
        size = self._whole
        if frames:
            # What completes the frame that has been begun comes first, so that those after it are whole. What is
            # missing is only what the message says, and may be anything.
            missing = self._decryptor.missing
            most = max(1, self._whole // self._stride)
            size = min(missing, self._whole) + (min(frames, most) - bool(missing)) * self._stride
        sealed = self._ring.room(size if self._left is None else min(size, max(self._left, HEADER_CHUNK)))
        count = read_some(self._raw, sealed)
        if count == 0:
            self._decryptor.finish()
            self._at_end = True
            return 0
        if self._left is not None:
            self._left -= count
        if frames:
            return self._decryptor.update_into(sealed[:count], buffer)
        if len(self._own) < (size := self._decryptor.output_size(count)):
            self._own = memoryview(bytearray(size))
        self._made = self._own[: self._decryptor.update_into(sealed[:count], self._own)]
        return 0
