"""PKCS#11 URIs (RFC 7512), as far as they name one key: a strict reading.

::

    pkcs11:token=vault;object=wrapping;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin

Attributes before ``?``: ``token``, ``serial``, ``manufacturer``, ``model`` for the token; ``object``, ``id`` and
``type`` for the key. After it: ``module-path``, and ``pin-source``, which is ``file:/path``, ``/path`` or,
as an addition to the RFC, ``env:NAME``. Anything else is refused: a condition that is not looked at might have meant
another key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.uri import NO_PIN_VALUE

__all__ = ["MAX_LENGTH", "KeyUri", "parse_key_uri"]

MAX_LENGTH: Final = 8192
"""Characters: no URI is longer."""

_SCHEME: Final = "pkcs11:"
_PATH: Final = frozenset({"token", "serial", "manufacturer", "model", "object", "id", "type"})
_QUERY: Final = frozenset({"module-path", "pin-source"})
_ATTRIBUTE: Final = re.compile(r"(?P<name>[A-Za-z0-9_-]+)=(?P<value>.*)", re.DOTALL)
# RFC 7512, 2.3: unreserved, percent-encoded, and these; '/', '?' and '|' in queries alone.
_VALUE_IN_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&-]|%[0-9A-Fa-f]{2})*")
_VALUE_IN_QUERY: Final = re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=;/?|-]|%[0-9A-Fa-f]{2})*")


class KeyUri(NamedTuple):
    """What a URI says; ``None`` where it says nothing.

    Attributes:
        token: the token's label.
        serial: its serial number.
        manufacturer: who made it.
        model: what they call it.
        key_label: the key's label.
        key_id: the key's id.
        key_type: ``secret-key``, ``private``, ``public``, or something that is no key.
        module_path: the library.
        pin_source: where the PIN is to be had.
    """

    token: str | None
    serial: str | None
    manufacturer: str | None
    model: str | None
    key_label: str | None
    key_id: bytes | None
    key_type: str | None
    module_path: str | None
    pin_source: str | None


def parse_key_uri(uri: str) -> KeyUri:
    """Return what ``uri`` says.

    Raises:
        UsageError: it is not a PKCS#11 URI, says something twice, or something that cannot be followed. The text
            repeats names of attributes, never values.
        TypeError: it is not text.
    """
    if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes, most often
        raise TypeError(f"a URI is text, not {type(uri).__name__}")
    if len(uri) > MAX_LENGTH:
        raise UsageError(f"the PKCS#11 URI has more than {MAX_LENGTH} characters")
    if uri[: len(_SCHEME)].lower() != _SCHEME:
        raise UsageError(f"a PKCS#11 URI begins with {_SCHEME!r}")
    path, _, query = uri[len(_SCHEME) :].partition("?")
    said = _attributes(path.split(";"), _PATH, _VALUE_IN_PATH)
    asked = _attributes(query.split("&"), _QUERY, _VALUE_IN_QUERY)
    return KeyUri(
        token=_text(said, "token"),
        serial=_text(said, "serial"),
        manufacturer=_text(said, "manufacturer"),
        model=_text(said, "model"),
        key_label=_text(said, "object"),
        key_id=said.get("id"),
        key_type=_text(said, "type"),
        module_path=_text(asked, "module-path"),
        pin_source=_text(asked, "pin-source"),
    )


def _attributes(parts: Iterable[str], known: frozenset[str], allowed: re.Pattern[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, parts):
        attribute = _ATTRIBUTE.fullmatch(part)
        if attribute is None:
            raise UsageError("a PKCS#11 URI consists of attributes of the form name=value")
        name, value = attribute["name"], attribute["value"]
        if name == "pin-value":
            raise UsageError(NO_PIN_VALUE)
        if name not in known:
            raise UsageError(f"{name!r} cannot stand there in a PKCS#11 URI; these can: {', '.join(sorted(known))}")
        if name in found:
            raise UsageError(f"the PKCS#11 URI says {name!r} twice")
        if not value or not allowed.fullmatch(value):
            raise UsageError(f"the PKCS#11 URI's {name!r} is empty, or has a character that is to be percent-encoded")
        found[name] = unquote_to_bytes(value)
    return found


def _text(attributes: dict[str, bytes], name: str) -> str | None:
    value = attributes.get(name)
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"the PKCS#11 URI's {name!r} is not UTF-8 text") from None
