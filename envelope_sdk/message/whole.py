"""A whole message in one call, all of it in memory: what the machines do, without the state they keep between calls.

A small message costs little more than the derivation of its key, so nothing is set up here that it does not need.
"""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import AuthenticationError, TruncatedMessageError
from envelope_sdk.formats.body import (
    FINAL_FRAME_MARKER,
    FINAL_FRAME_OVERHEAD,
    FRAME_OVERHEAD,
    final_frame_aad,
    frame_iv,
)
from envelope_sdk.formats.cursor import NeedMoreBytes
from envelope_sdk.formats.footer import encode_footer
from envelope_sdk.formats.geometry import footer_length, frame_count
from envelope_sdk.formats.header import ContentType
from envelope_sdk.materials import EncryptionMaterials
from envelope_sdk.message.authenticated import (
    ALTERED,
    Beginning,
    Header,
    MaterialsSource,
    Opened,
    begin_message,
    open_header,
)
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.frames import FrameCipher
from envelope_sdk.message.output import filled
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.primitives.aead import InvalidTag
from envelope_sdk.primitives.entropy import RandomSource
from envelope_sdk.primitives.signing import MessageDigest

__all__ = ["decrypt_whole", "encrypt_whole"]

_SMALL: Final = 2**14
"""Bytes up to which copying content once more costs less than setting up what saves the copy."""


_ONLY_FRAME: Final = FINAL_FRAME_MARKER + (1).to_bytes(4, "big")
"""What the final frame begins with where it is the first."""

_ONLY_IV: Final = frame_iv(1)


def encrypt_whole(
    materials: EncryptionMaterials,
    plaintext: memoryview,
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
        plaintext: the content.
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
    count = frame_count(len(plaintext), frame_length)
    beginning = begin_message(
        materials, frame_length=frame_length, commitment_policy=commitment_policy, limits=limits, random=random
    )
    if count == 1 and len(plaintext) <= _SMALL:
        message = beginning.encoded + _sealed_only_frame(beginning, plaintext)
        if beginning.signing_key is not None:
            message += _footer(beginning, message)
        return message, beginning.header
    size = (
        len(beginning.encoded)
        + len(plaintext)
        + (count - 1) * FRAME_OVERHEAD
        + FINAL_FRAME_OVERHEAD
        + footer_length(materials.algorithm_suite)
    )
    return filled(size, lambda out: _fill(beginning, plaintext, count, threads, out)), beginning.header


def _sealed_only_frame(beginning: Beginning, plaintext: memoryview) -> bytes:
    length = len(plaintext)
    aad = final_frame_aad(beginning.header.message_id, 1, length)
    sealed = beginning.cipher.aead.encrypt(_ONLY_IV, plaintext, aad)
    return b"".join((_ONLY_FRAME, _ONLY_IV, length.to_bytes(4, "big"), sealed))


def _fill(beginning: Beginning, plaintext: memoryview, count: int, threads: int, out: memoryview) -> int:
    header = beginning.header
    frames = FrameCipher(beginning.cipher, header.message_id, header.frame_length, threads)
    start = len(beginning.encoded)
    out[:start] = beginning.encoded
    frames.seal(plaintext, out[start:], 1, count - 1)
    end = start + (count - 1) * frames.stride
    end += frames.seal_final(plaintext[(count - 1) * header.frame_length :], out[end:], count)
    if beginning.signing_key is not None:
        footer = _footer(beginning, out[:end])
        out[end : end + len(footer)] = footer
        end += len(footer)
    return end


def _footer(beginning: Beginning, message: bytes | memoryview) -> bytes:
    assert beginning.signing_key is not None
    digest = MessageDigest(beginning.signing_key.algorithm)
    digest.update(message)
    return encode_footer(beginning.signing_key.sign(digest.finalize()))


def decrypt_whole(
    message: memoryview,
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
    plaintext = _only_frame(message, opened)
    if plaintext is None:
        plaintext = _through_machine(message, opened, limits, threads)
    return plaintext, opened.header


def _only_frame(message: memoryview, opened: Opened) -> bytes | None:
    """Return the content of a small unsigned message of one frame; ``None`` where it looks like anything else."""
    header = opened.header
    start = header.length
    length = len(message) - start - FINAL_FRAME_OVERHEAD
    if (
        not 0 <= length <= min(_SMALL, header.frame_length)
        or header.algorithm_suite.signature is not None
        or header.content_type is not ContentType.FRAMED
    ):
        return None
    body = bytes(message[start:])
    if body[:8] != _ONLY_FRAME or body[20:24] != length.to_bytes(4, "big"):
        return None
    aad = final_frame_aad(header.message_id, 1, length)
    try:
        return opened.cipher.aead.decrypt(body[8:20], body[24:], aad)
    except InvalidTag:
        raise AuthenticationError(f"final frame does not authenticate: {ALTERED}", section="final frame") from None


def _through_machine(message: memoryview, opened: Opened, limits: Limits, threads: int) -> bytes:
    machine = MessageDecryptor.past_header(opened, message, limits=limits, threads=threads)
    body = message[opened.header.length :]

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
