"""The decrypting machine: message bytes in, authenticated plaintext out (client-apis/decrypt.md).

Its rules:

- Any number of ``update*()`` with any cut, then ``finish()`` once; only ``finish()`` tells a whole message from the
  beginning of one.
- Plaintext leaves only after the tag of its frame held. For signed messages the last frame is held back until the
  signature holds too; whoever streams them sees the frames before it earlier, which is why ``refuse_signed`` exists.
- Bytes are kept only while they are part of a frame or field: nothing is allocated because a length field says so.
- After an error the machine is finished with: every later call raises the same error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from envelope_sdk.errors import (
    MessageError,
    StreamError,
    TrailingDataError,
    TruncatedMessageError,
)
from envelope_sdk.formats.body import (
    BLOCK_HEAD_LENGTH,
    FINAL_FRAME_HEAD_LENGTH,
    FINAL_FRAME_MARKER,
    MAX_FRAMES,
    BlockHead,
    FinalFrameHead,
    block_aad,
    leading_run,
)
from envelope_sdk.formats.cursor import BytesLike, Cursor, NeedMoreBytes, byte_view
from envelope_sdk.formats.footer import parse_footer
from envelope_sdk.formats.header import HEADER_CHUNK, ContentType, UnverifiedHeader
from envelope_sdk.materials import DecryptionMaterials
from envelope_sdk.message.authenticated import (
    Header,
    MaterialsSource,
    Opened,
    check_body_length,
    not_authentic,
    open_header,
)
from envelope_sdk.message.frames import FrameCipher, FrameNotAuthenticError, FrameSlot
from envelope_sdk.message.machine import Machine
from envelope_sdk.message.output import check_room, filled
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.primitives.aead import TAG_LENGTH, InvalidTag
from envelope_sdk.primitives.digest import MessageDigest

if TYPE_CHECKING:
    from envelope_sdk.primitives.signing import VerificationKey

__all__ = ["MessageDecryptor"]

_BATCH: Final = 4096
"""Frames whose numbers are compared at once."""

Step = Callable[[memoryview, memoryview], tuple[int, int]]
"""Reads from the first view, writes to the second, returns how many bytes each; NeedMoreBytes where it cannot."""


class MessageDecryptor(Machine):
    """Decrypts one message. A second thread that uses it at the same time gets :class:`StreamError`.

    Attributes:
        header: the message's header once it is authenticated, ``None`` before.
        materials_for: where it gets materials from.
        limits: the bounds it keeps to.
        threads: the most threads that one call may use.
    """

    __slots__ = (
        "_commitment_policy",
        "_frames",
        "_needed",
        "_next",
        "_offset",
        "_pending",
        "_refuse_signed",
        "_section",
        "_step",
        "_verification_key",
        "_withheld",
        "header",
        "limits",
        "materials_for",
        "threads",
    )

    def __init__(
        self,
        materials_for: MaterialsSource,
        *,
        commitment_policy: CommitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
        limits: Limits | None = None,
        refuse_signed: bool = False,
        threads: int = 1,
    ) -> None:
        """Make a machine that stands before the first byte of a message.

        Args:
            materials_for: called once, with the header as read; whatever it raises is raised by ``update*()``.
            commitment_policy: checked before and after materials are asked for.
            limits: bounds on the header, and on what has to be held before it is authenticated.
            refuse_signed: raise :class:`SignedStreamError` on signed messages, before materials are asked for.
            threads: the most threads that one call may use, where that pays.
        """
        super().__init__()
        self.materials_for = materials_for
        self._commitment_policy = commitment_policy
        self.limits = limits or Limits()
        self._refuse_signed = refuse_signed
        self.threads = threads
        self._step: Step | None = self._read_frames
        self._section = "header"
        self._offset = 0
        self._pending = bytearray()
        self._needed = 1
        self._next = 1
        self._withheld = memoryview(b"")
        self._verification_key: VerificationKey | None = None
        self._frames: FrameCipher | None = None
        self.header: Header | None = None

    @property
    def finished(self) -> bool:
        """Whether the message's last byte has been read and everything in it is authenticated."""
        return self._step is None

    def output_size(self, length: int) -> int:
        """Return the most plaintext that ``length`` more bytes of message can release."""
        if self._pending and len(self._pending) + length < self._needed:
            return 0
        return len(self._pending) + len(self._withheld) + length

    @classmethod
    def past_header(cls, opened: Opened, message: BytesLike, *, limits: Limits, threads: int = 1) -> MessageDecryptor:
        """Return a machine that stands behind the header that ``message`` begins with and that has been opened."""
        machine = cls(_no_materials, limits=limits, threads=threads)
        machine._begin_body(opened, byte_view(message))
        return machine

    def read_header(self, data: BytesLike) -> int:
        """Read the header that ``data`` begins with, ask for materials, and return the header's length in bytes.

        For a message that is at hand: the rest of it goes to ``update*()``, and no output need exist while keys are
        looked for.

        Raises:
            StreamError: something was read already.
            TruncatedMessageError: the header is not whole.
            Otherwise as :meth:`update_into`.
        """
        if self.header is not None or self._pending:
            raise StreamError("the header comes first")
        taken = self._run(self._take_header, byte_view(data))
        if self.header is None:
            self.finish()
        return taken

    def begin(self, data: BytesLike) -> int:
        """Read just the header that ``data`` begins with, and return 0, or how many bytes its reading takes at least.

        For readers that go on anywhere. The machine then stands behind the header, and has kept nothing of ``data``.

        Raises:
            As :meth:`read_header`.
        """
        if self.header is not None or self._pending:
            raise StreamError("the header comes first")
        return self._run(self._try_header, byte_view(data))

    @property
    def opened(self) -> Opened:
        """What the header opened. It is at hand where nothing but the header has been read."""
        if self.header is None or self._frames is None:
            raise StreamError("the header has not been read, or more than the header")
        return self.header, self._frames.cipher, self._verification_key

    def update(self, data: BytesLike) -> bytes:
        """Take more of the message and return the plaintext it releases, possibly none."""
        with byte_view(data) as view:
            return self._run(self._filled, view)

    def update_into(self, data: BytesLike, out: memoryview) -> int:
        """Take more of the message, write the plaintext it releases to ``out`` and return its length in bytes.

        Where it raises, nothing in ``out`` counts: discard it.

        Args:
            data: any number of bytes.
            out: at least ``output_size(len(data))`` bytes, writable, not overlapping ``data``. A caller that knows
                the plaintext's length may pass that much for a whole message in one call.

        Raises:
            MessageError: the bytes are not a message.
            AuthenticationError: they were altered, or the key is not the message's.
            NoMatchingKeyError, KmsError, PolicyError, KeyringError: as the materials source and the policy say.
        """
        return self._run(self._feed, byte_view(data), memoryview(out))

    @property
    def missing(self) -> int:
        """Bytes that would complete the frame or field that has been begun; 0 where none has."""
        return max(0, self._needed - len(self._pending)) if self._pending else 0

    @property
    def frames_read(self) -> int:
        """How many regular frames have been read."""
        return self._next - 1

    def slot(self, count: int) -> FrameSlot:
        """Return buffers for ``count`` frames of this message, whose header has been read.

        Raises:
            StreamError: the message is signed or not framed, or its end has been read.
        """
        return self._unsigned_frames().slot(count)

    def open_apart(self, slot: FrameSlot, first: int) -> bool:
        """Open the frames in a slot of this message out of turn, on any thread; return whether all are authentic.

        Where they are not, what is wrong is for :meth:`update_into` to say, when it comes to them.

        Args:
            slot: its ``sealed`` holds frames; its ``plain`` means nothing unless this returns ``True``.
            first: the sequence number that the first of them has if all is well.
        """
        try:
            slot.open(first)
        except FrameNotAuthenticError:
            return False
        return True

    def skip_frames(self, count: int) -> None:
        """Go on behind the next ``count`` frames, all of which :meth:`open_apart` has found authentic."""
        self._run(self._skip, operator.index(count))

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            TruncatedMessageError: the message is not at its end.
        """
        self._run(self._check_end)

    def _skip(self, count: int) -> None:
        frames = self._unsigned_frames()
        if self._pending or not 0 <= count < MAX_FRAMES - self._next + 1:
            raise StreamError("frames can be skipped only where none is begun, and only those that there can be")
        self._next += count
        self._offset += count * frames.stride

    def _unsigned_frames(self) -> FrameCipher:
        if self._frames is None or self._digest is not None or self._step != self._read_frames:
            raise StreamError("frames can be opened apart in an unsigned message of frames only, and before its end")
        return self._frames

    # --- taking bytes ------------------------------------------------------------------------------------------------

    def _filled(self, view: memoryview) -> bytes:
        # No output exists while keys are looked for: an error that a keyring keeps would keep it too.
        taken = self._take_header(view) if self.header is None else 0
        return filled(self.output_size(len(view) - taken), lambda out: self._feed(view[taken:], out))

    def _check_end(self) -> None:
        if self._step is not None:
            missing = "signature" if self._section == "footer" else "end"
            between_frames = self.header is not None and self._step == self._read_frames and not self._pending
            raise TruncatedMessageError(
                f"the message is cut short: its {missing} is missing",
                section=f"frame {self._next}" if between_frames else self._section,
                offset=self._offset + len(self._pending),
            )

    def _try_header(self, view: memoryview) -> int:
        try:
            self._read_header(view)
        except NeedMoreBytes as need:
            return need.total
        return 0

    def _take_header(self, view: memoryview) -> int:
        """Take bytes until the header is read, and return how many; what was taken beyond it is pending."""
        if not self._pending:
            try:
                return self._read_header(view)
            except NeedMoreBytes as need:
                self._wait_for(need)
                self._pending += view
                return len(view)
        taken = 0
        while self.header is None and taken < len(view):
            more = max(self._needed - len(self._pending), HEADER_CHUNK)
            self._pending += view[taken : taken + more]
            taken = min(taken + more, len(view))
            if len(self._pending) >= self._needed:
                self._retry_header()
        return taken

    def _retry_header(self) -> None:
        pending = bytes(self._pending)
        try:
            used = self._read_header(memoryview(pending))
        except NeedMoreBytes as need:
            self._wait_for(need)
        else:
            self._pending = bytearray(pending[used:])
            self._needed = 1

    def _wait_for(self, need: NeedMoreBytes) -> None:
        self._needed = need.total
        self._section = need.section

    def _feed(self, view: memoryview, out: memoryview) -> int:
        written = 0
        if self.header is None:
            view = view[self._take_header(view) :]
        while self.header is not None and (len(view) or len(self._pending) >= self._needed):
            if self._pending:
                taken = max(0, min(self._needed - len(self._pending), len(view)))
                self._pending += view[:taken]
                view = view[taken:]
                if len(self._pending) < self._needed:
                    break
                written += self._feed_pending(out[written:])
            else:
                consumed, released = self._advance(view, out[written:])
                written += released
                view = view[consumed:]
                if len(view) < self._needed:
                    self._pending += view
                    break
        return written

    def _feed_pending(self, out: memoryview) -> int:
        pending, self._pending = self._pending, bytearray()
        consumed, released = self._advance(memoryview(pending), out)
        if consumed < len(pending):
            self._pending = pending[consumed:] if consumed else pending
        return released

    def _advance(self, view: memoryview, out: memoryview) -> tuple[int, int]:
        consumed = written = 0
        self._needed = 1
        while consumed < len(view):
            if self._step is None:
                raise TrailingDataError("bytes follow the end of the message", section="end", offset=self._offset)
            try:
                used, released = self._step(view[consumed:], out[written:])
            except NeedMoreBytes as need:
                self._wait_for(need)
                break
            # The step that reads the footer ends the digest, which does not cover the footer.
            if self._digest:
                self._digest.update(view[consumed : consumed + used])
            consumed += used
            written += released
            self._offset += used
        return consumed, written

    def _fail(self, error: BaseException) -> None:
        try:
            super()._fail(error)
        finally:
            self._pending = bytearray()
            self._withheld = memoryview(b"")
            self._frames = None

    # --- header ------------------------------------------------------------------------------------------------------

    def _read_header(self, view: memoryview) -> int:
        opened = open_header(
            view,
            self.materials_for,
            commitment_policy=self._commitment_policy,
            limits=self.limits,
            refuse_signed=self._refuse_signed,
        )
        self._begin_body(opened, view)
        return opened[0].length

    def _begin_body(self, opened: Opened, view: memoryview) -> None:
        self.header, cipher, self._verification_key = opened
        header = self.header
        signature = header.algorithm_suite.signature
        if signature is not None:
            self._digest = MessageDigest(signature)
            self._digest.update(view[: header.length])
        self._frames = FrameCipher(cipher, header.message_id, header.frame_length, self.threads)
        self._step = self._read_frames if header.content_type is ContentType.FRAMED else self._read_block
        self._section = "body"
        self._offset = header.length

    # --- body --------------------------------------------------------------------------------------------------------

    def _read_frames(self, view: memoryview, out: memoryview) -> tuple[int, int]:
        frames = self._frames
        assert frames is not None
        if len(view) < 4:
            raise NeedMoreBytes(4, f"frame {self._next}")
        count = len(view) // frames.stride
        run = leading_run(view, frames.frame_length, self._next, min(count, _BATCH)) if count else 0
        if run:
            return self._open_frames(view, out, run)
        start = view[:4].tobytes()
        if start == FINAL_FRAME_MARKER:
            return self._read_final_frame(view, out)
        number = int.from_bytes(start, "big")
        if number != self._next:
            raise MessageError(
                f"frame {number} stands where frame {self._next} is due: frames are missing, repeated or out of order",
                section=f"frame {self._next}",
                offset=self._offset,
            )
        raise NeedMoreBytes(frames.stride, f"frame {self._next}")

    def _open_frames(self, view: memoryview, out: memoryview, count: int) -> tuple[int, int]:
        frames = self._frames
        assert frames is not None
        length = count * frames.frame_length
        check_room(out, length)
        try:
            frames.open(view, out, self._next, count)
        except FrameNotAuthenticError as error:
            raise not_authentic(f"frame {error.sequence_number}") from None
        self._next += count
        return count * frames.stride, length

    def _read_final_frame(self, view: memoryview, out: memoryview) -> tuple[int, int]:
        frames = self._frames
        assert frames is not None
        cursor = Cursor(view, "final frame")
        head = FinalFrameHead.parse(cursor, expected=self._next, frame_length=frames.frame_length, offset=self._offset)
        end = FINAL_FRAME_HEAD_LENGTH + head.content_length + TAG_LENGTH
        cursor.require(head.content_length + TAG_LENGTH)
        target = self._target(out, head.content_length)
        try:
            frames.open_final(head, view[FINAL_FRAME_HEAD_LENGTH:end], target)
        except InvalidTag:
            raise not_authentic("final frame") from None
        return end, self._end_body(target)

    def _read_block(self, view: memoryview, out: memoryview) -> tuple[int, int]:
        assert self.header is not None
        assert self._frames is not None
        cursor = Cursor(view, "body")
        head = BlockHead.parse(cursor, offset=self._offset)
        check_body_length(head.content_length, "content length", self.limits)
        end = BLOCK_HEAD_LENGTH + head.content_length + TAG_LENGTH
        cursor.require(head.content_length + TAG_LENGTH)
        aad = block_aad(self.header.message_id, head.content_length)
        target = self._target(out, head.content_length)
        try:
            self._frames.cipher.open_into(head.iv, view[BLOCK_HEAD_LENGTH:end], aad, target)
        except InvalidTag:
            raise not_authentic("body") from None
        return end, self._end_body(target)

    def _target(self, out: memoryview, length: int) -> memoryview:
        """Return where the last part of the body goes: ``out``, or what is withheld until the signature holds."""
        if self._digest is not None:
            return memoryview(bytearray(length))
        check_room(out, length)
        return out[:length]

    def _end_body(self, target: memoryview) -> int:
        """Take note that the last part of the body is in ``target``; return how much of it is released at once."""
        self._frames = None
        if self._digest is None:
            self._step = None
            return len(target)
        self._withheld = target
        self._step = self._read_footer
        self._section = "footer"
        return 0

    # --- footer ------------------------------------------------------------------------------------------------------

    def _read_footer(self, view: memoryview, out: memoryview) -> tuple[int, int]:
        assert self._digest is not None
        assert self._verification_key is not None
        cursor = Cursor(view, "footer")
        signature = parse_footer(cursor)
        check_room(out, len(self._withheld))
        self._verification_key.verify(signature, self._digest.finalize())
        out[: len(self._withheld)] = self._withheld
        released = len(self._withheld)
        self._withheld = memoryview(b"")
        self._digest = None
        self._step = None
        return cursor.position, released


def _no_materials(_header: UnverifiedHeader) -> DecryptionMaterials:
    raise AssertionError("the header has been read")
