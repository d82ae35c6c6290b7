"""Keyrings for reading vectors: those that know the data key, and one that only decrypts.

``HierarchyReader`` follows framework/aws-kms/aws-kms-hierarchical-keyring.md, with the branch key given instead of
fetched.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from testkit.builder import EDK

from envelope_sdk.errors import AuthenticationError, KeyringError
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.keyrings.attempts import unwrap_first
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


def _expand(hash_: HashAlgorithm, key: bytes, length: int, label: bytes, context: bytes) -> bytes:
    return KBKDFHMAC(
        algorithm=hash_,
        mode=Mode.CounterMode,
        length=length,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    ).derive(key)


class HierarchyReader:
    """Opens ``aws-kms-hierarchy`` data keys with one version of one branch key."""

    def __init__(self, branch_key_id: str, version: str, branch_key: bytes) -> None:
        self._id = branch_key_id.encode()
        self._version = uuid.UUID(version).bytes
        self._branch_key = branch_key

    def __repr__(self) -> str:
        return "HierarchyReader()"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        raise KeyringError("this keyring only decrypts")

    def on_decrypt(self, materials: DecryptionMaterials, keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        context = materials.encryption_context.canonical
        mine = (key for key in keys if (key.provider_id, key.provider_info) == ("aws-kms-hierarchy", self._id))
        return unwrap_first(repr(self), materials, mine, lambda key: self._unwrap(key, context))

    def _unwrap(self, key: EncryptedDataKey, context: bytes) -> bytes:
        salt, iv, version, wrapped = (
            key.ciphertext[:16],
            key.ciphertext[16:28],
            key.ciphertext[28:44],
            key.ciphertext[44:],
        )
        if version != self._version:
            raise KeyringError("wrapped under another version of the branch key")
        wrapping_key = _expand(SHA256(), self._branch_key, 32, b"aws-kms-hierarchy", salt)
        aad = b"aws-kms-hierarchy" + self._id + self._version + context
        try:
            return AESGCM(wrapping_key).decrypt(iv, wrapped, aad)
        except InvalidTag:
            raise AuthenticationError("the data key does not open", section="encrypted data key") from None
