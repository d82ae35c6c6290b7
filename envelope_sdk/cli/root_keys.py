"""Where the command finds the root key of the local KMS: never in its arguments, which everybody can read."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from envelope_sdk.errors import KeyStoreError, UsageError

if TYPE_CHECKING:
    from envelope_sdk.local_kms import RootKeySource

__all__ = ["FORMS", "SOURCE_VARIABLE", "root_key_source"]

SOURCE_VARIABLE: Final = "ENVELOPE_KMS_ROOT_KEY_FROM"
"""The environment variable that says where the root key is, where ``--root-key`` does not."""

FORMS: Final = "file:PATH, env:NAME, passphrase-file:PATH, passphrase-env:NAME or a PKCS#11 URI"
"""What a source is written as."""

_MAX_PASSPHRASE: Final = 4096


def root_key_source(text: str | None) -> RootKeySource:
    """Return the source that ``text`` names.

    ``file:PATH`` is a root key file; ``env:NAME`` an environment variable with base64 of 32 bytes;
    ``passphrase-file:PATH`` and ``passphrase-env:NAME`` hold a passphrase, without the line break at its end; a PKCS#11
    URI names a key of a token. ``None`` and the empty text are the usual place.

    Raises:
        UsageError: it is none of these.
        KeyStoreError: what it names is not there, or holds something else.
        KeyringError: python-pkcs11 is not installed.
    """
    if not text:
        return None
    kind, colon, rest = text.partition(":")
    if kind.lower() == "pkcs11":
        from envelope_sdk.keyrings import Pkcs11RootKey

        return Pkcs11RootKey(text)
    if colon and rest and "\0" not in rest:
        from envelope_sdk.local_kms import Passphrase

        if kind == "file":
            return Path(rest).absolute()
        if kind == "env":
            return _root_key(_variable(rest), rest)
        if kind == "passphrase-file":
            return Passphrase(_file(Path(rest)))
        if kind == "passphrase-env":
            return Passphrase(_variable(rest))
    # The text is not repeated: it may be the root key itself.
    raise UsageError(f"a root key is named by {FORMS}")


def _variable(name: str) -> str:
    value = os.environ.get(name) if "=" not in name else None
    if value is None:
        raise KeyStoreError(f"the environment variable {name!r} that should hold the root key is not set")
    return value


def _root_key(text: str, name: str) -> bytes:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != 32:
        raise KeyStoreError(f"the environment variable {name!r} does not hold a root key: base64 of 32 bytes")
    return secret


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_PASSPHRASE + 1)
    except OSError as error:
        raise KeyStoreError(f"the passphrase cannot be read from {path}: {str(error.strerror).lower()}") from None
    text = _decoded(data.removesuffix(b"\n").removesuffix(b"\r"))
    if text is None or len(data) > _MAX_PASSPHRASE:
        raise KeyStoreError(f"the file {path} holds no passphrase: text of up to {_MAX_PASSPHRASE} bytes")
    return text


def _decoded(data: bytes) -> str | None:
    # A function of its own, so that the error raised on its answer does not carry this one, which holds the bytes.
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
