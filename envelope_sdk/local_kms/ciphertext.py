"""The ciphertext blob: parse and encode, seal and open.

The outer shape is, byte for byte, that of AWS KMS's own symmetric blobs, so that lengths, base64 prefixes and limits
found out on AWS hold here too::

    0   01 02             version of the shape
    2   KK                what made it: 01 GenerateDataKeyWithoutPlaintext, 02 Encrypt and ReEncrypt, 03 GenerateDataKey
    3   00 78
    5   32 bytes          key material id: Decrypt finds the key by it
    37  01
    38  16 bytes          message id, random
    54  u32               length of what follows, big-endian
    58  DER               CMS EncryptedData (RFC 5652 section 8), version 0, id-data, AES-256-GCM (RFC 5084) with a
                          nonce of 12 and a tag of 16 bytes, in [0] the sealed content: plaintext and 27 bytes

The content is sealed under a key derived from the key material and the message id (HKDF-Expand, RFC 5869). AES-GCM
allows 2^32 random nonces under one key (NIST SP 800-38D section 8.3); with a key for each message, a nonce could only
come twice where message id and nonce, 28 random bytes together, both do.

What is sealed is 11 bytes of framing and the plaintext; the 16-byte tag makes up the 27. The framing is a constant of
9 bytes (8 letters and a version) and the plaintext's length (u16, big-endian). It is there because AES-GCM does not
commit to its key: a blob could be built that opens under two keys, to two plaintexts. A known block in front is the
published remedy (Albertini and others, "How to Abuse and Fix Authenticated Encryption Without Key Commitment", USENIX
Security 2022, section 5.3): both keys would have to yield these 88 bits.

Additional authenticated data: the blob's first 58 bytes, then the encryption context in an injective encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from envelope_sdk.local_kms import faults
from envelope_sdk.primitives.aead import AESGCM, IV_LENGTH, TAG_LENGTH, InvalidTag

__all__ = [
    "MATERIAL_LENGTH",
    "MAX_BLOB",
    "MAX_PLAINTEXT",
    "RANDOM_LENGTH",
    "Blob",
    "Purpose",
    "encode",
    "encode_context",
    "message_cipher",
    "open_blob",
    "parse",
    "seal",
]

MAX_PLAINTEXT: Final = 4096
"""The most bytes one blob holds (API model, PlaintextType)."""

MAX_BLOB: Final = 6144
"""The longest blob the API takes, in bytes (API model, CiphertextType)."""

MATERIAL_LENGTH: Final = 32
"""Bytes of one key material."""

MESSAGE_ID_LENGTH: Final = 16
RANDOM_LENGTH: Final = MESSAGE_ID_LENGTH + IV_LENGTH
"""Random bytes that :func:`seal` takes: message id, then nonce."""

_MATERIAL_ID_LENGTH: Final = 32
_HEAD: Final = struct.Struct(">2sB2s32sB16sI")
_FRAME: Final = struct.Struct(">9sH")
_MARK: Final = b"LocalKMS\x01"
_OVERHEAD: Final = _FRAME.size + TAG_LENGTH
_HASH: Final = SHA256()
_KEY_PURPOSE: Final = b"envelope-sdk local KMS message key 1"
_U32: Final = struct.Struct(">I")

# Object identifiers in DER: pkcs7-encryptedData and pkcs7-data (RFC 5652), id-aes256-GCM (RFC 5084).
_ENCRYPTED_DATA: Final = bytes.fromhex("06092a864886f70d010706")
_DATA: Final = bytes.fromhex("06092a864886f70d010701")
_AES_256_GCM: Final = bytes.fromhex("060960864801650304012e")
_VERSION_0: Final = bytes.fromhex("020100")
_TAG_LENGTH_16: Final = bytes.fromhex("020110")
_SEQUENCE: Final = 0x30
_OCTETS: Final = 0x04
_EXPLICIT_0: Final = 0xA0
_IMPLICIT_0: Final = 0x80


class Purpose(IntEnum):
    """The third byte of a blob: what made it."""

    DATA_KEY_WITHOUT_PLAINTEXT = 1
    ENCRYPT = 2
    DATA_KEY = 3


@dataclass(frozen=True, slots=True)
class Blob:
    """A ciphertext blob taken apart. Nothing of it is authenticated yet.

    Attributes:
        purpose: what made it.
        material_id: 32 bytes.
        message_id: 16 bytes.
        nonce: 12 bytes.
        content: ciphertext and tag.
    """

    purpose: Purpose
    material_id: bytes
    message_id: bytes
    nonce: bytes
    content: bytes


def encode(blob: Blob) -> bytes:
    """Return the bytes of ``blob``."""
    before, between = _shape(len(blob.content))
    head = _head(blob.purpose, blob.material_id, blob.message_id, len(blob.content))
    return b"".join((head, before, blob.nonce, between, blob.content))


def parse(data: bytes) -> Blob:
    """Take apart the bytes of a blob; the inverse of :func:`encode` and of nothing else.

    Raises:
        KmsServiceError: InvalidCiphertextException, where a single byte is not as :func:`encode` would put it.
    """
    if not _HEAD.size < len(data) <= MAX_BLOB:
        raise faults.invalid_ciphertext()
    version, purpose, magic, material_id, one, message_id, length = _HEAD.unpack_from(data)
    known = version == b"\x01\x02" and magic == b"\x00\x78" and one == 1 and 1 <= purpose <= len(Purpose)
    if not known or length != len(data) - _HEAD.size:
        raise faults.invalid_ciphertext()
    content_length = _content_length(length)
    before, between = _shape(content_length)
    nonce_at = _HEAD.size + len(before)
    content_at = len(data) - content_length
    if data[_HEAD.size : nonce_at] != before or data[nonce_at + IV_LENGTH : content_at] != between:
        raise faults.invalid_ciphertext()
    nonce = data[nonce_at : nonce_at + IV_LENGTH]
    return Blob(Purpose(purpose), material_id, message_id, nonce, data[content_at:])


def encode_context(context: Mapping[str, str]) -> bytes:
    """Return the encryption context as bytes that no other context has.

    Pairs in the order of their keys' UTF-8 bytes, every key and value with its length (u32, big-endian) in front. An
    empty context is the empty string, and so is none at all.
    """
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    return b"".join(_U32.pack(len(item)) + item for pair in pairs for item in pair)


def message_cipher(secret: bytes | bytearray, message_id: bytes) -> AESGCM:
    """Return the cipher of one message, whose key comes from the key material ``secret`` (32 bytes) and its id."""
    # The material is uniformly random, so HKDF's extract step has nothing to do (RFC 5869 section 3.3). It stays in
    # the caller's buffer: ``primitives.kdf`` takes bytes only, and a copy could not be overwritten.
    return AESGCM(HKDFExpand(_HASH, MATERIAL_LENGTH, _KEY_PURPOSE + message_id).derive(secret))


def seal(
    cipher: AESGCM, purpose: Purpose, material_id: bytes, random: bytes, plaintext: bytes, context: Mapping[str, str]
) -> bytes:
    """Return the blob of ``plaintext``.

    Args:
        cipher: of :func:`message_cipher`, for the message id that ``random`` begins with.
        purpose: what the blob is made by.
        material_id: 32 bytes.
        random: :data:`RANDOM_LENGTH` fresh bytes, message id and nonce.
        plaintext: 1 to :data:`MAX_PLAINTEXT` bytes.
        context: the encryption context.
    """
    message_id, nonce = random[:MESSAGE_ID_LENGTH], random[MESSAGE_ID_LENGTH:]
    length = len(plaintext) + _OVERHEAD
    head = _head(purpose, material_id, message_id, length)
    before, between = _shape(length)
    content = cipher.encrypt(nonce, _FRAME.pack(_MARK, len(plaintext)) + plaintext, head + encode_context(context))
    return b"".join((head, before, nonce, between, content))


def open_blob(cipher: AESGCM, blob: Blob, context: Mapping[str, str]) -> bytes:
    """Return the plaintext of ``blob``.

    Raises:
        KmsServiceError: InvalidCiphertextException: altered, of another context, or not made by :func:`seal`.
    """
    head = _head(blob.purpose, blob.material_id, blob.message_id, len(blob.content))
    try:
        framed = cipher.decrypt(blob.nonce, blob.content, head + encode_context(context))
    except InvalidTag:
        raise faults.invalid_ciphertext() from None
    plaintext = framed[_FRAME.size :]
    if framed[: _FRAME.size] != _FRAME.pack(_MARK, len(plaintext)):
        raise faults.invalid_ciphertext()
    return plaintext


def _head(purpose: Purpose, material_id: bytes, message_id: bytes, content_length: int) -> bytes:
    before, between = _shape(content_length)
    length = len(before) + IV_LENGTH + len(between) + content_length
    return _HEAD.pack(b"\x01\x02", purpose, b"\x00\x78", material_id, 1, message_id, length)


@lru_cache(maxsize=256)
def _shape(content_length: int) -> tuple[bytes, bytes]:
    """Return the DER before the nonce and between nonce and content, which depend on nothing but the length."""
    nonce_header = _header(_OCTETS, IV_LENGTH)
    parameters = _header(_SEQUENCE, len(nonce_header) + IV_LENGTH + len(_TAG_LENGTH_16)) + nonce_header
    algorithm_length = len(_AES_256_GCM) + len(parameters) + IV_LENGTH + len(_TAG_LENGTH_16)
    algorithm = _header(_SEQUENCE, algorithm_length) + _AES_256_GCM + parameters
    between = _TAG_LENGTH_16 + _header(_IMPLICIT_0, content_length)
    rest = IV_LENGTH + len(between) + content_length
    # From the inside out: EncryptedContentInfo, EncryptedData, [0], ContentInfo. Each is a header over what is known of
    # its inside so far and the ``rest`` bytes that follow.
    known = _DATA + algorithm
    for first, tag in ((b"", _SEQUENCE), (_VERSION_0, _SEQUENCE), (b"", _EXPLICIT_0), (_ENCRYPTED_DATA, _SEQUENCE)):
        inside = first + known
        known = _header(tag, len(inside) + rest) + inside
    return known, between


def _header(tag: int, length: int) -> bytes:
    """Return tag and length in DER: the shortest form of the length, as a strict reader requires."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def _content_length(der_length: int) -> int:
    """Return the content length whose DER is ``der_length`` bytes long; lengths that none has are refused."""
    for overhead in _OVERHEADS:
        content_length = der_length - overhead
        if content_length > _OVERHEAD and _der_overhead(content_length) == overhead:
            return content_length
    raise faults.invalid_ciphertext()


def _der_overhead(content_length: int) -> int:
    before, between = _shape(content_length)
    return len(before) + IV_LENGTH + len(between)


_OVERHEADS: Final = tuple(sorted({_der_overhead(length) for length in range(MAX_BLOB)}))
"""The few sums of the DER's fixed parts, worked out once: nothing else can surround a content of any length."""
