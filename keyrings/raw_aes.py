"""Wrapping under an AES key that the caller holds (framework/raw-aes-keyring.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from envelope_sdk.errors import UsageError
from envelope_sdk.formats.cursor import BytesLike, byte_view
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import unwrap_first
from envelope_sdk.keyrings.names import checked_name
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.aead import IV_LENGTH, TAG_LENGTH
from envelope_sdk.primitives.entropy import RandomSource, system_random
from envelope_sdk.primitives.keywrap import AesWrappingKey

__all__ = ["RawAesKeyring", "key_name_in"]

_TAG_BITS_AND_IV_LENGTH: Final = (TAG_LENGTH * 8).to_bytes(4, "big") + IV_LENGTH.to_bytes(4, "big")


def key_name_in(provider_info: bytes) -> bytes | None:
    """Return the key name in what a message says of a data key; ``None`` where that is not of a raw AES key."""
    prefix = provider_info[:-IV_LENGTH]
    return prefix.removesuffix(_TAG_BITS_AND_IV_LENGTH) if prefix.endswith(_TAG_BITS_AND_IV_LENGTH) else None


class RawAesKeyring:
    """Wraps data keys with AES-GCM, bound to the encryption context."""

    __slots__ = ("_info_prefix", "_key", "_name", "_namespace", "_random")

    def __init__(
        self, namespace: str, name: str, wrapping_key: BytesLike, *, random: RandomSource = system_random
    ) -> None:
        """Take a key and what it is called.

        Args:
            namespace: the key provider id in messages; anything that does not begin with ``aws-kms``.
            name: tells this key from others of the namespace. Readers need the same namespace and name.
            wrapping_key: 16, 24 or 32 random bytes.
            random: the source of data keys and IVs.

        Raises:
            UsageError: the key has another length, or the names cannot be used.
        """
        key = bytes(byte_view(wrapping_key))
        if len(key) not in (16, 24, 32):
            raise UsageError(f"an AES wrapping key has 16, 24 or 32 bytes, not {len(key)}")
        self._info_prefix = checked_name(namespace, name) + _TAG_BITS_AND_IV_LENGTH
        self._namespace = namespace
        self._name = name
        self._key = AesWrappingKey(key)
        self._random = random

    def __repr__(self) -> str:
        return f"RawAesKeyring({self._namespace!r}, {self._name!r}, {self._key.length * 8} bits)"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key, making one where there is none."""
        data_key = materials.plaintext_data_key
        if data_key is None:
            data_key = self._random(materials.algorithm_suite.key_length)
        iv = self._random(IV_LENGTH)
        wrapped = self._key.wrap(data_key, iv, materials.encryption_context.canonical)
        return materials.with_data_key(data_key, EncryptedDataKey(self._namespace, self._info_prefix + iv, wrapped))

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Unwrap the first data key that names this key and authenticates.

        Raises:
            NoMatchingKeyError: there is none.
        """
        aad = materials.encryption_context.canonical
        mine = [key for key in encrypted_data_keys if self._is_named(key)]
        return unwrap_first(
            self, materials, mine, lambda key: self._key.unwrap(key.ciphertext, key.provider_info[-IV_LENGTH:], aad)
        )

    def _is_named(self, key: EncryptedDataKey) -> bool:
        # Names may be prefixes of each other: only the exact length tells where the name ends.
        info = key.provider_info
        return (
            len(info) == len(self._info_prefix) + IV_LENGTH
            and info.startswith(self._info_prefix)
            and key.provider_id == self._namespace
        )
