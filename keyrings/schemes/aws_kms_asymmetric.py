"""Keyrings over RSA and key agreement keys of AWS KMS."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.key_files import public_key_in
from envelope_sdk.keyrings.kms.ecdh import KmsEcdhKeyring
from envelope_sdk.keyrings.kms.rsa import KmsRsaKeyring
from envelope_sdk.keyrings.schemes.aws_kms import client_of
from envelope_sdk.keyrings.schemes.door import LocalKmsDoor
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

__all__ = ["ecdh_keyring", "rsa_keyring"]

_MAX_LENGTH: Final = 2**16  # bytes of a public key in PEM or DER


def rsa_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of an RSA key.

    Raises:
        UsageError: the public key, the algorithm or the ARN cannot be used; or boto3 finds no profile or address.
        KeyringError: the public key cannot be read.
    """
    public_key, algorithm = _public_key(uri, "public-key"), uri.one("algorithm")
    options: dict[str, Any] = {} if algorithm is None else {"encryption_algorithm": algorithm}
    return KmsRsaKeyring(
        client_of(uri, "RSA"), uri.rest, public_key=public_key, grant_tokens=uri.every("grant-token"), **options
    )


def ecdh_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of a key agreement key: from it to ``recipient=``, or, without that, of what comes to it.

    Raises:
        UsageError: a public key or the ARN cannot be used; or boto3 finds no profile or address.
        KeyringError: a public key cannot be read.
        KmsError: there is no ``public-key=``, and KMS did not give it.
    """
    recipient, own = _public_key(uri, "recipient"), _public_key(uri, "public-key")
    kms, grant_tokens = client_of(uri, "ECC"), uri.every("grant-token")
    if recipient is None:
        return KmsEcdhKeyring.discovery(kms, uri.rest, recipient_public_key=own, grant_tokens=grant_tokens)
    return KmsEcdhKeyring.static(kms, uri.rest, recipient, sender_public_key=own, grant_tokens=grant_tokens)


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
    # The public halves that 'envelope keygen' writes are key files.
    return public_key_in(data) if data.lstrip().startswith(b"{") else data
