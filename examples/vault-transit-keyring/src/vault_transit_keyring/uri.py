"""From a URI to a keyring: what the entry point in ``pyproject.toml`` names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from envelope_sdk.errors import KeyringError, UsageError
from vault_transit_keyring.keyring import VaultTransitKeyring

if TYPE_CHECKING:
    from envelope_sdk.keyrings import KeyringUri

__all__ = ["from_uri"]

_FORM: Final = "vault-transit://HOST:PORT/KEY?mount=...&token-file=...&ca-file=...&tls=no"
_SCHEMES: Final = {"yes": "https", "no": "http"}


def from_uri(uri: KeyringUri) -> VaultTransitKeyring:
    """Return the keyring that a URI names; its token is in a file, or in the environment variable ``VAULT_TOKEN``.

    Args:
        uri: ``vault-transit://HOST:PORT/KEY`` with any of ``mount=``, ``token-file=``, ``ca-file=`` and, for an agent
            on this machine, ``tls=no``.

    Raises:
        UsageError: it has another form.
        KeyringError: there is no token, or a file cannot be read.
    """
    uri.check(single=["mount", "token-file", "ca-file", "tls"])
    host, _, key = uri.rest.partition("/")
    if not host or not key:
        raise UsageError(f"the URI names no server, or no key: it is {_FORM}")
    scheme = _SCHEMES.get(uri.one("tls") or "yes")
    if scheme is None:
        raise UsageError("tls= is yes or no")
    ca_file = uri.one("ca-file")
    try:
        return VaultTransitKeyring(
            f"{scheme}://{host}",
            key,
            token=_token(uri),
            mount=uri.one("mount") or "transit",
            ca_file=None if ca_file is None else uri.path(ca_file),
        )
    except OSError as error:
        raise KeyringError(f"a file that the URI names cannot be read: {error}") from error


def _token(uri: KeyringUri) -> str:
    file = uri.one("token-file")
    if file is not None:
        return Path(uri.path(file)).read_text("utf-8").strip()
    token = os.environ.get("VAULT_TOKEN", "")
    if not token:
        raise KeyringError("there is no token for Vault: set VAULT_TOKEN, or name a file with token-file=")
    return token
