"""A materials manager that asks its keyring once: stands in for a cache whose every lookup is a hit.

Nothing is ever evicted, so this is for measuring only.
"""

from __future__ import annotations

from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.managers.default import DefaultMaterialsManager
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    Keyring,
)


class CachedMaterials:
    """Gives every message the materials of the first, and every reader those it got for the same wrapped data keys.

    A signed suite's key pair is part of the materials: messages share it as they share the data key.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._manager = DefaultMaterialsManager(keyring)
        self._encryption: EncryptionMaterials | None = None
        self._decryption: dict[tuple[EncryptedDataKey, ...], DecryptionMaterials] = {}

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        """Return the first message's materials."""
        if self._encryption is None:
            self._encryption = self._manager.get_encryption_materials(request)
        return self._encryption

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        """Return what these wrapped data keys opened to the first time."""
        keys = tuple(request.encrypted_data_keys)
        materials = self._decryption.get(keys)
        if materials is None:
            materials = self._decryption[keys] = self._manager.decrypt_materials(request)
        return materials
