"""AES-GCM with a 12-byte IV and a 16-byte tag: the only cipher of the message format and of the local KMS.

``AESGCM`` objects come straight from ``cryptography``, since frames are sealed at half a microsecond a call and a
wrapper would double that. What this module adds is the form for content past its one-shot limit, and opening that
leaves nothing behind when the tag does not fit: ``decrypt_into`` has by then already written what it decrypted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import cryptography
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["IV_LENGTH", "ONE_SHOT_LIMIT", "RELEASES_GIL", "TAG_LENGTH", "AESGCM", "InvalidTag", "MessageCipher", "wipe"]

IV_LENGTH: Final = 12
"""Bytes of every IV (AWS Encryption SDK specification, framework/algorithm-suites.md)."""

TAG_LENGTH: Final = 16
"""Bytes of every authentication tag."""

ONE_SHOT_LIMIT: Final = 2**31 - 1 - TAG_LENGTH
"""The most content bytes that ``AESGCM`` takes in one call, tag included in the sum on the way back."""

RELEASES_GIL: Final = int(cryptography.__version__.partition(".")[0]) >= 50
"""Whether other threads run while one encrypts (2 KiB or more): without that, threads only get in each other's way."""

_ZEROS: Final = bytes(2**16)


def wipe(buffer: memoryview) -> None:
    """Overwrite ``buffer`` (bytes, writable) with zeros."""
    for start in range(0, len(buffer), len(_ZEROS)):
        piece = buffer[start : start + len(_ZEROS)]
        piece[:] = _ZEROS[: len(piece)]


class MessageCipher:
    """One derived message key, ready to seal and open. Safe to share between threads.

    Attributes:
        aead: the ``AESGCM`` object, for the frame loops, which call it without a detour.
        one_shot_limit: the most content bytes that it is given; longer content goes through piece by piece.
        piece_length: bytes of such a piece.
    """

    __slots__ = ("_key", "aead")

    one_shot_limit: ClassVar[int] = ONE_SHOT_LIMIT
    piece_length: ClassVar[int] = 2**24

    def __init__(self, key: bytes) -> None:
        """Take a key of 16, 24 or 32 bytes."""
        self.aead = AESGCM(key)
        self._key = key

    def __repr__(self) -> str:
        return "MessageCipher(<secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a message key cannot be pickled or copied")

    def tag(self, iv: BytesLike, aad: BytesLike) -> bytes:
        """Return the 16-byte tag over ``aad`` and no content, as the header authentication needs it."""
        return self.aead.encrypt(iv, b"", aad)

    def check_tag(self, iv: BytesLike, aad: BytesLike, tag: BytesLike) -> None:
        """Raise ``InvalidTag`` unless ``tag`` fits ``aad`` and no content."""
        self.aead.decrypt(iv, tag, aad)

    def seal_into(self, iv: BytesLike, content: memoryview, aad: BytesLike, out: memoryview) -> None:
        """Encrypt ``content`` of any length into ``out``, which is 16 bytes longer: ciphertext, then tag."""
        if len(content) <= self.one_shot_limit:
            self.aead.encrypt_into(iv, content, aad, out)
            return
        encryptor = Cipher(AES(self._key), GCM(bytes(iv))).encryptor()
        encryptor.authenticate_additional_data(bytes(aad))
        for start in range(0, len(content), self.piece_length):
            piece = content[start : start + self.piece_length]
            encryptor.update_into(piece, out[start : start + len(piece)])
        encryptor.finalize()
        out[len(content) :] = encryptor.tag

    def open_into(self, iv: BytesLike, sealed: memoryview, aad: BytesLike, out: memoryview) -> None:
        """Decrypt ``sealed`` (ciphertext, then tag) into ``out``, which is 16 bytes shorter.

        Raises ``InvalidTag`` where the tag does not fit; ``out`` is then all zeros.
        """
        try:
            if len(out) <= self.one_shot_limit:
                self.aead.decrypt_into(iv, sealed, aad, out)
            else:
                self._open_long(iv, sealed, aad, out)
        except InvalidTag:
            wipe(out)
            raise

    def _open_long(self, iv: BytesLike, sealed: memoryview, aad: BytesLike, out: memoryview) -> None:
        decryptor = Cipher(AES(self._key), GCM(bytes(iv))).decryptor()
        decryptor.authenticate_additional_data(bytes(aad))
        for start in range(0, len(out), self.piece_length):
            piece = out[start : start + self.piece_length]
            decryptor.update_into(sealed[start : start + len(piece)], piece)
        decryptor.finalize_with_tag(bytes(sealed[len(out) :]))
