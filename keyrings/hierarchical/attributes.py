"""Records in DynamoDB's notation: ``{"S": text}``, ``{"N": digits}`` and ``{"B": bytes}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from envelope_sdk.errors import AuthenticationError
from envelope_sdk.keyrings.hierarchical.records import SECTION, Record

__all__ = ["from_attributes", "to_attributes"]

_MAX_DIGITS: Final = 38  # of a number in DynamoDB; Python refuses to read some thousands


def to_attributes(record: Record) -> dict[str, dict[str, Any]]:
    """Return a record as DynamoDB's client takes it."""
    return {name: _attribute(value) for name, value in record.items()}


def from_attributes(item: Mapping[str, Any]) -> Record:
    """Return the record that DynamoDB's client gave.

    Raises:
        AuthenticationError: it has an attribute of a type that no branch key has.
    """
    return {str(name): _value(str(name), attribute) for name, attribute in item.items()}


def _attribute(value: str | int | bytes) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"B": value}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _value(name: str, attribute: Any) -> str | int | bytes:
    match attribute:
        case {"S": str(text)}:
            return text
        case {"N": str(digits)} if len(digits) <= _MAX_DIGITS and digits.isascii() and digits.isdigit():
            return int(digits)
        case {"B": bytes(value)}:
            return value
        case _:
            raise AuthenticationError(
                f"the record was altered: its {name!r} is of a type that no branch key has", section=SECTION
            )
