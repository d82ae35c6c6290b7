"""Agreeing on a secret over a NIST curve (framework/key-agreement-schemas.md), and the keys that do it.

Whatever becomes an :class:`EcdhPublicKey` is a point of its curve and not the point at infinity: ``cryptography`` takes
no other, in any encoding.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from envelope_sdk.errors import MessageError, UsageError
from envelope_sdk.primitives.key_loading import load_private_key, load_public_key, other_kind

__all__ = ["EcdhCurve", "EcdhPrivateKey", "EcdhPublicKey", "check_curve", "point_name"]


class EcdhCurve(Enum):
    """The curves of the ECDH keyrings. The value is what goes into the key derivation."""

    P256 = "p256"
    P384 = "p384"
    P521 = "p521"

    @property
    def secret_length(self) -> int:
        """Bytes of an agreed secret, and of one coordinate."""
        return (_CURVES[self].key_size + 7) // 8

    @property
    def point_length(self) -> int:
        """Bytes of a compressed point (SEC 1, 2.3.3)."""
        return 1 + self.secret_length


_CURVES: Final[dict[EcdhCurve, ec.EllipticCurve]] = {
    EcdhCurve.P256: ec.SECP256R1(),
    EcdhCurve.P384: ec.SECP384R1(),
    EcdhCurve.P521: ec.SECP521R1(),
}
_BY_NAME: Final = {curve.name: name for name, curve in _CURVES.items()}


class EcdhPublicKey:
    """One party's public key.

    Attributes:
        curve: the curve it is on.
        point: the compressed point, ``curve.point_length`` bytes; no other bytes stand for the same key.
    """

    __slots__ = ("curve", "key", "point")

    def __init__(self, curve: EcdhCurve, key: ec.EllipticCurvePublicKey) -> None:
        """Take a key object of the curve."""
        self.curve = curve
        self.key = key
        self.point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    @classmethod
    def load(cls, what: str, key: bytes | ec.EllipticCurvePublicKey) -> EcdhPublicKey:
        """Take PEM or DER bytes (SubjectPublicKeyInfo), or a key object.

        Args:
            what: the key in an error's words, for instance ``"recipient's public key"``.
            key: the key.

        Raises:
            UsageError: it cannot be read, is no point of its curve, or the curve is not supported.
        """
        loaded = load_public_key(what, key) if isinstance(key, bytes) else key
        if not isinstance(loaded, ec.EllipticCurvePublicKey):
            raise other_kind(what, loaded, ec.EllipticCurvePublicKey)
        return cls(_curve_of(what, loaded.curve), loaded)

    @classmethod
    def from_point(cls, curve: EcdhCurve, point: bytes) -> EcdhPublicKey:
        """Take the compressed point that a message names.

        Raises:
            MessageError: it is no compressed point of the curve.
        """
        try:
            # The length tells compressed points from all else that the reader would take.
            compressed = point if len(point) == curve.point_length else b""
            return cls(curve, ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], compressed))
        except ValueError:
            raise MessageError(
                f"a public key that the message names is not a compressed point of {curve.value}",
                section="encrypted data key",
            ) from None

    def __repr__(self) -> str:
        return f"EcdhPublicKey({self})"

    def __str__(self) -> str:
        return point_name(self.curve, self.point)

    def to_der(self) -> bytes:
        """Return the key as a SubjectPublicKeyInfo."""
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class EcdhPrivateKey:
    """One party's private key. Its repr shows nothing of it, and it cannot be pickled.

    Attributes:
        public: the public half.
    """

    __slots__ = ("_key", "public")

    def __init__(self, curve: EcdhCurve, key: ec.EllipticCurvePrivateKey) -> None:
        """Take a key object of the curve."""
        self._key = key
        self.public = EcdhPublicKey(curve, key.public_key())

    @classmethod
    def generate(cls, curve: EcdhCurve) -> EcdhPrivateKey:
        """Make a new key pair."""
        return cls(curve, ec.generate_private_key(_CURVES[curve]))

    @classmethod
    def load(cls, what: str, key: bytes | ec.EllipticCurvePrivateKey, password: bytes | None) -> EcdhPrivateKey:
        """Take PEM or DER bytes (PKCS#8 or SEC 1), or a key object.

        Raises:
            UsageError: it cannot be read, ``password`` does not open it, or its curve is not supported.
        """
        loaded = load_private_key(what, key, password) if isinstance(key, bytes) else key
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise other_kind(what, loaded, ec.EllipticCurvePrivateKey)
        return cls(_curve_of(what, loaded.curve), loaded)

    def __repr__(self) -> str:
        return f"EcdhPrivateKey({self.public.curve.value}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a private key cannot be pickled or copied")

    def agree(self, peer: EcdhPublicKey) -> bytes:
        """Return the secret shared with ``peer``, whose key is of the same curve: ``curve.secret_length`` bytes."""
        return self._key.exchange(ec.ECDH(), peer.key)


def point_name(curve: EcdhCurve, point: bytes) -> str:
    """Return what people are shown of a compressed point: enough of it to tell keys apart."""
    return f"{curve.value} {point[:8].hex()}..."


def check_curve(what: str, key: EcdhPublicKey, curve: EcdhCurve | str | None) -> None:
    """Raise :class:`UsageError` unless ``key`` is on ``curve``, or ``curve`` is ``None``; ``what`` names the key."""
    if curve is None:
        return
    try:
        wanted = EcdhCurve(curve)
    except ValueError:
        known = ", ".join(known.value for known in EcdhCurve)
        raise UsageError(f"the curve {curve!r} is none of {known}") from None
    if key.curve is not wanted:
        raise UsageError(f"the {what} is on {key.curve.value}, not on {wanted.value}")


def _curve_of(what: str, curve: ec.EllipticCurve) -> EcdhCurve:
    found = _BY_NAME.get(curve.name)
    if found is None:
        known = ", ".join(known.value for known in EcdhCurve)
        raise UsageError(f"the {what} is on {curve.name}, which is none of {known}")
    return found
