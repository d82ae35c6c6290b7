"""What a message says of a data key that a token wrapped: the key's name, and what the mechanism needs.

::

    offset  bytes
    0       1      01: the version of this layout
    1       1      the mechanism: 01 CKM_AES_GCM, 02 CKM_RSA_PKCS_OAEP
    2       1      length t of the token label, 1 to 255
    3       t      the token label, UTF-8, without its padding
            1      length l of the key label, 0 to 255
            l      the key label, CKA_LABEL, UTF-8
            1      length i of the key id, 0 to 255; l and i are not both 0
            i      the key id, CKA_ID
    for CKM_AES_GCM, under the key provider id ``pkcs11``:
            1      80: the tag has 128 bits
            1      0c: the IV has 12 bytes
            12     the IV
    for CKM_RSA_PKCS_OAEP, under the key provider id ``pkcs11-rsa``:
            1      the hash of OAEP and of MGF1: 01 SHA-1, 02 SHA-256, 03 SHA-384, 04 SHA-512; there is no label

Nothing follows. Every name has its length before it, so no two have the same bytes; the whole has at most 784.

What CKM_AES_GCM wraps is the data key, with the serialized encryption context as additional data, and its tag follows
it. What CKM_RSA_PKCS_OAEP wraps is the SHA-384 digest of the serialized encryption context, 48 bytes, and the data key.
"""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.pkcs11.place import MAX_NAME_LENGTH, KeyName
from envelope_sdk.primitives.aead import IV_LENGTH, TAG_LENGTH
from envelope_sdk.primitives.rsa import RsaPadding

__all__ = [
    "OAEP_HASHES",
    "PROVIDER_ID",
    "RSA_PROVIDER_ID",
    "encode_provider_info",
    "encode_rsa_provider_info",
    "parse_provider_info",
    "parse_rsa_provider_info",
]

PROVIDER_ID: Final = "pkcs11"
"""The key provider id of data keys that an AES key wrapped."""

RSA_PROVIDER_ID: Final = "pkcs11-rsa"
"""The key provider id of data keys that an RSA key wrapped."""

OAEP_HASHES: Final = {
    RsaPadding.OAEP_SHA1: b"\x01",
    RsaPadding.OAEP_SHA256: b"\x02",
    RsaPadding.OAEP_SHA384: b"\x03",
    RsaPadding.OAEP_SHA512: b"\x04",
}
"""The paddings, and how they are written."""

_AES_GCM: Final = b"\x01\x01"
_RSA_OAEP: Final = b"\x01\x02"
_TAG_BITS_AND_IV_LENGTH: Final = bytes([TAG_LENGTH * 8, IV_LENGTH])
_MALFORMED: Final = "the message's data key does not name a PKCS#11 key as it should"


def encode_provider_info(name: KeyName, iv: bytes) -> bytes:
    """Return the provider info of a data key wrapped under the AES key ``name`` with ``iv``, 12 bytes.

    Raises:
        UsageError: the name or the IV does not fit the layout.
    """
    if len(iv) != IV_LENGTH:
        raise UsageError(f"an IV has {IV_LENGTH} bytes, not {len(iv)}")
    return _AES_GCM + _encode_name(name) + _TAG_BITS_AND_IV_LENGTH + iv


def parse_provider_info(info: bytes) -> tuple[KeyName, bytes]:
    """Return the AES key's name and the IV.

    Raises:
        UsageError: it is not this layout, to the byte.
    """
    name, rest = _parse_name(info, _AES_GCM)
    if len(rest) != 2 + IV_LENGTH or not rest.startswith(_TAG_BITS_AND_IV_LENGTH):
        raise UsageError(_MALFORMED)
    return name, rest[2:]


def encode_rsa_provider_info(name: KeyName, padding: RsaPadding) -> bytes:
    """Return the provider info of a data key wrapped under the RSA key ``name``.

    Raises:
        UsageError: the name does not fit the layout.
    """
    return _RSA_OAEP + _encode_name(name) + OAEP_HASHES[padding]


def parse_rsa_provider_info(info: bytes) -> tuple[KeyName, RsaPadding]:
    """Return the RSA key's name and the padding.

    Raises:
        UsageError: it is not this layout, to the byte.
    """
    name, rest = _parse_name(info, _RSA_OAEP)
    for padding, written in OAEP_HASHES.items():
        if rest == written:
            return name, padding
    raise UsageError(_MALFORMED)


def _encode_name(name: KeyName) -> bytes:
    fields = [name.token_label.encode("utf-8"), name.key_label.encode("utf-8"), name.key_id]
    if not fields[0] or not (fields[1] or fields[2]):
        raise UsageError("a key that wraps data keys needs a token with a label, and a label or an id of its own")
    if max(map(len, fields)) > MAX_NAME_LENGTH:
        raise UsageError(f"the names of a key that wraps data keys have at most {MAX_NAME_LENGTH} bytes each")
    return b"".join(bytes([len(field)]) + field for field in fields)


def _parse_name(info: bytes, beginning: bytes) -> tuple[KeyName, bytes]:
    """Return the name and what follows it."""
    if not info.startswith(beginning):
        raise UsageError("the message's data key is wrapped in a way of PKCS#11 that this version does not know")
    fields: list[bytes] = []
    position = len(beginning)
    for _ in KeyName._fields:
        end = position + 1 + (info[position] if position < len(info) else 0)
        fields.append(info[position + 1 : end])
        position = end
    token_label, key_label, key_id = fields
    # A field that the bytes end within leaves nothing after it, and something has to be there.
    if position >= len(info) or not token_label or not (key_label or key_id):
        raise UsageError(_MALFORMED)
    try:
        return KeyName(token_label.decode("utf-8"), key_label.decode("utf-8"), key_id), info[position:]
    except UnicodeDecodeError:
        raise UsageError("the message names a PKCS#11 key by bytes that are not UTF-8") from None
