"""Who loads, and who waits for whom. Unless it says otherwise, it is called under the lock of the cache."""

from __future__ import annotations

import copy
import math
from typing import Protocol

from envelope_sdk.cache.entries import Entry
from envelope_sdk.cache.settings import InFlight

__all__ = ["Attempt", "Flight", "Gate", "Traffic", "same_failure"]


class Gate(Protocol):
    """Where one waits: a locked :class:`threading.Lock`, or what does as much for a task.

    The classes of :mod:`threading` that are made for waiting are written in Python: an interrupt inside one of them can
    leave it locked for good. Each waits at a gate of its own, so that nobody who is interrupted there stops others.
    """

    def locked(self) -> bool:
        """Whether nobody has opened it yet."""
        ...

    def release(self) -> None:
        """Open it."""
        ...


class Attempt:
    """One try of one borrower: it loads, or waits for another's load, or for its turn to load.

    Attributes:
        gate: where it waits.
        thread: the thread that loads; ``None`` for a task's until a thread has begun.
        flight: what it has joined; ``None`` where its load serves nobody else.
        began: when its load began; ``None`` where it does not load.
        replaces: the kept entry whose time is not up yet.
        granted: whether it may load, after waiting for its turn.
        served: whether it has taken what its flight has brought.
        unasked: whether nobody waits for its load: it replaces a value ahead of time, in a thread of its own.
        done: whether it is over.
    """

    __slots__ = (
        "began",
        "done",
        "entry",
        "error",
        "flight",
        "gate",
        "granted",
        "outer",
        "replaces",
        "seconds",
        "served",
        "thread",
        "unasked",
    )

    def __init__(self, gate: Gate, thread: int | None) -> None:
        self.gate = gate
        self.thread = thread
        self.flight: Flight | None = None
        self.began: float | None = None
        self.outer: Attempt | None = None
        self.replaces: Entry | None = None
        self.entry: Entry | None = None
        self.error: Exception | None = None
        self.seconds = 0.0
        self.granted = False
        self.served = False
        self.unasked = False
        self.done = False

    def take_error(self) -> Exception:
        """Return what to raise, and forget it: with its frames, which hold this attempt, they would keep each other."""
        error, self.error = self.error, None
        assert error is not None
        return error

    def wake(self) -> None:
        """Let it through. Doing so twice is no error."""
        if self.gate.locked():
            self.gate.release()

    def abandon(self) -> None:
        """End it, if an interrupt has kept it from being ended in order."""
        if self.done:
            return
        if self.entry is not None:
            # It is not kept, or no longer: what an interrupt has left half changed is not.
            self.entry.retired = True
        self.done = True
        if self.began is not None and self.flight is not None:
            self.flight.land()


class Flight:
    """A value on its way, and those who wait for it.

    Attributes:
        generation: how often the cache had been cleared when it began.
        loads: the attempts that load it, the latest last: one, unless one of them hangs.
        queued: the attempt that waits for its turn to load it.
        waiters: those who get what comes of it.
        landed: whether it is over: with an entry, an error, or, where a load was interrupted, neither.
    """

    __slots__ = ("entry", "error", "generation", "identifier", "landed", "loads", "queued", "waiters")

    def __init__(self, identifier: bytes, generation: int) -> None:
        self.identifier = identifier
        self.generation = generation
        self.loads: list[Attempt] = []
        self.queued: Attempt | None = None
        self.waiters: dict[Attempt, None] = {}
        self.landed = False
        self.entry: Entry | None = None
        self.error: Exception | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self.waiters)

    def land(self) -> None:
        """Let all through who wait. Landing twice is no error."""
        self.landed = True
        for waiter in list(self.waiters):
            waiter.wake()

    def hangs(self, now: float, limits: InFlight) -> bool:
        """Whether another may load it too: the latest load takes too long, and there is not another such one."""
        return now >= self._another_may_load(limits)

    def _another_may_load(self, limits: InFlight) -> float:
        # Looked at once: those who only ask how long to wait hold no lock, and it may land meanwhile.
        begun = [load.began or 0.0 for load in self.loads]
        if not begun:
            return math.inf
        when = begun[-1] + limits.takeover_seconds
        # One that has taken too long for anybody to wait for it is not counted any more.
        return when if len(begun) < 2 else max(when, begun[-2] + limits.wait_seconds)

    def patience(self, now: float, limits: InFlight) -> float:
        """Return for how many seconds there is nothing to do but wait for it. Called without the lock."""
        left = self._another_may_load(limits) - now
        return left if 0 < left < math.inf else limits.takeover_seconds


class Traffic:
    """All flights of a cache, and the loads that run.

    Nobody waits in a circle: a thread that loads and, in the middle of that, wants what is being loaded by a thread
    that waits for it, loads for itself; and its loads within its load need no turn of their own.
    """

    def __init__(self, limits: InFlight) -> None:
        """Begin without any."""
        self.limits = limits
        self.flights: dict[bytes, Flight] = {}
        self._running: set[Attempt] = set()
        self._queue: dict[Attempt, None] = {}
        self._innermost: dict[int, Attempt] = {}
        self._awaited: dict[int, Flight] = {}

    def flight(self, identifier: bytes) -> Flight | None:
        """Return the value's flight, if it is on its way."""
        flight = self.flights.get(identifier)
        return None if flight is None or flight.landed else flight

    def may_load(self, identifier: bytes, thread: int | None, now: float) -> bool:
        """Whether an attempt that joined now would load at once."""
        flight = self.flight(identifier)
        if flight is not None and (flight.queued is not None or not flight.hangs(now, self.limits)):
            return False
        return self._loading(thread) is not None or self._has_room(now)

    def join(self, identifier: bytes, attempt: Attempt, now: float, generation: int) -> None:
        """Begin to load the value, for all who want it, or to wait."""
        thread = attempt.thread
        nested = self._loading(thread) is not None
        flight = self.flight(identifier)
        if flight is None:
            flight = self.flights[identifier] = Flight(identifier, generation)
        elif nested and self._comes_back_to(thread, flight):
            self.begin(attempt, now)
            return
        attempt.flight = flight
        mine = (flight.queued is None or nested) if not flight.loads else flight.hangs(now, self.limits)
        if mine and (nested or (flight.queued is None and self._has_room(now))):
            self.begin(attempt, now)
            return
        flight.waiters[attempt] = None
        if nested and thread is not None:
            self._awaited[thread] = flight
        if mine and flight.queued is None:
            flight.queued = attempt
            self._queue[attempt] = None

    def join_alone(self, attempt: Attempt, now: float) -> None:
        """Begin to load a value for nobody else, or to wait for a turn."""
        if self._loading(attempt.thread) is not None or self._has_room(now):
            self.begin(attempt, now)
        else:
            self._queue[attempt] = None

    def is_queued(self, attempt: Attempt, now: float) -> bool:
        """Whether it still has to wait for its turn. Loads that have hung for too long make room."""
        if attempt in self._queue and self._has_room(now):
            self._grant()
        return attempt in self._queue

    def begin(self, attempt: Attempt, now: float) -> None:
        """Begin to load."""
        flight = attempt.flight
        attempt.began = now
        if self._loading(attempt.thread) is None:
            self._running.add(attempt)
        if flight is not None:
            flight.loads.append(attempt)
            flight.waiters.pop(attempt, None)
            if flight.queued is attempt:
                flight.queued = None
        if attempt.thread is not None:
            self.enter(attempt, attempt.thread)

    def enter(self, attempt: Attempt, thread: int) -> None:
        """Note that this thread is inside this attempt's load."""
        attempt.thread = thread
        attempt.outer = self._loading(thread)
        self._innermost[thread] = attempt

    def leave(self, attempt: Attempt) -> None:
        """Take an attempt out, whatever it was doing."""
        flight, thread = attempt.flight, attempt.thread
        attempt.done = True
        if flight is not None:
            flight.waiters.pop(attempt, None)
            if attempt in flight.loads:
                flight.loads.remove(attempt)
            if flight.queued is attempt:
                flight.queued = None
            if not (flight.landed or flight.loads or flight.queued):
                flight.land()
            if flight.landed and self.flights.get(flight.identifier) is flight:
                # A signal handler may have cleared them in between.
                self.flights.pop(flight.identifier, None)
        self._queue.pop(attempt, None)
        self._running.discard(attempt)
        if thread is not None:
            self._awaited.pop(thread, None)
            if self._innermost.get(thread) is attempt:
                self._innermost.pop(thread, None)
                if attempt.outer is not None:
                    self._innermost[thread] = attempt.outer
        self._grant()

    def _grant(self) -> None:
        while self._queue and len(self._running) < self.limits.loads:
            first = next(iter(self._queue))
            self._queue.pop(first, None)
            first.granted = True
            self._running.add(first)
            first.wake()

    def _has_room(self, now: float) -> bool:
        if len(self._running) >= self.limits.loads:
            oldest = now - self.limits.wait_seconds
            self._running = {
                each for each in self._running if not each.done and (each.began is None or each.began > oldest)
            }
        return len(self._running) < self.limits.loads

    def _loading(self, thread: int | None) -> Attempt | None:
        attempt = None if thread is None else self._innermost.get(thread)
        return None if attempt is None or attempt.done else attempt

    def _comes_back_to(self, thread: int | None, flight: Flight) -> bool:
        pending, seen = [flight], {flight}
        while pending:
            for load in pending.pop().loads:
                if load.thread == thread:
                    return True
                awaited = None if load.thread is None else self._awaited.get(load.thread)
                if awaited is not None and awaited not in seen:
                    seen.add(awaited)
                    pending.append(awaited)
        return False


def same_failure(error: Exception) -> Exception:
    """Return a copy, as far as that can be made."""
    # One exception raised in several threads would collect the frames of all of them.
    try:
        another = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception of anybody's, which may resist in any way
        return error
    if type(another) is not type(error):
        return error
    another.__cause__ = error.__cause__
    return another
