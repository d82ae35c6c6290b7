"""ECDSA over whole messages (framework/algorithm-suites.md, "signature algorithm").

Signatures are DER. Writers make them of one fixed length for each curve, so that the length of a message is known
before it is written; readers take any valid DER.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from envelope_sdk.errors import SignatureError
from envelope_sdk.formats.suites import SignatureAlgorithm
from envelope_sdk.primitives.digest import HASHES

__all__ = ["SigningKey", "VerificationKey"]

_CURVES: Final[dict[SignatureAlgorithm, ec.EllipticCurve]] = {
    SignatureAlgorithm.ECDSA_P256_SHA256: ec.SECP256R1(),
    SignatureAlgorithm.ECDSA_P384_SHA384: ec.SECP384R1(),
}
_SCHEMES: Final = {algorithm: ec.ECDSA(Prehashed(digest)) for algorithm, digest in HASHES.items()}


class SigningKey:
    """A private key made for one set of materials. Its repr shows nothing of it, and it cannot be pickled.

    Attributes:
        algorithm: the signature algorithm.
        encoded_public_key: the public half as the encryption context carries it: base64 of the compressed point.
    """

    __slots__ = ("_private_key", "algorithm", "encoded_public_key")

    def __init__(self, algorithm: SignatureAlgorithm, private_key: ec.EllipticCurvePrivateKey) -> None:
        """Take a private key, which has to be of the algorithm's curve."""
        self.algorithm = algorithm
        self._private_key = private_key
        point = private_key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.encoded_public_key = base64.b64encode(point).decode("ascii")

    @classmethod
    def generate(cls, algorithm: SignatureAlgorithm) -> SigningKey:
        """Make a new key pair of the algorithm's curve."""
        return cls(algorithm, ec.generate_private_key(_CURVES[algorithm]))

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm.name}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a signing key cannot be pickled or copied")

    def sign(self, digest: bytes) -> bytes:
        """Return a DER signature of ``digest``, exactly ``algorithm.signature_length`` bytes long.

        A signature (r, s) is as valid as (r, n - s), and just one of the two s usually has the wanted length; where
        neither has, r is unlucky and the message is signed anew.
        """
        wanted = self.algorithm.signature_length
        scheme = _SCHEMES[self.algorithm]
        while True:
            signature = self._private_key.sign(digest, scheme)
            if len(signature) == wanted:
                return signature
            r, s = decode_dss_signature(signature)
            signature = encode_dss_signature(r, self.algorithm.curve_order - s)
            if len(signature) == wanted:
                return signature


class VerificationKey:
    """The public key of a signed message.

    Attributes:
        algorithm: the signature algorithm.
    """

    __slots__ = ("_public_key", "algorithm")

    def __init__(self, algorithm: SignatureAlgorithm, encoded_public_key: str) -> None:
        """Read the value of ``aws-crypto-public-key``: base64 of a compressed point on the algorithm's curve.

        Raises:
            SignatureError: it is not base64, not a point of that curve, or not compressed.
        """
        self.algorithm = algorithm
        try:
            point = base64.b64decode(encoded_public_key, validate=True)
            # The length tells compressed points of this curve from all else that the reader below would take.
            compressed = point if len(point) == algorithm.public_key_length else b""
            self._public_key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[algorithm], compressed)
        except (ValueError, binascii.Error):
            raise SignatureError(
                f"the message's public key is not a compressed point of {algorithm.curve_name}", section="header"
            ) from None

    def verify(self, signature: bytes, digest: bytes) -> None:
        """Raise :class:`SignatureError` unless ``signature`` (DER) is this key's over ``digest``."""
        try:
            self._public_key.verify(signature, digest, _SCHEMES[self.algorithm])
        except InvalidSignature:
            raise SignatureError(
                "the message's signature does not hold: the message was altered, or signed by another key",
                section="footer",
            ) from None
