"""Usage of many workers, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from envelope_sdk.managers.usage import MaterialsUsage, ScopeUsage

__all__ = ["Figures", "figures_of", "summed"]

Figures = Counter[tuple[str, str]]
"""Usage as numbers by part and name, which can be pickled, added and taken from one another."""

_SCOPES: Final = ("encrypt", "decrypt")
_CALLS: Final = ("kms_calls", "kms_calls_saved", "kms_calls_by_price", "kms_calls_saved_by_price")


def figures_of(usage: MaterialsUsage) -> Figures:
    """Return what a manager tells, but for its cache, as plain numbers."""
    figures: Figures = Counter()
    for scope in _SCOPES:
        figures.update({(scope, name): count for name, count in getattr(usage, scope)._asdict().items()})
    for calls in _CALLS:
        figures.update({(calls, name): count for name, count in getattr(usage, calls).items()})
    return figures


def summed(every: Iterable[Figures]) -> MaterialsUsage:
    """Return the figures of all, as those of one manager without a cache."""
    total: Figures = Counter()
    for figures in every:
        total.update(figures)
    parts: dict[str, dict[str, int]] = {part: {} for part in (*_SCOPES, *_CALLS)}
    for (part, name), count in sorted(total.items()):
        parts[part][name] = count
    encrypt, decrypt = (ScopeUsage(**parts[scope]) for scope in _SCOPES)
    made, saved, made_by_price, saved_by_price = ({n: c for n, c in parts[calls].items() if c} for calls in _CALLS)
    return MaterialsUsage(encrypt, decrypt, made, saved, made_by_price, saved_by_price)
