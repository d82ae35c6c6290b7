"""Strict JSON (RFC 8259): what a policy document is written in, without the liberties of :mod:`json`.

An object's names are unique, there is no ``NaN``, and strings hold characters, not halves of them. Numbers stay the
text they were: policies compare them as text or as decimals, and a number of a million digits costs nothing.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from envelope_sdk.local_kms.policy.refusals import syntax

__all__ = ["Number", "is_text", "read_json"]


class Number(str):
    """A JSON number, as it was written."""

    __slots__ = ()


def read_json(text: str) -> Any:
    """Return what ``text`` says, with numbers as :class:`Number`.

    Raises:
        KmsServiceError: it is not JSON, repeats a name, or is nested too deeply (``MalformedPolicyDocumentException``).
    """
    try:
        value = _DECODER.decode(text)
        # Escapes can write lone surrogates, which no encoding can carry any further.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise syntax() from None
    return value


def is_text(element: object) -> bool:
    """Return whether an element is a string, and no number."""
    return isinstance(element, str) and not isinstance(element, Number)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant, strict=True
)
