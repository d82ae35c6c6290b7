"""Keyrings for reading vectors: those that know the data key."""

from __future__ import annotations

from collections.abc import Sequence

from testkit.builder import EDK

from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials


class StaticDataKeyring:
    """Always the same data key, whatever the encrypted data keys say."""

    def __init__(self, data_key: bytes) -> None:
        self._data_key = data_key
        self.unwraps = 0

    def __repr__(self) -> str:
        return "StaticDataKeyring()"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        return materials.with_data_key(self._data_key, EncryptedDataKey(*EDK))

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        self.unwraps += 1
        return materials.with_data_key(self._data_key)


class NullDataKeyring:
    """A data key of zeros, as long as the suite wants."""

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        return materials.with_data_key(bytes(materials.algorithm_suite.key_length), EncryptedDataKey("null", b"", b""))

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        return materials.with_data_key(bytes(materials.algorithm_suite.key_length))


class CountingDataKeyring:
    """The data key 1, 2, 3, ..., as long as the suite wants."""

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        data_key = bytes(range(1, materials.algorithm_suite.key_length + 1))
        return materials.with_data_key(data_key, EncryptedDataKey("counting", b"", b""))

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        return materials.with_data_key(bytes(range(1, materials.algorithm_suite.key_length + 1)))
