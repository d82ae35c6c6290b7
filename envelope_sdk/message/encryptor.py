"""The encrypting machine: plaintext in, message bytes out (client-apis/encrypt.md).

Its rules:

- ``start()`` once, then any number of ``update*()``, then ``finish*()`` once.
- A full frame is written as soon as one more byte follows it, so the last frame of a message, full or not, is always
  the final frame.
- What a call returns is complete frames; it can be released at once.
- After an error the machine is finished with: every later call raises the same error.
"""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import KeyringError, StreamError, UsageError
from envelope_sdk.formats.body import (
    FINAL_FRAME_HEAD_LENGTH,
    FINAL_FRAME_OVERHEAD,
    FRAME_HEAD_LENGTH,
    FRAME_OVERHEAD,
    MAX_FRAMES,
    FinalFrameHead,
    FrameAads,
    final_frame_aad,
    frame_iv,
    number_frames,
)
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.cursor import BytesLike, byte_view
from envelope_sdk.formats.edks import check_count
from envelope_sdk.formats.footer import encode_footer
from envelope_sdk.formats.geometry import footer_length
from envelope_sdk.formats.header import (
    HEADER_IV,
    MAX_FRAME_LENGTH,
    ContentType,
    HeaderBody,
    encode_authentication,
)
from envelope_sdk.materials import EncryptionMaterials
from envelope_sdk.message.authenticated import Header
from envelope_sdk.message.keys import derive_message_key
from envelope_sdk.message.machine import Machine
from envelope_sdk.message.output import filled
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.primitives.aead import ONE_SHOT_LIMIT, TAG_LENGTH, MessageCipher
from envelope_sdk.primitives.entropy import RandomSource, system_random
from envelope_sdk.primitives.signing import MessageDigest

__all__ = ["MessageEncryptor"]

_BATCH: Final = 4096
"""Frames numbered at once: bounds the memory that tiny frames take, and costs large ones nothing."""

_NO_CONTEXT: Final = EncryptionContext()


class MessageEncryptor(Machine):
    """Encrypts one message. A second thread that uses it at the same time gets :class:`StreamError`.

    Attributes:
        header: the message's header.
    """

    __slots__ = (
        "_aads",
        "_cipher",
        "_digest",
        "_frame_length",
        "_next",
        "_pending",
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
        random: RandomSource = system_random,
    ) -> None:
        """Derive the message key and build the header.

        Args:
            materials: complete encryption materials.
            frame_length: bytes of plaintext in a frame, 1 to 2^32 - 1.
            commitment_policy: checked against the suite of the materials, whoever chose it.
            limits: bounds the number of encrypted data keys.
            plaintext_length: bytes that will come, where known: more or fewer are then an error.
            random: the source of the message id.

        Raises:
            UsageError: the frame length or the plaintext length is out of range.
            CommitmentPolicyError, LimitExceededError: the materials break the policy or a limit.
            KeyringError: the materials are incomplete.
        """
        super().__init__()
        if not 1 <= frame_length <= MAX_FRAME_LENGTH:
            raise UsageError(f"a frame length of {frame_length} bytes is not between 1 and {MAX_FRAME_LENGTH}")
        if plaintext_length is not None and plaintext_length < 0:
            raise UsageError(f"a plaintext length of {plaintext_length} bytes is less than 0")
        suite = materials.algorithm_suite
        commitment_policy.check_encrypt(suite)
        _check_materials(materials)
        check_count(len(materials.encrypted_data_keys), (limits or Limits()).max_encrypted_data_keys)
        message_id = random(suite.message_id_length)
        self._cipher, commitment = derive_message_key(suite, materials.plaintext_data_key, message_id)
        required = materials.required_encryption_context_keys
        body = HeaderBody(
            suite,
            message_id,
            (materials.encryption_context.without(required) if required else materials.encryption_context).sorted(),
            materials.encrypted_data_keys,
            ContentType.FRAMED,
            frame_length,
            commitment,
        )
        unstored = materials.encryption_context.only(required) if required else _NO_CONTEXT
        self._start = _authenticated_header(body, unstored, self._cipher)
        self.header = Header.of(body, materials.encryption_context, len(self._start))
        self._aads = FrameAads(message_id, frame_length)
        self._frame_length = frame_length
        self._plaintext_length = plaintext_length
        self._taken = 0
        self._next = 1
        self._pending = bytearray()
        self._signing_key = materials.signing_key
        self._digest = MessageDigest(suite.signature) if suite.signature else None
        self._state = "new"

    def start(self) -> bytes:
        """Return the header, the first bytes of the message."""
        self._expect("new")
        self._state = "open"
        if self._digest:
            self._digest.update(self._start)
        return self._start

    def output_size(self, length: int, *, last: bool = False) -> int:
        """Return how many bytes the next call writes for ``length`` more bytes of plaintext.

        Args:
            length: bytes of plaintext to come in that call.
            last: whether it is the finishing call.

        Raises:
            UsageError: the message would have more frames than a message holds.
        """
        count = self._full_frames(len(self._pending) + length, length, last=last)
        self._check_numbers(count)
        size = count * (self._frame_length + FRAME_OVERHEAD)
        if not last:
            return size
        rest = len(self._pending) + length - count * self._frame_length
        return size + rest + FINAL_FRAME_OVERHEAD + footer_length(self.header.algorithm_suite)

    def update(self, data: BytesLike) -> bytes:
        """Take more plaintext and return the frames it completes, possibly none."""
        with byte_view(data) as view:
            return filled(self.output_size(len(view)), lambda out: self.update_into(view, out))

    def update_into(self, data: BytesLike, out: memoryview) -> int:
        """Take more plaintext, write the frames it completes to ``out`` and return how many bytes that is.

        Args:
            data: any number of bytes; a large multiple of the frame length is fastest.
            out: at least ``output_size(len(data))`` bytes, writable, not overlapping ``data``.

        Raises:
            UsageError: more plaintext than announced, more frames than a message holds, or too little room.
            StreamError: the machine has not started or has finished.
        """
        self._expect("open")
        return self._run(self._consume, byte_view(data), memoryview(out), False)

    def finish(self, data: BytesLike = b"") -> bytes:
        """Take the last plaintext and return the rest of the message: frames, final frame, footer."""
        with byte_view(data) as view:
            return filled(self.output_size(len(view), last=True), lambda out: self.finish_into(view, out))

    def finish_into(self, data: BytesLike, out: memoryview) -> int:
        """As :meth:`finish`, writing to ``out``, at least ``output_size(len(data), last=True)`` bytes.

        Raises:
            UsageError: less or more plaintext than announced, or more frames than a message holds.
            StreamError: the machine has not started or has finished.
        """
        self._expect("open")
        return self._run(self._consume, byte_view(data), memoryview(out), True)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _consume(self, view: memoryview, out: memoryview, last: bool) -> int:
        count = self._full_frames(len(self._pending) + len(view), len(view), last=last)
        self._check_announced(len(view), last=last)
        if len(out) < (size := self.output_size(len(view), last=last)):
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

    def _full_frames(self, available: int, incoming: int, *, last: bool) -> int:
        more_will_come = (
            not last and self._plaintext_length is not None and self._taken + incoming < self._plaintext_length
        )
        return max(0, available if more_will_come else available - 1) // self._frame_length

    def _check_numbers(self, count: int) -> None:
        if self._next + count > MAX_FRAMES:
            raise UsageError(
                f"the message needs more than {MAX_FRAMES} frames of {self._frame_length} bytes: "
                "choose a larger frame length"
            )

    def _check_announced(self, incoming: int, *, last: bool) -> None:
        if self._plaintext_length is None:
            return
        total = self._taken + incoming
        if total > self._plaintext_length or (last and total != self._plaintext_length):
            raise UsageError(f"{self._plaintext_length} bytes of plaintext were announced, {total} came")

    def _seal_frames(self, view: memoryview, out: memoryview, count: int) -> int:
        length = self._frame_length
        stride = length + FRAME_OVERHEAD
        # The two differ in what they cost, not in what they do: see MessageCipher.seal_into.
        seal = self._cipher.aead.encrypt_into if length <= ONE_SHOT_LIMIT else self._cipher.seal_into
        prefix, suffix = self._aads.prefix, self._aads.suffix
        for done in range(0, count, _BATCH):
            batch = min(_BATCH, count - done)
            number_frames(out[done * stride :], length, self._next, batch)
            for index in range(done, done + batch):
                frame = index * stride
                content = index * length
                iv = out[frame + 4 : frame + FRAME_HEAD_LENGTH]
                seal(
                    iv,
                    view[content : content + length],
                    prefix + iv[8:] + suffix,
                    out[frame + FRAME_HEAD_LENGTH : frame + stride],
                )
            self._next += batch
        return count * stride

    def _seal_end(self, rest: memoryview, out: memoryview, written: int) -> int:
        if self._pending:
            self._pending += rest
            rest = memoryview(self._pending)
        head = FinalFrameHead(self._next, frame_iv(self._next), len(rest))
        start = written + FINAL_FRAME_HEAD_LENGTH
        end = start + len(rest) + TAG_LENGTH
        out[written:start] = head.encode()
        aad = final_frame_aad(self.header.message_id, self._next, len(rest))
        self._cipher.seal_into(head.iv, rest, aad, out[start:end])
        footer = self._sign(out[:end])
        out[end : end + len(footer)] = footer
        rest.release()
        self._pending = bytearray()
        self._state = "finished"
        return end + len(footer) - written

    def _sign(self, tail: memoryview) -> bytes:
        if self._digest is None:
            return b""
        self._digest.update(tail)
        assert self._signing_key is not None
        return encode_footer(self._signing_key.sign(self._digest.finalize()))

    def _expect(self, state: str) -> None:
        self._check_usable()
        if self._state != state:
            raise StreamError(f"the message is {self._state}, not {state}: start, update, finish is the order")


def _check_materials(materials: EncryptionMaterials) -> None:
    suite = materials.algorithm_suite
    if not materials.encrypted_data_keys:
        raise KeyringError("the materials hold no wrapped copy of the data key")
    if suite.signature is not None:
        if materials.signing_key is None:
            raise KeyringError("the materials of a signed suite hold no signing key")
        if materials.signing_key.algorithm is not suite.signature:
            raise KeyringError("the materials' signing key is of another algorithm than the suite's")


def _authenticated_header(body: HeaderBody, unstored: EncryptionContext, cipher: MessageCipher) -> bytes:
    raw = body.encode()
    tag = cipher.tag(HEADER_IV, raw + unstored.canonical)
    return raw + encode_authentication(body.algorithm_suite, HEADER_IV, tag)
