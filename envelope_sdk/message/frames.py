"""The body kernel: frames sealed and opened, many in one call, over buffers and without any state of a message.

It is kept small so that it can be read, tested and replaced by itself. Whoever calls it answers for the sequence
numbers: two contents sealed under one number of one message give away both, and the authentication key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from envelope_sdk.errors import StreamError, UsageError
from envelope_sdk.formats.body import (
    FINAL_FRAME_HEAD_LENGTH,
    FRAME_HEAD_LENGTH,
    FRAME_OVERHEAD,
    FinalFrameHead,
    FrameAads,
    FrameTable,
    final_frame_aad,
    final_frame_start,
    leading_run,
    number_frames,
    sequence_numbers,
)
from envelope_sdk.formats.cursor import BytesLike
from envelope_sdk.message.parallel import in_parallel
from envelope_sdk.primitives.aead import (
    ONE_SHOT_LIMIT,
    TAG_LENGTH,
    InvalidTag,
    MessageCipher,
    wipe,
)

__all__ = ["SHARED_FRAME_LENGTH", "FrameCipher", "FrameNotAuthenticError", "FrameRun", "FrameSlot"]

_BATCH: Final = 4096
"""Frames numbered at once: bounds the memory that tiny frames take, and costs large ones nothing."""

_PIECE: Final = 2**20
"""The least bytes that a thread does at a time, where several share the work."""

_PIECES: Final = 4
"""Pieces that each of several threads does, if all are as fast: few, since every piece begins with handing over."""

SHARED_FRAME_LENGTH: Final = 2**16
"""Bytes of a frame from which on threads gain more than they lose by handing the interpreter's lock over."""

_SHARED_LENGTH: Final = 4 * _PIECE
"""Bytes from which on starting a thread pays."""


class FrameNotAuthenticError(Exception):
    """The tag of a regular frame does not fit.

    Attributes:
        sequence_number: the frame's.
    """

    def __init__(self, sequence_number: int) -> None:
        super().__init__(sequence_number)
        self.sequence_number = sequence_number


class FrameCipher:
    """The frames of one message under its key. Safe to share between threads.

    Attributes:
        cipher: the message's cipher.
        frame_length: bytes of content in a regular frame.
        stride: bytes that a regular frame takes in the message.
    """

    __slots__ = ("_aads", "_message_id", "_threads", "cipher", "frame_length", "stride")

    def __init__(self, cipher: MessageCipher, message_id: bytes, frame_length: int, threads: int = 1) -> None:
        """Take the message's key, what all its frames share, and the most threads that one call may use."""
        self.cipher = cipher
        self.frame_length = frame_length
        self.stride = frame_length + FRAME_OVERHEAD
        self._message_id = message_id
        self._aads = FrameAads(message_id, frame_length)
        self._threads = threads

    def seal(self, content: memoryview, out: memoryview, first: int, count: int) -> None:
        """Seal ``count`` regular frames, the first of them numbered ``first``.

        Args:
            content: at least ``count`` times the frame length.
            out: at least ``count`` times the stride, writable, not overlapping ``content``.
            first: a sequence number, which with its successors has not been and will not be used again.
            count: frames.
        """

        def work(start: int, batch: int) -> None:
            self._seal_batch(content[start * self.frame_length :], out[start * self.stride :], first + start, batch)

        self._share_out(work, count)

    def open(self, sealed: memoryview, out: memoryview, first: int, count: int) -> None:
        """Open ``count`` regular frames, which are known to be numbered ``first``, ``first`` + 1, and so on.

        Args:
            sealed: the frames.
            out: at least ``count`` times the frame length, writable, not overlapping ``sealed``.
            first: the sequence number of the first.
            count: frames.

        Raises:
            FrameNotAuthenticError: a tag does not fit; of several frames, the lowest. Nothing of such a frame is left
                in ``out``.
        """

        def work(start: int, batch: int) -> None:
            self._open_batch(sealed[start * self.stride :], out[start * self.frame_length :], first + start, batch)

        self._share_out(work, count)

    def open_run(self, sealed: memoryview, out: memoryview, first: int, count: int) -> None:
        """As :meth:`open`, where it is not yet known how the frames are numbered.

        Raises:
            FrameNotAuthenticError: a number is not the one that is due, or a tag does not fit.
        """

        def work(start: int, batch: int) -> None:
            view = sealed[start * self.stride :]
            run = leading_run(view, self.frame_length, first + start, batch)
            if run < batch:
                raise FrameNotAuthenticError(first + start + run)
            self._open_batch(view, out[start * self.frame_length :], first + start, batch)

        self._share_out(work, count)

    @property
    def seal_one(self) -> Callable[[BytesLike, memoryview, BytesLike, memoryview], object]:
        """What seals one frame: IV, content, additional data, output. Long frames differ in what they cost alone."""
        return self.cipher.aead.encrypt_into if self.frame_length <= ONE_SHOT_LIMIT else self.cipher.seal_into

    @property
    def open_one(self) -> Callable[[BytesLike, memoryview, BytesLike, memoryview], object]:
        """What opens one frame, likewise. What it leaves in the output where the tag does not fit is to be wiped."""
        return self.cipher.aead.decrypt_into if self.frame_length <= ONE_SHOT_LIMIT else self.cipher.open_into

    def slot(self, count: int) -> FrameSlot:
        """Return buffers for ``count`` regular frames of this message."""
        return FrameSlot(self, self._aads.table(count), count)

    def seal_final(self, content: memoryview, out: memoryview, number: int) -> int:
        """Seal the final frame, numbered ``number``, and return the bytes it takes in ``out``."""
        end = FINAL_FRAME_HEAD_LENGTH + len(content) + TAG_LENGTH
        head, iv, aad = final_frame_start(self._message_id, number, len(content))
        out[:FINAL_FRAME_HEAD_LENGTH] = head
        self.cipher.seal_into(iv, content, aad, out[FINAL_FRAME_HEAD_LENGTH:end])
        return end

    def open_final(self, head: FinalFrameHead, sealed: memoryview, out: memoryview) -> None:
        """Open the final frame's content and tag into ``out``, which is 16 bytes shorter.

        Raises ``InvalidTag`` where the tag does not fit; ``out`` is then all zeros.
        """
        aad = final_frame_aad(self._message_id, head.sequence_number, head.content_length)
        self.cipher.open_into(head.iv, sealed, aad, out)

    def _share_out(self, work: Callable[[int, int], None], count: int) -> None:
        """Do ``work`` for runs of frames that together are ``count``."""
        length = self.frame_length
        shared = self._threads > 1 and length >= SHARED_FRAME_LENGTH and count * length >= _SHARED_LENGTH
        run = max(1, _PIECE // length, count // (_PIECES * self._threads)) if shared else _BATCH
        if shared:
            in_parallel(lambda piece: work(piece * run, min(run, count - piece * run)), -(-count // run), self._threads)
            return
        for start in range(0, count, run):
            work(start, min(run, count - start))

    def _seal_batch(self, content: memoryview, out: memoryview, first: int, count: int) -> None:
        length, stride = self.frame_length, self.stride
        seal_into = self.seal_one
        numbers = sequence_numbers(first, count)
        number_frames(out, length, numbers)
        sealed_length = length + TAG_LENGTH
        start, sealed = 0, FRAME_HEAD_LENGTH
        for iv, aad in self._aads.numbered(numbers):
            seal_into(iv, content[start : start + length], aad, out[sealed : sealed + sealed_length])
            start += length
            sealed += stride

    def _open_batch(self, sealed: memoryview, out: memoryview, first: int, count: int) -> None:
        length, stride = self.frame_length, self.stride
        open_into = self.open_one
        start = frame = 0
        try:
            for _, aad in self._aads.numbered(sequence_numbers(first, count)):
                content, end = frame + FRAME_HEAD_LENGTH, frame + stride
                open_into(sealed[frame + 4 : content], sealed[content:end], aad, out[start : start + length])
                start += length
                frame = end
        except InvalidTag:
            wipe(out[start : start + length])
            raise FrameNotAuthenticError(first + start // length) from None


class FrameSlot:
    """Two buffers for a fixed number of regular frames, cut up once.

    Of short frames, cutting costs half as much as sealing; where the same buffers are used again and again, as between
    two files, it need not be done again. For one thread at a time.

    Attributes:
        count: frames.
        plain: the content of the frames, one after the other.
        sealed: the frames.
        stride: bytes that each takes there.
    """

    __slots__ = ("_cipher", "_cut", "_table", "count", "plain", "sealed", "stride")

    def __init__(self, cipher: FrameCipher, table: FrameTable, count: int) -> None:
        """Make buffers for ``count`` frames of the message that ``cipher`` is of."""
        length = cipher.frame_length
        self.stride = stride = cipher.stride
        self._cipher = cipher
        self._table = table
        self.count = count
        self.plain = plain = memoryview(bytearray(count * length))
        self.sealed = sealed = memoryview(bytearray(count * stride))
        self._cut = [
            (
                iv,
                aad,
                plain[index * length : (index + 1) * length],
                frame[4:FRAME_HEAD_LENGTH],
                frame[FRAME_HEAD_LENGTH:],
            )
            for index, (iv, aad) in enumerate(table.cut())
            for frame in (sealed[index * stride : (index + 1) * stride],)
        ]

    def seal(self, first: int) -> None:
        """Seal all of ``plain`` to ``sealed``; see :meth:`FrameCipher.seal` for what ``first`` has to be."""
        numbers = sequence_numbers(first, self.count)
        number_frames(self.sealed, self._cipher.frame_length, numbers)
        self._table.number(numbers)
        seal_into = self._cipher.seal_one
        for iv, aad, content, _, sealed in self._cut:
            seal_into(iv, content, aad, sealed)

    def open(self, first: int) -> None:
        """Open all of ``sealed`` to ``plain``.

        Raises:
            FrameNotAuthenticError: a number is not the one that is due, or a tag does not fit. ``plain`` is then
                without meaning, and holds nothing that is not authentic.
        """
        run = leading_run(self.sealed, self._cipher.frame_length, first, self.count)
        if run < self.count:
            raise FrameNotAuthenticError(first + run)
        self._table.number(sequence_numbers(first, self.count))
        open_into = self._cipher.open_one
        try:
            for _, aad, content, iv, sealed in self._cut:
                open_into(iv, sealed, aad, content)
        except InvalidTag:
            wipe(self.plain)
            raise FrameNotAuthenticError(first) from None


class FrameRun:
    """Frames that one caller, on any thread, may seal, and seal once.

    Attributes:
        first: the sequence number of the first.
        count: how many they are.
    """

    __slots__ = ("_process", "_unused", "count", "first")

    def __init__(self, first: int, count: int) -> None:
        """Take sequence numbers that nobody else has or gets."""
        self._unused = [first]
        self._process = os.getpid()
        self.first = first
        self.count = count

    def seal(self, slot: FrameSlot) -> None:
        """Seal the frames in ``slot``, which is of the same message and for as many.

        Raises:
            StreamError: they have been sealed already, or the process was forked since they were taken.
            UsageError: the slot is for another number of frames.
        """
        if os.getpid() != self._process:
            raise StreamError("these frames were taken before the process was forked: only its parent can seal them")
        if slot.count != self.count:
            raise UsageError(f"a slot for {slot.count} frames does not go with {self.count}")
        try:
            # One step, so that of two threads only one gets it.
            first = self._unused.pop()
        except IndexError:
            raise StreamError("these frames have been sealed already") from None
        slot.seal(first)
