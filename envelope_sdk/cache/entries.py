"""What a cache keeps: values, who uses them, and their way out, which is the same for all: they are wiped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachetools import TLRUCache

__all__ = ["Clock", "Entries", "Entry"]

Clock = Callable[[], float]


class Entry:
    """A value, who uses it, and whether the cache has let go of it."""

    __slots__ = ("created", "expires", "loans", "retired", "value", "wipe")

    def __init__(self, value: Any, wipe: Callable[[Any], None] | None, created: float, ttl_seconds: float) -> None:
        self.value = value
        self.wipe = wipe
        self.created = created
        self.expires = created + ttl_seconds
        self.loans = 0
        self.retired = False

    def retire(self) -> None:
        """Let go of it; it is wiped when the last loan ends."""
        self.retired = True
        self.settle()

    def settle(self) -> None:
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
    """The entries that are kept. Each is retired on whichever way it leaves."""

    def __init__(self, max_entries: int, clock: Clock) -> None:
        super().__init__(max_entries, lambda _identifier, entry, _now: entry.expires, timer=clock)
        self._held: set[Entry] = set()

    def keep(self, identifier: bytes, entry: Entry) -> None:
        self.drop(identifier)
        self._held.add(entry)
        self[identifier] = entry
        if self.get(identifier) is not entry:
            # It has expired meanwhile.
            self._let_go(entry)

    def drop(self, identifier: bytes) -> None:
        entry = self.pop(identifier, None)
        if entry is not None:
            self._let_go(entry)

    def drop_all(self) -> None:
        self.clear()
        self.retire_all()

    def retire_all(self) -> None:
        # By their own list: an interrupt may have left the mapping half changed.
        for entry in list(self._held):
            self._let_go(entry)

    def expire(self, time: float | None = None) -> list[tuple[bytes, Entry]]:
        expired = list(super().expire(time))
        for _, entry in expired:
            self._let_go(entry)
        return expired

    def popitem(self) -> tuple[bytes, Entry]:
        identifier, entry = super().popitem()
        self._let_go(entry)
        return identifier, entry

    def _let_go(self, entry: Entry) -> None:
        self._held.discard(entry)
        entry.retire()
