"""The header of a message once its tag has been checked, or as this side has just written it, and that check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from envelope_sdk.errors import AuthenticationError, KeyringError, SignatureError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.header import ContentType, HeaderBody, UnverifiedHeader
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import DecryptionMaterials
from envelope_sdk.message.keys import check_commitment, derive_message_key
from envelope_sdk.primitives.aead import InvalidTag, MessageCipher

__all__ = ["ALTERED", "Header", "authenticate"]

ALTERED: Final = "the message was altered after it was encrypted, or the data key is not the message's"
"""What a tag that does not fit means to the caller."""


@dataclass(frozen=True, slots=True)
class Header:
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

    @classmethod
    def of(cls, body: HeaderBody, encryption_context: EncryptionContext, length: int) -> Header:
        """Return the authenticated view of ``body``; only call this once its tag has been checked or made."""
        return cls(
            body.algorithm_suite,
            body.message_id,
            encryption_context,
            body.encrypted_data_keys,
            body.content_type,
            body.frame_length,
            body.suite_data,
            length,
        )


def authenticate(unverified: UnverifiedHeader, materials: DecryptionMaterials) -> tuple[Header, MessageCipher]:
    """Return the header, now to be trusted, and the cipher of its message.

    Raises:
        KeyringError, SignatureError: the materials are not for this message, or incomplete.
        CommitmentError: the data key is not the one the message commits to.
        AuthenticationError: the header's tag does not fit.
    """
    _check_materials(unverified.body.algorithm_suite, materials)
    body = unverified.body
    cipher, commitment = derive_message_key(body.algorithm_suite, materials.plaintext_data_key, body.message_id)
    check_commitment(commitment, body.suite_data)
    required = materials.required_encryption_context_keys
    unstored = materials.encryption_context.only(required).canonical if required else b""
    try:
        cipher.check_tag(unverified.iv, unverified.raw + unstored, unverified.tag)
    except InvalidTag:
        raise AuthenticationError(f"the header does not authenticate: {ALTERED}", section="header") from None
    return Header.of(body, materials.encryption_context, unverified.length), cipher


def _check_materials(suite: AlgorithmSuite, materials: DecryptionMaterials) -> None:
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
