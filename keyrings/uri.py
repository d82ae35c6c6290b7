"""Keyrings as text: ``SCHEME://REST?NAME=VALUE&NAME=VALUE``.

``%`` and ``?`` are percent-encoded in what they name, and ``&`` and ``=`` among parameters too; everything else may
stand as it is, encoded or not. ``+`` is a plus. The addresses of PKCS #11 objects have a syntax of their own
(RFC 7512), which is kept as it is: ``pkcs11:token=...``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from envelope_sdk.errors import UsageError

__all__ = ["KEY_FILE", "NO_PIN_VALUE", "KeyringUri", "near_miss"]

KEY_FILE: Final = "key-file"
"""The scheme of what is no URI: the path of a key file."""

NO_PIN_VALUE: Final = (
    "pin-value is refused: a PIN in a URI ends up in process lists, shell histories and logs; "
    "name a file or an environment variable with pin-source=file:/path or pin-source=env:NAME"
)

_OPAQUE: Final = "pkcs11"
_SCHEME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+-.")
_KEPT_IN_REST: Final = "/:@~=+,"
_KEPT_IN_PARAMETERS: Final = "/:@~+,"


class KeyringUri(NamedTuple):
    """A keyring's URI, taken apart and decoded.

    Attributes:
        scheme: what kind of keyring, in lower case.
        rest: what stands between ``://`` and the first ``?``; for ``pkcs11``, all that follows the colon, as it is.
        parameters: the values of each parameter, in their order.
        folder: what relative paths are relative to; empty for the current folder.
    """

    scheme: str
    rest: str
    parameters: Mapping[str, tuple[str, ...]] = {}
    folder: str = ""

    @classmethod
    def parse(cls, text: str, folder: str = "") -> KeyringUri:
        """Take ``text`` apart.

        Args:
            text: a URI.
            folder: what relative paths in it are relative to.

        Raises:
            UsageError: it is no URI of this form. The message never repeats it.
        """
        scheme, colon, rest = text.partition(":")
        scheme = scheme.lower()
        if not colon or not _is_scheme(scheme):
            raise UsageError("this is no URI of a keyring, which begins with SCHEME://")
        if scheme == _OPAQUE:
            if any(part.lower().startswith("pin-value=") for part in re.split("[;?&]", rest)):
                # Here, so that what only shows URIs shows none.
                raise UsageError(NO_PIN_VALUE)
            return cls(scheme, _checked(scheme, rest), {}, folder)
        if not rest.startswith("//"):
            raise UsageError(f"'://' does not follow {scheme} in the URI of a keyring")
        rest, _, query = rest[2:].partition("?")
        return cls(scheme, _decoded(scheme, rest), _parameters(scheme, query), folder)

    @classmethod
    def of_key(cls, text: str, folder: str = "") -> KeyringUri:
        """Return what ``text`` names where a key is asked for: a URI, or the path of a key file.

        Raises:
            UsageError: it has the form of a URI and is none.
        """
        if "://" in text or text.lower().startswith(f"{_OPAQUE}:"):
            return cls.parse(text, folder)
        if text.startswith("arn:"):
            raise UsageError("an ARN alone is no key: write aws-kms://ARN, or local-kms://ARN for one of the local KMS")
        return cls(KEY_FILE, _checked(KEY_FILE, text), {}, folder)

    def __str__(self) -> str:
        """Return the URI; :meth:`parse` makes the same of it."""
        if self.scheme == _OPAQUE:
            return f"{self.scheme}:{self.rest}"
        pairs = [
            f"{_encoded(name, _KEPT_IN_PARAMETERS)}={_encoded(value, _KEPT_IN_PARAMETERS)}"
            for name, values in self.parameters.items()
            for value in values
        ]
        return f"{self.scheme}://{_encoded(self.rest, _KEPT_IN_REST)}" + ("?" if pairs else "") + "&".join(pairs)

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that is given at most once; ``None`` where it is not given.

        Raises:
            UsageError: it is given more than once.
        """
        values = self.parameters.get(name, ())
        if len(values) > 1:
            raise UsageError(f"{self.scheme}:// takes {name}= once, not {len(values)} times")
        return values[0] if values else None

    def every(self, name: str) -> tuple[str, ...]:
        """Return all values of a parameter."""
        return self.parameters.get(name, ())

    def check(self, *, single: Iterable[str] = (), several: Iterable[str] = ()) -> None:
        """Hold the parameters against those that the scheme has.

        Raises:
            UsageError: one is unknown, has no value, or is among ``single`` and given more than once.
        """
        single = tuple(single)
        known = [*single, *several]
        for name, values in self.parameters.items():
            if name not in known:
                others = ", ".join(f"{other}=" for other in known) or "none at all"
                raise UsageError(
                    f"{self.scheme}:// has no parameter {name!r}{near_miss(name, known)}: it takes {others}"
                )
            if "" in values:
                raise UsageError(f"the parameter {name}= of {self.scheme}:// has no value")
        for name in single:
            self.one(name)

    def path(self, name: str) -> str:
        """Return the path of a file that the URI names: as it is, or in :attr:`folder` where that is given.

        A ``~`` at the beginning is the home folder there: no shell has seen it.
        """
        return os.path.join(self.folder, os.path.expanduser(name)) if self.folder else name  # noqa: PTH111, PTH118


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return what to add to a message about an unknown name: ``" (did you mean 'x'?)"``, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), 2)
    return f" (did you mean {' or '.join(repr(one) for one in close)}?)" if close else ""


def _is_scheme(text: str) -> bool:
    return text[:1].isascii() and text[:1].isalpha() and set(text) <= _SCHEME


def _parameters(scheme: str, query: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, pair in enumerate(query.split("&") if query else (), 1):
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"the parameter {number} of {scheme}:// is not of the form name=value")
        name = _decoded(scheme, name)
        found[name] = (*found.get(name, ()), _decoded(scheme, value))
    return found


def _decoded(scheme: str, text: str) -> str:
    if "%" not in text:
        return _checked(scheme, text)
    from urllib.parse import unquote_to_bytes

    _, *others = text.split("%")
    if not all(len(part) >= 2 and set(part[:2]) <= set("0123456789abcdefABCDEF") for part in others):
        raise UsageError(f"in {scheme}:// two hexadecimal digits have to follow each '%': write %25 for the sign")
    # File names that are no text keep their bytes.
    data = unquote_to_bytes(_checked(scheme, text).encode("utf-8", "surrogateescape"))
    return _checked(scheme, data.decode("utf-8", "surrogateescape"))


def _checked(scheme: str, text: str) -> str:
    if "\0" in text:
        raise UsageError(f"what follows {scheme}:// holds a NUL character")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"what follows {scheme}:// is not encodable as UTF-8") from None
    return text


def _encoded(text: str, kept: str) -> str:
    from urllib.parse import quote

    return quote(text, kept, errors="surrogateescape")
