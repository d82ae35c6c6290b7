"""Which wrapping key a wrapped data key names, apart from what differs from message to message.

The message says so, and it is not authenticated yet. Nothing is opened here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.suites import IV_LENGTH
from envelope_sdk.keyrings.raw_aes import key_name_in

__all__ = ["WrappingKeyName", "wrapping_key_material", "wrapping_key_name"]

_UNIQUE: Final = frozenset({"aws-kms", "aws-kms-rsa", "aws-kms-ecdh", "aws-kms-hierarchy", "raw-ecdh"})
_KMS: Final = "aws-kms"
_HIERARCHICAL: Final = "aws-kms-hierarchy"
_PKCS11: Final = "pkcs11"
# salt 16 | IV 12 | version 16: as keyrings/hierarchical/wrapping.py writes it.
_VERSION: Final = slice(28, 44)
# As docs/adr/0011 found it in the blobs of AWS KMS, and as the local KMS writes it.
_MATERIAL: Final = slice(5, 37)


class WrappingKeyName(NamedTuple):
    """What a message calls one of its wrapping keys.

    Attributes:
        provider_id: as in the message.
        name: the provider info without what is made anew for each message.
        version: of a branch key, its version; otherwise empty.
        unique: whether no two wrapping keys can have this name, as an ARN or a public key says; the names of raw keys
            are whatever their owners chose.
    """

    provider_id: str
    name: bytes
    version: bytes
    unique: bool


def wrapping_key_name(key: EncryptedDataKey) -> WrappingKeyName:
    """Return what the message calls the key that wrapped ``key``.

    Providers that are not known are taken to repeat their provider info in every message.
    """
    provider, info = key.provider_id, key.provider_info
    if provider == _HIERARCHICAL:
        return WrappingKeyName(provider, info, key.ciphertext[_VERSION], True)
    if provider in _UNIQUE:
        return WrappingKeyName(provider, info, b"", True)
    if provider == _PKCS11 or key_name_in(info) is not None:
        # The tag's and the IV's lengths stay in the name, so that it is none of an RSA key.
        return WrappingKeyName(provider, info[:-IV_LENGTH], b"", False)
    return WrappingKeyName(provider, info, b"", False)


def wrapping_key_material(key: EncryptedDataKey) -> bytes:
    """Return what ``key`` says of the key material that wrapped it; empty where it says nothing.

    A key of a KMS keeps its name when it gets new material, and two local KMSs may have keys of one name. Where this is
    the same, the material is. Where it is not, it may be: AWS does not promise that its blobs say so.
    """
    return key.ciphertext[_MATERIAL] if key.provider_id == _KMS else b""
