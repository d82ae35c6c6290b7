"""The AWS Encryption SDK for Python as the comparisons use it: a legacy key provider, the cache before it, the MPL.

Importing this module fails where ``aws-encryption-sdk`` is not installed; the MPL is imported where it is used, since
whole processes are measured too.
"""

from __future__ import annotations

from typing import Any

import aws_encryption_sdk as sdk
from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider

UNSIGNED = sdk.Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SIGNED = sdk.Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384

_NAMESPACE = "benchmark"
_KEY = bytes(32)
_DAY = 86_400.0


class _Provider(RawMasterKeyProvider):
    provider_id = _NAMESPACE

    def _get_raw_key(self, _key_id: bytes) -> WrappingKey:
        return WrappingKey(
            wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
            wrapping_key=_KEY,
            wrapping_key_type=EncryptionKeyType.SYMMETRIC,
        )


def client() -> sdk.EncryptionSDKClient:
    """Return a client with the SDK's own policy."""
    return sdk.EncryptionSDKClient()


def legacy() -> dict[str, Any]:
    """Return the arguments that select a raw master key provider."""
    provider = _Provider()
    provider.add_master_key("key")
    return {"key_provider": provider}


def caching() -> dict[str, Any]:
    """Return the arguments that select a cache in front of the raw master key provider; nothing leaves it here."""
    manager = sdk.CachingCryptoMaterialsManager(
        master_key_provider=legacy()["key_provider"], cache=sdk.LocalCryptoMaterialsCache(1000), max_age=_DAY
    )
    return {"materials_manager": manager}


def mpl() -> dict[str, Any]:
    """Return the arguments that select the material providers library's raw AES keyring."""
    from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders, models
    from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig

    library = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    keyring = library.create_raw_aes_keyring(
        models.CreateRawAesKeyringInput(
            key_namespace=_NAMESPACE,
            key_name="key",
            wrapping_key=_KEY,
            wrapping_alg=models.AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
        )
    )
    return {"keyring": keyring}


MATERIALS = {"legacy": legacy, "caching": caching, "MPL": mpl}
