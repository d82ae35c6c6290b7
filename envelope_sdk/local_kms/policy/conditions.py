"""The ``Condition`` element: operators, keys and values, and what they say of a request.

Every key of every operator has to hold; of the values of one key one is enough. A key that the request does not have
fails, except for operators that negate (``StringNotEquals`` and the like), with ``IfExists``, with ``ForAllValues``,
and for ``Null``, which asks just that. Where a request has several values of a key, ``ForAnyValue`` and
``ForAllValues`` say how many have to hold; without them one that matches is enough, and for operators that negate none
may match.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, cast

from envelope_sdk.local_kms.policy.comparisons import COMPARISONS, Comparison, truth_of
from envelope_sdk.local_kms.policy.json_text import Number
from envelope_sdk.local_kms.policy.patterns import Lookup
from envelope_sdk.local_kms.policy.refusals import malformed, syntax

__all__ = ["Condition", "Qualifier", "read_conditions"]

_IF_EXISTS: Final = "IfExists"


class Qualifier(Enum):
    """How many of several values in the request have to hold."""

    NONE = ""
    ANY = "ForAnyValue:"
    ALL = "ForAllValues:"


class Condition:
    """One key under one operator.

    Attributes:
        operator: as it stands in the document, for instance ``ForAnyValue:StringLike``.
        key: likewise.
        values: likewise, as text.
    """

    __slots__ = (
        "_comparisons",
        "_if_exists",
        "_lookup_key",
        "_negated",
        "_qualifier",
        "_texts",
        "key",
        "operator",
        "values",
    )

    def __init__(self, operator: str, key: str, values: tuple[str, ...], *, variables: bool) -> None:
        """Compile the condition; ``variables`` says whether ``${...}`` stands for a key of the request.

        Raises:
            KmsServiceError: there is no such operator, or a value is not of its type.
        """
        self.operator = operator
        self.key = key
        self.values = values
        self._lookup_key = key.lower()
        self._qualifier = next(
            q for q in (Qualifier.ANY, Qualifier.ALL, Qualifier.NONE) if operator.startswith(q.value)
        )
        name = operator.removeprefix(self._qualifier.value)
        self._if_exists = name.endswith(_IF_EXISTS)
        name = name.removesuffix(_IF_EXISTS)
        self._negated = False
        self._texts: frozenset[str] = frozenset()
        self._comparisons: tuple[Comparison, ...] | None = None
        if name == "Null":
            if self._if_exists or any(truth_of(value) is None for value in values):
                raise syntax()
        elif name in COMPARISONS:
            compiled, self._negated = COMPARISONS[name]
            # Long lists of plain texts are looked up, not gone through.
            plain = name in ("StringEquals", "StringNotEquals")
            self._texts = frozenset(value for value in values if plain and "$" not in value)
            others = dict.fromkeys(value for value in values if value not in self._texts)
            self._comparisons = tuple(compiled(value, variables) for value in others)
        else:
            raise syntax()

    def __repr__(self) -> str:
        return f"Condition({self.operator!r}, {self.key!r}, {self.values!r})"

    def holds(self, lookup: Lookup) -> bool:
        """Return whether the request fulfils the condition."""
        found = lookup(self._lookup_key)
        if self._comparisons is None:
            return any(truth_of(value) is (not found) for value in self.values)
        if not found and self._if_exists:
            return True
        if self._qualifier is Qualifier.NONE:
            return any(self._matches(value, lookup) for value in found) is not self._negated
        # For sets an empty text is no value.
        tested = (self._matches(value, lookup) is not self._negated for value in found if value)
        return any(tested) if self._qualifier is Qualifier.ANY else all(tested)

    def _matches(self, value: str, lookup: Lookup) -> bool:
        return value in self._texts or any(comparison(value, lookup) for comparison in self._comparisons or ())


def read_conditions(element: object, *, variables: bool) -> tuple[Condition, ...]:
    """Return the conditions of a ``Condition`` element.

    Raises:
        KmsServiceError: it is not one (``MalformedPolicyDocumentException``).
    """
    conditions: list[Condition] = []
    for operator, keys in _mapping(element).items():
        for key, values in _mapping(keys).items():
            if not key.partition(":")[0] or ":" not in key:
                raise malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
            conditions.append(Condition(operator, key, _values(values), variables=variables))
    return tuple(conditions)


def _mapping(element: object) -> Mapping[str, Any]:
    if not isinstance(element, dict):
        raise syntax()
    return cast("dict[str, Any]", element)


def _values(element: object) -> tuple[str, ...]:
    listed = cast("list[object]", element) if isinstance(element, list) else [element]
    return tuple(_value(value) for value in listed)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value) if isinstance(value, Number) else value
    raise syntax()
