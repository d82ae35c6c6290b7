"""Key material at rest: AES-256-GCM under the root key, tied to the row it stands in."""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.store.root_key import RootKey
from envelope_sdk.primitives.aead import AESGCM, IV_LENGTH, InvalidTag
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["MaterialWrapper"]

_MATERIAL: Final = b"envelope-sdk local KMS material 1"
_ACCESS_KEY: Final = b"envelope-sdk local KMS access key 1"
_SEAL: Final = b"envelope-sdk local KMS seal 1:"
_CHECK: Final = b"envelope-sdk local KMS root key check 1"


class MaterialWrapper:
    """Wraps and unwraps under one root key. Its repr shows nothing of it, and it cannot be pickled.

    Nonces are random: 2^32 wraps under one root key are safe (NIST SP 800-38D section 8.3), and every wrap is a key
    created, rotated or imported, an access key, or the parameters of an import.
    """

    __slots__ = ("_aead", "_random")

    def __init__(self, root_key: RootKey, random: RandomSource) -> None:
        """Take the root key, and the source of nonces. The root key may be wiped afterwards."""
        self._aead = AESGCM(root_key.secret)
        self._random = random

    def __repr__(self) -> str:
        return "MaterialWrapper(<secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a root key cannot be pickled or copied")

    def wrap(self, scope: Scope, key_id: str, material_id: str, secret: bytes | bytearray) -> bytes:
        """Return nonce, ciphertext and tag of ``secret``."""
        nonce = self._random(IV_LENGTH)
        return nonce + self._aead.encrypt(nonce, secret, _binding(scope, key_id, material_id))

    def unwrap(self, scope: Scope, key_id: str, material_id: str, wrapped: bytes) -> bytearray:
        """Return what :meth:`wrap` took.

        Raises:
            KeyStoreError: the row was altered, or copied from another key.
        """
        try:
            nonce, sealed = wrapped[:IV_LENGTH], wrapped[IV_LENGTH:]
            return bytearray(self._aead.decrypt(nonce, sealed, _binding(scope, key_id, material_id)))
        except (InvalidTag, ValueError, TypeError):
            # TypeError: columns of SQLite take values of any type.
            raise KeyStoreError(
                f"key material {material_id} of key {key_id} does not authenticate: the key store is damaged or was "
                "altered; restore it from a backup"
            ) from None

    def wrap_access_key(self, access_key_id: str, secret: bytes | bytearray) -> bytes:
        """Return nonce, ciphertext and tag of a secret access key."""
        nonce = self._random(IV_LENGTH)
        return nonce + self._aead.encrypt(nonce, secret, _ACCESS_KEY + access_key_id.encode())

    def unwrap_access_key(self, access_key_id: str, wrapped: bytes) -> bytearray:
        """Return what :meth:`wrap_access_key` took.

        Raises:
            KeyStoreError: the row was altered, or copied from another access key.
        """
        try:
            nonce, sealed = wrapped[:IV_LENGTH], wrapped[IV_LENGTH:]
            return bytearray(self._aead.decrypt(nonce, sealed, _ACCESS_KEY + access_key_id.encode()))
        except (InvalidTag, ValueError, TypeError):
            raise KeyStoreError(
                f"the secret of access key {access_key_id} does not authenticate: the key store is damaged or was "
                "altered; restore it from a backup"
            ) from None

    def seal(self, purpose: str, secret: bytes | bytearray) -> bytes:
        """Return nonce, ciphertext and tag of ``secret``, for somebody else to keep."""
        nonce = self._random(IV_LENGTH)
        return nonce + self._aead.encrypt(nonce, secret, _SEAL + purpose.encode())

    def unseal(self, purpose: str, sealed: bytes) -> bytearray | None:
        """Return what :meth:`seal` took; ``None`` where it was altered, or sealed for something else, or elsewhere."""
        try:
            nonce, content = sealed[:IV_LENGTH], sealed[IV_LENGTH:]
            return bytearray(self._aead.decrypt(nonce, content, _SEAL + purpose.encode()))
        except (InvalidTag, ValueError):
            return None

    def check_value(self) -> bytes:
        """Return a value that only the same root key finds right."""
        nonce = self._random(IV_LENGTH)
        return nonce + self._aead.encrypt(nonce, b"", _CHECK)

    def fits(self, check_value: bytes) -> bool:
        """Return whether ``check_value`` was made with this root key."""
        try:
            self._aead.decrypt(check_value[:IV_LENGTH], check_value[IV_LENGTH:], _CHECK)
        except (InvalidTag, ValueError):
            return False
        return True


def _binding(scope: Scope, key_id: str, material_id: str) -> bytes:
    # Length before each part, so that no two rows have the same binding.
    parts = (scope.account, scope.region, key_id, material_id)
    return b"".join((_MATERIAL, *(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)))
