"""Keyrings over keys in PKCS #11 tokens, whose URIs have a syntax of their own (RFC 7512)."""

from __future__ import annotations

from envelope_sdk.keyrings.pkcs11.keyring import Pkcs11Keyring
from envelope_sdk.keyrings.schemes.door import LocalKmsDoor
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

__all__ = ["keyring"]


def keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of a key in a token.

    Raises:
        UsageError: the URI cannot be followed, or does not say which library or key.
        KeyringError: python-pkcs11 is not installed.
    """
    return Pkcs11Keyring.from_uri(str(uri))
