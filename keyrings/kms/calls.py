"""How many calls of KMS some work makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["counted_calls", "note_call", "take_back_call"]

_COUNTS: Final[ContextVar[tuple[Counter[str], ...]]] = ContextVar("counted KMS calls", default=())


@contextmanager
def counted_calls() -> Generator[Counter[str]]:
    """Count the calls that keyrings make in this thread, or this task, within a ``with`` block.

    Those that fail count, since KMS counts them too; a client's own retries are not seen from here. Blocks within
    blocks count each for itself.

    Yields:
        The number of calls by operation, for instance ``{"GenerateDataKey": 1}``; it grows with each call.
    """
    counts: Counter[str] = Counter()
    token = _COUNTS.set((*_COUNTS.get(), counts))
    try:
        yield counts
    finally:
        _COUNTS.reset(token)


def note_call(operation: str) -> None:
    """Count one call in every block around it."""
    for counts in _COUNTS.get():
        counts[operation] += 1


def take_back_call(operation: str) -> None:
    """Count one call less, which was not made after all."""
    for counts in _COUNTS.get():
        counts[operation] -= 1
        if not counts[operation]:
            del counts[operation]
