"""Signing and verifying with keys of every kind.

RSASSA-PSS has a salt as long as the digest, MGF1 with the same hash (RFC 8017 section 8.1); ECDSA signatures are DER
(RFC 3279 section 2.2.3); Ed25519 is PureEdDSA (RFC 8032); ML-DSA is the pure form with an empty context (FIPS 204).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from envelope_sdk.local_kms import faults

__all__ = ["check_message", "sign", "verify"]

_RAW: Final = "RAW"
_DIGEST: Final = "DIGEST"
_EXTERNAL_MU: Final = "EXTERNAL_MU"
_ED25519_PH: Final = "ED25519_PH_SHA_512"
_ML_DSA: Final = "ML_DSA_SHAKE_256"
_HASHES: Final[Mapping[str, HashAlgorithm]] = {"SHA_256": SHA256(), "SHA_384": SHA384(), "SHA_512": SHA512()}
_MESSAGE_TYPES: Final[Mapping[str, Sequence[str]]] = {
    "ED25519_SHA_512": (_RAW,),
    _ED25519_PH: (_DIGEST,),
    _ML_DSA: (_RAW, _EXTERNAL_MU),
}
_HASHED: Final = (_RAW, _DIGEST)
_MU_LENGTH: Final = 64


def check_message(spec: str, algorithm: str, message_type: str, message: bytes) -> None:
    """Raise what is wrong with a message to sign or verify with a key of this spec.

    Raises:
        KmsServiceError: ValidationException; UnsupportedOperationException for what ``cryptography`` cannot do.
    """
    if message_type not in _MESSAGE_TYPES.get(algorithm, _HASHED):
        # AWS names the spec where specs share the algorithm.
        culprit = f"key spec {spec}" if algorithm == _ML_DSA else f"algorithm {algorithm}"
        raise faults.validation(f"Message type {message_type} is incompatible with {culprit}.")
    if message_type == _DIGEST and len(message) != _hash(algorithm).digest_size:
        raise faults.validation(f"Digest is invalid length for algorithm {algorithm}.")
    if message_type == _EXTERNAL_MU and len(message) != _MU_LENGTH:
        raise faults.validation(f"Digest is invalid length for algorithm {algorithm}.")
    if algorithm == _ED25519_PH:
        raise faults.unsupported(f"{algorithm} is not supported by the local KMS; ED25519_SHA_512 is.")


def sign(pair: Any, algorithm: str, message_type: str, message: bytes) -> bytes:
    """Return the signature of a message that :func:`check_message` has let through."""
    signature: bytes
    if message_type == _EXTERNAL_MU:
        signature = _of_mu(pair, "sign_mu")(message)
    else:
        signature = pair.sign(message, *_parameters(algorithm, message_type))
    return signature


def verify(public: Any, algorithm: str, message_type: str, message: bytes, signature: bytes) -> bool:
    """Return whether ``signature`` is that of a message that :func:`check_message` has let through."""
    try:
        if message_type == _EXTERNAL_MU:
            _of_mu(public, "verify_mu")(signature, message)
        else:
            public.verify(signature, message, *_parameters(algorithm, message_type))
    except (InvalidSignature, ValueError):
        return False
    return True


def _hash(algorithm: str) -> HashAlgorithm:
    return _HASHES[algorithm[-len("SHA_nnn") :]]


def _parameters(algorithm: str, message_type: str) -> tuple[Any, ...]:
    """Return what ``cryptography`` takes after the message: padding and hash, scheme, or nothing."""
    if algorithm in _MESSAGE_TYPES:
        return ()
    digest = _hash(algorithm)
    hashed = Prehashed(digest) if message_type == _DIGEST else digest
    if algorithm.startswith("ECDSA"):
        return (ec.ECDSA(hashed),)
    if algorithm.startswith("RSASSA_PSS"):
        return padding.PSS(padding.MGF1(digest), digest.digest_size), hashed
    return padding.PKCS1v15(), hashed


def _of_mu(key: Any, name: str) -> Any:
    method = getattr(key, name, None)
    if method is None:
        raise faults.unsupported(
            f"MessageType {_EXTERNAL_MU} is not supported by the local KMS with the version of cryptography installed "
            "here."
        )
    return method
