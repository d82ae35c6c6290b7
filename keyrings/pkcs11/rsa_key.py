"""Wrapping by CKM_RSA_PKCS_OAEP: the public half of a token's key is read and used here, the private half there."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.pkcs11.objects import KeyKind, use_key
from envelope_sdk.primitives.rsa import RsaPadding

__all__ = ["private_kind", "PUBLIC", "oaep_unwrap", "public_key_of"]

PUBLIC: Final = KeyKind("RSA public key", "PUBLIC_KEY", "RSA", "reading a public key")
"""What to look for on a token to encrypt."""

_MIN_BITS: Final = 2048
_MECHANISMS: Final = {
    RsaPadding.OAEP_SHA1: ("SHA_1", "SHA1"),
    RsaPadding.OAEP_SHA256: ("SHA256", "SHA256"),
    RsaPadding.OAEP_SHA384: ("SHA384", "SHA384"),
    RsaPadding.OAEP_SHA512: ("SHA512", "SHA512"),
}


def private_kind(padding: RsaPadding) -> KeyKind:
    """Return what to look for on a token to decrypt."""
    return KeyKind("RSA private key", "PRIVATE_KEY", "RSA", f"CKM_RSA_PKCS_OAEP with {padding.value}")


def public_key_of(key: Any) -> RSAPublicKey:
    """Return the public key that a token's object holds.

    Raises:
        UsageError: it is too small to encrypt with.
        ValueError: it is no RSA key.
    """
    attribute = import_module("pkcs11").Attribute
    modulus, exponent = (int.from_bytes(key[name], "big") for name in (attribute.MODULUS, attribute.PUBLIC_EXPONENT))
    public_key = RSAPublicNumbers(exponent, modulus).public_key()
    if public_key.key_size < _MIN_BITS:
        raise UsageError(f"an RSA key of {public_key.key_size} bits is too weak to encrypt; use {_MIN_BITS} or more")
    return public_key


def oaep_unwrap(key: Any, padding: RsaPadding, wrapped: bytes) -> bytes:
    """Return what was wrapped.

    Raises:
        KeyringError: the key may not decrypt.
    """
    pkcs11 = import_module("pkcs11")
    digest, mask = _MECHANISMS[padding]
    parameters = (pkcs11.Mechanism[digest], pkcs11.MGF[mask], None)
    return use_key(key, "decrypt", wrapped, "RSA_PKCS_OAEP", parameters)
