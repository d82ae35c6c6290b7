"""The footer of signed messages: a signature behind its length (data-format/message-footer.md)."""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import SignatureError, UsageError
from envelope_sdk.formats.cursor import Cursor

__all__ = ["LENGTH_FIELD", "encode_footer", "parse_footer"]

LENGTH_FIELD: Final = 2
"""Bytes of the length that stands before the signature."""


def encode_footer(signature: bytes) -> bytes:
    """Return the footer for a DER signature.

    Raises:
        UsageError: it takes more than 65,535 bytes.
    """
    if len(signature) > 0xFFFF:
        raise UsageError(f"a signature of {len(signature)} bytes does not fit the footer")
    return len(signature).to_bytes(LENGTH_FIELD, "big") + signature


def parse_footer(cursor: Cursor) -> bytes:
    """Return the signature.

    Raises:
        SignatureError: the footer is there but empty.
    """
    cursor.section = "footer"
    signature = cursor.take_counted()
    if not signature:
        raise SignatureError("the message's signature is missing: its footer is empty", section="footer")
    return signature
