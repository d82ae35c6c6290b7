"""Walking over a message without any key: its header, how its body is cut, and where its signature stands.

Nothing an outline says is authenticated; it is what the bytes claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envelope_sdk.errors import MessageError, TrailingDataError
from envelope_sdk.formats.body import (
    BLOCK_HEAD_LENGTH,
    FINAL_FRAME_HEAD_LENGTH,
    FINAL_FRAME_MARKER,
    FRAME_OVERHEAD,
    BlockHead,
    FinalFrameHead,
)
from envelope_sdk.formats.cursor import BytesLike, Cursor, NeedMoreBytes, byte_view
from envelope_sdk.formats.footer import parse_footer
from envelope_sdk.formats.header import HEADER_CHUNK, ContentType, UnverifiedHeader, parse_header
from envelope_sdk.formats.suites import TAG_LENGTH

__all__ = ["MessageOutline", "OutlineReader"]


@dataclass(frozen=True, slots=True)
class MessageOutline:
    """What a whole message claims to be.

    Attributes:
        header: its header, unverified.
        frames: how many frames its body has, the final one included; 0 where it is not framed.
        plaintext_length: bytes.
        message_length: bytes.
        signature: the DER signature; ``None`` for unsigned suites.
    """

    header: UnverifiedHeader
    frames: int
    plaintext_length: int
    message_length: int
    signature: bytes | None


class OutlineReader:
    """Reads an outline from bytes in any cut; keeps no more of them than one field.

    Attributes:
        header: the header once it is read, ``None`` before.
    """

    def __init__(self, *, max_encrypted_data_keys: int | None = None, max_header_length: int | None = None) -> None:
        """Stand before the first byte of a message, with bounds as for :func:`~envelope_sdk.formats.parse_header`."""
        self._max_encrypted_data_keys = max_encrypted_data_keys
        self._max_header_length = max_header_length
        self._read: Callable[[BytesLike], int] | None = self._read_header
        self._pending = bytearray()
        self._needed = 1
        self._skip = 0
        self._section = "header"
        self._offset = 0
        self._frames = 0
        self._plaintext_length = 0
        self._signature: bytes | None = None
        self.header: UnverifiedHeader | None = None

    def feed(self, data: BytesLike) -> int:
        """Take more of the message and return how many bytes of ``data`` a signature would cover: all but the footer.

        Raises:
            MessageError: the bytes are not a message.
            LimitExceededError: a bound is exceeded.
        """
        view = byte_view(data)
        covered = 0
        while len(view):
            in_footer = self._read == self._read_footer and not self._skip
            taken = self._take(view)
            view = view[taken:]
            covered += 0 if in_footer else taken
        return covered

    def finish(self) -> MessageOutline:
        """Say that no more bytes come, and return the outline.

        Raises:
            TruncatedMessageError: the message is not at its end.
        """
        if self._read is not None or self._skip or self.header is None:
            need = NeedMoreBytes(self._needed, self._section)
            raise need.as_truncated(self._offset + len(self._pending))
        return MessageOutline(self.header, self._frames, self._plaintext_length, self._offset, self._signature)

    def _take(self, view: memoryview) -> int:
        if self._skip:
            taken = min(self._skip, len(view))
            self._skip -= taken
            self._offset += taken
            return taken
        if self._read is None:
            raise TrailingDataError("bytes follow the end of the message", section="end", offset=self._offset)
        wanted = self._needed - len(self._pending)
        if self.header is None:
            wanted = max(wanted, HEADER_CHUNK)
        taken = min(wanted, len(view))
        self._pending += view[:taken]
        if len(self._pending) < self._needed:
            return taken
        try:
            used = self._read(bytes(self._pending))
        except NeedMoreBytes as need:
            self._needed = need.total
            self._section = need.section
            return taken
        self._offset += used
        over = len(self._pending) - used
        self._pending.clear()
        self._needed = 1
        return taken - over

    def _read_header(self, data: BytesLike) -> int:
        header = parse_header(
            data,
            max_encrypted_data_keys=self._max_encrypted_data_keys,
            max_header_length=self._max_header_length,
        )
        self.header = header
        self._read = self._read_frame if header.body.content_type is ContentType.FRAMED else self._read_block
        self._section = "body"
        return header.length

    def _read_frame(self, data: BytesLike) -> int:
        assert self.header is not None
        length = self.header.body.frame_length
        cursor = Cursor(data, f"frame {self._frames + 1}")
        start = cursor.take(4)
        if start == FINAL_FRAME_MARKER:
            head = FinalFrameHead.parse(
                Cursor(data, "final frame"), expected=self._frames + 1, frame_length=length, offset=self._offset
            )
            self._end_body(head.content_length)
            return FINAL_FRAME_HEAD_LENGTH
        if int.from_bytes(start, "big") != self._frames + 1:
            raise MessageError(
                "frames are missing, repeated or out of order",
                section=f"frame {self._frames + 1}",
                offset=self._offset,
            )
        self._frames += 1
        self._plaintext_length += length
        self._skip = length + FRAME_OVERHEAD - 4
        return 4

    def _read_block(self, data: BytesLike) -> int:
        head = BlockHead.parse(Cursor(data, "body"), offset=self._offset)
        self._end_body(head.content_length)
        self._frames = 0
        return BLOCK_HEAD_LENGTH

    def _end_body(self, content_length: int) -> None:
        assert self.header is not None
        self._frames += 1
        self._plaintext_length += content_length
        self._skip = content_length + TAG_LENGTH
        signed = self.header.body.algorithm_suite.signed
        self._read = self._read_footer if signed else None
        self._section = "footer" if signed else "body"

    def _read_footer(self, data: BytesLike) -> int:
        cursor = Cursor(data, "footer")
        self._signature = parse_footer(cursor)
        self._read = None
        return cursor.position
