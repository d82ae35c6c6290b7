"""The hash of a whole message, which is what its signature signs. Apart from the signing, which few messages need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256, SHA384, Hash, HashAlgorithm

from envelope_sdk.formats.suites import SignatureAlgorithm

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["HASHES", "MessageDigest"]

HASHES: Final[dict[SignatureAlgorithm, HashAlgorithm]] = {
    SignatureAlgorithm.ECDSA_P256_SHA256: SHA256(),
    SignatureAlgorithm.ECDSA_P384_SHA384: SHA384(),
}
"""The hash of each signature algorithm."""


class MessageDigest:
    """The running hash of a message: everything before the footer, in the order it is written."""

    __slots__ = ("_hash",)

    def __init__(self, algorithm: SignatureAlgorithm) -> None:
        self._hash = Hash(HASHES[algorithm])

    def update(self, data: BytesLike) -> None:
        """Add ``data`` to the hash."""
        self._hash.update(data)

    def finalize(self) -> bytes:
        """Return the digest; nothing can be added afterwards."""
        return self._hash.finalize()
