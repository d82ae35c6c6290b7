"""What has happened in a cache: counted at once, and told when nobody is in the middle of anything."""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import Final

from envelope_sdk.cache.usage import CacheEvent, CacheEventKind, CacheUsage, OnCacheEvent

__all__ = ["Records"]

_LOG: Final = logging.getLogger("envelope_sdk.cache")


class Records:
    """Counts, and events that have not been told yet. All but :meth:`tell` is called under the lock of the cache."""

    __slots__ = ("_counts", "_hits", "_on_event", "news")

    def __init__(self, on_event: OnCacheEvent | None) -> None:
        self.news: deque[CacheEvent] = deque()
        self._on_event = on_event
        self._counts: Counter[CacheEventKind] = Counter()
        self._hits = 0

    def afresh(self) -> Records:
        """Return records of nothing, for the same listener."""
        return Records(self._on_event)

    def note_hit(self, identifier: bytes) -> None:
        """Count a hit: by far the most frequent event."""
        self._hits += 1
        if self._on_event is not None:
            self.news.append(CacheEvent(CacheEventKind.HIT, identifier))

    def note(self, kind: CacheEventKind, identifier: bytes, seconds: float = 0.0) -> None:
        """Count any other event."""
        self._counts[kind] += 1
        if self._on_event is not None:
            self.news.append(CacheEvent(kind, identifier, seconds))

    def usage(self, entries: int) -> CacheUsage:
        """Return the counts so far."""
        kinds, counts = CacheEventKind, self._counts
        return CacheUsage(
            hits=self._hits,
            waits=counts[kinds.WAIT],
            loads=counts[kinds.LOAD],
            failures=counts[kinds.FAILURE],
            timeouts=counts[kinds.TIMEOUT],
            refreshes=counts[kinds.REFRESH],
            refresh_failures=counts[kinds.REFRESH_FAILURE],
            expiries=counts[kinds.EXPIRY],
            evictions=counts[kinds.EVICTION],
            discards=counts[kinds.DISCARD],
            clears=counts[kinds.CLEAR],
            entries=entries,
        )

    def tell(self) -> None:
        """Tell all events. Several threads may do so at a time; each event is told once."""
        on_event = self._on_event
        while on_event is not None and self.news:
            try:
                event = self.news.popleft()
            except IndexError:
                # Another thread was quicker.
                return
            try:
                on_event(event)
            except Exception:  # noqa: BLE001 - a mistake in counting must not keep anybody from a value
                _LOG.exception("on_event has raised at %s", event.kind)
