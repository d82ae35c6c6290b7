"""A whole message in one call, all of it in memory: what the machines do, without the state they keep between calls.

A small message costs little more than the derivation of its key, so nothing is set up here that it does not need.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from envelope_sdk.errors import TruncatedMessageError
from envelope_sdk.formats.body import (
    FINAL_FRAME_HEAD_LENGTH,
    FINAL_FRAME_MARKER,
    FINAL_FRAME_OVERHEAD,
    FRAME_OVERHEAD,
    MAX_FRAMES,
    FinalFrameHead,
    final_frame_aad,
    final_frame_start,
)
from envelope_sdk.formats.cursor import NeedMoreBytes
from envelope_sdk.formats.footer import encode_footer
from envelope_sdk.formats.geometry import footer_length, frame_count, framed_body_length
from envelope_sdk.formats.header import ContentType
from envelope_sdk.materials import EncryptionMaterials
from envelope_sdk.message.authenticated import (
    Header,
    MaterialsSource,
    Opened,
    begin_message,
    open_header,
)
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.frames import FrameCipher, FrameNotAuthenticError
from envelope_sdk.message.output import filled
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.primitives.aead import InvalidTag, MessageCipher
from envelope_sdk.primitives.digest import MessageDigest
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["decrypt_whole", "encrypt_whole"]

_SMALL: Final = 2**14
"""Bytes up to which copying content once more costs less than setting up what saves the copy."""


_FRAMED: Final = ContentType.FRAMED

_NUMBER_AND_LENGTH: Final = Struct(">4xI12xI").unpack
"""Reads the head of a final frame, but for its marker and IV."""


def encrypt_whole(
    materials: EncryptionMaterials,
    plaintext: bytes | memoryview,
    *,
    frame_length: int,
    commitment_policy: CommitmentPolicy,
    limits: Limits,
    random: RandomSource,
    threads: int = 1,
) -> tuple[bytes, Header]:
    """Return the message that holds ``plaintext``, and its header.

    Args:
        materials: complete encryption materials.
        plaintext: the content, flat bytes.
        frame_length: bytes of plaintext in a frame, 1 to 2^32 - 1.
        commitment_policy: checked against the suite of the materials, whoever chose it.
        limits: bounds the number of encrypted data keys.
        random: the source of the message id.
        threads: the most threads to use, where that pays.

    Raises:
        UsageError: the message would have more frames than a message holds.
        CommitmentPolicyError, LimitExceededError: the materials break the policy or a limit.
        KeyringError: the materials are incomplete.
    """
    length = len(plaintext)
    count = 1 if length <= frame_length else frame_count(length, frame_length)
    header, encoded, cipher = begin_message(
        materials, frame_length=frame_length, commitment_policy=commitment_policy, limits=limits, random=random
    )
    suite = header.algorithm_suite
    if count == 1 and length <= _SMALL:
        head, iv, aad = final_frame_start(header.message_id, 1, length)
        message = b"".join((encoded, head, cipher.aead.encrypt(iv, plaintext, aad)))
        if suite.signature is not None:
            message += _footer(materials, message)
        return message, header

    def fill(out: memoryview) -> int:
        frames = FrameCipher(cipher, header.message_id, frame_length, threads)
        start = len(encoded)
        out[:start] = encoded
        view = memoryview(plaintext)
        frames.seal(view, out[start:], 1, count - 1)
        end = start + (count - 1) * frames.stride
        end += frames.seal_final(view[(count - 1) * frame_length :], out[end:], count)
        if suite.signature is not None:
            footer = _footer(materials, out[:end])
            out[end : end + len(footer)] = footer
            end += len(footer)
        return end

    size = len(encoded) + framed_body_length(length, frame_length) + footer_length(suite)
    return filled(size, fill), header


def _footer(materials: EncryptionMaterials, message: bytes | memoryview) -> bytes:
    assert materials.signing_key is not None
    digest = MessageDigest(materials.signing_key.algorithm)
    digest.update(message)
    return encode_footer(materials.signing_key.sign(digest.finalize()))


def decrypt_whole(
    message: bytes | memoryview,
    materials_for: MaterialsSource,
    *,
    commitment_policy: CommitmentPolicy,
    limits: Limits,
    threads: int = 1,
) -> tuple[bytes, Header]:
    """Return the plaintext of ``message``, authenticated to its last byte and signature, and its header.

    Raises:
        As :meth:`~envelope_sdk.message.decryptor.MessageDecryptor.update_into`, and ``finish``.
    """
    try:
        opened = open_header(message, materials_for, commitment_policy=commitment_policy, limits=limits)
    except NeedMoreBytes as need:
        raise TruncatedMessageError(
            "the message is cut short: its end is missing", section=need.section, offset=len(message)
        ) from None
    header = opened[0]
    plaintext = None
    if header.algorithm_suite.signature is None and header.content_type is _FRAMED:
        plaintext = _unsigned_frames(message, header, opened[1], threads)
    # What is not as it should be is found again, and told, by the machine.
    return _through_machine(memoryview(message), opened, limits, threads) if plaintext is None else plaintext, header


def _unsigned_frames(message: bytes | memoryview, header: Header, cipher: MessageCipher, threads: int) -> bytes | None:
    """Return the content of an unsigned message of frames; ``None`` where anything about it is not as it should be."""
    start, frame_length = header.length, header.frame_length
    regular, length = divmod(len(message) - start - FINAL_FRAME_OVERHEAD, frame_length + FRAME_OVERHEAD)
    if not 0 <= regular < MAX_FRAMES or length > frame_length:
        return None
    final = start + regular * (frame_length + FRAME_OVERHEAD)
    content = final + FINAL_FRAME_HEAD_LENGTH
    head = bytes(message[final:content])
    if head[:4] != FINAL_FRAME_MARKER or _NUMBER_AND_LENGTH(head) != (regular + 1, length):
        return None
    try:
        if regular == 0 and length <= _SMALL:
            return cipher.aead.decrypt(head[8:20], message[content:], final_frame_aad(header.message_id, 1, length))
        view = memoryview(message)
        frames = FrameCipher(cipher, header.message_id, frame_length, threads)

        def fill(out: memoryview) -> int:
            frames.open_run(view[start:final], out, 1, regular)
            end = FinalFrameHead(regular + 1, head[8:20], length)
            frames.open_final(end, view[content:], out[regular * frame_length :])
            return len(out)

        # The bytes at hand account for this size.
        return filled(regular * frame_length + length, fill)
    except (InvalidTag, FrameNotAuthenticError):
        return None


def _through_machine(message: memoryview, opened: Opened, limits: Limits, threads: int) -> bytes:
    machine = MessageDecryptor.past_header(opened, message, limits=limits, threads=threads)
    body = message[opened[0].length :]

    def fill(out: memoryview) -> int:
        released = machine.update_into(body, out)
        machine.finish()
        return released

    try:
        # Plaintext is never longer than its message, and the message is at hand.
        return filled(len(body), fill)
    finally:
        # A mapped file could not be closed otherwise before an error is forgotten.
        body.release()
