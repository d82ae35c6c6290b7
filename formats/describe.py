"""A message as plain values that print well and serialize as JSON: for ``inspect``, metadata and logs."""

from __future__ import annotations

import base64
from typing import Any, Protocol

from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.header import ContentType
from envelope_sdk.formats.outline import MessageOutline
from envelope_sdk.formats.suites import AlgorithmSuite

__all__ = ["HeaderFields", "describe_encrypted_data_key", "describe_header", "describe_outline"]


class HeaderFields(Protocol):
    """What a header has, authenticated or not."""

    @property
    def algorithm_suite(self) -> AlgorithmSuite:
        """The suite."""
        ...

    @property
    def message_id(self) -> bytes:
        """The message id."""
        ...

    @property
    def encryption_context(self) -> EncryptionContext:
        """The pairs."""
        ...

    @property
    def encrypted_data_keys(self) -> tuple[EncryptedDataKey, ...]:
        """The wrapped data keys."""
        ...

    @property
    def content_type(self) -> ContentType:
        """Framed or not."""
        ...

    @property
    def frame_length(self) -> int:
        """Bytes in a frame."""
        ...


def describe_encrypted_data_key(key: EncryptedDataKey) -> dict[str, Any]:
    """Return the fields of one encrypted data key.

    ``provider_info`` is text where it is text: the raw AES keyring's, for one, holds an IV and is given in base64.
    """
    try:
        info = key.provider_info.decode("utf-8")
        readable = info.isprintable()
    except UnicodeDecodeError:
        info, readable = "", False
    return {
        "provider_id": key.provider_id,
        **({"provider_info": info} if readable else {"provider_info_base64": _base64(key.provider_info)}),
        "ciphertext_length": len(key.ciphertext),
    }


def describe_header(body: HeaderFields) -> dict[str, Any]:
    """Return the fields of a header."""
    suite = body.algorithm_suite
    return {
        "version": suite.message_version,
        "algorithm_suite": {
            "id": f"0x{suite.suite_id:04x}",
            "name": suite.name,
            "committing": suite.committing,
            "signed": suite.signed,
        },
        "message_id": _base64(body.message_id),
        "encryption_context": dict(body.encryption_context),
        "encrypted_data_keys": [describe_encrypted_data_key(key) for key in body.encrypted_data_keys],
        "content_type": body.content_type.name.lower(),
        "frame_length": body.frame_length,
    }


def describe_outline(outline: MessageOutline) -> dict[str, Any]:
    """Return the fields of a header with the sizes of the whole message."""
    return {
        **describe_header(outline.header.body),
        "header_length": outline.header.length,
        "frames": outline.frames,
        "plaintext_length": outline.plaintext_length,
        "message_length": outline.message_length,
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
