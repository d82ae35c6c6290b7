"""Encrypting a data key under an AES wrapping key (framework/raw-aes-keyring.md)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from envelope_sdk.errors import AuthenticationError

__all__ = ["AesWrappingKey"]


class AesWrappingKey:
    """An AES-GCM wrapping key. Its repr shows nothing of it, and it cannot be pickled."""

    __slots__ = ("_aead", "length")

    def __init__(self, key: bytes) -> None:
        """Take a key of 16, 24 or 32 bytes; any other length is the caller's to refuse."""
        self._aead = AESGCM(key)
        self.length = len(key)

    def __repr__(self) -> str:
        return f"AesWrappingKey({self.length * 8} bits, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a wrapping key cannot be pickled or copied")

    def wrap(self, data_key: bytes, iv: bytes, aad: bytes) -> bytes:
        """Return the ciphertext of ``data_key`` followed by its 16-byte tag."""
        return self._aead.encrypt(iv, data_key, aad)

    def unwrap(self, wrapped: bytes, iv: bytes, aad: bytes) -> bytes:
        """Return the data key.

        Raises:
            AuthenticationError: the tag does not fit: another key, another context, or altered bytes.
        """
        try:
            return self._aead.decrypt(iv, wrapped, aad)
        except (InvalidTag, ValueError):
            raise AuthenticationError(
                "the wrapped data key does not authenticate: wrong key or wrong encryption context",
                section="encrypted data key",
            ) from None
