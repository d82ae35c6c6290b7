"""Where things are and how long they get, without reading them: sizes before and after, and offsets of frames.

All lengths and offsets are bytes. Frames are counted from 1, as their sequence numbers are.
"""

from __future__ import annotations

from typing import NamedTuple

from envelope_sdk.errors import MessageError, UsageError
from envelope_sdk.formats.body import BLOCK_OVERHEAD, FINAL_FRAME_OVERHEAD, FRAME_OVERHEAD, MAX_FRAMES
from envelope_sdk.formats.footer import LENGTH_FIELD
from envelope_sdk.formats.suites import AlgorithmSuite

__all__ = ["FramedLayout", "block_body_length", "footer_length", "frame_count", "framed_body_length", "layout_of_body"]


def frame_count(plaintext_length: int, frame_length: int) -> int:
    """Return how many frames a writer makes, the final one included.

    A last frame that is full is the final frame; an empty plaintext has one empty final frame.

    Raises:
        UsageError: the message would have more frames than sequence numbers.
    """
    count = max(1, -(-plaintext_length // frame_length))
    if count > MAX_FRAMES:
        raise UsageError(
            f"{plaintext_length} bytes in frames of {frame_length} need {count} frames; a message holds {MAX_FRAMES}: "
            "choose a larger frame length"
        )
    return count


def framed_body_length(plaintext_length: int, frame_length: int) -> int:
    """Return the length of the body that a writer makes.

    Raises:
        UsageError: the message would have more frames than sequence numbers.
    """
    count = frame_count(plaintext_length, frame_length)
    return plaintext_length + (count - 1) * FRAME_OVERHEAD + FINAL_FRAME_OVERHEAD


def block_body_length(plaintext_length: int) -> int:
    """Return the length of a body that is not framed."""
    return plaintext_length + BLOCK_OVERHEAD


def footer_length(suite: AlgorithmSuite) -> int:
    """Return the length of the footer that a writer makes; 0 for unsigned suites."""
    return LENGTH_FIELD + suite.signature.signature_length if suite.signature else 0


class FramedLayout(NamedTuple):
    """Where the frames of one message stand.

    Attributes:
        header_length: bytes before the first frame.
        frame_length: bytes of plaintext in a regular frame.
        regular_frames: how many frames stand before the final one.
        final_length: bytes of plaintext in the final frame.
    """

    header_length: int
    frame_length: int
    regular_frames: int
    final_length: int

    @property
    def plaintext_length(self) -> int:
        """Bytes of plaintext in the whole message."""
        return self.regular_frames * self.frame_length + self.final_length

    @property
    def body_end(self) -> int:
        """The offset of the first byte after the final frame."""
        return self.frame_offset(self.regular_frames + 1) + FINAL_FRAME_OVERHEAD + self.final_length

    def frame_offset(self, sequence_number: int) -> int:
        """Return the offset of a frame from the start of the message; the final frame is one past the regular ones."""
        return self.header_length + (sequence_number - 1) * (self.frame_length + FRAME_OVERHEAD)

    def frame_of(self, plaintext_offset: int) -> int:
        """Return the sequence number of the frame that holds a byte of the plaintext.

        An offset at or past the end gives the final frame.
        """
        return min(plaintext_offset // self.frame_length, self.regular_frames) + 1

    def frames_of(self, plaintext_offset: int, length: int) -> range:
        """Return the sequence numbers of the frames that hold ``length`` bytes of plaintext from an offset on."""
        end = min(plaintext_offset + length, self.plaintext_length)
        if length <= 0 or plaintext_offset >= end:
            return range(0)
        return range(self.frame_of(plaintext_offset), self.frame_of(end - 1) + 1)


def layout_of_body(header_length: int, body_length: int, frame_length: int) -> FramedLayout:
    """Return the only layout that fills a framed body of ``body_length`` bytes.

    It is what the lengths imply; only authenticating the final frame makes it trustworthy.

    Raises:
        MessageError: no number of whole frames fills it, or it holds more frames than sequence numbers.
    """
    regular, rest = divmod(body_length - FINAL_FRAME_OVERHEAD, frame_length + FRAME_OVERHEAD)
    if body_length < FINAL_FRAME_OVERHEAD or rest > frame_length or regular >= MAX_FRAMES:
        raise MessageError(
            f"no number of frames of {frame_length} bytes fills a body of {body_length} bytes",
            section="body",
            offset=header_length,
        )
    return FramedLayout(header_length, frame_length, regular, rest)
