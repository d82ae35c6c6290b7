"""What a cache does: it lends, loads, keeps and lets go, and is not put off by interrupts.

Nobody waits in vain, whatever interrupts whom. A load that is interrupted is taken over by one of those who wait. A
signal handler that comes back to the cache in a thread that is inside it already loads for itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from enum import Enum, auto
from typing import Any, Final, NoReturn, TypeVar

from envelope_sdk.cache.entries import Clock, Entries, Entry
from envelope_sdk.cache.flight import Attempt, Flight, Traffic, same_failure
from envelope_sdk.cache.loan import Loan
from envelope_sdk.cache.records import Records
from envelope_sdk.cache.settings import InFlight, Refresh
from envelope_sdk.cache.usage import CacheEventKind, CacheUsage, OnCacheEvent
from envelope_sdk.errors import LoadTimeoutError, UsageError

__all__ = ["Lending", "Step"]

T = TypeVar("T")

_LOG: Final = logging.getLogger("envelope_sdk.cache")


class Step(Enum):
    """What one who borrows has to do next."""

    LOAD = auto()
    """Call :meth:`Lending.load`."""

    WAIT = auto()
    """Wait at the attempt's gate for :meth:`Lending.patience` at most, then call :meth:`Lending.arrive`."""

    END = auto()
    """Nothing, with this attempt. Where it has brought no entry, make another."""


class Lending:
    """The inside of a :class:`~envelope_sdk.cache.local.LocalCache`. Its methods may be called by any thread."""

    __slots__ = (
        "__weakref__",
        "_due",
        "_entries",
        "_executor",
        "_generation",
        "_inside",
        "_refresh",
        "clock",
        "closed",
        "limits",
        "lock",
        "max_entries",
        "records",
        "traffic",
    )

    def __init__(
        self,
        max_entries: int,
        refresh: Refresh | None,
        limits: InFlight,
        executor: Executor | None,
        on_event: OnCacheEvent | None,
        clock: Clock,
    ) -> None:
        self.max_entries = max_entries
        self.limits = limits
        self.closed = False
        self._refresh = refresh
        self._executor = executor
        self.records = Records(on_event)
        self.clock = clock
        self._generation = 0
        self._begin()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cache holds keys: it cannot be pickled or copied")

    def _begin(self) -> None:
        self.lock = threading.RLock()
        self.traffic = Traffic(self.limits)
        self._inside = False
        self._due: list[Callable[[], object]] = []
        self._entries = self._no_entries()

    def begin_anew(self) -> None:
        """Begin with nothing, in a forked child, where threads that held locks, loaded or used values do not exist."""
        flights = list(self.traffic.flights.values())
        self._begin()
        self.records = self.records.afresh()
        # Its threads are not here either.
        self._executor = None
        for flight in flights:
            # A signal handler that forks may have interrupted one who waits, for a thread that is not here.
            flight.land()

    def _no_entries(self) -> Entries:
        return Entries(self.max_entries, self.clock, self._left)

    def _left(self, entry: Entry, kind: CacheEventKind) -> None:
        self.records.note(kind, entry.identifier)

    # --- under the lock

    def change(self, work: Callable[[], T]) -> T | None:
        """Do ``work`` under the lock, unless this very thread is in the middle of doing some."""
        with self.lock:
            # The lock lets a signal handler in that interrupts the thread holding it; this tells it so.
            if self._inside:
                return None
            self._inside = True
            try:
                return work()
            except BaseException:
                self._begin_with_no_entries()
                raise
            finally:
                self._inside = False
                if self._due:
                    self._do_what_is_due()

    def _begin_with_no_entries(self) -> None:
        # An interrupt may have left them half changed.
        entries, self._entries = self._entries, self._no_entries()
        entries.retire_all()

    def _do_what_is_due(self) -> None:
        while self._due:
            self.change(self._due.pop(0))

    def take_out(self, work: Callable[[Entries], object]) -> None:
        """Do ``work`` on the entries; where this very thread is in the middle of a change, right after that."""
        self._take_out(work)
        self.tell()

    def clear(self) -> None:
        """Take everything out, and keep nothing of what is on its way."""
        with self.lock:
            self._generation += 1
            self.traffic.flights.clear()
            self._take_out(Entries.drop_all)
        self.tell()

    def _take_out(self, work: Callable[[Entries], object]) -> None:
        with self.lock:
            if self._inside:
                self._due.append(lambda: work(self._entries))
            else:
                self.change(lambda: work(self._entries))

    def usage(self) -> CacheUsage:
        """Return the counts."""
        with self.lock:
            self.change(lambda: self._entries.expire())
            return self.records.usage(len(self._entries))

    # --- lending

    def lend_kept(self, loan: Loan[Any]) -> bool:
        """Lend what is kept, and return whether that could be done without another thought."""
        with self.lock:
            if self._inside:
                return False
            self._inside = True
            try:
                now = self.clock()
                entries = self._entries
                if now >= entries.soonest:
                    entries.expire(now)
                entry = entries.find(loan.identifier)
                if entry is None or now >= entry.calm_until or loan.ttl_seconds < entry.ttl_seconds or self.closed:
                    return False
                self._lend(entry, loan)
            except BaseException:
                self._begin_with_no_entries()
                raise
            else:
                return True
            finally:
                self._inside = False
                if self._due:
                    self._do_what_is_due()

    def _lend(self, entry: Entry, loan: Loan[Any]) -> None:
        entry.loans += 1
        loan.entry = entry
        self.records.note_hit(loan.identifier)

    def give_back(self, entry: Entry) -> None:
        """End a loan."""
        with self.lock:
            inside, self._inside = self._inside, True
            try:
                entry.loans -= 1
                if entry.retired:
                    entry.settle()
            except BaseException:
                # Threads that have waited for a lock are interrupted here, most often.
                entry.settle()
                raise
            finally:
                self._inside = inside
                if self._due and not inside:
                    self._do_what_is_due()

    def obtain(self, loan: Loan[Any]) -> None:
        """Lend a value, whether it is kept, has to be waited for or to be loaded.

        Raises:
            UsageError: the cache is closed.
            LoadTimeoutError: it has been waited for too long.
            Exception: whatever the loader raised.
        """
        asked = self.clock()
        while loan.entry is None:
            gate = threading.Lock()
            gate.acquire()
            attempt = Attempt(gate, threading.get_ident())
            try:
                step = self.join(loan, attempt, asked)
                while step is Step.WAIT:
                    gate.acquire(timeout=self.patience(attempt, asked))
                    step = self.arrive(loan, attempt, asked)
                if step is Step.LOAD:
                    self.load(loan, attempt)
            finally:
                # Here, so that no interrupt between joining and loading leaves others waiting.
                try:
                    self.leave(loan, attempt)
                finally:
                    attempt.abandon()

    def join(self, loan: Loan[Any], attempt: Attempt, asked: float) -> Step:
        """Lend what is kept, or make the attempt one to load, or to wait."""
        if self.closed:
            raise UsageError("the cache is closed")
        step = self.change(lambda: self._join(loan, attempt, asked))
        if attempt.error is not None:
            raise attempt.take_error()
        if step is Step.END and attempt.replaces is not None and self._executor is not None:
            self._replace_later(self._executor, loan, attempt.replaces)
        # A thread that is in the middle of a change loads for itself.
        return step or Step.LOAD

    def _join(self, loan: Loan[Any], attempt: Attempt, asked: float) -> Step:
        now = self.clock()
        if self._lend_or_replace(loan, attempt, now) or self._gives_up(loan, attempt, now, asked):
            return Step.END
        if loan.ttl_seconds > 0:
            self.traffic.join(loan.identifier, attempt, now, self._generation)
        else:
            self.traffic.join_alone(attempt, now)
        return Step.LOAD if attempt.began is not None else Step.WAIT

    def _lend_or_replace(self, loan: Loan[Any], attempt: Attempt | None, now: float) -> bool:
        """Lend what is kept; but where that is to be replaced, and the attempt can, have it do so first."""
        self._entries.expire(now)
        ttl_seconds = loan.ttl_seconds
        entry = self._entries.find(loan.identifier) if ttl_seconds > 0 else None
        if entry is None or now >= entry.end_for(ttl_seconds):
            return False
        refresh = self._refresh
        if (
            attempt is not None
            and refresh is not None
            and entry.is_due(ttl_seconds, now, refresh)
            and self.traffic.may_load(loan.identifier, attempt.thread, now)
        ):
            entry.try_to_replace(now, refresh)
            attempt.replaces = entry
            if self._executor is None:
                return False
        self._lend(entry, loan)
        return True

    def patience(self, attempt: Attempt, asked: float) -> float:
        """Return for how many seconds to wait."""
        now = self.clock()
        flight = attempt.flight
        turn = self.limits.takeover_seconds if flight is None else flight.patience(now, self.limits)
        return max(0.0, min(turn, asked + self.limits.wait_seconds - now, threading.TIMEOUT_MAX))

    def arrive(self, loan: Loan[Any], attempt: Attempt, asked: float) -> Step:
        """Take what the wait has brought."""
        step = self.change(lambda: self._arrive(loan, attempt, asked))
        if attempt.error is not None:
            raise attempt.take_error()
        return step or Step.END

    def _arrive(self, loan: Loan[Any], attempt: Attempt, asked: float) -> Step:
        now = self.clock()
        flight = attempt.flight
        if flight is not None and flight.landed:
            self._take(loan, attempt, flight, now, asked)
            return Step.END
        if not attempt.granted and self._gives_up(loan, attempt, now, asked):
            return Step.END
        if self.traffic.is_queued(attempt, now):
            return Step.WAIT
        if attempt.granted and (flight is None or not flight.loads or flight.hangs(now, self.limits)):
            self.traffic.begin(attempt, now)
            return Step.LOAD
        return Step.END

    def _gives_up(self, loan: Loan[Any], attempt: Attempt, now: float, asked: float) -> bool:
        if now < asked + self.limits.wait_seconds:
            return False
        self.records.note(CacheEventKind.TIMEOUT, loan.identifier, now - asked)
        attempt.error = LoadTimeoutError(
            f"no value, and no turn to load one, within {self.limits.wait_seconds} seconds: others load too long",
            operation="Load",
            code="WaitLimitExceeded",
        )
        return True

    def _take(self, loan: Loan[Any], attempt: Attempt, flight: Flight, now: float, asked: float) -> None:
        entry = flight.entry
        if flight.error is not None:
            attempt.error = same_failure(flight.error)
        elif entry is not None and now < entry.end_for(loan.ttl_seconds):
            attempt.served = True
            loan.entry = entry
        else:
            return
        self.records.note(CacheEventKind.WAIT, loan.identifier, now - asked)

    # --- loading

    def load(self, loan: Loan[Any], attempt: Attempt) -> None:
        """Load the value, and lend it; or lend the one that was to be replaced, where that fails.

        Raises:
            Exception: whatever the loader raised.
        """
        if attempt.thread is None:
            with self.lock:
                self.traffic.enter(attempt, threading.get_ident())
        began = self.clock() if attempt.began is None else attempt.began
        try:
            value = loan.load()
            entry = Entry(loan.identifier, value, loan.wipe, self.clock(), loan.ttl_seconds, self._refresh)
        except Exception as error:
            attempt.seconds = self.clock() - began
            # A copy: with its frames, which hold this attempt, they would keep each other.
            attempt.error = same_failure(error)
            if attempt.replaces is None or attempt.unasked or not self._lend_still(loan):
                raise
        else:
            entry.loans = 1
            attempt.entry = loan.entry = entry
            attempt.seconds = entry.created - began

    def _lend_still(self, loan: Loan[Any]) -> bool:
        # What is kept now: it may be another by now, or none.
        return self.change(lambda: self._lend_or_replace(loan, None, self.clock())) or False

    def leave(self, loan: Loan[Any], attempt: Attempt) -> None:
        """End the attempt, whatever has become of it: keep what it loaded, and let all through who wait for it."""
        with self.lock:
            if attempt.flight is None and attempt.entry is not None:
                # Nobody else gets it: it is wiped with the end of its loan.
                attempt.entry.retired = True
            self._note_load(loan, attempt)
            self.change(lambda: self._land(attempt))

    def _land(self, attempt: Attempt) -> None:
        flight, entry = attempt.flight, attempt.entry
        try:
            if flight is None:
                return
            if attempt.began is None:
                if flight.entry is not None and attempt in flight.waiters and not attempt.served:
                    flight.entry.loans -= 1
                    flight.entry.settle()
            elif not flight.landed and (entry is not None or flight.loads[-1:] == [attempt]):
                flight.entry, flight.error = entry, attempt.error
                if entry is not None:
                    entry.loans += flight.waiting
                    self._keep(entry, flight)
                flight.land()
            elif entry is not None:
                # It hung, and another has come before it.
                entry.retired = True
        finally:
            self.traffic.leave(attempt)

    def _keep(self, entry: Entry, flight: Flight) -> None:
        # Told inside the change, since a signal handler may clear or close the cache up to there.
        if flight.generation == self._generation and not self.closed:
            self._entries.keep(entry.identifier, entry)
        else:
            entry.retired = True

    # --- loading what is to replace another, in threads of others

    def _replace_later(self, executor: Executor, loan: Loan[Any], entry: Entry) -> None:
        another = Loan(self, loan.identifier, loan.load, loan.ttl_seconds, loan.wipe)
        try:
            executor.submit(self._replace, another, entry)
        except RuntimeError:
            # It has been shut down: from now on borrowers do it.
            self._executor = None
        except Exception:  # noqa: BLE001 - anybody's: the value that is kept is lent, and others try again
            _LOG.exception("an executor took no load of a replacement")

    def _replace(self, loan: Loan[Any], entry: Entry) -> None:
        attempt = Attempt(threading.Lock(), threading.get_ident())
        attempt.replaces, attempt.unasked = entry, True
        try:
            try:
                if self.change(lambda: self._begin_to_replace(loan, attempt, entry)):
                    self.load(loan, attempt)
            finally:
                try:
                    self.leave(loan, attempt)
                finally:
                    attempt.abandon()
        except Exception:  # noqa: BLE001 - it is counted, and the value that is kept goes on being lent
            return
        finally:
            loan.__exit__(None, None, None)
            self.tell()

    def _begin_to_replace(self, loan: Loan[Any], attempt: Attempt, entry: Entry) -> bool:
        now = self.clock()
        if self.closed or entry.retired or not self.traffic.may_load(loan.identifier, attempt.thread, now):
            return False
        self.traffic.join(loan.identifier, attempt, now, self._generation)
        return True

    # --- telling

    def _note_load(self, loan: Loan[Any], attempt: Attempt) -> None:
        kinds = CacheEventKind
        if attempt.entry is not None:
            if attempt.replaces is None:
                self.records.note(kinds.LOAD, loan.identifier, attempt.seconds)
                return
            self.records.note(kinds.REFRESH, loan.identifier, attempt.seconds)
            if not attempt.unasked:
                self.records.note_hit(loan.identifier)
        elif attempt.error is not None:
            unnoticed = attempt.unasked or loan.entry is not None
            self.records.note(kinds.REFRESH_FAILURE if unnoticed else kinds.FAILURE, loan.identifier, attempt.seconds)

    def tell(self) -> None:
        """Tell what has happened, unless this very thread is in the middle of a change: then it does so after that."""
        if self.records.news:
            with self.lock:
                inside = self._inside
            if not inside:
                self.records.tell()
