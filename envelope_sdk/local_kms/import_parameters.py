"""What an import of key material takes: a key pair to wrap it with, and a token that brings the pair back.

Nothing is kept of it here. The token holds the private key, sealed by the store for one key in one Region, with the
date it is good for. So any process that has the store can take what another has handed out, and a key that is never
used leaves nothing behind.

Of the algorithms, RSAES-OAEP (RFC 8017 section 7.1) wraps the material itself. The others (``CKM_RSA_AES_KEY_WRAP`` of
PKCS #11) wrap an AES key by RSAES-OAEP, which comes first, and the material under that key (AES key wrap with padding,
RFC 5649): they have room for any material.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_private_key

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.key_pairs import KeyPair, private_der
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.store.contract import ReadTransaction
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.rsa import RsaPadding

__all__ = ["DIRECT", "ENVELOPED", "VALIDITY", "open_token", "seal_token", "unwrap"]

VALIDITY: Final = timedelta(hours=24)
"""How long a token is good for."""

DIRECT: Final = frozenset({"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"})
"""The wrapping algorithms of RSA alone."""

ENVELOPED: Final = frozenset({"RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"})
"""The wrapping algorithms of RSA and AES."""

_PADDINGS: Final[Mapping[str, RsaPadding]] = MappingProxyType(
    {
        "RSAES_OAEP_SHA_1": RsaPadding.OAEP_SHA1,
        "RSAES_OAEP_SHA_256": RsaPadding.OAEP_SHA256,
        "RSA_AES_KEY_WRAP_SHA_1": RsaPadding.OAEP_SHA1,
        "RSA_AES_KEY_WRAP_SHA_256": RsaPadding.OAEP_SHA256,
    }
)
# In tokens that are out, algorithms stand as their place here: only ever append.
_NUMBERED: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")
_HEAD: Final = struct.Struct(">qB")
_MILLISECOND: Final = timedelta(milliseconds=1)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def seal_token(transaction: ReadTransaction, key: Key, algorithm: str, pair: KeyPair, expiry: datetime) -> bytes:
    """Return an import token.

    Args:
        transaction: a look at the store, which seals it.
        key: the key it is for.
        algorithm: a wrapping algorithm.
        pair: the wrapping key.
        expiry: from when on it is refused, UTC.
    """
    content = bytearray(_HEAD.pack((expiry - _EPOCH) // _MILLISECOND, _NUMBERED.index(algorithm)) + private_der(pair))
    try:
        return transaction.seal(_purpose(key), content)
    finally:
        wipe(memoryview(content))


def open_token(transaction: ReadTransaction, key: Key, token: bytes, now: datetime) -> tuple[str, RSAPrivateKey]:
    """Return the algorithm and the wrapping key of an import token.

    Raises:
        KmsServiceError: InvalidImportTokenException: it was altered, is of another key, Region or store, or the root
            key has been replaced since. ExpiredImportTokenException.
    """
    content = transaction.unseal(_purpose(key), token)
    if content is None:
        raise faults.invalid_import_token()
    try:
        head: tuple[int, int] = _HEAD.unpack_from(content)
        expiry, number = head
        if (now - _EPOCH) // _MILLISECOND >= expiry:
            raise faults.expired_import_token()
        # The store has authenticated it, as made here.
        pair = load_der_private_key(memoryview(content)[_HEAD.size :], None, unsafe_skip_rsa_key_validation=True)
        return _NUMBERED[number], cast("RSAPrivateKey", pair)
    finally:
        wipe(memoryview(content))


def unwrap(algorithm: str, pair: RSAPrivateKey, wrapped: bytes) -> bytes:
    """Return the key material that was wrapped.

    Raises:
        KmsServiceError: InvalidCiphertextException. All that can be wrong is one error, as it has to be: what told
            a wrong padding from wrong material would decrypt anything, one question at a time.
    """
    padding = _PADDINGS[algorithm].scheme()
    try:
        if algorithm in DIRECT:
            return pair.decrypt(wrapped, padding)
        length = pair.key_size // 8
        wrapping_key = pair.decrypt(wrapped[:length], padding)
        return aes_key_unwrap_with_padding(wrapping_key, wrapped[length:])
    except (ValueError, InvalidUnwrap):
        raise faults.invalid_ciphertext() from None


def _purpose(key: Key) -> str:
    return f"import of key material into {key.arn}"
