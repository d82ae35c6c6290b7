"""The header of a message, versions 1 and 2 (data-format/message-header.md).

What :func:`parse_header` returns is called unverified, and is another type than the header that decryption hands out:
until its tag is checked, every field of it may be a lie.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from envelope_sdk.errors import MessageError, UnsupportedMessageError, UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.cursor import BytesLike, Cursor, NeedMoreBytes
from envelope_sdk.formats.edks import EncryptedDataKey, encode_encrypted_data_keys, parse_encrypted_data_keys
from envelope_sdk.formats.suites import IV_LENGTH, TAG_LENGTH, AlgorithmSuite

__all__ = [
    "HEADER_CHUNK",
    "HEADER_IV",
    "MAX_FRAME_LENGTH",
    "ContentType",
    "HeaderBody",
    "UnverifiedHeader",
    "encode_authentication",
    "encode_header_body",
    "parse_header",
]

HEADER_IV: Final = bytes(IV_LENGTH)
"""The IV of the header's tag: written into version 1, understood in version 2."""

MAX_FRAME_LENGTH: Final = 0xFFFFFFFF
"""The longest frame: its length field has 32 bits."""

HEADER_CHUNK: Final = 2**16
"""Bytes of a header to wait for at a time, where more may come: every attempt reads it from its start."""

_FIRST_COPY: Final = 2**12

_TYPE: Final = 0x80
_RESERVED: Final = bytes(4)

# How a header begins: version, type in version 1, algorithm suite.
_STARTS: Final = {
    suite.id_bytes: (b"\x02" if suite.message_version == 2 else bytes((1, _TYPE))) + suite.id_bytes
    for suite in AlgorithmSuite
}
_SUITES: Final = {(start := _STARTS[suite.id_bytes]): (suite, len(start)) for suite in AlgorithmSuite}


# What version 2 fixes: its suites, and where its fields stand.
_COMMITTING_SUITES: Final = {_STARTS[suite.id_bytes]: suite for suite in AlgorithmSuite if suite.committing}
_CONTEXT_AT: Final = 3 + AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY.message_id_length
_COMMITMENT_LENGTH: Final = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY.suite_data_length


class ContentType(Enum):
    """How the body is cut."""

    NON_FRAMED = 1
    FRAMED = 2


_CONTENT_TYPES: Final = {kind.value: kind for kind in ContentType}
_FRAMED: Final = ContentType.FRAMED
_FRAMED_VALUE: Final = _FRAMED.value
_EMPTY: Final = EncryptionContext.of(None)

# What stands between the data keys and the frame length, by version and whether the body is framed.
_MIDDLES: Final = {
    (version, kind is _FRAMED): bytes((kind.value,)) + (b"" if version == 2 else _RESERVED + bytes((IV_LENGTH,)))
    for version in (1, 2)
    for kind in ContentType
}


class HeaderBody(NamedTuple):
    """The fields of a header, without its authentication.

    Attributes:
        algorithm_suite: the suite, which also decides the header's version.
        message_id: random bytes, as many as the suite says.
        encryption_context: the pairs stored in the message.
        encrypted_data_keys: in message order, at least one.
        content_type: framed or not.
        frame_length: bytes of plaintext in a regular frame; 0 where not framed.
        suite_data: the commitment of committing suites; empty otherwise.
    """

    algorithm_suite: AlgorithmSuite
    message_id: bytes
    encryption_context: EncryptionContext
    encrypted_data_keys: tuple[EncryptedDataKey, ...]
    content_type: ContentType
    frame_length: int
    suite_data: bytes = b""

    def encode(self) -> bytes:
        """Return the header body as it is written.

        Raises:
            UsageError: the frame length does not go with the content type, a field is out of range, or there are no
                encrypted data keys.
        """
        return encode_header_body(
            self.algorithm_suite,
            self.message_id,
            self.encryption_context.encode() + encode_encrypted_data_keys(self.encrypted_data_keys),
            self.content_type,
            self.frame_length,
            self.suite_data,
        )

    @classmethod
    def parse(cls, cursor: Cursor, *, max_encrypted_data_keys: int | None = None) -> HeaderBody:
        """Read a header body.

        Raises:
            MessageError: it is malformed; :class:`UnsupportedMessageError` where a version, type, suite or content
                type is unknown.
            LimitExceededError: it has more encrypted data keys than allowed.
        """
        cursor.section = "header"
        suite = _parse_version_and_suite(cursor)
        message_id = cursor.take(suite.message_id_length)
        context = EncryptionContext.parse(cursor)
        keys = parse_encrypted_data_keys(cursor, limit=max_encrypted_data_keys)
        cursor.section = "header"
        content_type = _CONTENT_TYPES.get(value := cursor.u8())
        if content_type is None:
            raise UnsupportedMessageError(
                f"unknown content type 0x{value:02x}", section="header", offset=cursor.position - 1
            )
        if suite.message_version == 1:
            _parse_reserved_and_iv_length(cursor)
        frame_length = cursor.u32()
        if (content_type is _FRAMED) != (frame_length > 0):
            raise cursor.error(f"a frame length of {frame_length} does not go with {content_type.name}", back=4)
        suite_data = cursor.take(suite.suite_data_length)
        return cls(suite, message_id, context, keys, content_type, frame_length, suite_data)


def encode_header_body(
    suite: AlgorithmSuite,
    message_id: bytes,
    encoded_context_and_keys: bytes,
    content_type: ContentType,
    frame_length: int,
    suite_data: bytes,
) -> bytes:
    """Return a header body as it is written, from the fields of a :class:`HeaderBody`.

    Args:
        suite: as there, like every argument but one.
        message_id: random bytes.
        encoded_context_and_keys: the two fields in the middle, encoded and joined.
        content_type: framed or not.
        frame_length: bytes.
        suite_data: the commitment.

    Raises:
        UsageError: the frame length does not go with the content type, or a field is out of range.
    """
    framed = content_type is _FRAMED
    if not (1 if framed else 0) <= frame_length <= (MAX_FRAME_LENGTH if framed else 0):
        raise UsageError(f"a frame length of {frame_length} does not go with {content_type.name}")
    if len(message_id) != suite.message_id_length or len(suite_data) != suite.suite_data_length:
        raise UsageError("the message id or the suite data has a length that the algorithm suite does not have")
    return b"".join(
        (
            _STARTS[suite.id_bytes],
            message_id,
            encoded_context_and_keys,
            _MIDDLES[suite.message_version, framed],
            frame_length.to_bytes(4, "big"),
            suite_data,
        )
    )


class UnverifiedHeader(NamedTuple):
    """A header as read, not yet authenticated.

    Attributes:
        body: its fields.
        raw: the header body's bytes as they stand in the message, which the tag covers.
        iv: the IV of the tag.
        tag: the authentication tag.
    """

    body: HeaderBody
    raw: bytes
    iv: bytes
    tag: bytes

    @property
    def length(self) -> int:
        """Bytes of the whole header, authentication included."""
        return len(self.raw) + TAG_LENGTH + (0 if self.body.algorithm_suite.message_version == 2 else IV_LENGTH)

    def encode(self) -> bytes:
        """Return the whole header as it is written."""
        return self.body.encode() + encode_authentication(self.body.algorithm_suite, self.iv, self.tag)


def encode_authentication(suite: AlgorithmSuite, iv: bytes, tag: bytes) -> bytes:
    """Return the header's authentication: IV and tag in version 1, the tag alone in version 2."""
    return tag if suite.message_version == 2 else iv + tag


def parse_header(
    data: BytesLike, *, max_encrypted_data_keys: int | None = None, max_header_length: int | None = None
) -> UnverifiedHeader:
    """Read the header that ``data`` begins with; what follows it is left alone.

    Args:
        data: the beginning of a message.
        max_encrypted_data_keys: the most encrypted data keys to accept; ``None`` for no bound but the format's.
        max_header_length: the most bytes to accept; ``None`` for no bound but the format's.

    Raises:
        NeedMoreBytes: ``data`` ends inside the header.
        MessageError: it is malformed.
        LimitExceededError: a bound is exceeded.
    """
    usual = _usual_header(data, max_encrypted_data_keys, max_header_length)
    if usual is not None:
        return usual
    # Bytes are quicker to cut up than views; a large message that follows the header is not worth copying for that.
    copied = _FIRST_COPY
    while True:
        start = data if type(data) is bytes else bytes(data[:copied])
        try:
            cursor = Cursor(start, "header", limit=max_header_length)
            body = HeaderBody.parse(cursor, max_encrypted_data_keys=max_encrypted_data_keys)
            raw = start[: cursor.position]
            cursor.section = "header authentication"
            iv = HEADER_IV if body.algorithm_suite.message_version == 2 else cursor.take(IV_LENGTH)
            return UnverifiedHeader(body, raw, iv, cursor.take(TAG_LENGTH))
        except NeedMoreBytes as need:
            if len(start) >= len(data):
                raise
            copied = max(need.total, 4 * copied)


def _usual_header(data: BytesLike, max_keys: int | None, max_length: int | None) -> UnverifiedHeader | None:
    """Read a header as this package writes it, of version 2; ``None`` where anything about it is not as it should be.

    It takes less than half the time of the exact way, which alone knows what to say about what it does not accept.
    """
    start = bytes(data[:_FIRST_COPY])
    suite = _COMMITTING_SUITES.get(start[:3])
    if suite is None:
        return None
    try:
        keys_at = _CONTEXT_AT + 2 + (start[_CONTEXT_AT] << 8 | start[_CONTEXT_AT + 1])
        count = start[keys_at] << 8 | start[keys_at + 1]
        if count == 0 or (max_keys is not None and count > max_keys):
            return None
        end = keys_at + 2
        keys: list[EncryptedDataKey] = []
        for _ in range(count):
            id_at = end + 2
            info_at = id_at + (start[end] << 8 | start[end + 1]) + 2
            wrapped_at = info_at + (start[info_at - 2] << 8 | start[info_at - 1]) + 2
            end = wrapped_at + (start[wrapped_at - 2] << 8 | start[wrapped_at - 1])
            provider_id = start[id_at : info_at - 2].decode()
            keys.append(EncryptedDataKey(provider_id, start[info_at : wrapped_at - 2], start[wrapped_at:end]))
        content_type = start[end]
        context = _EMPTY if keys_at == _CONTEXT_AT + 2 else EncryptionContext.parse(Cursor(start[_CONTEXT_AT:], ""))
    except (IndexError, UnicodeDecodeError, MessageError, NeedMoreBytes):
        return None
    tag_at = end + 5 + _COMMITMENT_LENGTH
    whole = tag_at + TAG_LENGTH
    frame_length = int.from_bytes(start[end + 1 : end + 5], "big")
    if (
        whole > len(start)
        or (max_length is not None and whole > max_length)
        or content_type != _FRAMED_VALUE
        or frame_length == 0
    ):
        return None
    message_id, suite_data = start[3:_CONTEXT_AT], start[end + 5 : tag_at]
    body = HeaderBody(suite, message_id, context, tuple(keys), _FRAMED, frame_length, suite_data)
    return UnverifiedHeader(body, start[:tag_at], HEADER_IV, start[tag_at:whole])


def _parse_version_and_suite(cursor: Cursor) -> AlgorithmSuite:
    position = cursor.position
    start = bytes(cursor.data[position : position + 4])
    found = _SUITES.get(start[:3]) or _SUITES.get(start)
    if found is None or position + 4 > cursor.end:
        return _parse_version_and_suite_singly(cursor)
    suite, length = found
    cursor.position = position + length
    return suite


def _parse_version_and_suite_singly(cursor: Cursor) -> AlgorithmSuite:
    version = cursor.u8()
    if version not in (1, 2):
        raise _unknown_version(version)
    if version == 1 and (kind := cursor.u8()) != _TYPE:
        raise UnsupportedMessageError(f"unknown message type 0x{kind:02x}", section="header", offset=1)
    suite_id = cursor.u16()
    suite = AlgorithmSuite.from_id(suite_id)
    offset = cursor.position - 2
    if suite is None:
        raise UnsupportedMessageError(f"unknown algorithm suite 0x{suite_id:04x}", section="header", offset=offset)
    if suite.message_version != version:
        raise MessageError(
            f"algorithm suite 0x{suite_id:04x} does not go with message version {version}",
            section="header",
            offset=offset,
        )
    return suite


def _unknown_version(version: int) -> UnsupportedMessageError:
    # 0x01 0x80 and 0x02 0x04/0x05 read "AY" and "Ag" in base64: the commonest mistake deserves its own words.
    hint = "; it looks like base64: decode it first" if version == ord("A") else ""
    return UnsupportedMessageError(
        f"not an encrypted message: unknown version 0x{version:02x}{hint}", section="header", offset=0
    )


def _parse_reserved_and_iv_length(cursor: Cursor) -> None:
    if cursor.take(4) != _RESERVED:
        raise cursor.error("the reserved bytes are not zero", back=4)
    if (iv_length := cursor.u8()) != IV_LENGTH:
        raise cursor.error(f"an IV length of {iv_length} is not the algorithm suite's {IV_LENGTH}", back=1)
