"""A materials manager that takes down what it is asked, and a KMS that counts its calls."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import DefaultMaterialsManager
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    Keyring,
    MaterialsManager,
)


class Asked:
    """Passes every request on, and keeps it."""

    def __init__(self, beneath: Keyring | MaterialsManager) -> None:
        self.beneath = DefaultMaterialsManager(beneath) if isinstance(beneath, Keyring) else beneath
        self.to_encrypt: list[EncryptionRequest] = []
        self.to_decrypt: list[DecryptionRequest] = []

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        self.to_encrypt.append(request)
        return self.beneath.get_encryption_materials(request)

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        self.to_decrypt.append(request)
        return self.beneath.decrypt_materials(request)


class CountedKms:
    """The local KMS behind a door that counts, and that may hold calls up or refuse them.

    Attributes:
        calls: those that came in, by operation.
        granted: those that were answered.
    """

    def __init__(self, kms: LocalKms, before: Callable[[str], object] = lambda _operation: None) -> None:
        self._kms = kms
        self._before = before
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.granted: Counter[str] = Counter()

    def generate_data_key(self, **parameters: Any) -> Any:
        return self._call("GenerateDataKey", self._kms.generate_data_key, parameters)

    def encrypt(self, **parameters: Any) -> Any:
        return self._call("Encrypt", self._kms.encrypt, parameters)

    def decrypt(self, **parameters: Any) -> Any:
        return self._call("Decrypt", self._kms.decrypt, parameters)

    def _call(self, operation: str, method: Callable[..., Any], parameters: dict[str, Any]) -> Any:
        with self._lock:
            self.calls[operation] += 1
        self._before(operation)
        answer = method(**parameters)
        with self._lock:
            self.granted[operation] += 1
        return answer
