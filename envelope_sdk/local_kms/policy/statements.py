"""One statement of a policy, compiled: whom, what, on what and when it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from envelope_sdk.local_kms.policy.conditions import Condition
from envelope_sdk.local_kms.policy.names import ArnPattern
from envelope_sdk.local_kms.policy.patterns import glob_of, tokens_of
from envelope_sdk.local_kms.policy.principals import Meant, Principals
from envelope_sdk.local_kms.policy.requests import Request

__all__ = ["Actions", "Effect", "Resources", "Statement"]


class Effect(Enum):
    """What a statement does to the requests it is about."""

    ALLOW = "Allow"
    DENY = "Deny"


class Actions:
    """The ``Action`` or ``NotAction`` element. Case does not matter; ``*`` and ``?`` are wildcards."""

    __slots__ = ("_excluding", "_globs", "_names", "patterns")

    def __init__(self, patterns: Sequence[str], *, excluding: bool) -> None:
        """Compile the patterns; ``excluding`` says that they are those of a ``NotAction``."""
        self.patterns = tuple(patterns)
        self._excluding = excluding
        lower = [pattern.lower() for pattern in patterns]
        self._names = frozenset(pattern for pattern in lower if not _has_wildcards(pattern))
        self._globs = tuple(_glob(pattern) for pattern in lower if _has_wildcards(pattern))

    def include(self, request: Request) -> bool:
        """Return whether the statement is about the request's action."""
        action = request.lower_action
        found = action in self._names or any(glob(action) for glob in self._globs)
        return found is not self._excluding


class Resources:
    """The ``Resource`` or ``NotResource`` element, with wildcards and variables.

    Attributes:
        patterns: as they stand in the document.
        are_all: whether every resource is meant.
    """

    __slots__ = ("_all", "_excluding", "_patterns", "are_all", "patterns")

    def __init__(self, patterns: Sequence[str], *, excluding: bool, variables: bool) -> None:
        """Compile the patterns.

        Args:
            patterns: ARNs, or ``*`` for all.
            excluding: whether they are those of a ``NotResource``.
            variables: whether ``${...}`` stands for a key of the request.
        """
        self.patterns = tuple(patterns)
        self._excluding = excluding
        self._all = "*" in patterns
        self.are_all = self._all and not excluding
        self._patterns = tuple(
            ArnPattern(tokens_of(pattern, wildcards=True, variables=variables))
            for pattern in patterns
            if pattern != "*"
        )

    def include(self, request: Request) -> bool:
        """Return whether the statement is about the request's resource."""
        parts, values = request.resource_parts, request.values
        found = self._all or any(pattern.matches(parts, values) for pattern in self._patterns)
        return found is not self._excluding


@dataclass(frozen=True, slots=True)
class Statement:
    """A compiled statement.

    Attributes:
        number: its place in the document, from 1.
        sid: its ``Sid``, empty where it has none.
        effect: allow or deny.
        principals: whom it is for; ``None`` in identity policies, which are for whom they are attached to.
        actions: what it is about.
        resources: on what.
        conditions: all of which have to hold.
    """

    number: int
    sid: str
    effect: Effect
    principals: Principals | None
    actions: Actions
    resources: Resources
    conditions: tuple[Condition, ...]

    def applies(self, request: Request) -> Meant:
        """Return whether the statement is about the request, and how closely it means the caller."""
        meant = Meant.DIRECTLY if self.principals is None else self.principals.mean(request.caller)
        if not meant or not self.actions.include(request) or not self.resources.include(request):
            return Meant.NOT
        if self.conditions:
            lookup = request.values
            for condition in self.conditions:
                if not condition.holds(lookup):
                    return Meant.NOT
        return meant

    def is_unconditional(self, request: Request) -> bool:
        """Return whether the statement means the caller and the action, whatever the resource and conditions."""
        if self.conditions or not self.resources.are_all or not self.actions.include(request):
            return False
        return self.principals is None or self.principals.mean(request.caller) is Meant.DIRECTLY


def _has_wildcards(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _glob(pattern: str) -> Callable[[str], bool]:
    if pattern == "*":
        return lambda _: True
    return glob_of(pattern)
