"""What encrypting and decrypting a whole message gives."""

from __future__ import annotations

from envelope_sdk.message.authenticated import Header

__all__ = ["DecryptResult", "EncryptResult"]


class EncryptResult:
    """An encrypted message."""

    __slots__ = ("_ciphertext", "_header")

    def __init__(self, ciphertext: bytes, header: Header) -> None:
        self._ciphertext = ciphertext
        self._header = header

    @property
    def ciphertext(self) -> bytes:
        """The whole message."""
        return self._ciphertext

    @property
    def header(self) -> Header:
        """Its header."""
        return self._header

    def __repr__(self) -> str:
        return f"EncryptResult(header={self.header!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EncryptResult):
            return NotImplemented
        return self.ciphertext == other.ciphertext and self.header == other.header

    def __hash__(self) -> int:
        return hash(self.ciphertext)


class DecryptResult:
    """A decrypted message, authenticated to its last byte, signature included. Its repr shows none of its content."""

    __slots__ = ("_header", "_plaintext")

    def __init__(self, plaintext: bytes, header: Header) -> None:
        self._plaintext = plaintext
        self._header = header

    @property
    def plaintext(self) -> bytes:
        """The content."""
        return self._plaintext

    @property
    def header(self) -> Header:
        """Its header; ``header.encryption_context`` holds every authenticated pair."""
        return self._header

    def __repr__(self) -> str:
        return f"DecryptResult(header={self.header!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DecryptResult):
            return NotImplemented
        return self.plaintext == other.plaintext and self.header == other.header

    def __hash__(self) -> int:
        return hash(self.plaintext)
