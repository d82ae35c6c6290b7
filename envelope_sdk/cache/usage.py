"""What a cache tells of itself: each event as it happens, and their counts so far."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

__all__ = ["CacheEvent", "CacheEventKind", "CacheUsage", "OnCacheEvent"]


class CacheEventKind(StrEnum):
    """What happened. The values are names fit for logs and for labels of metrics."""

    HIT = "hit"
    """A value that was kept has been lent."""

    WAIT = "wait"
    """Somebody has been lent, or told the failure of, what another one loaded meanwhile."""

    LOAD = "load"
    """A value has been loaded."""

    FAILURE = "failure"
    """Loading has failed. Nothing is kept of it."""

    REFRESH = "refresh"
    """A value that was still kept has been replaced by one loaded before the old one's time was up."""

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
"""Is called after each event, in the thread that caused it and outside the cache's lock. It must not raise."""


class CacheUsage(NamedTuple):
    """Counts since the cache was made, and what it holds now.

    Attributes:
        hits: values lent that were kept.
        waits: callers that got what another one loaded, a failure too.
        loads: values loaded, refreshes included.
        failures: loads that failed.
        refreshes: loads, of those above, that were begun before a kept value's time was up.
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
    refreshes: int = 0
    expiries: int = 0
    evictions: int = 0
    discards: int = 0
    clears: int = 0
    entries: int = 0
