"""A manager that counts, without a cache: what there would be to save."""

from __future__ import annotations

from envelope_sdk.managers.default import DefaultMaterialsManager
from envelope_sdk.managers.recording import DECRYPT, ENCRYPT, Asked, Recorder
from envelope_sdk.managers.usage import MaterialsUsage, OnMaterialsEvent
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    Keyring,
    MaterialsManager,
)

__all__ = ["CountingMaterialsManager"]


class CountingMaterialsManager:
    """Asks what is beneath for each message, and counts messages and calls of KMS as a caching manager does."""

    __slots__ = ("_recorder", "_underlying")

    def __init__(self, underlying: MaterialsManager | Keyring, *, on_event: OnMaterialsEvent | None = None) -> None:
        """Take where materials come from, and what is told of each message."""
        if isinstance(underlying, MaterialsManager):
            self._underlying: MaterialsManager = underlying
        else:
            self._underlying = DefaultMaterialsManager(underlying)
        self._recorder = Recorder(on_event)

    def __repr__(self) -> str:
        return f"CountingMaterialsManager({self._underlying!r})"

    def usage(self) -> MaterialsUsage:
        """Return what the manager has done since it was made. Each of its messages has bypassed the cache."""
        return self._recorder.usage()

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        """Return what is beneath returns, or raise what it raises."""
        asked = Asked(self._recorder, ENCRYPT)
        try:
            with asked.loading():
                materials = self._underlying.get_encryption_materials(request)
        except BaseException:
            asked.failed()
            raise
        asked.bypassed()
        return materials

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        """Return what is beneath returns, or raise what it raises."""
        asked = Asked(self._recorder, DECRYPT)
        try:
            with asked.loading():
                materials = self._underlying.decrypt_materials(request)
        except BaseException:
            asked.failed()
            raise
        asked.bypassed()
        return materials
