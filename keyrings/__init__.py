"""Keyrings: the ways to wrap a data key, one module for each. Imported as ``envelope_sdk.keyrings``.

Every keyring satisfies :class:`envelope_sdk.materials.Keyring` and is safe to share between threads.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
    from envelope_sdk.keyrings.multi import MultiKeyring
    from envelope_sdk.keyrings.pkcs11.keyring import Pkcs11Keyring
    from envelope_sdk.keyrings.pkcs11.rsa_keyring import Pkcs11RsaKeyring
    from envelope_sdk.keyrings.raw_aes import RawAesKeyring
    from envelope_sdk.keyrings.raw_rsa import RawRsaKeyring
    from envelope_sdk.primitives.rsa import RsaPadding

__all__ = [
    "KmsKeyring",
    "MultiKeyring",
    "Pkcs11Keyring",
    "Pkcs11RsaKeyring",
    "RawAesKeyring",
    "RawRsaKeyring",
    "RsaPadding",
]

_HOMES: Final = {
    "KmsKeyring": "envelope_sdk.keyrings.kms.symmetric",
    "MultiKeyring": "envelope_sdk.keyrings.multi",
    "Pkcs11Keyring": "envelope_sdk.keyrings.pkcs11.keyring",
    "Pkcs11RsaKeyring": "envelope_sdk.keyrings.pkcs11.rsa_keyring",
    "RawAesKeyring": "envelope_sdk.keyrings.raw_aes",
    "RawRsaKeyring": "envelope_sdk.keyrings.raw_rsa",
    "RsaPadding": "envelope_sdk.primitives.rsa",
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
