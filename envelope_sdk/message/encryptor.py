"""The encrypting machine: plaintext in, message bytes out (client-apis/encrypt.md).

Its rules:

- ``start()`` once, then any number of ``update*()``, then ``finish*()`` once.
- A full frame is written as soon as one more byte follows it, so the last frame of a message, full or not, is always
  the final frame.
- What a call returns is complete frames; it can be released at once.
- After an error the machine is finished with: every later call raises the same error.
"""

from __future__ import annotations

import operator

from envelope_sdk.errors import StreamError, UsageError
from envelope_sdk.formats.body import FINAL_FRAME_OVERHEAD, MAX_FRAMES
from envelope_sdk.formats.cursor import BytesLike, byte_view
from envelope_sdk.formats.footer import encode_footer
from envelope_sdk.formats.geometry import footer_length, framed_body_length
from envelope_sdk.formats.header import MAX_FRAME_LENGTH
from envelope_sdk.materials import EncryptionMaterials
from envelope_sdk.message.authenticated import begin_message
from envelope_sdk.message.frames import FrameCipher, FrameRun, FrameSlot
from envelope_sdk.message.machine import Machine
from envelope_sdk.message.output import filled
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.primitives.digest import MessageDigest
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["MessageEncryptor"]


class MessageEncryptor(Machine):
    """Encrypts one message. A second thread that uses it at the same time gets :class:`StreamError`.

    Attributes:
        header: the message's header.
    """

    __slots__ = (
        "_frame_length",
        "_frames",
        "_next",
        "_pending",
        "_plaintext_bound",
        "_plaintext_length",
        "_signing_key",
        "_start",
        "_state",
        "_taken",
        "header",
    )

    def __init__(
        self,
        materials: EncryptionMaterials,
        *,
        frame_length: int,
        commitment_policy: CommitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
        limits: Limits | None = None,
        plaintext_length: int | None = None,
        plaintext_bound: int | None = None,
        random: RandomSource = system_random,
        threads: int = 1,
    ) -> None:
        """Derive the message key and build the header.

        Args:
            materials: complete encryption materials.
            frame_length: bytes of plaintext in a frame, 1 to 2^32 - 1.
            commitment_policy: checked against the suite of the materials, whoever chose it.
            limits: bounds the number of encrypted data keys.
            plaintext_length: bytes that will come, where known: more or fewer are then an error.
            plaintext_bound: the most bytes that will come, where only that is known: more are then an error.
            random: the source of the message id.
            threads: the most threads that one call may use, where that pays.

        Raises:
            UsageError: the frame length, the plaintext length or its bound is out of range.
            CommitmentPolicyError, LimitExceededError: the materials break the policy or a limit.
            KeyringError: the materials are incomplete.
        """
        super().__init__()
        if not 1 <= frame_length <= MAX_FRAME_LENGTH:
            raise UsageError(f"a frame length of {frame_length} bytes is not between 1 and {MAX_FRAME_LENGTH}")
        bound = plaintext_bound if plaintext_length is None else plaintext_length
        if bound is not None and bound < 0:
            raise UsageError(f"a plaintext length of {bound} bytes is less than 0")
        self.header, self._start, cipher = begin_message(
            materials,
            frame_length=frame_length,
            commitment_policy=commitment_policy,
            limits=limits or Limits(),
            random=random,
        )
        self._frames = FrameCipher(cipher, self.header.message_id, frame_length, threads)
        self._frame_length = frame_length
        self._plaintext_length = plaintext_length
        self._plaintext_bound = bound
        self._taken = 0
        self._next = 1
        self._pending = bytearray()
        self._signing_key = materials.signing_key
        signature = self.header.algorithm_suite.signature
        self._digest = MessageDigest(signature) if signature else None
        self._state = "new"

    @property
    def room_left(self) -> int | None:
        """How many more bytes of plaintext may come; ``None`` where nothing was said of that."""
        return None if self._plaintext_bound is None else self._plaintext_bound - self._taken

    @property
    def plaintext_length(self) -> int | None:
        """Bytes of plaintext that were announced; ``None`` where none were."""
        return self._plaintext_length

    @property
    def message_length(self) -> int | None:
        """Bytes of the whole message, its header included; ``None`` where no plaintext length was announced.

        That is where every ``update*()`` leaves ``more`` to the announced length, and no frames are taken apart.

        Raises:
            UsageError: the message would have more frames than a message holds.
        """
        if self._plaintext_length is None:
            return None
        body = framed_body_length(self._plaintext_length, self._frame_length)
        return self.header.length + body + footer_length(self.header.algorithm_suite)

    def start(self) -> bytes:
        """Return the header, the first bytes of the message."""
        self._check_usable()
        if self._state != "new":
            raise StreamError(f"the message is {self._state}, not new: start, update, finish is the order")
        self._state = "open"
        if self._digest:
            self._digest.update(self._start)
        return self._start

    def output_size(self, length: int, *, last: bool = False, more: bool = False) -> int:
        """Return how many bytes the next call writes for ``length`` more bytes of plaintext.

        Args:
            length: bytes of plaintext to come in that call.
            last: whether it is the finishing call.
            more: as in :meth:`update_into`.

        Raises:
            UsageError: the message would have more frames than a message holds.
        """
        count = self._full_frames(len(self._pending) + length, length, last=last, more=more)
        self._check_numbers(count)
        size = count * self._frames.stride
        if not last:
            return size
        rest = len(self._pending) + length - count * self._frame_length
        return size + rest + FINAL_FRAME_OVERHEAD + footer_length(self.header.algorithm_suite)

    def update(self, data: BytesLike) -> bytes:
        """Take more plaintext and return the frames it completes, possibly none."""
        with byte_view(data) as view:
            return self._run(self._filled, view, False)

    def update_into(self, data: BytesLike, out: memoryview, *, more: bool = False) -> int:
        """Take more plaintext, write the frames it completes to ``out`` and return how many bytes that is.

        Args:
            data: any number of bytes; a large multiple of the frame length is fastest.
            out: at least ``output_size(len(data), more=more)`` bytes, writable, not overlapping ``data``.
            more: whether it is known that plaintext follows, so that a full last frame need not wait to be sure that
                it is not the final one. Where none follows after all, the final frame is empty.

        Raises:
            UsageError: more plaintext than announced, more frames than a message holds, or too little room.
            StreamError: the machine has not started or has finished.
        """
        return self._run(self._consume, byte_view(data), memoryview(out), False, more)

    def take_frames(self, count: int) -> FrameRun:
        """Take the next ``count`` sequence numbers out of the stream, for frames that are sealed apart.

        Where they belong in the message follows from :attr:`FrameRun.first`; whoever takes them sees to it that their
        content, and at least one byte more, is there. Only for unsigned messages, and between whole frames.

        Raises:
            UsageError: no frames at all, more plaintext than announced, or more frames than a message holds.
            StreamError: the message is signed, a frame has been begun, or the machine has not started or has finished.
        """
        return self._run(self._take, operator.index(count))

    def slot(self, count: int) -> FrameSlot:
        """Return buffers for ``count`` frames of this message, to seal in them what :meth:`take_frames` returns."""
        return self._frames.slot(count)

    def finish(self, data: BytesLike = b"") -> bytes:
        """Take the last plaintext and return the rest of the message: frames, final frame, footer."""
        with byte_view(data) as view:
            return self._run(self._filled, view, True)

    def finish_into(self, data: BytesLike, out: memoryview) -> int:
        """As :meth:`finish`, writing to ``out``, at least ``output_size(len(data), last=True)`` bytes.

        Raises:
            UsageError: less or more plaintext than announced, or more frames than a message holds.
            StreamError: the machine has not started or has finished.
        """
        return self._run(self._consume, byte_view(data), memoryview(out), True)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _filled(self, view: memoryview, last: bool) -> bytes:
        return filled(self.output_size(len(view), last=last), lambda out: self._consume(view, out, last))

    def _consume(self, view: memoryview, out: memoryview, last: bool, more: bool = False) -> int:
        count = self._full_frames(len(self._pending) + len(view), len(view), last=last, more=more)
        self._check_announced(len(view), last=last)
        if len(out) < (size := self.output_size(len(view), last=last, more=more)):
            raise UsageError(f"the output has room for {len(out)} bytes, {size} are needed")
        self._taken += len(view)
        written = 0
        if count and self._pending:
            missing = self._frame_length - len(self._pending)
            self._pending += view[:missing]
            view = view[missing:]
            written = self._seal_frames(memoryview(self._pending), out, 1)
            self._pending = bytearray()
            count -= 1
        written += self._seal_frames(view, out[written:], count)
        rest = view[count * self._frame_length :]
        if last:
            return written + self._seal_end(rest, out, written)
        if self._digest and written:
            self._digest.update(out[:written])
        self._pending += rest
        return written

    def _take(self, count: int) -> FrameRun:
        if self._digest is not None or self._pending:
            raise StreamError(
                "frames can be sealed apart in an unsigned message only, and only where no frame is begun"
            )
        if count < 1:
            raise UsageError(f"{count} frames cannot be sealed")
        self._check_numbers(count)
        self._check_announced(count * self._frame_length, last=False)
        first = self._next
        self._next += count
        self._taken += count * self._frame_length
        return FrameRun(first, count)

    def _full_frames(self, available: int, incoming: int, *, last: bool, more: bool = False) -> int:
        if not last and not more and self._plaintext_length is not None:
            more = self._taken + incoming < self._plaintext_length
        return max(0, available if more else available - 1) // self._frame_length

    def _check_numbers(self, count: int) -> None:
        if self._next + count > MAX_FRAMES:
            raise UsageError(
                f"the message needs more than {MAX_FRAMES} frames of {self._frame_length} bytes: "
                "choose a larger frame length"
            )

    def _check_announced(self, incoming: int, *, last: bool) -> None:
        if self._plaintext_bound is None:
            return
        total = self._taken + incoming
        exact = last and self._plaintext_length is not None
        if total > self._plaintext_bound or (exact and total != self._plaintext_length):
            raise UsageError(f"{self._plaintext_bound} bytes of plaintext were announced, {total} came")

    def _seal_frames(self, view: memoryview, out: memoryview, count: int) -> int:
        # Taken before they are used, so that nothing that goes wrong makes them be used again.
        first = self._next
        self._next += count
        self._frames.seal(view, out, first, count)
        return count * self._frames.stride

    def _seal_end(self, rest: memoryview, out: memoryview, written: int) -> int:
        if self._pending:
            self._pending += rest
            rest = memoryview(self._pending)
        # As for other frames: nothing that goes wrong makes the number be used again.
        number = self._next
        self._next += 1
        self._state = "finished"
        end = written + self._frames.seal_final(rest, out[written:], number)
        footer = self._sign(out[:end])
        out[end : end + len(footer)] = footer
        rest.release()
        self._pending = bytearray()
        return end + len(footer) - written

    def _sign(self, tail: memoryview) -> bytes:
        if self._digest is None:
            return b""
        self._digest.update(tail)
        assert self._signing_key is not None
        return encode_footer(self._signing_key.sign(self._digest.finalize()))

    def _check_order(self) -> None:
        if self._state != "open":
            raise StreamError(f"the message is {self._state}, not open: start, update, finish is the order")
