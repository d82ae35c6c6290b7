"""How long a plaintext is, told from its message's header and length alone: no key, and no word of anybody's for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from envelope_sdk.errors import EnvelopeError, MessageError
from envelope_sdk.formats.body import BLOCK_OVERHEAD
from envelope_sdk.formats.cursor import NeedMoreBytes
from envelope_sdk.formats.footer import LENGTH_FIELD
from envelope_sdk.formats.geometry import layout_of_body
from envelope_sdk.formats.header import HEADER_CHUNK, ContentType, UnverifiedHeader, parse_header
from envelope_sdk.policy import Limits

__all__ = ["FIRST_BYTES", "claimed_size"]

FIRST_BYTES: Final = 2**13
"""Bytes in which nearly every header is found."""

_LONGER: Final = 8
"""Bytes by which a DER signature may be longer than the one that writers produce, and more."""

_DER_SEQUENCE: Final = 0x30


def claimed_size(first: bytes, length: int, read: Callable[[int, int], bytes]) -> int | None:
    """Return the length of the plaintext of a message, or ``None`` where the bytes are no message, or may be several.

    It is right for every message that can be opened at all: whoever opens one computes the same, and has it
    authenticated by the tag of the final frame.

    Args:
        first: its first :data:`FIRST_BYTES` bytes, or all it has.
        length: bytes of the whole message.
        read: returns its bytes from one offset to another.

    Raises:
        OSError: as ``read`` does.
    """
    try:
        header = _header(first, length, read)
        if header is None:
            return None
        bodies = _bodies(header, length, read)
        sizes = {size for body in bodies if (size := _content(header, body)) is not None}
    except EnvelopeError:
        return None
    return sizes.pop() if len(sizes) == 1 else None


def _header(first: bytes, length: int, read: Callable[[int, int], bytes]) -> UnverifiedHeader | None:
    limits = Limits()
    while True:
        try:
            return parse_header(
                first,
                max_encrypted_data_keys=limits.max_encrypted_data_keys,
                max_header_length=limits.max_header_length,
            )
        except NeedMoreBytes as need:
            wanted = min(length, max(need.total, len(first) + HEADER_CHUNK))
        if wanted <= len(first):
            return None
        first = read(0, wanted)
        if len(first) < wanted:
            return None


def _bodies(header: UnverifiedHeader, length: int, read: Callable[[int, int], bytes]) -> list[int]:
    """Return how long the body may be: signatures have no fixed length, but say what it is."""
    left = length - header.length
    signature = header.body.algorithm_suite.signature
    if signature is None:
        return [left]
    longest = min(left, LENGTH_FIELD + signature.signature_length + _LONGER)
    tail = read(length - longest, length)
    found: list[int] = []
    for taken in range(LENGTH_FIELD + 2, len(tail) + 1):
        footer = tail[len(tail) - taken :]
        # A sequence in DER, whose own length has one byte here.
        if int.from_bytes(footer[:2], "big") == taken - 2 and footer[2] == _DER_SEQUENCE and footer[3] == taken - 4:
            found.append(left - taken)
    return found


def _content(header: UnverifiedHeader, body: int) -> int | None:
    if header.body.content_type is not ContentType.FRAMED:
        return body - BLOCK_OVERHEAD if body >= BLOCK_OVERHEAD else None
    try:
        return layout_of_body(header.length, body, header.body.frame_length).plaintext_length
    except MessageError:
        return None
