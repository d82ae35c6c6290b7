"""The header of a message once its tag has been checked, or as this side has just written it: both ways to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from envelope_sdk.errors import AuthenticationError, KeyringError, LimitExceededError, SignatureError, SignedStreamError
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD, EncryptionContext
from envelope_sdk.formats.cursor import BytesLike
from envelope_sdk.formats.edks import EncryptedDataKey, check_count
from envelope_sdk.formats.header import (
    HEADER_IV,
    ContentType,
    UnverifiedHeader,
    encode_authentication,
    encode_header_body,
    parse_header,
)
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.message.keys import found_message_key, new_message_key
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.primitives.aead import InvalidTag, MessageCipher
from envelope_sdk.primitives.entropy import RandomSource

if TYPE_CHECKING:
    from envelope_sdk.primitives.signing import VerificationKey

__all__ = [
    "ALTERED",
    "Header",
    "MaterialsSource",
    "Opened",
    "begin_message",
    "check_body_length",
    "not_authentic",
    "open_header",
]

MaterialsSource = Callable[[UnverifiedHeader], DecryptionMaterials]
"""Turns a header, not yet authenticated, into complete decryption materials."""

ALTERED: Final = "the message was altered after it was encrypted, or the data key is not the message's"
"""What a tag that does not fit means to the caller."""


_FRAMED: Final = ContentType.FRAMED


class Header(NamedTuple):
    """An authenticated header. For signed messages the signature still has the last word.

    Attributes:
        algorithm_suite: the suite.
        message_id: 16 or 32 bytes.
        encryption_context: every authenticated pair, those that are not stored in the message included.
        encrypted_data_keys: in message order.
        content_type: framed or not.
        frame_length: bytes of plaintext in a regular frame; 0 where not framed.
        commitment: 32 bytes; empty for suites that do not commit.
        length: bytes of the header in the message, its tag included.
    """

    algorithm_suite: AlgorithmSuite
    message_id: bytes
    encryption_context: EncryptionContext
    encrypted_data_keys: tuple[EncryptedDataKey, ...]
    content_type: ContentType
    frame_length: int
    commitment: bytes
    length: int


Opened: TypeAlias = "tuple[Header, MessageCipher, VerificationKey | None]"
"""A message up to its body, as a reader found it: header, cipher, and what verifies the signature of a signed one."""


def begin_message(
    materials: EncryptionMaterials,
    *,
    frame_length: int,
    commitment_policy: CommitmentPolicy,
    limits: Limits,
    random: RandomSource,
) -> tuple[Header, bytes, MessageCipher]:
    """Derive the message key and return the header, the same as it is written, and the message's cipher.

    Args:
        materials: complete encryption materials.
        frame_length: bytes of plaintext in a frame, 1 to 2^32 - 1.
        commitment_policy: checked against the suite of the materials, whoever chose it.
        limits: bounds the number of encrypted data keys.
        random: the source of the message id.

    Raises:
        CommitmentPolicyError, LimitExceededError: the materials break the policy or a limit.
        KeyringError: the materials are incomplete.
    """
    suite = materials.algorithm_suite
    commitment_policy.check_encrypt(suite)
    keys = materials.encrypted_data_keys
    if not keys:
        raise KeyringError("the materials hold no wrapped copy of the data key")
    if suite.signature is not None:
        _check_signing_key(suite, materials)
    check_count(len(keys), limits.max_encrypted_data_keys)
    message_id = random(suite.message_id_length)
    cipher, commitment = new_message_key(suite, materials.plaintext_data_key, message_id)
    middle = materials.encoded_context_and_keys
    raw = encode_header_body(suite, message_id, middle, _FRAMED, frame_length, commitment)
    context = materials.encryption_context
    required = materials.required_encryption_context_keys
    tag = cipher.tag(HEADER_IV, raw + context.only(required).canonical if required else raw)
    encoded = raw + encode_authentication(suite, HEADER_IV, tag)
    header = Header(suite, message_id, context, keys, _FRAMED, frame_length, commitment, len(encoded))
    return header, encoded, cipher


def open_header(
    data: BytesLike,
    materials_for: MaterialsSource,
    *,
    commitment_policy: CommitmentPolicy,
    limits: Limits,
    refuse_signed: bool = False,
) -> Opened:
    """Read the header that ``data`` begins with, ask for materials, and authenticate it.

    Raises:
        NeedMoreBytes: ``data`` ends inside the header; no materials were asked for.
        MessageError: it is malformed.
        SignedStreamError: the message is signed and ``refuse_signed``.
        CommitmentPolicyError, LimitExceededError: it breaks the policy or a limit.
        KeyringError, SignatureError: the materials are not for this message, or incomplete.
        CommitmentError: the data key is not the one the message commits to.
        AuthenticationError: the header's tag does not fit.
        Otherwise what ``materials_for`` raises.
    """
    unverified = parse_header(
        data,
        max_encrypted_data_keys=limits.max_encrypted_data_keys,
        max_header_length=limits.max_header_length,
    )
    body = unverified.body
    if refuse_signed and body.algorithm_suite.signed:
        raise SignedStreamError(
            "this message is signed, and reading it piece by piece would release plaintext before the signature is "
            "checked: decrypt it whole, or allow unverified plaintext explicitly"
        )
    commitment_policy.check_decrypt(body.algorithm_suite)
    check_body_length(body.frame_length, "frame length", limits)
    return _authenticate(unverified, materials_for(unverified))


def check_body_length(length: int, what: str, limits: Limits) -> None:
    """Raise :class:`LimitExceededError` where more has to be held at once than ``limits`` allow."""
    limit = limits.max_body_length
    if limit is not None and length > limit:
        raise LimitExceededError(
            f"the message's {what} is {length} bytes and {limit} are allowed; raise Limits.max_body_length to read it",
            limit="max_body_length",
        )


def not_authentic(section: str) -> AuthenticationError:
    """Return the error for a part of the body whose tag does not fit."""
    return AuthenticationError(f"{section} does not authenticate: {ALTERED}", section=section)


def _authenticate(unverified: UnverifiedHeader, materials: DecryptionMaterials) -> Opened:
    suite, message_id, _, keys, content_type, frame_length, suite_data = unverified.body
    _check_decryption_materials(suite, materials)
    cipher = found_message_key(suite, materials.plaintext_data_key, message_id, suite_data)
    context = materials.encryption_context
    required = materials.required_encryption_context_keys
    covered = unverified.raw + context.only(required).canonical if required else unverified.raw
    try:
        cipher.check_tag(unverified.iv, covered, unverified.tag)
    except InvalidTag:
        raise AuthenticationError(
            f"the header does not authenticate: {ALTERED}, or {_wrong_pairs(required)}", section="header"
        ) from None
    header = Header(suite, message_id, context, keys, content_type, frame_length, suite_data, unverified.length)
    return header, cipher, materials.verification_key if suite.signature is not None else None


def _wrong_pairs(unstored: frozenset[str]) -> str:
    # A keyring that binds the context says so before the header is looked at; not all of them do.
    if not unstored:
        return "it was encrypted with context pairs that it does not store: give them as encryption_context"
    keys = ", ".join(sorted(map(repr, unstored)))
    return f"it was not encrypted with just these values of the context keys {keys}, which it does not store"


def _check_signing_key(suite: AlgorithmSuite, materials: EncryptionMaterials) -> None:
    key, context = materials.signing_key, materials.encryption_context
    if key is None:
        raise KeyringError("the materials of a signed suite hold no signing key")
    if key.algorithm is not suite.signature:
        raise KeyringError("the materials' signing key is of another algorithm than the suite's")
    # Nobody would ever open the message, and its writer would not know.
    if (
        context.get(PUBLIC_KEY_FIELD) != key.encoded_public_key
        or PUBLIC_KEY_FIELD in materials.required_encryption_context_keys
    ):
        raise KeyringError(
            f"the materials' context does not store their signing key's public half under {PUBLIC_KEY_FIELD!r}: a "
            "faulty materials manager or keyring"
        )


def _check_decryption_materials(suite: AlgorithmSuite, materials: DecryptionMaterials) -> None:
    if materials.algorithm_suite is not suite:
        raise KeyringError(
            f"the materials are for {materials.algorithm_suite.name}, the message is {suite.name}: a faulty "
            "materials manager"
        )
    if suite.signature is not None:
        if materials.verification_key is None:
            raise SignatureError("the materials of a signed message hold no verification key", section="header")
        if materials.verification_key.algorithm is not suite.signature:
            raise KeyringError("the materials' verification key is of another algorithm than the message's suite")
