"""How many calls of KMS some work makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from envelope_sdk.keyrings.kms.price_classes import price_class

__all__ = ["CountedCalls", "KmsCalls", "calls_for_many", "counted_calls", "note_call", "take_back_call"]


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
        self._for_many: Counter[str] = Counter()
        self._for_many_by_price: Counter[str] = Counter()

    def add(self, others: CountedCalls) -> None:
        """Count those of another block too."""
        for mine, theirs in zip(self._all(), others._all(), strict=True):
            mine.update(theirs)

    def note(self, operation: str, price: str, change: int, *, for_many: bool) -> None:
        """Count so many more calls, or less.

        Args:
            operation: their name.
            price: their class of price.
            change: how many; less than 0 where they were not made after all.
            for_many: whether what they returned is kept, beneath this block.
        """
        changed: list[tuple[Counter[str], str]] = [(self, operation), (self.by_price, price)]
        if for_many:
            changed += [(self._for_many, operation), (self._for_many_by_price, price)]
        for counter, name in changed:
            counter[name] += change
            if not counter[name]:
                del counter[name]

    def so_far(self) -> KmsCalls:
        """Return the counts as they are now."""
        return _frozen(self, self.by_price)

    def each_time(self) -> KmsCalls:
        """Return the counts of the calls that the same work would make again, done once more."""
        return _frozen(self - self._for_many, self.by_price - self._for_many_by_price)

    def _all(self) -> tuple[Counter[str], ...]:
        return self, self.by_price, self._for_many, self._for_many_by_price


def _frozen(by_operation: Counter[str], by_price: Counter[str]) -> KmsCalls:
    return KmsCalls(tuple(sorted(by_operation.items())), tuple(sorted(by_price.items())))


_Blocks = tuple[tuple[CountedCalls, bool], ...]
"""Each block's counts, and whether what is called now is kept beneath it."""

_COUNTS: Final[ContextVar[_Blocks]] = ContextVar("counted KMS calls", default=())


@contextmanager
def counted_calls() -> Generator[CountedCalls]:
    """Count the calls that keyrings make in this thread, or this task, within a ``with`` block.

    Those that fail count, since KMS counts them too; a client's own retries are not seen from here, nor are the calls
    of other services. Blocks within blocks count each for itself.

    Yields:
        The counts, which grow with each call.
    """
    counts = CountedCalls()
    token = _COUNTS.set((*_COUNTS.get(), (counts, False)))
    try:
        yield counts
    finally:
        _COUNTS.reset(token)


@contextmanager
def calls_for_many() -> Generator[None]:
    """Say that what KMS returns within a ``with`` block is kept, and spares those who ask later the same calls.

    Whoever counts around it has made these calls, but does not save as many by keeping what comes of them.
    """
    token = _COUNTS.set(tuple((counts, True) for counts, _ in _COUNTS.get()))
    try:
        yield
    finally:
        _COUNTS.reset(token)


def note_call(operation: str, price: str | None = None) -> None:
    """Count one call in every block around it.

    Args:
        operation: its name.
        price: its class of price, where the operation alone does not tell.
    """
    for counts, for_many in _COUNTS.get():
        counts.note(operation, price or price_class(operation), 1, for_many=for_many)


def take_back_call(operation: str, price: str | None = None) -> None:
    """Count one call less, which was not made after all; the arguments are those of :func:`note_call`."""
    for counts, for_many in _COUNTS.get():
        counts.note(operation, price or price_class(operation), -1, for_many=for_many)
