"""Frames of one message in any order: where they stand, and what is in them. No I/O, and no state of a stream.

A machine reads a message from its beginning. This knows its header alone; which frames are there follows from how long
the message is, and the tag of the final frame proves it, since it covers the frame's number and length.
"""

from __future__ import annotations

from typing import Final, NoReturn

from envelope_sdk.errors import EnvelopeError, MessageError, TrailingDataError
from envelope_sdk.formats.body import (
    BLOCK_HEAD_LENGTH,
    BLOCK_OVERHEAD,
    FINAL_FRAME_HEAD_LENGTH,
    FINAL_FRAME_MARKER,
    FINAL_FRAME_OVERHEAD,
    BlockHead,
    FinalFrameHead,
    block_aad,
)
from envelope_sdk.formats.cursor import BytesLike, Cursor
from envelope_sdk.formats.footer import LENGTH_FIELD
from envelope_sdk.formats.geometry import FramedLayout, layout_of_body
from envelope_sdk.formats.header import ContentType
from envelope_sdk.message.authenticated import Header, check_body_length, not_authentic
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.frames import FrameCipher, FrameNotAuthenticError
from envelope_sdk.message.output import filled
from envelope_sdk.primitives.aead import InvalidTag

__all__ = ["FrameReader", "not_at_its_end"]

_LONGER: Final = 8
"""Bytes by which a DER signature may be longer than the one that writers produce, and more."""


class FrameReader:
    """Opens the frames of one message in any order. Safe to share between threads.

    A body without frames counts as one final frame.

    Attributes:
        header: the message's authenticated header.
        threads: the most threads that its client allows for one message.
    """

    __slots__ = ("_framed", "_frames", "_limits", "_opened", "_raw_header", "header", "threads")

    def __init__(self, decryptor: MessageDecryptor, message: BytesLike) -> None:
        """Take over from a machine that has read the header which ``message`` begins with, and nothing else."""
        self._opened, self._limits = decryptor.opened, decryptor.limits
        self.header: Header = self._opened[0]
        self.threads = decryptor.threads
        self._raw_header = bytes(memoryview(message)[: self.header.length])
        self._framed = self.header.content_type is ContentType.FRAMED
        self._frames = FrameCipher(self._opened[1], self.header.message_id, self.header.frame_length, self.threads)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a frame reader holds a message key: it cannot be pickled or copied")

    def machine(self) -> MessageDecryptor:
        """Return a machine that stands behind the header and reads all the rest, from there to the signature."""
        return MessageDecryptor.past_header(self._opened, self._raw_header, limits=self._limits, threads=self.threads)

    @property
    def stride(self) -> int:
        """Bytes that a regular frame takes in the message; 0 where it has no frames."""
        return self._frames.stride if self._framed else 0

    @property
    def tail_length(self) -> int:
        """How many bytes from the end of the message :meth:`layouts` looks at: those that a footer may take."""
        signature = self.header.algorithm_suite.signature
        return 0 if signature is None else LENGTH_FIELD + signature.signature_length + _LONGER

    def layouts(self, message_length: int, tail: BytesLike) -> list[FramedLayout]:
        """Return every layout that a message of this header and length may have: none, one, or rarely more.

        Args:
            message_length: bytes of the whole message.
            tail: its last ``tail_length`` bytes, or all it has behind the header, where that is less.

        Raises:
            LimitExceededError: the body has no frames and is longer than may be held at once.
        """
        body = message_length - self.header.length
        if self.header.algorithm_suite.signature is None:
            return self._layouts_of(body)
        found: list[FramedLayout] = []
        for length in range(LENGTH_FIELD + 1, min(len(tail), self.tail_length) + 1):
            start = len(tail) - length
            if int.from_bytes(tail[start : start + LENGTH_FIELD], "big") == length - LENGTH_FIELD:
                found += self._layouts_of(body - length)
        return found

    def final_span(self, layout: FramedLayout) -> tuple[int, int]:
        """Return where the final frame begins in the message, and how many bytes it takes there."""
        overhead = FINAL_FRAME_OVERHEAD if self._framed else BLOCK_OVERHEAD
        return layout.frame_offset(layout.regular_frames + 1), overhead + layout.final_length

    def open_final(self, layout: FramedLayout, sealed: memoryview) -> bytes:
        """Return the content of the final frame. Where it does not raise, the layout is authentic.

        Args:
            layout: one of :meth:`layouts`.
            sealed: the bytes at :meth:`final_span`.

        Raises:
            MessageError: no final frame with this number and length stands there.
            AuthenticationError: its tag does not fit.
        """
        opener = self._open_final_frame if self._framed else self._open_block
        try:
            return filled(layout.final_length, lambda out: opener(layout, sealed, out))
        except InvalidTag:
            section = "final frame" if self._framed else "body"
            raise not_authentic(section) from None

    def open_regular(self, sealed: memoryview, out: memoryview, first: int, count: int) -> None:
        """Open ``count`` regular frames that stand one after the other.

        Args:
            sealed: at least ``count`` times the stride.
            out: at least ``count`` times the frame length, writable, not overlapping ``sealed``.
            first: the sequence number of the first.
            count: frames.

        Raises:
            MessageError: another frame stands there; :class:`TrailingDataError` where it is a final one.
            AuthenticationError: a tag does not fit. Nothing of that frame is left in ``out``.
        """
        try:
            self._frames.open_run(sealed, out, first, count)
        except FrameNotAuthenticError as error:
            number = error.sequence_number
            start = (number - first) * self._frames.stride
            raise self._not_this_frame(number, sealed[start : start + 4]) from None

    def _layouts_of(self, body: int) -> list[FramedLayout]:
        start = self.header.length
        if not self._framed:
            content = body - BLOCK_OVERHEAD
            if content < 0:
                return []
            check_body_length(content, "content length", self._limits)
            return [FramedLayout(start, max(1, content), 0, content)]
        try:
            return [layout_of_body(start, body, self.header.frame_length)]
        except MessageError:
            return []

    def _open_final_frame(self, layout: FramedLayout, sealed: memoryview, out: memoryview) -> int:
        offset, _ = self.final_span(layout)
        head = FinalFrameHead.parse(
            Cursor(sealed, "final frame"),
            expected=layout.regular_frames + 1,
            frame_length=layout.frame_length,
            offset=offset,
        )
        if bytes(sealed[: len(FINAL_FRAME_MARKER)]) != FINAL_FRAME_MARKER or head.content_length != layout.final_length:
            raise not_at_its_end(offset)
        self._frames.open_final(head, sealed[FINAL_FRAME_HEAD_LENGTH:], out)
        return len(out)

    def _open_block(self, layout: FramedLayout, sealed: memoryview, out: memoryview) -> int:
        offset, _ = self.final_span(layout)
        head = BlockHead.parse(Cursor(sealed, "body"), offset=offset)
        if head.content_length != layout.final_length:
            raise not_at_its_end(offset)
        aad = block_aad(self.header.message_id, head.content_length)
        self._frames.cipher.open_into(head.iv, sealed[BLOCK_HEAD_LENGTH:], aad, out)
        return len(out)

    def _not_this_frame(self, number: int, start: memoryview) -> EnvelopeError:
        section = f"frame {number}"
        found = int.from_bytes(start, "big")
        if found == number:
            return not_authentic(section)
        offset = self.header.length + (number - 1) * self._frames.stride
        if bytes(start) == FINAL_FRAME_MARKER:
            return TrailingDataError(f"a final frame stands where {section} is due", section="end", offset=offset)
        return MessageError(
            f"frame {found} stands where frame {number} is due: frames are missing, repeated or out of order",
            section=section,
            offset=offset,
        )


def not_at_its_end(offset: int) -> MessageError:
    """Return the error for a message that does not end where its length says."""
    return MessageError(
        "no final frame stands where the length of the message puts it: it is cut short, or bytes follow its end",
        section="final frame",
        offset=offset,
    )
