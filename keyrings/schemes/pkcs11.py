"""Keyrings over keys in PKCS #11 tokens, whose URIs have a syntax of their own (RFC 7512)."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from envelope_sdk.keyrings.schemes import LocalKmsDoor
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

__all__ = ["keyring"]

_HOME: Final = "envelope_sdk.keyrings.pkcs11"


def keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of a key in a token."""
    home: Any = import_module(_HOME)
    made: Keyring = home.Pkcs11Keyring.from_uri(str(uri))
    return made
