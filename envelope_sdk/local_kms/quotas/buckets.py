"""Token buckets: how many requests of a kind are still allowed right now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Buckets", "LocalBuckets", "MonotonicClock"]

MonotonicClock = Callable[[], int]
"""Returns nanoseconds since some moment; never goes back."""

_SECOND: Final = 1_000_000_000
_ROOM: Final = 4096


class Buckets(Protocol):
    """Token buckets by name, shared by whoever is to share quotas: one process's threads, or several machines."""

    def take(self, name: str, rate: float, burst: float) -> bool:
        """Take one token out of a bucket.

        Args:
            name: the bucket, which is full when it is first asked for.
            rate: tokens that run into it a second.
            burst: tokens it holds at most, at least 1.

        Returns:
            Whether there was one.
        """
        ...


class LocalBuckets:
    """The buckets of one process. Safe to share between threads.

    A bucket is a whole number of billionths of a token and the moment it was right: with a whole rate nothing is
    rounded. Buckets that have run full again are forgotten in time, so that there are only as many as are in use.
    """

    __slots__ = ("_buckets", "_clock", "_lock", "_room")

    def __init__(self, clock: MonotonicClock = time.monotonic_ns) -> None:
        """Take the clock."""
        self._clock = clock
        # Reentrant: a signal handler may come in the middle. It may then take one token too many, never wait for ever.
        self._lock = threading.RLock()
        self._buckets: dict[str, tuple[float, int, float, float]] = {}
        self._room = _ROOM

    def take(self, name: str, rate: float, burst: float) -> bool:
        """Take one token."""
        most = burst * _SECOND
        with self._lock:
            found = self._buckets.get(name)
            now = self._clock()
            if found is None:
                if len(self._buckets) >= self._room:
                    self._forget_full(now)
                level = most
            else:
                level = found[0]
                if now > found[1]:
                    level += (now - found[1]) * rate
                    if level > most:
                        level = most
            taken = level >= _SECOND
            # The rate and size are kept to know later when it is full.
            self._buckets[name] = (level - _SECOND if taken else level, now, rate, most)
        return taken

    def __len__(self) -> int:
        """Return how many buckets are remembered."""
        return len(self._buckets)

    def _forget_full(self, now: int) -> None:
        self._buckets = {
            name: bucket
            for name, bucket in self._buckets.items()
            if bucket[0] + (now - bucket[1]) * bucket[2] < bucket[3]
        }
        # Twice what is left, so that looking at all of them is rare however many are in use.
        self._room = max(_ROOM, 2 * len(self._buckets))
