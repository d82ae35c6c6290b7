"""Raw keys in files: a JSON object that holds a key together with what it has to be used with.

For AES and RSA that is the namespace and the name, without which nothing opens; for ECDH it is the scheme. So they
travel together. Whoever can read such a file can use its key.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.raw_aes import RawAesKeyring

if TYPE_CHECKING:
    from envelope_sdk.keyrings.raw_ecdh import RawEcdhKeyring
    from envelope_sdk.keyrings.raw_rsa import RawRsaKeyring
    from envelope_sdk.primitives.rsa import RsaPadding

__all__ = [
    "MAX_LENGTH",
    "encode_aes_key_file",
    "encode_ecdh_key_file",
    "encode_rsa_key_file",
    "KeyFile",
    "parse_key_file",
    "public_key_in",
]

MAX_LENGTH: Final = 2**16
"""Bytes: no key file is longer."""

_VERSION_FIELD: Final = "envelope-key-file"
_VERSION: Final = 1


def encode_aes_key_file(namespace: str, name: str, wrapping_key: bytes) -> bytes:
    """Return the file of an AES wrapping key."""
    key = base64.b64encode(wrapping_key).decode("ascii")
    return _encode("raw-aes", namespace=namespace, name=name, wrapping_key=key)


def encode_rsa_key_file(
    namespace: str, name: str, padding: RsaPadding, *, public_key: bytes, private_key: bytes | None = None
) -> bytes:
    """Return the file of an RSA key, given in PEM: the pair, or the public half alone."""
    halves = {"public_key": public_key.decode("ascii")}
    if private_key is not None:
        halves["private_key"] = private_key.decode("ascii")
    return _encode("raw-rsa", namespace=namespace, name=name, padding=padding.value, **halves)


def encode_ecdh_key_file(
    scheme: str, *, private_key: bytes | None = None, recipient_public_key: bytes | None = None
) -> bytes:
    """Return the file of ECDH keys, given in PEM.

    Args:
        scheme: the class method of :class:`~envelope_sdk.keyrings.RawEcdhKeyring` that makes the keyring: ``"pair"`` or
            ``"discovery"`` of a private key, ``"ephemeral"`` of a public key, ``"static"`` of both.
        private_key: the holder's.
        recipient_public_key: the other party's.
    """
    keys = {"private_key": private_key, "recipient_public_key": recipient_public_key}
    given = {field: key.decode("ascii") for field, key in keys.items() if key is not None}
    return _encode("raw-ecdh", scheme=scheme, **given)


class KeyFile(NamedTuple):
    """What a key file holds.

    Attributes:
        kind: ``"raw-aes"``, ``"raw-ecdh"`` or ``"raw-rsa"``.
        keyring: the keyring it makes.
        secret: whether others must not read it; not so for a public key alone.
    """

    kind: str
    keyring: RawAesKeyring | RawEcdhKeyring | RawRsaKeyring
    secret: bool


def parse_key_file(data: bytes) -> KeyFile:
    """Return what a key file holds.

    Raises:
        UsageError: it is not a key file, or its key cannot be used. The text never repeats what the file holds.
    """
    fields = _decode(data)
    kind = fields.get("type")
    if kind == "raw-aes":
        return KeyFile(kind, _aes_keyring(fields), secret=True)
    if kind == "raw-rsa":
        return KeyFile(kind, _rsa_keyring(fields), secret="private_key" in fields)
    if kind == "raw-ecdh":
        return KeyFile(kind, _ecdh_keyring(fields), secret="private_key" in fields)
    raise UsageError("the key file's type is none of raw-aes, raw-ecdh, raw-rsa")


def public_key_in(data: bytes) -> bytes:
    """Return the public key in PEM that a key file holds without a private one, for those who only want that.

    Raises:
        UsageError: it is not such a file. The text never repeats what the file holds.
    """
    fields = _decode(data)
    field = {"raw-rsa": "public_key", "raw-ecdh": "recipient_public_key"}.get(str(fields.get("type")))
    if field is None or "private_key" in fields:
        raise UsageError("the key file holds no public key alone: name the one that ends in .pub")
    return _text(fields, field).encode()


def _aes_keyring(fields: dict[str, Any]) -> RawAesKeyring:
    try:
        key = base64.b64decode(_text(fields, "wrapping_key"), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the key file's wrapping_key is not base64") from None
    return RawAesKeyring(_text(fields, "namespace"), _text(fields, "name"), key)


def _rsa_keyring(fields: dict[str, Any]) -> RawRsaKeyring:
    # Whoever has an AES key does not wait for what only RSA needs.
    from envelope_sdk.keyrings.raw_rsa import RawRsaKeyring
    from envelope_sdk.primitives.rsa import RsaPadding

    try:
        padding = RsaPadding(_text(fields, "padding"))
    except ValueError:
        raise UsageError("the key file's padding is unknown") from None
    halves = {half: _text(fields, half).encode() for half in ("public_key", "private_key") if half in fields}
    return RawRsaKeyring(
        _text(fields, "namespace"),
        _text(fields, "name"),
        padding,
        public_key=halves.get("public_key"),
        private_key=halves.get("private_key"),
    )


def _ecdh_keyring(fields: dict[str, Any]) -> RawEcdhKeyring:
    from envelope_sdk.keyrings.raw_ecdh import RawEcdhKeyring

    def key(field: str) -> bytes:
        return _text(fields, field).encode()

    scheme = _text(fields, "scheme")
    # A pair's file that names a recipient would wrap for its holder alone, whoever was meant.
    needless = {"ephemeral": "private_key", "pair": "recipient_public_key", "discovery": "recipient_public_key"}
    if needless.get(scheme) in fields:
        raise UsageError(f"the key file's scheme is {scheme}, which does not use the {needless[scheme]} it has as well")
    match scheme:
        case "pair":
            return RawEcdhKeyring.pair(key("private_key"))
        case "static":
            return RawEcdhKeyring.static(key("private_key"), key("recipient_public_key"))
        case "ephemeral":
            return RawEcdhKeyring.ephemeral(key("recipient_public_key"))
        case "discovery":
            return RawEcdhKeyring.discovery(key("private_key"))
        case _:
            raise UsageError("the key file's scheme is none of pair, static, ephemeral, discovery")


def _encode(kind: str, **fields: str) -> bytes:
    content = {_VERSION_FIELD: _VERSION, "type": kind, **fields}
    return (json.dumps(content, indent=2) + "\n").encode("ascii")


def _decode(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or _VERSION_FIELD not in fields:
        raise UsageError("not a key file: make one with 'envelope keygen'")
    typed = cast("dict[str, Any]", fields)
    if typed[_VERSION_FIELD] != _VERSION:
        raise UsageError("the key file is of a version that this program does not know")
    return typed


def _text(fields: dict[str, Any], field: str) -> str:
    value = fields.get(field)
    if not isinstance(value, str):
        raise UsageError(f"the key file has no text under {field!r}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"what the key file has under {field!r} is not encodable as UTF-8") from None
    return value
