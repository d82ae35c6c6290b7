"""Keyrings over keys in PKCS #11 tokens, whose URIs have a syntax of their own (RFC 7512).

``padding=`` among their queries is this package's addition: what an RSA pair is used with. The RFC has room for such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.pkcs11.keyring import Pkcs11Keyring
from envelope_sdk.keyrings.pkcs11.rsa_keyring import Pkcs11RsaKeyring
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring
from envelope_sdk.primitives.rsa import RsaPadding

if TYPE_CHECKING:
    from envelope_sdk.keyrings.schemes.door import LocalKmsDoor

__all__ = ["keyring"]

_PADDING: Final = "padding="
_RSA: Final = frozenset({"type=private", "type=public"})


def keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of a key in a token: an AES key, or an RSA pair where ``type`` is ``private`` or ``public``.

    Raises:
        UsageError: the URI cannot be followed, or does not say which library or key.
        KeyringError: python-pkcs11 is not installed.
    """
    path, _, query = uri.rest.partition("?")
    queries = query.split("&")
    paddings = [part.removeprefix(_PADDING) for part in queries if part.startswith(_PADDING)]
    text = str(uri._replace(rest=f"{path}?{'&'.join(part for part in queries if not part.startswith(_PADDING))}"))
    if _RSA.intersection(path.split(";")):
        return Pkcs11RsaKeyring.from_uri(text, _padding(paddings))
    if paddings:
        raise UsageError("padding= in a PKCS#11 URI goes with type=private or type=public, the types of RSA keys")
    return Pkcs11Keyring.from_uri(text)


def _padding(names: list[str]) -> RsaPadding:
    try:
        (name,) = names
        return RsaPadding(name)
    except ValueError:
        known = ", ".join(padding.value for padding in RsaPadding if padding is not RsaPadding.PKCS1)
        raise UsageError(
            f"padding= in a PKCS#11 URI of an RSA key stands once and is one of {known}: one that the token can open"
        ) from None
