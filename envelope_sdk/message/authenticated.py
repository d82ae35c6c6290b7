"""The header of a message once its tag has been checked, or as this side has just written it."""

from __future__ import annotations

from dataclasses import dataclass

from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.header import ContentType, HeaderBody
from envelope_sdk.formats.suites import AlgorithmSuite

__all__ = ["Header"]


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
