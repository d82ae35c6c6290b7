"""Messages to order, well-formed or not: a second, independent writer of the message format.

It shares only the table of algorithm suites with the library. Everything in a message can be chosen, also what no
writer would choose; nothing is random, so the same order gives the same bytes. ``Message.whole`` is what a correct
writer makes; the other methods make the parts.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from envelope_sdk.formats.suites import AlgorithmSuite, SignatureAlgorithm

FRAME = b"AWSKMSEncryptionClient Frame"
FINAL_FRAME = b"AWSKMSEncryptionClient Final Frame"
SINGLE_BLOCK = b"AWSKMSEncryptionClient Single Block"

SUITES = tuple(AlgorithmSuite)
SIGNED = tuple(suite for suite in SUITES if suite.signed)
UNSIGNED = tuple(suite for suite in SUITES if not suite.signed)
COMMITTING = tuple(suite for suite in SUITES if suite.committing)
UNCOMMITTED = tuple(suite for suite in SUITES if not suite.committing)

SUITE_ID_OF = {suite: f"{suite.suite_id:04x}" for suite in SUITES}

_HASHES = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}
_CURVES: dict[SignatureAlgorithm, ec.EllipticCurve] = {
    SignatureAlgorithm.ECDSA_P256_SHA256: ec.SECP256R1(),
    SignatureAlgorithm.ECDSA_P384_SHA384: ec.SECP384R1(),
}
_DIGESTS = {SignatureAlgorithm.ECDSA_P256_SHA256: hashlib.sha256, SignatureAlgorithm.ECDSA_P384_SHA384: hashlib.sha384}


def suite_name(value: object) -> str | None:
    """Name suites by their number in test ids."""
    return SUITE_ID_OF[value] if isinstance(value, AlgorithmSuite) else None


def sample_bytes(count: int, seed: str = "plaintext") -> bytes:
    return hashlib.shake_256(seed.encode()).digest(count)


def some_data_key(suite: AlgorithmSuite) -> bytes:
    return sample_bytes(suite.key_length, f"data key {suite.suite_id:04x}")


def some_message_id(suite: AlgorithmSuite) -> bytes:
    return sample_bytes(suite.message_id_length, f"message id {suite.suite_id:04x}")


# --- keys ------------------------------------------------------------------------------------------------------------


def derive(suite: AlgorithmSuite, data_key: bytes, message_id: bytes) -> tuple[bytes, bytes]:
    """Return message key and commitment."""
    if suite.kdf_hash is None:
        return data_key, b""
    hash_ = _HASHES[suite.kdf_hash]
    if suite.committing:
        key = HKDF(hash_, 32, message_id, suite.id_bytes + b"DERIVEKEY").derive(data_key)
        return key, HKDF(hash_, 32, message_id, b"COMMITKEY").derive(data_key)
    return HKDF(hash_, suite.key_length, None, suite.id_bytes + message_id).derive(data_key), b""


# --- header fields ---------------------------------------------------------------------------------------------------


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def counted(data: bytes, size: int = 2) -> bytes:
    return len(data).to_bytes(size, "big") + data


def pairs_field(pairs: Sequence[tuple[str | bytes, str | bytes]], *, count: int | None = None) -> bytes:
    """Return count and pairs, in the order given."""
    number = len(pairs) if count is None else count
    return number.to_bytes(2, "big") + b"".join(counted(_bytes(key)) + counted(_bytes(value)) for key, value in pairs)


def context_field(
    pairs: Sequence[tuple[str | bytes, str | bytes]], *, count: int | None = None, extra: bytes = b""
) -> bytes:
    """Return the header's field; ``extra`` stands inside it, after the last pair."""
    return counted(pairs_field(pairs, count=count) + extra) if pairs or count is not None else bytes(2)


EDK = ("test-provider", b"test-info", b"wrapped")


def edks_field(entries: Sequence[tuple[str | bytes, bytes, bytes]], *, count: int | None = None) -> bytes:
    number = len(entries) if count is None else count
    return number.to_bytes(2, "big") + b"".join(counted(_bytes(part)) for entry in entries for part in entry)


# --- signatures ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signer:
    """An ECDSA key whose signatures are computed from the definition, so that the nonce can be chosen."""

    algorithm: SignatureAlgorithm
    secret: int = 0x5EC2E7_0000_0000_0000_0000_0001

    @property
    def _private(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.secret, _CURVES[self.algorithm])

    def point(self, form: PublicFormat = PublicFormat.CompressedPoint) -> bytes:
        return self._private.public_key().public_bytes(Encoding.X962, form)

    @property
    def public_key(self) -> str:
        """The value of ``aws-crypto-public-key``."""
        return base64.b64encode(self.point()).decode()

    def numbers(self, data: bytes, nonce: int = 0x0123456789ABCDEF_FEDCBA9876543210) -> tuple[int, int]:
        """Return r and s."""
        order = self.algorithm.curve_order
        digest = int.from_bytes(_DIGESTS[self.algorithm](data).digest(), "big")
        r = ec.derive_private_key(nonce, _CURVES[self.algorithm]).public_key().public_numbers().x % order
        return r, pow(nonce, -1, order) * (digest + r * self.secret) % order

    def low_s(self, data: bytes) -> bytes:
        r, s = self.numbers(data)
        return encode_dss_signature(r, min(s, self.algorithm.curve_order - s))

    def high_s(self, data: bytes) -> bytes:
        r, s = self.numbers(data)
        return encode_dss_signature(r, max(s, self.algorithm.curve_order - s))

    def of_length(self, data: bytes, length: int) -> bytes:
        """Return a valid signature whose DER form takes just ``length`` bytes."""
        nonce = 2**100
        while True:
            nonce += 1
            r, s = self.numbers(data, nonce)
            for candidate in (s, self.algorithm.curve_order - s):
                signature = encode_dss_signature(r, candidate)
                if len(signature) == length:
                    return signature

    def sign(self, data: bytes) -> bytes:
        """Return a signature of the length that writers produce."""
        return self.of_length(data, self.algorithm.signature_length)


# --- messages --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """An order for one message.

    Attributes:
        suite: the algorithm suite.
        pairs: the stored context, in wire order; signed suites add their public key as the first pair.
        unstored: pairs that the header's tag covers but the header does not hold, in canonical order.
        frame_length: 0 for a message without frames.
        signer: the key that signs; by default one that is fixed for the curve.
        public_key: what stands under ``aws-crypto-public-key``: ``""`` for the signer's, ``None`` for nothing.
        changes: header fields that differ: ``version``, ``type``, ``suite_id``, ``message_id``, ``context``,
            ``edks``, ``content_type``, ``reserved``, ``iv_length``, ``frame_length``, ``suite_data``, ``iv``,
            ``tag_covers``, ``tag``.
    """

    suite: AlgorithmSuite
    pairs: tuple[tuple[str | bytes, str | bytes], ...] = (("purpose", "test"),)
    unstored: tuple[tuple[str, str], ...] = ()
    frame_length: int = 16
    edks: tuple[tuple[str | bytes, bytes, bytes], ...] = (EDK,)
    signer: Signer | None = None
    public_key: str | None = ""
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data_key(self) -> bytes:
        return some_data_key(self.suite)

    @property
    def message_id(self) -> bytes:
        return some_message_id(self.suite)

    @property
    def signing(self) -> Signer:
        assert self.suite.signature is not None
        return self.signer or Signer(self.suite.signature)

    @property
    def stored_pairs(self) -> tuple[tuple[str | bytes, str | bytes], ...]:
        if self.suite.signature is None or self.public_key is None:
            return self.pairs
        return (("aws-crypto-public-key", self.public_key or self.signing.public_key), *self.pairs)

    @property
    def _aead(self) -> AESGCM:
        return AESGCM(derive(self.suite, self.data_key, self.message_id)[0])

    def header(self) -> bytes:
        change = self.changes
        version = change.get("version", self.suite.message_version)
        commitment = derive(self.suite, self.data_key, self.message_id)[1]
        framed = self.frame_length > 0
        parts = [bytes((version,))]
        if version != 2:
            parts.append(bytes((change.get("type", 0x80),)))
        parts += (
            change.get("suite_id", self.suite.suite_id).to_bytes(2, "big"),
            change.get("message_id", self.message_id),
            change.get("context", context_field(self.stored_pairs)),
            change.get("edks", edks_field(self.edks)),
            bytes((change.get("content_type", 2 if framed else 1),)),
        )
        if version != 2:
            parts += (change.get("reserved", bytes(4)), bytes((change.get("iv_length", 12),)))
        parts += (
            change.get("frame_length", self.frame_length).to_bytes(4, "big"),
            change.get("suite_data", commitment),
        )
        body = b"".join(parts)
        iv = change.get("iv", bytes(12))
        unstored = pairs_field(self.unstored) if self.unstored else b""
        tag = change.get("tag", AESGCM(change.get("header_key", derive(self.suite, self.data_key, self.message_id)[0]))
                         .encrypt(iv, b"", change.get("tag_covers", body + unstored)))  # fmt: skip
        return body + (tag if version == 2 else iv + tag)

    def _seal(self, text: bytes, number: int, length: int, content: bytes, iv: bytes, message_id: bytes) -> bytes:
        return self._aead.encrypt(iv, content, message_id + text + struct.pack(">IQ", number, length))

    def frame(
        self,
        number: int,
        content: bytes,
        *,
        iv: bytes | None = None,
        shown: int | None = None,
        text: bytes = FRAME,
        message_id: bytes | None = None,
    ) -> bytes:
        """Return a regular frame; ``shown`` stands on the wire where it differs from what the tag covers."""
        iv = number.to_bytes(12, "big") if iv is None else iv
        sealed = self._seal(text, number, len(content), content, iv, message_id or self.message_id)
        return (number if shown is None else shown).to_bytes(4, "big") + iv + sealed

    def final(
        self,
        number: int,
        content: bytes,
        *,
        iv: bytes | None = None,
        shown: int | None = None,
        claimed: int | None = None,
        text: bytes = FINAL_FRAME,
        message_id: bytes | None = None,
    ) -> bytes:
        """Return a final frame; ``shown`` and ``claimed`` stand on the wire where they differ from the truth."""
        iv = number.to_bytes(12, "big") if iv is None else iv
        sealed = self._seal(text, number, len(content), content, iv, message_id or self.message_id)
        numbers = struct.pack(">II", 0xFFFFFFFF, number if shown is None else shown)
        return numbers + iv + (len(content) if claimed is None else claimed).to_bytes(4, "big") + sealed

    def block(
        self, content: bytes, *, iv: bytes | None = None, claimed: int | None = None, text: bytes = SINGLE_BLOCK
    ) -> bytes:
        iv = (1).to_bytes(12, "big") if iv is None else iv
        sealed = self._seal(text, 1, len(content), content, iv, self.message_id)
        return iv + (len(content) if claimed is None else claimed).to_bytes(8, "big") + sealed

    def body(self, plaintext: bytes) -> bytes:
        """Return the body that a correct writer makes."""
        if self.frame_length == 0:
            return self.block(plaintext)
        cuts = range(0, len(plaintext), self.frame_length)
        pieces = [plaintext[start : start + self.frame_length] for start in cuts] or [b""]
        frames = [self.frame(number, piece) for number, piece in enumerate(pieces[:-1], 1)]
        return b"".join(frames) + self.final(len(pieces), pieces[-1])

    def signed(self, covered: bytes, signature: bytes | None = None) -> bytes:
        """Return ``covered`` followed by the footer, where the suite has one."""
        if self.suite.signature is None:
            return covered
        return covered + counted(self.signing.sign(covered) if signature is None else signature)

    def whole(self, plaintext: bytes) -> bytes:
        """Return the message that a correct writer makes."""
        return self.signed(self.header() + self.body(plaintext))
