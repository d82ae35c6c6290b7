"""Key material of every kind: made when a key is created, or imported, and read when it is used.

Of a symmetric key the material is the secret itself; of an HMAC key it is the key's spec, a colon and the secret; of
every other key it is the private key as an unencrypted PKCS#8 structure in DER. The store wraps each alike, and so
authenticates what kind it is of: whoever can write records, but has no root key, cannot have the secret of a symmetric
key used as an HMAC key, which would give away the keys derived from it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from envelope_sdk.errors import KeyStoreError, KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.ciphertext import MATERIAL_LENGTH
from envelope_sdk.local_kms.kinds import SYMMETRIC
from envelope_sdk.primitives.entropy import RandomSource

__all__ = [
    "CURVES",
    "KeyPair",
    "check_available",
    "hmac_secret",
    "imported_secret",
    "load_key_pair",
    "new_key_pair",
    "new_secret",
    "private_der",
    "public_der",
    "secret_from",
]

CURVES: Final[Mapping[str, ec.EllipticCurve]] = MappingProxyType(
    {
        "ECC_NIST_P256": ec.SECP256R1(),
        "ECC_NIST_P384": ec.SECP384R1(),
        "ECC_NIST_P521": ec.SECP521R1(),
        "ECC_SECG_P256K1": ec.SECP256K1(),
    }
)
"""The curves, by key spec."""

# As long as what the hash returns (RFC 2104 section 3).
_HMAC_LENGTHS: Final[Mapping[str, int]] = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
_RSA_BITS: Final[Mapping[str, int]] = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}
_PUBLIC_EXPONENT: Final = 65537
_ED25519: Final = "ECC_NIST_EDWARDS25519"
# Classes that not every version of ``cryptography``, or every OpenSSL, has: module, class, bytes of the seed.
_SEEDED: Final[Mapping[str, tuple[str, str, int]]] = {
    "ML_DSA_44": ("mldsa", "MLDSA44PrivateKey", 32),
    "ML_DSA_65": ("mldsa", "MLDSA65PrivateKey", 32),
    "ML_DSA_87": ("mldsa", "MLDSA87PrivateKey", 32),
    "ML_KEM_768": ("mlkem", "MLKEM768PrivateKey", 64),
    "ML_KEM_1024": ("mlkem", "MLKEM1024PrivateKey", 64),
}
_SEQUENCE: Final = b"\x30"
_SPECS_BY_CURVE: Final = {curve.name: spec for spec, curve in CURVES.items()}


class KeyPair(Protocol):
    """A private key of any kind, as ``cryptography`` has them."""

    def public_key(self) -> Any:
        """Return the public half."""
        ...

    def private_bytes(self, encoding: Encoding, form: PrivateFormat, encryption: NoEncryption, /) -> bytes:
        """Return the key, serialized."""
        ...


def new_secret(spec: str, random: RandomSource) -> bytearray:
    """Make the material of a key of any spec, for the caller to overwrite.

    Raises:
        KmsServiceError: UnsupportedOperationException: this machine's ``cryptography`` has no such keys.
    """
    if spec == SYMMETRIC:
        return bytearray(random(MATERIAL_LENGTH))
    if spec in _HMAC_LENGTHS:
        return bytearray(_hmac_mark(spec) + random(_HMAC_LENGTHS[spec]))
    return bytearray(private_der(new_key_pair(spec, random)))


def secret_from(spec: str, content: bytes) -> bytearray:
    """Return the material of a key that is made elsewhere, for the caller to overwrite.

    Args:
        spec: of the key.
        content: the secret itself of a symmetric or HMAC key; of others the private key, PKCS#8 in DER.

    Raises:
        ValueError: it is no material of such a key. The text repeats nothing of it.
        KmsServiceError: UnsupportedOperationException: this machine's ``cryptography`` has no such keys.
    """
    length = MATERIAL_LENGTH if spec == SYMMETRIC else _HMAC_LENGTHS.get(spec)
    if length is not None:
        if len(content) != length:
            raise ValueError(f"the material of a key {spec} is {length} bytes, not {len(content)}")
        return bytearray((b"" if spec == SYMMETRIC else _hmac_mark(spec)) + content)
    try:
        pair = load_der_private_key(content, None)
    except UnsupportedAlgorithm:
        raise _unsupported(spec) from None
    except (ValueError, TypeError):
        pair = None
    if pair is None or not _is_of(spec, pair):
        raise _no_private_key(spec)
    return bytearray(private_der(cast("KeyPair", pair)))


def imported_secret(spec: str, content: bytes) -> bytearray:
    """Return what :func:`secret_from` does, of material that a caller imports; of older forms of private keys none.

    Raises:
        KmsServiceError: IncorrectKeyMaterialException: it is no material of such a key.
    """
    try:
        if spec != SYMMETRIC and spec not in _HMAC_LENGTHS and not _is_pkcs8(content):
            raise _no_private_key(spec)
        return secret_from(spec, content)
    except (ValueError, KmsServiceError, Warning) as error:
        # Whether there are keys of this spec was asked when the key was made: what is unsupported is something else.
        text = str(error) if isinstance(error, ValueError) else str(_no_private_key(spec))
    raise faults.incorrect_material(f"{text[0].upper()}{text[1:]}.")


def new_key_pair(spec: str, random: RandomSource) -> KeyPair:
    """Make a key pair. Those of RSA and of curves come from OpenSSL's own randomness, which takes no other source.

    Raises:
        KmsServiceError: UnsupportedOperationException: this machine's ``cryptography`` has no such keys.
    """
    try:
        if spec in _RSA_BITS:
            return cast("KeyPair", rsa.generate_private_key(_PUBLIC_EXPONENT, _RSA_BITS[spec]))
        if spec in CURVES:
            return cast("KeyPair", ec.generate_private_key(CURVES[spec]))
        if spec == _ED25519:
            return cast("KeyPair", ed25519.Ed25519PrivateKey.from_private_bytes(random(32)))
        return _from_seed(spec, random)
    except UnsupportedAlgorithm:
        raise _unsupported(spec) from None


def check_available(spec: str) -> None:
    """Raise UnsupportedOperationException where no key pair of ``spec`` can be made here, without making one of RSA."""
    if spec not in (*_RSA_BITS, *CURVES, _ED25519):
        # Only trying tells: the class may be there and the OpenSSL below it not up to it. ``bytes`` gives zeros.
        new_key_pair(spec, bytes)


def private_der(pair: KeyPair) -> bytes:
    """Return a private key as PKCS#8 in DER, unencrypted."""
    return pair.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_der(pair: KeyPair) -> bytes:
    """Return the public half of ``pair`` as a SubjectPublicKeyInfo in DER (RFC 5280)."""
    encoded: bytes = pair.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def hmac_secret(spec: str, secret: bytearray) -> memoryview:
    """Return the part of an HMAC key's material that is the secret.

    Raises:
        KeyStoreError: it is no key of this spec.
    """
    mark = _hmac_mark(spec)
    if not secret.startswith(mark) or len(secret) != len(mark) + _HMAC_LENGTHS[spec]:
        raise _mixed_up(spec)
    return memoryview(secret)[len(mark) :]


def load_key_pair(spec: str, secret: bytearray) -> Any:
    """Return the private key whose material ``secret`` is.

    Raises:
        KeyStoreError: it is no key of this spec.
        KmsServiceError: UnsupportedOperationException: the key was made with a later version of ``cryptography``.
    """
    try:
        # The store has authenticated it, so that an RSA key, whose check takes longer than its use, is not checked.
        pair = load_der_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm:
        raise _unsupported(spec) from None
    except (ValueError, TypeError):
        pair = None
    if pair is None or not _is_of(spec, pair):
        raise _mixed_up(spec)
    return pair


def _no_private_key(spec: str) -> ValueError:
    return ValueError(f"the material of a key {spec} is its private key, PKCS#8 in DER, unencrypted: this is not")


def _is_pkcs8(data: bytes) -> bool:
    """Return whether ``data`` begins like PKCS#8 (RFC 5958 section 2): a version, and then an algorithm.

    The older forms of RSA and EC private keys, which ``cryptography`` reads as well, have a number or bytes there.
    """
    header = 2 if data[1:2] < b"\x80" else 2 + (data[1] & 0x7F)
    version, algorithm = data[header : header + 3], data[header + 3 : header + 4]
    return data[:1] == _SEQUENCE and version[:2] == b"\x02\x01" and algorithm == _SEQUENCE


def _from_seed(spec: str, random: RandomSource) -> KeyPair:
    kind = _kind(spec)
    if kind is None:
        raise _unsupported(spec)
    return kind(random(_SEEDED[spec][2]))


def _kind(spec: str) -> Callable[[bytes], KeyPair] | None:
    """Return what makes a key of a spec from its seed, where ``cryptography`` has it."""
    module, name, _ = _SEEDED.get(spec, ("", "", 0))
    if not module:
        return None
    try:
        found = importlib.import_module(f"cryptography.hazmat.primitives.asymmetric.{module}")
    except ImportError:
        return None
    return getattr(getattr(found, name, None), "from_seed_bytes", None)


def _is_of(spec: str, pair: object) -> bool:
    if isinstance(pair, rsa.RSAPrivateKey):
        return _RSA_BITS.get(spec) == pair.key_size
    if isinstance(pair, ec.EllipticCurvePrivateKey):
        return _SPECS_BY_CURVE.get(pair.curve.name) == spec
    if isinstance(pair, ed25519.Ed25519PrivateKey):
        return spec == _ED25519
    return type(pair).__name__ == _SEEDED.get(spec, ("", "", 0))[1]


def _hmac_mark(spec: str) -> bytes:
    return f"{spec}:".encode("ascii")


def _mixed_up(spec: str) -> KeyStoreError:
    return KeyStoreError(f"the key store holds something else where the material of a key {spec} belongs")


def _unsupported(spec: str) -> KmsServiceError:
    return faults.unsupported(
        f"{spec} is not supported by the local KMS: the cryptography installed here has no such keys."
    )
