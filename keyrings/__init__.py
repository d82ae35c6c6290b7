"""Keyrings: the ways to wrap a data key, one module for each. Imported as ``envelope_sdk.keyrings``.

Every keyring satisfies :class:`envelope_sdk.materials.Keyring` and is safe to share between threads.
"""

from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
from envelope_sdk.keyrings.multi import MultiKeyring
from envelope_sdk.keyrings.raw_aes import RawAesKeyring
from envelope_sdk.keyrings.raw_rsa import RawRsaKeyring
from envelope_sdk.primitives.keywrap import RsaPadding

__all__ = ["KmsKeyring", "MultiKeyring", "RawAesKeyring", "RawRsaKeyring", "RsaPadding"]

if __name__ == "keyrings":
    # The root of a checkout is on sys.path: keep PyPI's ``keyrings.*`` namespace reachable past this directory.
    __path__ = __import__("pkgutil").extend_path(__path__, __name__)
