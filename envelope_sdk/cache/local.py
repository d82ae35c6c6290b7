"""A cache in this process: bounded and timed, with one load for all who wait.

It follows framework/local-cryptographic-materials-cache.md; one load for all stands in place of storm tracking.

A value is wiped when it has left the cache *and* nobody uses it any more: a key that turned to zeros in the middle of a
derivation would encrypt under a key that everybody knows. So values are lent, and their loans are counted.

Nobody waits in vain, whatever interrupts whom. A load that is interrupted is taken over by one of those who wait. A
signal handler, or a loader, that comes back to the cache in a thread that is inside it already loads for itself.
"""

from __future__ import annotations

import copy
import operator
import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar
from weakref import WeakSet

from envelope_sdk.cache.entries import Clock, Entries, Entry
from envelope_sdk.cache.flight import Flight
from envelope_sdk.cache.settings import InFlight, Refresh
from envelope_sdk.cache.usage import CacheUsage, OnCacheEvent
from envelope_sdk.errors import UsageError

__all__ = ["DEFAULT_MAX_ENTRIES", "LocalCache"]

T = TypeVar("T")

DEFAULT_MAX_ENTRIES: Final = 1000
"""Values that a cache keeps unless told otherwise: the specification's default."""


class LocalCache:
    """Fulfils :class:`~envelope_sdk.cache.contract.Cache` in the memory of this process.

    The least recently used value goes where there are more than fit. A forked child begins with an empty cache.
    """

    __slots__ = (
        "__weakref__",
        "_changing",
        "_clock",
        "_closed",
        "_due",
        "_entries",
        "_executor",
        "_flights",
        "_generation",
        "_in_flight",
        "_loading",
        "_lock",
        "_max_entries",
        "_on_event",
        "_refresh",
    )

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
        self._clock = clock
        self._refresh, self._in_flight, self._executor, self._on_event = refresh, in_flight, executor, on_event
        self._closed = False
        self._generation = 0
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._changing = False
        self._due: list[Callable[[], object]] = []
        self._entries = Entries(self._max_entries, self._clock)
        self._flights: dict[bytes, Flight] = {}
        self._loading: dict[int, Flight] = {}

    def _begin_anew(self) -> None:
        flights = list(self._flights.values())
        self._begin()
        for flight in flights:
            # A signal handler that forks may have interrupted one who waits, for a thread that is not here.
            flight.land()

    def __repr__(self) -> str:
        return f"LocalCache({self._max_entries})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cache holds keys: it cannot be pickled or copied")

    @contextmanager
    def borrow(
        self,
        identifier: bytes,
        load: Callable[[], T],
        *,
        ttl_seconds: float,
        wipe: Callable[[T], None] | None = None,
    ) -> Generator[T]:
        """Lend a value: see :meth:`envelope_sdk.cache.contract.Cache.borrow`."""
        entry = self._kept(identifier, ttl_seconds)
        while entry is None:
            entry = self._load_or_wait(identifier, load, ttl_seconds, wipe)
        try:
            yield entry.value
        finally:
            self._give_back(entry)

    def discard(self, identifier: bytes, value: object) -> None:
        """Take a value out where it is still kept."""

        def drop() -> None:
            entry = self._entries.get(identifier)
            if entry is not None and entry.value is value:
                self._entries.drop(identifier)

        self._take_out(drop)

    def clear(self) -> None:
        """Take everything out."""
        with self._lock:
            self._generation += 1
            self._flights.clear()
            self._take_out(lambda: self._entries.drop_all())

    def close(self) -> None:
        """Take everything out for good."""
        self._closed = True
        self.clear()

    def usage(self) -> CacheUsage:
        """Return counts since the cache was made, and how many values it holds now."""
        with self._lock:
            return CacheUsage(entries=len(self._entries))

    def _change(self, work: Callable[[], T]) -> T | None:
        """Do ``work`` on the entries, unless this very thread is in the middle of doing some."""
        with self._lock:
            # The lock lets a signal handler in that interrupts the thread holding it; this tells it so.
            if self._changing:
                return None
            self._changing = True
            try:
                return work()
            except BaseException:
                # An interrupt may have left them half changed.
                entries, self._entries = self._entries, Entries(self._max_entries, self._clock)
                entries.retire_all()
                raise
            finally:
                self._changing = False
                while self._due:
                    self._change(self._due.pop(0))

    def _take_out(self, work: Callable[[], object]) -> None:
        """Do ``work`` on the entries; where this very thread is in the middle of a change, right after that."""
        with self._lock:
            if self._changing:
                self._due.append(work)
            else:
                self._change(work)

    def _kept(self, identifier: bytes, ttl_seconds: float) -> Entry | None:
        if self._closed:
            raise UsageError("the cache is closed")

        def find() -> Entry | None:
            self._entries.expire()
            entry = self._entries.get(identifier) if ttl_seconds > 0 else None
            if entry is None or not self._is_fresh(entry, ttl_seconds):
                return None
            entry.loans += 1
            return entry

        return self._change(find)

    def _is_fresh(self, entry: Entry, ttl_seconds: float) -> bool:
        # Each asks for its own limit: the value may have been loaded by somebody with a longer one.
        return self._clock() < min(entry.expires, entry.created + ttl_seconds)

    def _load_or_wait(
        self, identifier: bytes, load: Callable[[], Any], ttl_seconds: float, wipe: Callable[[Any], None] | None
    ) -> Entry | None:
        mine = Flight()
        try:
            found = self._join(identifier, mine, ttl_seconds)
            if isinstance(found, Entry):
                return found
            if found is not mine:
                found.wait()
                # From here on the loan is this thread's to end, and not the flight's to count.
                mine.joined = None
                return self._arrived(found, ttl_seconds)
            try:
                entry = Entry(load(), wipe, self._clock(), ttl_seconds)
            except Exception as error:
                # A copy: with its frames, which hold this flight, they would keep each other.
                mine.error = _same_failure(error)
                raise
            entry.loans = 1
            mine.entry = entry
            return entry
        finally:
            # Here, so that no interrupt between joining and loading leaves others waiting.
            try:
                self._land(identifier, mine)
            finally:
                mine.land()

    def _join(self, identifier: bytes, mine: Flight, ttl_seconds: float) -> Entry | Flight:
        """Return the load to wait for, or ``mine``, to be done by this thread, for others too where that can be."""
        thread = threading.get_ident()
        with self._lock:
            entry = self._kept(identifier, ttl_seconds)
            if entry is not None:
                # It came since this thread looked first.
                return entry
            loading = self._loading.get(thread)
            if self._changing or ttl_seconds <= 0 or (loading is not None and not loading.landed):
                return mine
            flight = self._flights.get(identifier)
            if flight is not None and not flight.landed:
                flight.waiting += 1
                mine.joined = flight
                return flight
            mine.generation = self._generation
            self._loading[thread] = mine
            self._flights[identifier] = mine
            return mine

    def _land(self, identifier: bytes, mine: Flight) -> None:
        entry = mine.entry
        with self._lock:
            if mine.joined is not None:
                self._leave(mine.joined)
            # The flight goes first: a signal handler that still found it would wait for the thread that it interrupts.
            if self._flights.get(identifier) is mine:
                self._flights.pop(identifier, None)
            if mine.generation >= 0:
                self._loading.pop(threading.get_ident(), None)
            if entry is not None:
                entry.loans += mine.waiting
                if mine.generation >= 0:
                    self._change(lambda: self._keep(identifier, entry, mine.generation))
                else:
                    entry.retired = True
            # Under the lock: whoever stops waiting has either been counted above or takes itself off the count.
            mine.land()

    def _keep(self, identifier: bytes, entry: Entry, generation: int) -> None:
        # Told inside the change, since a signal handler may clear or close the cache up to there.
        if generation == self._generation and not self._closed:
            self._entries.keep(identifier, entry)
        else:
            entry.retired = True

    def _arrived(self, flight: Flight, ttl_seconds: float) -> Entry | None:
        if flight.error is not None:
            raise _same_failure(flight.error)
        entry = flight.entry
        if entry is not None and not self._is_fresh(entry, ttl_seconds):
            self._give_back(entry)
            return None
        return entry

    def _leave(self, flight: Flight) -> None:
        # For one who was interrupted while waiting.
        if not flight.landed:
            flight.waiting -= 1
        elif flight.entry is not None:
            self._give_back(flight.entry)

    def _give_back(self, entry: Entry) -> None:
        with self._lock:
            entry.loans -= 1
            try:
                entry.settle()
            except BaseException:
                # Threads that have waited for a lock are interrupted here, most often.
                entry.settle()
                raise


def _same_failure(error: Exception) -> Exception:
    # One exception raised in several threads would collect the frames of all of them.
    try:
        another = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception of anybody's, which may resist in any way
        return error
    if type(another) is not type(error):
        return error
    another.__cause__ = error.__cause__
    return another


_ALL: Final[WeakSet[LocalCache]] = WeakSet()


def _begin_anew_in_child() -> None:
    # Threads that held locks, loaded or used values do not exist here.
    for cache in list(_ALL):
        cache._begin_anew()  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_begin_anew_in_child)
