"""What a cache tells of itself: each event as it happens, and their counts so far.

Each ``borrow`` that ends in a value or an error of the loader's ends in exactly one of ``HIT``, ``WAIT``, ``LOAD``,
``FAILURE`` and ``TIMEOUT``. Each call of a loader that ends so is exactly one of ``LOAD``, ``FAILURE``, ``REFRESH`` and
``REFRESH_FAILURE``. So the sums of their counts are the number of borrows, and the number of calls of loaders. What is
interrupted (by an exception that is no :class:`Exception`) is not counted, nor is what a closed cache refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

__all__ = ["CacheEvent", "CacheEventKind", "CacheUsage", "OnCacheEvent"]


class CacheEventKind(StrEnum):
    """What happened. The values are names fit for logs and for labels of metrics."""

    HIT = "hit"
    """A value that was kept has been lent, or the one that this borrower has just replaced it with."""

    WAIT = "wait"
    """Somebody has been lent, or told the failure of, what another one loaded meanwhile."""

    LOAD = "load"
    """A value has been loaded by one for whom none was kept."""

    FAILURE = "failure"
    """Loading has failed, and its caller has been told. Nothing is kept of it."""

    TIMEOUT = "timeout"
    """Somebody has given up waiting for what another one loads, or for a turn to load."""

    REFRESH = "refresh"
    """A value has been loaded before the time of the one kept was up, which it replaces."""

    REFRESH_FAILURE = "refresh_failure"
    """Loading a replacement has failed, and nobody has noticed: the value that was kept still is."""

    EXPIRY = "expiry"
    """A value has left because its time was up."""

    EVICTION = "eviction"
    """A value has left because there was no room for it any more."""

    DISCARD = "discard"
    """A value has left because its user took it out, for instance since its limits are used up."""

    CLEAR = "clear"
    """A value has left because the cache was cleared or closed."""


class CacheEvent(NamedTuple):
    """One event.

    Attributes:
        kind: what happened.
        identifier: of the value: a hash, not secret.
        seconds: how long a load, a failing one too, or a wait took; 0 for all else.
    """

    kind: CacheEventKind
    identifier: bytes
    seconds: float = 0.0


OnCacheEvent = Callable[[CacheEvent], object]
"""Is called soon after each event, by one of the threads that use the cache and outside its lock; by several at a time.

It should not raise. Where it does, the exception goes to the log ``envelope_sdk.cache``, and lending goes on.
"""


class CacheUsage(NamedTuple):
    """Counts since the cache was made, or its process was forked, and what it holds now.

    Attributes:
        hits: borrows that found a value kept.
        waits: borrows that got what another one loaded, a failure too.
        loads: borrows that loaded their value.
        failures: borrows whose load failed.
        timeouts: borrows that gave up waiting.
        refreshes: values loaded before the kept one's time was up. Not counted in ``loads``.
        refresh_failures: such loads that failed, without a borrower noticing. Not counted in ``failures``.
        expiries: values that left because their time was up.
        evictions: values that left for want of room.
        discards: values that their users took out.
        clears: values that left because the cache was cleared or closed.
        entries: values kept now.
    """

    hits: int = 0
    waits: int = 0
    loads: int = 0
    failures: int = 0
    timeouts: int = 0
    refreshes: int = 0
    refresh_failures: int = 0
    expiries: int = 0
    evictions: int = 0
    discards: int = 0
    clears: int = 0
    entries: int = 0

    @property
    def borrows(self) -> int:
        """How often a value was asked for."""
        return self.hits + self.waits + self.loads + self.failures + self.timeouts

    @property
    def loader_calls(self) -> int:
        """How often a loader was called, whatever came of it."""
        return self.loads + self.failures + self.refreshes + self.refresh_failures
