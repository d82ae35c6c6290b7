"""What a cache keeps: values, who uses them, and their way out, which is the same for all: they are wiped."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any, NoReturn

from cachetools import TLRUCache

from envelope_sdk.cache.settings import Refresh
from envelope_sdk.cache.usage import CacheEventKind

__all__ = ["Clock", "Entries", "Entry"]

Clock = Callable[[], float]


class Entry:
    """A value, who uses it, and whether the cache has let go of it.

    Attributes:
        calm_until: until then it is lent without another thought to whom its whole time is short enough.
        tried: when somebody last began to load what is to replace it.
    """

    __slots__ = (
        "calm_until",
        "created",
        "expires",
        "identifier",
        "loans",
        "retired",
        "tried",
        "ttl_seconds",
        "value",
        "wipe",
    )

    def __init__(
        self,
        identifier: bytes,
        value: Any,
        wipe: Callable[[Any], None] | None,
        created: float,
        ttl_seconds: float,
        refresh: Refresh | None,
    ) -> None:
        self.value = value
        self.wipe = wipe
        self.identifier = identifier
        self.created = created
        self.ttl_seconds = ttl_seconds
        self.expires = created + ttl_seconds
        self.calm_until = self.expires if refresh is None else self.expires - refresh.grace_of(ttl_seconds)
        self.tried = -math.inf
        self.loans = 0
        self.retired = False

    def __reduce__(self) -> NoReturn:
        # A copy would have the value wiped under those who use it.
        raise TypeError("an entry holds a key: it cannot be pickled or copied")

    def end_for(self, ttl_seconds: float) -> float:
        """Return when its time is up for one with this limit: it may have been loaded by one with a longer one."""
        return min(self.expires, self.created + ttl_seconds)

    def is_due(self, ttl_seconds: float, now: float, refresh: Refresh) -> bool:
        """Whether one with this limit should load what replaces it."""
        begins = self.end_for(ttl_seconds) - refresh.grace_of(min(ttl_seconds, self.ttl_seconds))
        return begins <= now and self.tried + refresh.interval_seconds <= now

    def try_to_replace(self, now: float, refresh: Refresh) -> None:
        """Note that somebody does, so that nobody else does for a while."""
        self.tried = now
        self.calm_until = min(self.expires, max(self.calm_until, now + refresh.interval_seconds))

    def retire(self) -> None:
        """Let go of it; it is wiped when the last loan ends."""
        self.retired = True
        self.settle()

    def settle(self) -> None:
        """Wipe it where nobody will use it any more."""
        if self.retired and self.loans == 0 and self.wipe is not None:
            self.wipe(self.value)
            self.wipe = None

    def __del__(self) -> None:
        # A loan that an interrupt has left open never ends, and a forked child has only let go of its parent's entries.
        # Whoever is lent a value holds its entry, so that nobody uses it here.
        wipe = getattr(self, "wipe", None)
        if wipe is not None:
            wipe(self.value)


class Entries(TLRUCache[bytes, Entry]):
    """The entries that are kept. Each is retired on whichever way it leaves.

    Attributes:
        soonest: before this time none expires.
    """

    def __init__(self, max_entries: int, clock: Clock, left: Callable[[Entry, CacheEventKind], object]) -> None:
        """Take how many, and who is told of those whose time or room is up, or that are taken out."""
        super().__init__(max_entries, lambda _identifier, entry, _now: entry.expires, timer=clock)
        self.soonest = math.inf
        self._held: set[Entry] = set()
        self._times: list[float] = []
        self._left = left

    def __repr__(self) -> str:
        return "Entries(<secret>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("entries hold keys: they cannot be pickled or copied")

    __copy__ = __reduce__

    def find(self, identifier: bytes) -> Entry | None:
        """Return the entry, as the last one used."""
        try:
            return self[identifier]
        except KeyError:
            return None

    def keep(self, identifier: bytes, entry: Entry) -> None:
        """Keep an entry in place of the one that was there."""
        self.drop(identifier)
        self._held.add(entry)
        self[identifier] = entry
        if self.get(identifier) is not entry:
            # It has expired meanwhile.
            self._let_go(entry, CacheEventKind.EXPIRY)
            return
        if len(self._times) > 2 * len(self._held) + 16:
            self._times = [each.expires for each in self._held]
            heapq.heapify(self._times)
        else:
            heapq.heappush(self._times, entry.expires)
        self.soonest = self._times[0]

    def drop(self, identifier: bytes, kind: CacheEventKind | None = None) -> None:
        """Take one out; with a ``kind``, tell of it."""
        entry = self.pop(identifier, None)
        if entry is not None:
            self._let_go(entry, kind)

    def drop_all(self) -> None:
        """Take all out."""
        self.retire_all()
        self.clear()

    def retire_all(self) -> None:
        """Let go of all, by their own list: an interrupt may have left the mapping half changed."""
        for entry in list(self._held):
            self._let_go(entry, CacheEventKind.CLEAR)

    def expire(self, time: float | None = None) -> list[tuple[bytes, Entry]]:
        """Take out those whose time is up, and return them."""
        now = self.timer() if time is None else time
        expired = list(super().expire(now))
        for _, entry in expired:
            self._let_go(entry, CacheEventKind.EXPIRY)
        while self._times and self._times[0] <= now:
            heapq.heappop(self._times)
        self.soonest = self._times[0] if self._times else math.inf
        return expired

    def popitem(self) -> tuple[bytes, Entry]:
        """Take out the least recently used, for want of room."""
        identifier, entry = super().popitem()
        self._let_go(entry, CacheEventKind.EVICTION)
        return identifier, entry

    def _let_go(self, entry: Entry, kind: CacheEventKind | None) -> None:
        if entry not in self._held:
            # Older releases of cachetools clear by popping all, one after the other.
            return
        self._held.discard(entry)
        entry.retire()
        if kind is not None:
            self._left(entry, kind)
