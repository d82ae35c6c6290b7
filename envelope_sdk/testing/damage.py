"""Encrypted data keys as they should never be, and those of strangers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from envelope_sdk.formats.edks import EncryptedDataKey

__all__ = ["Damaged", "altered", "damaged_copies", "strangers"]

_LONGEST: Final = 0xFFFF
_FLIPS: Final = 16


class Damaged(NamedTuple):
    """A copy of an encrypted data key with one fault.

    Attributes:
        what: the fault, for people.
        field: the field it is in.
        key: the copy.
    """

    what: str
    field: str
    key: EncryptedDataKey


def altered(key: EncryptedDataKey, position: int = -1) -> EncryptedDataKey:
    """Return a copy whose wrapped key has one bit flipped, in its last byte unless told otherwise."""
    return key._replace(ciphertext=_flipped(key.ciphertext, position))


def damaged_copies(key: EncryptedDataKey) -> Iterator[Damaged]:
    """Yield copies of ``key``, each with one fault in one field, that a message may all contain."""
    for what, value in _damaged(key.ciphertext):
        yield Damaged(f"a ciphertext {what}", "ciphertext", key._replace(ciphertext=value))
    for what, value in _damaged(key.provider_info):
        yield Damaged(f"a provider info {what}", "provider_info", key._replace(provider_info=value))
    for provider_id in ("", key.provider_id + "\0", key.provider_id[:-1], key.provider_id.swapcase(), "ñandú 😀"):
        if provider_id != key.provider_id:
            yield Damaged(f"the provider id {provider_id!r}", "provider_id", key._replace(provider_id=provider_id))
    yield Damaged("all fields empty", "ciphertext", EncryptedDataKey("", b"", b""))


def strangers(key: EncryptedDataKey) -> tuple[EncryptedDataKey, ...]:
    """Return data keys that others wrapped, some of which look like ``key`` in part."""
    return (
        EncryptedDataKey("a stranger", b"its key", os.urandom(48)),
        EncryptedDataKey("", b"", b""),
        EncryptedDataKey(key.provider_id, b"another key", os.urandom(len(key.ciphertext) or 1)),
        EncryptedDataKey(key.provider_id, b"\xff\xfe not text", os.urandom(48)),
        EncryptedDataKey("a stranger", key.provider_info, os.urandom(len(key.ciphertext) or 1)),
        EncryptedDataKey("aws-kms", b"arn:aws:kms:eu-west-1:111122223333:key/stranger", os.urandom(184)),
    )


def _damaged(value: bytes) -> Iterator[tuple[str, bytes]]:
    if value:
        yield "that is empty", b""
        yield "without its last byte", value[:-1]
        yield "without its first byte", value[1:]
        yield "of half its length", value[: len(value) // 2]
        yield "of zeros", bytes(len(value))
        yield "of random bytes", os.urandom(len(value))
    if len(value) > 1:
        yield "cut to one byte", value[:1]
    yield "with a byte more at its end", value + b"\0"
    yield "with a byte more at its start", b"\0" + value
    yield "of 65,535 bytes", (value + bytes(_LONGEST))[:_LONGEST]
    last = len(value) - 1
    for position in sorted({last * step // (_FLIPS - 1) for step in range(_FLIPS)} if value else ()):
        yield f"with a bit flipped in byte {position}", _flipped(value, position)


def _flipped(value: bytes, position: int) -> bytes:
    changed = bytearray(value or b"\0")
    changed[position] ^= 1
    return bytes(changed)
