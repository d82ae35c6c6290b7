"""The algorithm suites of the message format and what each implies (framework/algorithm-suites.md)."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["IV_LENGTH", "TAG_LENGTH", "AlgorithmSuite", "SignatureAlgorithm"]

IV_LENGTH: Final = 12
"""Bytes of an IV, the same in every suite."""

TAG_LENGTH: Final = 16
"""Bytes of an authentication tag, the same in every suite."""


class SignatureAlgorithm(Enum):
    """An ECDSA curve with its hash.

    Attributes:
        curve_name: the curve's usual name.
        public_key_length: bytes of a compressed point.
        signature_length: bytes of the DER signature that writers produce; readers take any length.
        curve_order: n, the order of the curve's base point (SEC 2).
    """

    ECDSA_P256_SHA256 = (
        "P-256",
        33,
        71,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    )
    ECDSA_P384_SHA384 = (
        "P-384",
        49,
        103,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    )

    def __init__(self, curve_name: str, public_key_length: int, signature_length: int, curve_order: int) -> None:
        self.curve_name = curve_name
        self.public_key_length = public_key_length
        self.signature_length = signature_length
        self.curve_order = curve_order


_P256: Final = SignatureAlgorithm.ECDSA_P256_SHA256
_P384: Final = SignatureAlgorithm.ECDSA_P384_SHA384


class AlgorithmSuite(Enum):
    """The eleven suites. Each is AES-GCM with a 12-byte IV and a 16-byte tag.

    Attributes:
        suite_id: the identifier on the wire, 16 bits.
        key_length: bytes of the data key, and of the key derived from it.
        kdf_hash: the hash of HKDF (``"sha256"``, ``"sha384"``, ``"sha512"``); ``None`` where the data key is used
            as it is.
        signature: the signature algorithm; ``None`` for unsigned suites.
        committing: whether the header commits to the data key.
        message_version: 1 or 2, the version of the header.
        message_id_length: bytes of the message id.
        suite_data_length: bytes of the commitment in the header; 0 without commitment.
        id_bytes: the identifier as it is written.
    """

    AES_128_GCM_IV12_TAG16 = (0x0014, 16, None)
    AES_192_GCM_IV12_TAG16 = (0x0046, 24, None)
    AES_256_GCM_IV12_TAG16 = (0x0078, 32, None)
    AES_128_GCM_IV12_TAG16_HKDF_SHA256 = (0x0114, 16, "sha256")
    AES_192_GCM_IV12_TAG16_HKDF_SHA256 = (0x0146, 24, "sha256")
    AES_256_GCM_IV12_TAG16_HKDF_SHA256 = (0x0178, 32, "sha256")
    AES_128_GCM_IV12_TAG16_HKDF_SHA256_ECDSA_P256 = (0x0214, 16, "sha256", _P256)
    AES_192_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384 = (0x0346, 24, "sha384", _P384)
    AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384 = (0x0378, 32, "sha384", _P384)
    AES_256_GCM_HKDF_SHA512_COMMIT_KEY = (0x0478, 32, "sha512", None, True)
    AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384 = (0x0578, 32, "sha512", _P384, True)

    def __init__(
        self,
        suite_id: int,
        key_length: int,
        kdf_hash: str | None,
        signature: SignatureAlgorithm | None = None,
        committing: bool = False,
    ) -> None:
        self.suite_id = suite_id
        self.key_length = key_length
        self.kdf_hash = kdf_hash
        self.signature = signature
        self.committing = committing
        self.message_version = 2 if committing else 1
        self.message_id_length = 32 if committing else 16
        self.suite_data_length = 32 if committing else 0
        self.id_bytes = suite_id.to_bytes(2, "big")

    @classmethod
    def from_id(cls, suite_id: int) -> AlgorithmSuite | None:
        """Return the suite with this identifier, or ``None`` where there is none."""
        return _BY_ID.get(suite_id)

    @property
    def signed(self) -> bool:
        """Whether messages of this suite end in a signature."""
        return self.signature is not None

    def __repr__(self) -> str:
        return f"<AlgorithmSuite.{self.name} 0x{self.suite_id:04x}>"


_BY_ID: Final = {suite.suite_id: suite for suite in AlgorithmSuite}
