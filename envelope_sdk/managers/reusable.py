"""Materials as a cache keeps them: what they are for, a key that can be wiped, and how much it has been used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

from envelope_sdk.cache.identifiers import MaterialsName
from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.kms.calls import KmsCalls
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

__all__ = ["Reusable", "reusable_decryption", "reusable_encryption"]

M = TypeVar("M")


class Reusable(Generic[M]):
    """Materials for many messages. Each gets a copy of the data key; :meth:`wipe` zeroes the one kept here.

    Attributes:
        name: what they were loaded for: a cache that mixes values up is found out.
        kms_calls: calls of KMS that one more message is spared by them.
    """

    __slots__ = ("_bytes", "_data_key", "_filled", "_lock", "_messages", "_unused", "_wiped", "kms_calls", "name")

    def __init__(self, name: MaterialsName, filled: Callable[[bytes], M], data_key: bytes, kms_calls: KmsCalls) -> None:
        """Take what makes materials of a data key, and the data key."""
        self.name = name
        self.kms_calls = kms_calls
        self._filled = filled
        self._data_key = bytearray(data_key)
        # Of the kind that lets its own thread in again: a signal handler that encrypts may interrupt one who holds it.
        self._lock = threading.RLock()
        self._messages = 0
        self._bytes = 0
        self._wiped = False
        self._unused = {True: None}

    def __repr__(self) -> str:
        return "Reusable(<secret>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("materials hold a data key: they cannot be pickled or copied")

    def take(self, length: int, max_messages: int, max_bytes: int) -> bool:
        """Count one more message of so many bytes, unless a limit would be overrun; return whether it was counted."""
        with self._lock:
            # Nothing is called from here on, so that no signal handler comes between.
            if self._messages >= max_messages or self._bytes + length > max_bytes:
                return False
            self._messages += 1
            self._bytes += length
            return True

    def materials(self) -> M:
        """Return materials of one message.

        Raises:
            KeyringError: they were wiped: whoever lends them still is at fault.
        """
        data_key = bytes(self._data_key)
        # Looked at after copying: with zeros for a key, everybody could read the message.
        if self._wiped:
            raise KeyringError("the cache lent materials that it had wiped: a faulty cache")
        return self._filled(data_key)

    def saved_calls(self) -> KmsCalls | None:
        """Return the calls of KMS that one more message was spared; ``None`` to the first, for which they were made."""
        # One step, so that of several threads one is the first.
        return self._unused.pop(True, self.kms_calls)

    def wipe(self) -> None:
        """Zero the data key."""
        self._wiped = True
        self._data_key[:] = bytes(len(self._data_key))


def reusable_encryption(
    name: MaterialsName, materials: EncryptionMaterials, kms_calls: KmsCalls
) -> Reusable[EncryptionMaterials]:
    """Return encryption materials that can be kept."""
    assert materials.plaintext_data_key is not None
    blank = EncryptionMaterials(
        materials.algorithm_suite,
        materials.encryption_context,
        materials.required_encryption_context_keys,
        None,
        materials.encrypted_data_keys,
        materials.signing_key,
    )
    # It is the same in all messages, so it is made once, here.
    _ = blank.encoded_context_and_keys
    return Reusable(name, blank.with_data_key, materials.plaintext_data_key, kms_calls)


def reusable_decryption(
    name: MaterialsName, materials: DecryptionMaterials, kms_calls: KmsCalls
) -> Reusable[DecryptionMaterials]:
    """Return decryption materials that can be kept."""
    assert materials.plaintext_data_key is not None
    blank = DecryptionMaterials(
        materials.algorithm_suite,
        materials.encryption_context,
        materials.required_encryption_context_keys,
        None,
        materials.verification_key,
    )
    return Reusable(name, blank.with_data_key, materials.plaintext_data_key, kms_calls)
