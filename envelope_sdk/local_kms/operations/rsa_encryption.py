"""Encryption under RSA keys: RSAES-OAEP (RFC 8017 section 7.1), with one hash throughout and no label.

The ciphertext is the bare number, so that whoever has the public key can encrypt without the KMS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.operations.using import key_pair
from envelope_sdk.primitives.rsa import RsaPadding

__all__ = ["check_plaintext", "rsa_decrypt", "rsa_encrypt"]

_PADDINGS: Final[Mapping[str, RsaPadding]] = {
    "RSAES_OAEP_SHA_1": RsaPadding.OAEP_SHA1,
    "RSAES_OAEP_SHA_256": RsaPadding.OAEP_SHA256,
}
_HASH_LENGTHS: Final[Mapping[str, int]] = {"RSAES_OAEP_SHA_1": 20, "RSAES_OAEP_SHA_256": 32}


def check_plaintext(key: Key, algorithm: str, plaintext: bytes) -> None:
    """Raise ValidationException where ``plaintext`` is too long for an RSA key."""
    modulus_length = int(key.spec.removeprefix("RSA_")) // 8
    most = modulus_length - 2 * _HASH_LENGTHS[algorithm] - 2
    if len(plaintext) > most:
        raise faults.validation(
            f"Algorithm {algorithm} and key spec {key.spec} cannot encrypt data larger than {most} bytes."
        )


def rsa_encrypt(call: Call, key: Key, algorithm: str, plaintext: bytes) -> bytes:
    """Return ``plaintext``, of a length already checked, encrypted."""
    public: RSAPublicKey = key_pair(call, key).public_key()
    return public.encrypt(plaintext, _PADDINGS[algorithm].scheme())


def rsa_decrypt(call: Call, key: Key, algorithm: str, data: bytes) -> bytes:
    """Return the plaintext of ``data``.

    Raises:
        KmsServiceError: InvalidCiphertextException.
    """
    try:
        plaintext: bytes = key_pair(call, key).decrypt(data, _PADDINGS[algorithm].scheme())
    except ValueError:
        raise faults.invalid_ciphertext() from None
    if not plaintext:
        # Whoever has the public key may have encrypted nothing; the API has no empty plaintext.
        raise faults.invalid_ciphertext()
    return plaintext
