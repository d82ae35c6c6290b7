"""Encrypting a data key under an RSA key (framework/raw-rsa-keyring.md)."""

from __future__ import annotations

from enum import Enum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from envelope_sdk.errors import AuthenticationError, KeyringError, UsageError
from envelope_sdk.primitives.key_loading import load_private_key, load_public_key, other_kind

__all__ = ["RsaPadding", "rsa_private_key", "rsa_public_key", "rsa_unwrap", "rsa_wrap"]

_MIN_ENCRYPT_BITS: Final = 2048

_OAEP_HASHES: Final[dict[str, HashAlgorithm]] = {
    "OAEP_SHA1": SHA1(),  # noqa: S303 - collisions play no part in OAEP, and existing messages need it
    "OAEP_SHA256": SHA256(),
    "OAEP_SHA384": SHA384(),
    "OAEP_SHA512": SHA512(),
}


class RsaPadding(Enum):
    """The paddings of the raw RSA keyring. OAEP uses one hash throughout and no label."""

    PKCS1 = "PKCS1"
    OAEP_SHA1 = "OAEP_SHA1"
    OAEP_SHA256 = "OAEP_SHA256"
    OAEP_SHA384 = "OAEP_SHA384"
    OAEP_SHA512 = "OAEP_SHA512"

    def scheme(self) -> AsymmetricPadding:
        """Return the padding as ``cryptography`` takes it."""
        if self is RsaPadding.PKCS1:
            return PKCS1v15()
        digest = _OAEP_HASHES[self.value]
        return OAEP(mgf=MGF1(digest), algorithm=digest, label=None)


def rsa_public_key(key: bytes | RSAPublicKey) -> RSAPublicKey:
    """Return a public key to encrypt with: PEM or DER bytes (SubjectPublicKeyInfo or PKCS#1), or a key object.

    Raises:
        UsageError: it cannot be read, is not RSA, or has fewer than 2,048 bits.
    """
    loaded = load_public_key("RSA public key", key) if isinstance(key, bytes) else key
    if not isinstance(loaded, RSAPublicKey):
        raise other_kind("RSA public key", loaded, RSAPublicKey)
    if loaded.key_size < _MIN_ENCRYPT_BITS:
        raise UsageError(
            f"an RSA key of {loaded.key_size} bits is too weak to encrypt; use {_MIN_ENCRYPT_BITS} or more"
        )
    return loaded


def rsa_private_key(key: bytes | RSAPrivateKey, password: bytes | None) -> RSAPrivateKey:
    """Return a private key of any size: PEM or DER bytes (PKCS#8 or traditional), or a key object.

    Raises:
        UsageError: it cannot be read, ``password`` does not open it, or it is not RSA.
    """
    loaded = load_private_key("RSA private key", key, password) if isinstance(key, bytes) else key
    if not isinstance(loaded, RSAPrivateKey):
        raise other_kind("RSA private key", loaded, RSAPrivateKey)
    return loaded


def rsa_wrap(key: RSAPublicKey, padding: RsaPadding, data_key: bytes) -> bytes:
    """Return ``data_key`` encrypted under an RSA public key.

    Raises:
        KeyringError: the key is too small for this padding and data key.
    """
    try:
        return key.encrypt(data_key, padding.scheme())
    except ValueError:
        raise KeyringError(
            f"a {key.key_size}-bit RSA key is too small to wrap {len(data_key)} bytes with {padding.value}"
        ) from None


def rsa_unwrap(key: RSAPrivateKey, padding: RsaPadding, wrapped: bytes) -> bytes:
    """Return the data key.

    Raises:
        AuthenticationError: it was not encrypted for this key and padding. With PKCS#1 v1.5 OpenSSL returns random
            bytes instead wherever it can, so that nothing can be learned from the answer.
    """
    try:
        return key.decrypt(wrapped, padding.scheme())
    except ValueError:
        raise AuthenticationError(
            "the wrapped data key does not open: wrong RSA key or wrong padding", section="encrypted data key"
        ) from None
