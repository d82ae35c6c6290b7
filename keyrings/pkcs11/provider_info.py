"""What a message says of a data key that a token wrapped: the key's name, and the IV.

::

    offset  bytes
    0       1      01: the version of this layout
    1       1      01: the mechanism is CKM_AES_GCM
    2       1      length t of the token label, 1 to 255
    3       t      the token label, UTF-8, without its padding
            1      length l of the key label, 0 to 255
            l      the key label, CKA_LABEL, UTF-8
            1      length i of the key id, 0 to 255; l and i are not both 0
            i      the key id, CKA_ID
            1      80: the tag has 128 bits
            1      0c: the IV has 12 bytes
            12     the IV

Nothing follows. Every field has its length before it, so no two names have the same bytes; the whole has at most 784.
"""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.pkcs11.place import MAX_NAME_LENGTH, KeyName
from envelope_sdk.primitives.aead import IV_LENGTH, TAG_LENGTH

__all__ = ["PROVIDER_ID", "encode_provider_info", "parse_provider_info"]

PROVIDER_ID: Final = "pkcs11"
"""The key provider id of data keys that a token wrapped."""

_VERSION_AND_MECHANISM: Final = b"\x01\x01"
_TAG_BITS_AND_IV_LENGTH: Final = bytes([TAG_LENGTH * 8, IV_LENGTH])


def encode_provider_info(name: KeyName, iv: bytes) -> bytes:
    """Return the provider info of a data key wrapped under the key ``name`` with ``iv``, 12 bytes.

    Raises:
        UsageError: the name or the IV does not fit the layout.
    """
    fields = [name.token_label.encode("utf-8"), name.key_label.encode("utf-8"), name.key_id]
    if not fields[0] or not (fields[1] or fields[2]):
        raise UsageError("a key that wraps data keys needs a token with a label, and a label or an id of its own")
    if max(map(len, fields)) > MAX_NAME_LENGTH or len(iv) != IV_LENGTH:
        raise UsageError(f"the names of a key have at most {MAX_NAME_LENGTH} bytes each, and an IV has {IV_LENGTH}")
    named = b"".join(bytes([len(field)]) + field for field in fields)
    return _VERSION_AND_MECHANISM + named + _TAG_BITS_AND_IV_LENGTH + iv


def parse_provider_info(info: bytes) -> tuple[KeyName, bytes]:
    """Return the key's name and the IV.

    Raises:
        UsageError: it is not this layout, to the byte.
    """
    if not info.startswith(_VERSION_AND_MECHANISM):
        raise UsageError("the message's data key is wrapped in a way of PKCS#11 that this version does not know")
    fields: list[bytes] = []
    position = len(_VERSION_AND_MECHANISM)
    for _ in KeyName._fields:
        end = position + 1 + (info[position] if position < len(info) else 0)
        fields.append(info[position + 1 : end])
        position = end
    rest, iv = info[position : position + 2], info[position + 2 :]
    token_label, key_label, key_id = fields
    # A field that the bytes end within leaves no rest.
    if rest != _TAG_BITS_AND_IV_LENGTH or len(iv) != IV_LENGTH or not token_label or not (key_label or key_id):
        raise UsageError("the message's data key does not name a PKCS#11 key as it should")
    try:
        return KeyName(token_label.decode("utf-8"), key_label.decode("utf-8"), key_id), iv
    except UnicodeDecodeError:
        raise UsageError("the message names a PKCS#11 key by bytes that are not UTF-8") from None
