"""A cache in this process: bounded and timed, with one load for all who wait.

It follows framework/local-cryptographic-materials-cache.md and, in what it does ahead of time and how it waits,
framework/storm-tracking-cryptographic-materials-cache.md.

A value is wiped when it has left the cache *and* nobody uses it any more: a key that turned to zeros in the middle of a
derivation would encrypt under a key that everybody knows. So values are lent, and their loans are counted.
"""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from typing import Final, NoReturn, TypeVar
from weakref import WeakSet

from envelope_sdk.cache.entries import Clock, Entries
from envelope_sdk.cache.lending import Lending
from envelope_sdk.cache.loan import Loan
from envelope_sdk.cache.settings import InFlight, Refresh
from envelope_sdk.cache.usage import CacheEventKind, CacheUsage, OnCacheEvent
from envelope_sdk.errors import UsageError

__all__ = ["DEFAULT_MAX_ENTRIES", "LocalCache"]

T = TypeVar("T")

DEFAULT_MAX_ENTRIES: Final = 1000
"""Values that a cache keeps unless told otherwise: the specification's default."""


class LocalCache:
    """Fulfils :class:`~envelope_sdk.cache.contract.Cache` in the memory of this process.

    The least recently used value goes where there are more than fit. A forked child begins with an empty cache.

    A value whose time will soon be up is replaced ahead of time: one borrower loads another while all others are lent
    the one that is kept. Where that fails, its borrower is lent the kept one too, and nobody tries again for a while.

    Attributes:
        lending: its inside, which views share. It may change.
    """

    __slots__ = ("__weakref__", "_max_entries", "lending")

    def __init__(
        self,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        *,
        refresh: Refresh | None = Refresh(),  # noqa: B008 - frozen
        in_flight: InFlight = InFlight(),  # noqa: B008 - frozen
        executor: Executor | None = None,
        on_event: OnCacheEvent | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Make an empty cache.

        Args:
            max_entries: values to keep, 1 or more.
            refresh: when values are replaced before their time is up; ``None``: never.
            in_flight: how many loads run at once, and how long others wait for them.
            executor: threads in which values are replaced before their time is up, so that no borrower waits for it.
                Left out, one borrower loads the replacement in its own thread. What it has set in context variables is
                not seen there. The cache does not shut it down.
            on_event: is told what happens; see :data:`~envelope_sdk.cache.usage.OnCacheEvent`.
            clock: returns seconds that never go back.

        Raises:
            UsageError: ``max_entries`` is less than 1.
            TypeError: it is no whole number.
        """
        if operator.index(max_entries) < 1:
            raise UsageError(f"a cache keeps at least one entry, not {max_entries}")
        self._max_entries = max_entries
        self.lending = Lending(max_entries, refresh, in_flight, executor, on_event, clock)
        _ALL.add(self.lending)

    def __repr__(self) -> str:
        return f"LocalCache({self._max_entries})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cache holds keys: it cannot be pickled or copied")

    def borrow(
        self,
        identifier: bytes,
        load: Callable[[], T],
        *,
        ttl_seconds: float,
        wipe: Callable[[T], None] | None = None,
    ) -> AbstractContextManager[T]:
        """Lend a value: see :meth:`envelope_sdk.cache.contract.Cache.borrow`.

        Raises:
            LoadTimeoutError: it was not there, and others load it, or too many others, for longer than
                ``in_flight.wait_seconds``. To call again later may succeed.
        """
        return Loan(self.lending, identifier, load, ttl_seconds, wipe)

    def discard(self, identifier: bytes, value: object) -> None:
        """Take a value out where it is still kept. What is on its way to replace it is another, and will be kept."""

        def drop(entries: Entries) -> None:
            entry = entries.find(identifier)
            if entry is not None and entry.value is value:
                entries.drop(identifier, CacheEventKind.DISCARD)

        self.lending.take_out(drop)

    def clear(self) -> None:
        """Take everything out."""
        self.lending.clear()

    def close(self) -> None:
        """Take everything out for good."""
        self.lending.closed = True
        self.lending.clear()

    def expire(self) -> None:
        """Wipe every value whose time is up.

        Each use of the cache does so too. Call it from time to time where a cache may lie idle for long, so that no key
        stays in memory for longer than it may be used.
        """
        self.lending.take_out(Entries.expire)

    def usage(self) -> CacheUsage:
        """Return counts since the cache was made, and how many values it holds now."""
        return self.lending.usage()


_ALL: Final[WeakSet[Lending]] = WeakSet()


def _begin_anew_in_child() -> None:
    # Threads that held locks, loaded or used values do not exist here.
    for lending in list(_ALL):
        lending.begin_anew()


os.register_at_fork(after_in_child=_begin_anew_in_child)
