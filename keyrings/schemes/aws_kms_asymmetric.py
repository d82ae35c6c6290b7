"""Keyrings over RSA and key agreement keys of AWS KMS."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.schemes import LocalKmsDoor
from envelope_sdk.keyrings.schemes.aws_kms import client_in, region_of
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

__all__ = ["ecdh_keyring", "rsa_keyring"]

_MAX_LENGTH: Final = 2**16  # bytes of a public key in PEM


def rsa_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of an RSA key.

    Raises:
        UsageError: the public key, the algorithm or the ARN cannot be used; or boto3 finds no profile or address.
        KeyringError: the public key cannot be read.
    """
    options: dict[str, Any] = {"public_key": _public_key(uri, "public-key"), "grant_tokens": uri.every("grant-token")}
    if (algorithm := uri.one("algorithm")) is not None:
        options["encryption_algorithm"] = algorithm
    made: Keyring = _public("KmsRsaKeyring")(client_in(uri, region_of(uri)), uri.rest, **options)
    return made


def ecdh_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of a key agreement key: from it to ``recipient=``, or, without that, of what comes to it.

    Raises:
        UsageError: a public key or the identifier cannot be used; or boto3 finds no Region, profile or address.
        KeyringError: a public key cannot be read.
    """
    recipient, sender = _public_key(uri, "recipient"), _public_key(uri, "sender")
    if sender is not None and recipient is None:
        raise UsageError("sender= of aws-kms-ecdh:// is the public key of KEY, and goes with recipient=")
    kms, kind, grant_tokens = client_in(uri, region_of(uri)), _public("KmsEcdhKeyring"), uri.every("grant-token")
    made: Keyring = (
        kind.discovery(kms, uri.rest, grant_tokens=grant_tokens)
        if recipient is None
        else kind.static(kms, uri.rest, recipient, sender_public_key=sender, grant_tokens=grant_tokens)
    )
    return made


def _public_key(uri: KeyringUri, name: str) -> bytes | None:
    value = uri.one(name)
    if value is None:
        return None
    path = uri.path(value)
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_LENGTH + 1)
    except OSError as error:
        raise KeyringError(f"the public key {path!r} cannot be read: {str(error.strerror).lower()}") from error
    if len(data) > _MAX_LENGTH:
        raise UsageError(f"{path!r} is no public key: it is too long")
    return data


def _public(name: str) -> Any:
    return getattr(import_module("envelope_sdk.keyrings"), name)
