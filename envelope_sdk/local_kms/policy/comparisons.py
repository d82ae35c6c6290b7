"""What each family of condition operators does with one value of a policy and one of a request.

A comparison is made once for each value in a policy, and called with values of requests, which are always text. Values
that are not of the operator's type match nothing.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from operator import eq, ge, gt, le, lt
from typing import Final

from envelope_sdk.local_kms.policy.names import ArnPattern, arn_parts
from envelope_sdk.local_kms.policy.patterns import Glob, Lookup, Variable, resolved, tokens_of
from envelope_sdk.local_kms.policy.refusals import malformed, syntax

__all__ = ["COMPARISONS", "Comparison", "truth_of"]

Comparison = Callable[[str, Lookup], bool]
"""Takes a value of the request, and the request's keys for variables; says whether the value matches."""

_NUMBER: Final = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)
_EPOCH: Final = re.compile(r"-?\d{5,15}", re.ASCII)
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?)?)?", re.ASCII
)
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- text ------------------------------------------------------------------------------------------------------------


def _text_comparison(text: str, variables: bool, *, wildcards: bool = False, fold: bool = False) -> Comparison:
    if fold:
        text = _folded(text)
    tokens = tokens_of(text, wildcards=wildcards, variables=variables)
    known = [token for token in tokens if not isinstance(token, Variable)]
    if len(known) != len(tokens):

        def with_variables(value: str, lookup: Lookup) -> bool:
            filled = resolved(tokens, lookup)
            if filled is None:
                return False
            if fold:
                filled = tuple(_folded(token) if isinstance(token, str) else token for token in filled)
            return Glob(filled)(_folded(value) if fold else value)

        return with_variables
    glob = Glob(known)
    return (lambda value, _: glob(_folded(value))) if fold else (lambda value, _: glob(value))


def _folded(text: str) -> str:
    return text.lower()


def _exact(text: str, variables: bool) -> Comparison:
    return _text_comparison(text, variables)


def _ignoring_case(text: str, variables: bool) -> Comparison:
    return _text_comparison(text, variables, fold=True)


def _like(text: str, variables: bool) -> Comparison:
    return _text_comparison(text, variables, wildcards=True)


def _arn(text: str, variables: bool) -> Comparison:
    pattern = ArnPattern(tokens_of(text, wildcards=True, variables=variables))
    return lambda value, lookup: pattern.matches(arn_parts(value), lookup)


# --- numbers and dates -----------------------------------------------------------------------------------------------


def _number_of(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _moment_of(text: str) -> Decimal | None:
    """Return seconds since 1970 of an ISO 8601 date (W3C's profile), in UTC unless it says else, or of a number."""
    if _EPOCH.fullmatch(text):
        return Decimal(text)
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
    except ValueError:
        return None
    offset = 0
    if zone and zone != "Z":
        offset = (int(zone[1:3]) * 60 + int(zone[-2:])) * (-60 if zone[0] == "-" else 60)
    since = moment - _START
    return Decimal(since.days * 86_400 + since.seconds - offset) + Decimal(f"0.{fraction or 0}")


def _ordered(
    read: Callable[[str], Decimal | None], holds: Callable[[Decimal, Decimal], bool], refused: str
) -> Callable[[str, bool], Comparison]:
    def comparison(text: str, _: bool) -> Comparison:
        wanted = read(text)
        if wanted is None:
            raise malformed(refused)

        def compare(value: str, _: Lookup) -> bool:
            found = read(value)
            return found is not None and holds(found, wanted)

        return compare

    return comparison


# --- the rest --------------------------------------------------------------------------------------------------------


def truth_of(text: str) -> bool | None:
    """Return what ``true`` or ``false`` says, in whatever case; ``None`` for other texts."""
    return {"true": True, "false": False}.get(text.lower())


def _bool(text: str, variables: bool) -> Comparison:
    tokens = tokens_of(text, wildcards=False, variables=variables)
    if truth_of(text) is None and not any(isinstance(token, Variable) for token in tokens):
        raise syntax()
    return _ignoring_case(text, variables)


def _bytes_of(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _binary(text: str, _: bool) -> Comparison:
    wanted = _bytes_of(text)
    if wanted is None:
        raise syntax()
    return lambda value, _: _bytes_of(value) == wanted


def _network(text: str, _: bool) -> Comparison:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise syntax() from None

    def inside(value: str, _: Lookup) -> bool:
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return inside


_BAD_NUMBER: Final = "Syntax errors in policy."
_BAD_DATE: Final = "The policy failed legacy parsing"
_ORDERS: Final = {"Equals": eq, "LessThan": lt, "LessThanEquals": le, "GreaterThan": gt, "GreaterThanEquals": ge}

COMPARISONS: Final[dict[str, tuple[Callable[[str, bool], Comparison], bool]]] = {
    "StringEquals": (_exact, False),
    "StringNotEquals": (_exact, True),
    "StringEqualsIgnoreCase": (_ignoring_case, False),
    "StringNotEqualsIgnoreCase": (_ignoring_case, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    **{f"Numeric{name}": (_ordered(_number_of, holds, _BAD_NUMBER), False) for name, holds in _ORDERS.items()},
    "NumericNotEquals": (_ordered(_number_of, eq, _BAD_NUMBER), True),
    **{f"Date{name}": (_ordered(_moment_of, holds, _BAD_DATE), False) for name, holds in _ORDERS.items()},
    "DateNotEquals": (_ordered(_moment_of, eq, _BAD_DATE), True),
    "Bool": (_bool, False),
    "BinaryEquals": (_binary, False),
    "IpAddress": (_network, False),
    "NotIpAddress": (_network, True),
    "ArnEquals": (_arn, False),
    "ArnLike": (_arn, False),
    "ArnNotEquals": (_arn, True),
    "ArnNotLike": (_arn, True),
}
"""By operator: what makes a comparison of a policy's value, and whether the operator is true where nothing matches."""
