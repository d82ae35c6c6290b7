"""The body: frames, or one block, and what their tags cover (data-format/message-body.md, message-body-aad.md).

The IV on the wire is the one a reader uses. Writers put the sequence number there, but official vectors carry other
IVs and every AWS implementation reads them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from envelope_sdk.errors import MessageError
from envelope_sdk.formats.cursor import Cursor
from envelope_sdk.formats.suites import IV_LENGTH, TAG_LENGTH

__all__ = [
    "BLOCK_HEAD_LENGTH",
    "BLOCK_OVERHEAD",
    "FINAL_FRAME_HEAD_LENGTH",
    "FINAL_FRAME_MARKER",
    "FINAL_FRAME_OVERHEAD",
    "FRAME_HEAD_LENGTH",
    "FRAME_OVERHEAD",
    "MAX_BLOCK_LENGTH",
    "MAX_FRAMES",
    "BlockHead",
    "FinalFrameHead",
    "FrameAads",
    "FrameTable",
    "block_aad",
    "final_frame_aad",
    "final_frame_start",
    "frame_iv",
    "leading_run",
    "number_frames",
    "sequence_numbers",
]

MAX_FRAMES: Final = 0xFFFFFFFF
"""Frames in a message, the final one included: sequence numbers have 32 bits and start at 1."""

MAX_BLOCK_LENGTH: Final = 2**36 - 32
"""Bytes of plaintext in a body that is not framed: AES-GCM's own bound."""

FRAME_HEAD_LENGTH: Final = 4 + IV_LENGTH
FRAME_OVERHEAD: Final = FRAME_HEAD_LENGTH + TAG_LENGTH
"""Bytes that a regular frame takes beside its content."""

FINAL_FRAME_MARKER: Final = b"\xff\xff\xff\xff"
FINAL_FRAME_HEAD_LENGTH: Final = 4 + 4 + IV_LENGTH + 4
FINAL_FRAME_OVERHEAD: Final = FINAL_FRAME_HEAD_LENGTH + TAG_LENGTH
"""Bytes that the final frame takes beside its content."""

BLOCK_HEAD_LENGTH: Final = IV_LENGTH + 8
BLOCK_OVERHEAD: Final = BLOCK_HEAD_LENGTH + TAG_LENGTH
"""Bytes that a body that is not framed takes beside its content."""

_FINAL_FRAME_HEAD: Final = Struct(f">{len(FINAL_FRAME_MARKER)}sI{IV_LENGTH}sI")
_WRITTEN_FINAL_FRAME_HEAD: Final = Struct(f">{len(FINAL_FRAME_MARKER)}sI{IV_LENGTH - 4}xII")
_BLOCK_HEAD: Final = Struct(f">{IV_LENGTH}sQ")
_NUMBER_AND_LENGTH: Final = Struct(">IQ")

_FRAME: Final = b"AWSKMSEncryptionClient Frame"
_FINAL_FRAME: Final = b"AWSKMSEncryptionClient Final Frame"
_BLOCK: Final = b"AWSKMSEncryptionClient Single Block"


def frame_iv(sequence_number: int) -> bytes:
    """Return the IV that writers give to a frame: its sequence number, padded to 12 bytes."""
    return sequence_number.to_bytes(IV_LENGTH, "big")


def final_frame_aad(message_id: bytes, sequence_number: int, content_length: int) -> bytes:
    """Return what the tag of a final frame covers beside its content."""
    return message_id + _FINAL_FRAME + _NUMBER_AND_LENGTH.pack(sequence_number, content_length)


def final_frame_start(message_id: bytes, sequence_number: int, content_length: int) -> tuple[bytes, bytes, bytes]:
    """Return a final frame's head, its IV and what its tag covers beside its content, all as writers make them."""
    head = _WRITTEN_FINAL_FRAME_HEAD.pack(FINAL_FRAME_MARKER, sequence_number, sequence_number, content_length)
    return head, head[8 : 8 + IV_LENGTH], final_frame_aad(message_id, sequence_number, content_length)


def block_aad(message_id: bytes, content_length: int) -> bytes:
    """Return what the tag of a body that is not framed covers beside its content."""
    return message_id + _BLOCK + _NUMBER_AND_LENGTH.pack(1, content_length)


class FrameAads:
    """What the tags of a message's regular frames cover beside their content, together with the IVs a writer gives.

    Both differ from frame to frame only in the sequence number, so those of many frames are one template repeated, with
    the numbers copied in.
    """

    __slots__ = ("_iv_and_aad", "_number_at", "_template")

    def __init__(self, message_id: bytes, frame_length: int) -> None:
        start = bytes(IV_LENGTH) + message_id + _FRAME
        self._number_at = len(start)
        self._template = start + bytes(4) + frame_length.to_bytes(8, "big")
        self._iv_and_aad = Struct(f"{IV_LENGTH}s{len(self._template) - IV_LENGTH}s")

    def numbered(self, numbers: array[int]) -> Iterator[tuple[bytes, bytes]]:
        """Return each frame's IV and additional data, for :func:`sequence_numbers` of the frames."""
        table = self.table(len(numbers))
        table.number(numbers)
        return self._iv_and_aad.iter_unpack(table.rows)

    def table(self, count: int) -> FrameTable:
        """Return room for the IVs and additional data of ``count`` frames, to be numbered again and again."""
        return FrameTable(self._template, count, self._number_at)


class FrameTable:
    """The IV and the additional data of one frame in each row.

    Attributes:
        rows: the rows, one after the other.
    """

    __slots__ = ("_number_at", "_row", "_words", "rows")

    def __init__(self, template: bytes, count: int, number_at: int) -> None:
        self.rows = memoryview(bytearray(template * count))
        self._words = self.rows.cast("I")
        self._row = len(template) // 4
        self._number_at = number_at // 4

    def number(self, numbers: array[int]) -> None:
        """Write a sequence number into each row."""
        self._words[IV_LENGTH // 4 - 1 :: self._row] = numbers
        self._words[self._number_at :: self._row] = numbers

    def cut(self) -> list[tuple[memoryview, memoryview]]:
        """Return views of each row's IV and additional data, which stay when the rows are numbered anew."""
        row = self._row * 4
        return [
            (self.rows[start : start + IV_LENGTH], self.rows[start + IV_LENGTH : start + row])
            for start in range(0, len(self.rows), row)
        ]


def sequence_numbers(first: int, count: int) -> array[int]:
    """Return ``count`` sequence numbers from ``first`` on, each of four bytes as they stand on the wire."""
    numbers = array("I", range(first, first + count))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def number_frames(out: memoryview, frame_length: int, numbers: array[int]) -> None:
    """Write the sequence numbers and IVs of regular frames that stand one after the other at the start of ``out``."""
    stride = frame_length + FRAME_OVERHEAD
    frames = out[: len(numbers) * stride]
    if stride % 4 == 0:
        words = frames.cast("I")
        zeros = array("I", bytes(4 * len(numbers)))
        for word, value in enumerate((numbers, zeros, zeros, numbers)):
            words[word :: stride // 4] = value
        return
    raw = numbers.tobytes()
    zeros = array("B", bytes(len(numbers)))
    for byte in range(4):
        frames[byte::stride] = frames[byte + 12 :: stride] = raw[byte::4]
        frames[byte + 4 :: stride] = frames[byte + 8 :: stride] = zeros


def leading_run(view: memoryview, frame_length: int, first: int, count: int) -> int:
    """Return how many of the ``count`` frames at the start of ``view`` are numbered ``first``, ``first`` + 1, ...

    The last number of all never counts: on the wire it is the marker of the final frame, and no regular frame has it.
    """
    stride = frame_length + FRAME_OVERHEAD
    count = min(count, MAX_FRAMES - first)
    expected = sequence_numbers(first, count).tobytes()
    if _numbers_on_the_wire(view[: count * stride], stride) == expected:
        return count
    for index in range(count):
        start = index * stride
        if view[start : start + 4].tobytes() != expected[index * 4 : index * 4 + 4]:
            return index
    return count


def _numbers_on_the_wire(frames: memoryview, stride: int) -> bytes:
    """Return the first four bytes of every ``stride`` bytes."""
    if stride % 4 == 0:
        return frames.cast("I")[:: stride // 4].tobytes()
    numbers = bytearray(len(frames) // stride * 4)
    for byte in range(4):
        numbers[byte::4] = frames[byte::stride].tobytes()
    return bytes(numbers)


class FinalFrameHead(NamedTuple):
    """What stands before the content of the final frame.

    Attributes:
        sequence_number: one more than the last regular frame's; 1 where there is none.
        iv: 12 bytes.
        content_length: bytes of content, at most the frame length.
    """

    sequence_number: int
    iv: bytes
    content_length: int

    def encode(self) -> bytes:
        """Return the head, end marker included."""
        return _FINAL_FRAME_HEAD.pack(FINAL_FRAME_MARKER, self.sequence_number, self.iv, self.content_length)

    @classmethod
    def parse(cls, cursor: Cursor, *, expected: int, frame_length: int, offset: int) -> FinalFrameHead:
        """Read the head; the cursor stands at the marker, at ``offset`` bytes from the start of the message.

        Raises:
            MessageError: its sequence number is not ``expected``, or its content is longer than ``frame_length``.
        """
        _, number, iv, length = cursor.unpack(_FINAL_FRAME_HEAD)
        if number != expected:
            raise MessageError(
                f"the final frame has number {number} where {expected} is due", section="final frame", offset=offset + 4
            )
        if length > frame_length:
            raise MessageError(
                f"the final frame claims {length} bytes, more than the frame length of {frame_length}",
                section="final frame",
                offset=offset + FINAL_FRAME_HEAD_LENGTH - 4,
            )
        return cls(number, iv, length)


class BlockHead(NamedTuple):
    """What stands before the content of a body that is not framed.

    Attributes:
        iv: 12 bytes.
        content_length: bytes of content.
    """

    iv: bytes
    content_length: int

    def encode(self) -> bytes:
        """Return the head."""
        return self.iv + self.content_length.to_bytes(8, "big")

    @classmethod
    def parse(cls, cursor: Cursor, *, offset: int) -> BlockHead:
        """Read the head, which stands ``offset`` bytes from the start of the message.

        Raises:
            MessageError: it claims more content than AES-GCM can protect.
        """
        iv, length = cursor.unpack(_BLOCK_HEAD)
        if length > MAX_BLOCK_LENGTH:
            raise MessageError(
                f"the body claims {length} bytes; the most without frames is {MAX_BLOCK_LENGTH}",
                section="body",
                offset=offset + IV_LENGTH,
            )
        return cls(iv, length)
