"""Encrypted data keys: the same data key, wrapped once for each wrapping key (framework/structures.md)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from envelope_sdk.errors import LimitExceededError, UsageError
from envelope_sdk.formats.cursor import Cursor

__all__ = ["MAX_COUNT", "EncryptedDataKey", "check_count", "encode_encrypted_data_keys", "parse_encrypted_data_keys"]

MAX_COUNT: Final = 0xFFFF
"""Encrypted data keys that a message can hold: their count has 16 bits."""

_MAX_FIELD: Final = 0xFFFF
_LENGTH: Final = struct.Struct(">H").pack
_MIN_ENTRY: Final = 6
_SECTION: Final = "encrypted data keys"


class EncryptedDataKey(NamedTuple):
    """One wrapped copy of the data key. Public: it is stored in clear.

    Attributes:
        provider_id: which kind of wrapping key, for instance ``"aws-kms"`` or the namespace of a raw key.
        provider_info: which one: a key ARN, or the name of a raw key with what its algorithm needs. Bytes.
        ciphertext: the wrapped data key.
    """

    provider_id: str
    provider_info: bytes
    ciphertext: bytes

    def encode(self) -> bytes:
        """Return the entry: three fields, each behind its 16-bit length.

        Raises:
            UsageError: a field takes more than 65,535 bytes, or the provider id is not encodable as UTF-8.
        """
        info, ciphertext = self.provider_info, self.ciphertext
        try:
            provider_id = self.provider_id.encode()
        except UnicodeEncodeError:
            raise UsageError(f"a key provider id is not encodable as UTF-8: {self.provider_id!r}") from None
        try:
            lengths = _LENGTH(len(provider_id)), _LENGTH(len(info)), _LENGTH(len(ciphertext))
        except struct.error:
            longest = max(len(provider_id), len(info), len(ciphertext))
            raise UsageError(
                f"a field of an encrypted data key takes {longest} bytes; the most is {_MAX_FIELD}"
            ) from None
        return b"".join((lengths[0], provider_id, lengths[1], info, lengths[2], ciphertext))

    @classmethod
    def parse(cls, cursor: Cursor) -> EncryptedDataKey:
        """Read one entry.

        Raises:
            MessageError: the provider id is not UTF-8.
        """
        raw = cursor.take_counted()
        try:
            provider_id = raw.decode()
        except UnicodeDecodeError:
            raise cursor.error("a key provider id is not UTF-8", back=len(raw)) from None
        return cls(provider_id, cursor.take_counted(), cursor.take_counted())


def check_count(count: int, limit: int | None) -> None:
    """Raise :class:`LimitExceededError` where ``count`` encrypted data keys are more than ``limit`` allows."""
    if limit is not None and count > limit:
        raise _too_many(count, limit)


def _too_many(count: int, limit: int) -> LimitExceededError:
    return LimitExceededError(
        f"the message has {count} encrypted data keys and {limit} are allowed; raise "
        "Limits.max_encrypted_data_keys if that many are expected",
        limit="max_encrypted_data_keys",
    )


def encode_encrypted_data_keys(keys: Sequence[EncryptedDataKey]) -> bytes:
    """Return the header's field: a 16-bit count, then the entries in the order given.

    Raises:
        UsageError: there are none, or more than 65,535.
    """
    if not 1 <= len(keys) <= MAX_COUNT:
        raise UsageError(f"a message holds 1 to {MAX_COUNT} encrypted data keys, not {len(keys)}")
    return b"".join([_LENGTH(len(keys)), *[key.encode() for key in keys]])


def parse_encrypted_data_keys(cursor: Cursor, *, limit: int | None) -> tuple[EncryptedDataKey, ...]:
    """Read the header's field, keeping the message's order.

    Raises:
        MessageError: there are none, or one is malformed.
        LimitExceededError: there are more than ``limit``; no entry is read then.
    """
    cursor.section = _SECTION
    count = cursor.u16()
    if count == 0:
        raise cursor.error("the message has no encrypted data keys", back=2)
    if limit is not None and count > limit:
        raise _too_many(count, limit)
    if cursor.position + count * _MIN_ENTRY > cursor.end:
        cursor.require(count * _MIN_ENTRY)
    if count == 1:
        return (EncryptedDataKey.parse(cursor),)
    return tuple([EncryptedDataKey.parse(cursor) for _ in range(count)])
