"""Wrapping by CKM_AES_GCM under an AES key of a token."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.pkcs11.objects import KeyKind, use_key
from envelope_sdk.primitives.aead import TAG_LENGTH

__all__ = ["AES", "gcm_unwrap", "gcm_wrap"]

AES: Final = KeyKind(
    "AES key", "SECRET_KEY", "AES", "CKM_AES_GCM with a 12-byte IV, a 128-bit tag and the context as AAD"
)
"""What to look for on a token."""


def gcm_wrap(key: Any, data_key: bytes, iv: bytes, aad: bytes) -> tuple[bytes, bytes]:
    """Return the IV that was used, and the ciphertext of ``data_key`` followed by its tag.

    Raises:
        KeyringError: the key may not encrypt, or the answer cannot be right.
    """
    # Some devices make an IV of their own and write it where the given one lies. So they are given a copy that nobody
    # else has, and what lies there afterwards is the IV.
    parameters = _gcm_parameters(bytes(bytearray(iv)), aad)
    wrapped = use_key(key, "encrypt", data_key, "AES_GCM", parameters)
    if len(wrapped) != len(data_key) + TAG_LENGTH:
        raise KeyringError(f"the token made {len(wrapped)} bytes of {len(data_key)} where {TAG_LENGTH} more are right")
    return bytes(parameters.nonce), wrapped


def gcm_unwrap(key: Any, wrapped: bytes, iv: bytes, aad: bytes) -> bytes:
    """Return the data key.

    Raises:
        KeyringError: the key may not decrypt.
    """
    return use_key(key, "decrypt", wrapped, "AES_GCM", _gcm_parameters(iv, aad))


def _gcm_parameters(iv: bytes, aad: bytes) -> Any:
    return import_module("pkcs11").GCMParams(iv, aad or None, TAG_LENGTH * 8)
