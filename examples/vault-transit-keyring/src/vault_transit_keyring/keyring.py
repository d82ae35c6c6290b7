"""The keyring: data keys are made here and wrapped by Vault."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from envelope_sdk import EncryptedDataKey
from envelope_sdk.errors import EnvelopeError, KeyringError, NoMatchingKeyError, UnwrapFailure, UsageError
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from vault_transit_keyring.transit import Transit, Wrapped

__all__ = ["PROVIDER_ID", "VaultTransitKeyring"]

PROVIDER_ID: Final = "vault-transit"
"""The key provider id of data keys that this keyring wrapped."""

_VERSION_LENGTH: Final = 4


class VaultTransitKeyring:
    """Wraps data keys with a key of Vault's transit engine, bound to the encryption context.

    Messages name the key by its mount and name, ``transit/backups``, and not by the address of a server, so that they
    outlive it.
    """

    def __init__(
        self,
        address: str,
        key: str,
        *,
        token: str,
        mount: str = "transit",
        ca_file: str | None = None,
        timeout: float = 10.0,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Take a server and the key to use.

        Args:
            address: ``https://HOST:PORT``; plain HTTP only for an agent on this machine.
            key: the name of the transit key.
            token: allows encryption and decryption with it.
            mount: where the transit engine is mounted.
            ca_file: PEM certificates to trust; the system's by default.
            timeout: seconds for each step of a call.
            random: the source of data keys.

        Raises:
            UsageError: an argument cannot work.
            OSError: the CA file cannot be read.
        """
        self._transit = Transit(address, key, token=token, mount=mount, ca_file=ca_file, timeout=timeout)
        self._info = f"{mount}/{key}".encode()
        self._random = random

    def __repr__(self) -> str:
        return f"VaultTransitKeyring({self._transit.address!r}, {self._info.decode()!r})"

    def __reduce__(self) -> str:
        raise TypeError("a keyring that holds a token cannot be pickled or copied")

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Have Vault wrap the data key, making one first where there is none.

        Raises:
            KmsError: Vault refused or failed.
        """
        data_key = materials.plaintext_data_key
        if data_key is None:
            data_key = self._random(materials.algorithm_suite.key_length)
        version, wrapped = self._transit.encrypt(data_key, materials.encryption_context.canonical)
        # Bytes, not Vault's text: base64 can often be written in several ways, which would all open.
        ciphertext = version.to_bytes(_VERSION_LENGTH, "big") + wrapped
        return materials.with_data_key(data_key, EncryptedDataKey(PROVIDER_ID, self._info, ciphertext))

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have Vault unwrap the first data key that names this keyring's key and opens.

        Raises:
            NoMatchingKeyError: none does; it lists why.
        """
        if materials.plaintext_data_key is not None:
            raise UsageError("the decryption materials already hold a data key")
        failures: list[UnwrapFailure] = []
        for key in encrypted_data_keys:
            if (key.provider_id, key.provider_info) != (PROVIDER_ID, self._info):
                continue
            try:
                return materials.with_data_key(self._unwrap(key, materials))
            except EnvelopeError as error:
                failures.append(UnwrapFailure(repr(self), key.provider_id, error))
        if not failures:
            nothing = KeyringError("none of the message's data keys is wrapped for this key")
            failures.append(UnwrapFailure(repr(self), None, nothing))
        raise NoMatchingKeyError("no key at hand opens this message", failures)

    def _unwrap(self, key: EncryptedDataKey, materials: DecryptionMaterials) -> bytes:
        version, wrapped = key.ciphertext[:_VERSION_LENGTH], key.ciphertext[_VERSION_LENGTH:]
        if not wrapped:
            raise KeyringError("the wrapped data key is cut short")
        found = Wrapped(int.from_bytes(version, "big"), wrapped)
        data_key = self._transit.decrypt(found, materials.encryption_context.canonical)
        wanted = materials.algorithm_suite.key_length
        if len(data_key) != wanted:
            raise KeyringError(f"the data key has {len(data_key)} bytes, the algorithm suite needs {wanted}")
        return data_key
