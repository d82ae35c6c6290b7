"""Rules with names, and what is raised where one does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from envelope_sdk.errors import UsageError

__all__ = ["Broken", "ContractViolation", "Rule", "check_rules", "must_be_makeable", "require", "rule"]

Subject = TypeVar("Subject")


class ContractViolation(AssertionError):
    """A keyring or manager breaks a rule of its contract.

    Attributes:
        rule: the rule's name.
        found: what was seen.
        advice: what to do, and where the contract says so.
    """

    def __init__(self, rule: str, found: str, advice: str) -> None:
        super().__init__(f"the rule {rule!r} does not hold: {found}\n{advice}")
        self.rule = rule
        self.found = found
        self.advice = advice

    def __reduce__(self) -> tuple[type[ContractViolation], tuple[str, str, str]]:
        return type(self), (self.rule, self.found, self.advice)


class Broken(Exception):
    """What a rule found, before it is known by which rule it was found."""


class Rule(NamedTuple, Generic[Subject]):
    """One thing that a subject must or must not do.

    Attributes:
        name: for people and for selection.
        advice: what to do where it does not hold.
        check: raises where it does not hold; whatever it raises counts.
    """

    name: str
    advice: str
    check: Callable[[Subject], None]


def rule(name: str, advice: str) -> Callable[[Callable[[Subject], None]], Rule[Subject]]:
    """Make a rule of a function that checks it."""

    def named(check: Callable[[Subject], None]) -> Rule[Subject]:
        return Rule(name, advice, check)

    return named


def require(holds: object, found: str) -> None:
    """Raise :class:`Broken` with what was found unless ``holds``."""
    if not holds:
        raise Broken(found)


def must_be_makeable(*makers: Callable[[], object] | None) -> None:
    """Call what makes subjects: what that raises is no matter of any rule, and is raised as it is."""
    for make in makers:
        if make is not None:
            make()


def check_rules(rules: Sequence[Rule[Subject]], subject: Subject, wanted: Iterable[str] | None) -> None:
    """Check the rules whose names are ``wanted``, or all of them, in their own order.

    Raises:
        ContractViolation: one does not hold.
        UsageError: there is no rule of a wanted name.
    """
    known = [each.name for each in rules]
    chosen = set(known if wanted is None else wanted)
    if unknown := chosen - set(known):
        raise UsageError(f"there are no rules {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for each in rules:
        if each.name in chosen:
            _check(each, subject)


def _check(each: Rule[Subject], subject: Subject) -> None:
    try:
        each.check(subject)
    except Broken as broken:
        raise ContractViolation(each.name, str(broken), each.advice) from broken.__cause__
    except Exception as error:
        found = f"{type(error).__name__} was raised: {error}"
        raise ContractViolation(each.name, found, each.advice) from error
