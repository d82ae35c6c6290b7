"""How many calls of KMS some work makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from envelope_sdk.keyrings.kms.price_classes import price_class

__all__ = ["CountedCalls", "KmsCalls", "counted_calls", "note_call", "take_back_call"]


class KmsCalls(NamedTuple):
    """Numbers of calls that do not change any more, each with its name, in the order of names.

    Attributes:
        by_operation: for instance ``(("GenerateDataKey", 1),)``.
        by_price: the same calls by their class of price.
    """

    by_operation: tuple[tuple[str, int], ...] = ()
    by_price: tuple[tuple[str, int], ...] = ()


class CountedCalls(Counter[str]):
    """The number of calls by operation, for instance ``{"GenerateDataKey": 1}``.

    Attributes:
        by_price: the same calls by their class of price (:mod:`envelope_sdk.keyrings.kms.price_classes`).
    """

    def __init__(self) -> None:
        """Begin at nothing."""
        super().__init__()
        self.by_price: Counter[str] = Counter()

    def add(self, others: CountedCalls) -> None:
        """Count those of another block too."""
        self.update(others)
        self.by_price.update(others.by_price)

    def so_far(self) -> KmsCalls:
        """Return the counts as they are now."""
        return KmsCalls(tuple(sorted(self.items())), tuple(sorted(self.by_price.items())))


_COUNTS: Final[ContextVar[tuple[CountedCalls, ...]]] = ContextVar("counted KMS calls", default=())


@contextmanager
def counted_calls() -> Generator[CountedCalls]:
    """Count the calls that keyrings make in this thread, or this task, within a ``with`` block.

    Those that fail count, since KMS counts them too; a client's own retries are not seen from here, nor are the calls
    of other services. Blocks within blocks count each for itself.

    Yields:
        The counts, which grow with each call.
    """
    counts = CountedCalls()
    token = _COUNTS.set((*_COUNTS.get(), counts))
    try:
        yield counts
    finally:
        _COUNTS.reset(token)


def note_call(operation: str, price: str | None = None) -> None:
    """Count one call in every block around it.

    Args:
        operation: its name.
        price: its class of price, where the operation alone does not tell.
    """
    for counts in _COUNTS.get():
        counts[operation] += 1
        counts.by_price[price or price_class(operation)] += 1


def take_back_call(operation: str, price: str | None = None) -> None:
    """Count one call less, which was not made after all; the arguments are those of :func:`note_call`."""
    for counts in _COUNTS.get():
        for counter, name in ((counts, operation), (counts.by_price, price or price_class(operation))):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
