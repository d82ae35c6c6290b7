"""Keyrings: the ways to wrap a data key, one module for each. Imported as ``envelope_sdk.keyrings``.

Every keyring satisfies :class:`envelope_sdk.materials.Keyring` and is safe to share between threads.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from envelope_sdk.keyrings.hierarchical.keyring import HierarchicalKeyring
    from envelope_sdk.keyrings.kms.clients import Boto3ClientSupplier, ClientSupplier, LimitedRegionsClientSupplier
    from envelope_sdk.keyrings.kms.discovery import DiscoveryFilter, KmsDiscoveryKeyring
    from envelope_sdk.keyrings.kms.ecdh import KmsEcdhKeyring
    from envelope_sdk.keyrings.kms.mrk import KmsMrkDiscoveryKeyring, KmsMrkKeyring
    from envelope_sdk.keyrings.kms.multi import (
        kms_discovery_multi_keyring,
        kms_mrk_discovery_multi_keyring,
        kms_mrk_multi_keyring,
        kms_multi_keyring,
    )
    from envelope_sdk.keyrings.kms.pacing import PacedClientSupplier, Pacer
    from envelope_sdk.keyrings.kms.rsa import KmsRsaKeyring
    from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
    from envelope_sdk.keyrings.multi import MultiKeyring
    from envelope_sdk.keyrings.pkcs11.keyring import Pkcs11Keyring
    from envelope_sdk.keyrings.pkcs11.root_key import Pkcs11RootKey
    from envelope_sdk.keyrings.pkcs11.rsa_keyring import Pkcs11RsaKeyring
    from envelope_sdk.keyrings.raw_aes import RawAesKeyring
    from envelope_sdk.keyrings.raw_ecdh import RawEcdhKeyring
    from envelope_sdk.keyrings.raw_rsa import RawRsaKeyring
    from envelope_sdk.keyrings.registry import keyring_from_uri, keyrings_from_uris, known_schemes
    from envelope_sdk.keyrings.uri import KeyringUri
    from envelope_sdk.primitives.ecdh import EcdhCurve
    from envelope_sdk.primitives.rsa import RsaPadding

__all__ = [
    "Boto3ClientSupplier",
    "ClientSupplier",
    "DiscoveryFilter",
    "EcdhCurve",
    "HierarchicalKeyring",
    "KeyringUri",
    "KmsDiscoveryKeyring",
    "KmsEcdhKeyring",
    "KmsKeyring",
    "KmsMrkDiscoveryKeyring",
    "KmsMrkKeyring",
    "KmsRsaKeyring",
    "LimitedRegionsClientSupplier",
    "MultiKeyring",
    "PacedClientSupplier",
    "Pacer",
    "Pkcs11Keyring",
    "Pkcs11RootKey",
    "Pkcs11RsaKeyring",
    "RawAesKeyring",
    "RawEcdhKeyring",
    "RawRsaKeyring",
    "RsaPadding",
    "keyring_from_uri",
    "keyrings_from_uris",
    "kms_discovery_multi_keyring",
    "kms_mrk_discovery_multi_keyring",
    "kms_mrk_multi_keyring",
    "kms_multi_keyring",
    "known_schemes",
]

_HOMES: Final = {
    "Boto3ClientSupplier": "envelope_sdk.keyrings.kms.clients",
    "ClientSupplier": "envelope_sdk.keyrings.kms.clients",
    "DiscoveryFilter": "envelope_sdk.keyrings.kms.discovery",
    "EcdhCurve": "envelope_sdk.primitives.ecdh",
    "HierarchicalKeyring": "envelope_sdk.keyrings.hierarchical.keyring",
    "KeyringUri": "envelope_sdk.keyrings.uri",
    "KmsDiscoveryKeyring": "envelope_sdk.keyrings.kms.discovery",
    "KmsEcdhKeyring": "envelope_sdk.keyrings.kms.ecdh",
    "KmsKeyring": "envelope_sdk.keyrings.kms.symmetric",
    "KmsMrkDiscoveryKeyring": "envelope_sdk.keyrings.kms.mrk",
    "KmsMrkKeyring": "envelope_sdk.keyrings.kms.mrk",
    "KmsRsaKeyring": "envelope_sdk.keyrings.kms.rsa",
    "LimitedRegionsClientSupplier": "envelope_sdk.keyrings.kms.clients",
    "MultiKeyring": "envelope_sdk.keyrings.multi",
    "PacedClientSupplier": "envelope_sdk.keyrings.kms.pacing",
    "Pacer": "envelope_sdk.keyrings.kms.pacing",
    "Pkcs11Keyring": "envelope_sdk.keyrings.pkcs11.keyring",
    "Pkcs11RootKey": "envelope_sdk.keyrings.pkcs11.root_key",
    "Pkcs11RsaKeyring": "envelope_sdk.keyrings.pkcs11.rsa_keyring",
    "RawAesKeyring": "envelope_sdk.keyrings.raw_aes",
    "RawEcdhKeyring": "envelope_sdk.keyrings.raw_ecdh",
    "RawRsaKeyring": "envelope_sdk.keyrings.raw_rsa",
    "RsaPadding": "envelope_sdk.primitives.rsa",
    "keyring_from_uri": "envelope_sdk.keyrings.registry",
    "keyrings_from_uris": "envelope_sdk.keyrings.registry",
    "kms_discovery_multi_keyring": "envelope_sdk.keyrings.kms.multi",
    "kms_mrk_discovery_multi_keyring": "envelope_sdk.keyrings.kms.multi",
    "kms_mrk_multi_keyring": "envelope_sdk.keyrings.kms.multi",
    "kms_multi_keyring": "envelope_sdk.keyrings.kms.multi",
    "known_schemes": "envelope_sdk.keyrings.registry",
}


def __getattr__(name: str) -> Any:
    """Import a keyring when it is asked for: whoever wants one does not pay for what the others need."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if __name__ == "keyrings":
    # The root of a checkout is on sys.path: keep PyPI's ``keyrings.*`` namespace reachable past this directory.
    __path__ = __import__("pkgutil").extend_path(__path__, __name__)
