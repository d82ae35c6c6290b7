"""Threads in simulated time: one runs at a time, until it waits, and time passes only when all of them wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Interrupted", "Simulation"]


class Interrupted(BaseException):
    """What an interrupted thread ends with, as with a KeyboardInterrupt."""


@dataclass(eq=False)
class _Thread:
    number: int
    starts: int
    work: Callable[[], object]
    interrupted_at: int | None
    outcome: Any = None
    error: BaseException | None = None
    gate: threading.Lock | None = None
    until: int | None = None
    started: bool = False
    done: bool = False
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Simulation:
    """A clock, in nanoseconds, and a way of waiting, for what takes both; and the threads that use them.

    Attributes:
        now: the time.
        waits: how often threads have waited.
    """

    def __init__(self) -> None:
        self.now = 0
        self.waits = 0
        self._threads: list[_Thread] = []
        self._back = threading.Semaphore(0)
        self._here: dict[int, _Thread] = {}

    def clock(self) -> int:
        """Return the time."""
        return self.now

    def wait(self, gate: threading.Lock, seconds: float | None) -> None:
        """Wait as :data:`envelope_sdk.keyrings.kms.pacing.Wait` says."""
        thread = self._here[threading.get_ident()]
        self.waits += 1
        thread.gate = gate
        # A thread sleeps a little too long rather than too short.
        thread.until = None if seconds is None else self.now + max(1, round(seconds * 1e9))
        self._back.release()
        thread.go.acquire()
        thread.gate = None
        if thread.interrupted_at is not None and self.now >= thread.interrupted_at:
            thread.interrupted_at = None
            raise Interrupted
        gate.acquire(blocking=False)

    def at(self, seconds: float, work: Callable[[], object], *, interrupted_at: float | None = None) -> None:
        """Let a thread do ``work`` at a time, and be interrupted at a later one if it waits then."""
        at = None if interrupted_at is None else round(interrupted_at * 1e9)
        self._threads.append(_Thread(len(self._threads), round(seconds * 1e9), work, at))

    def run(self) -> list[BaseException | None]:
        """Run to the end; return what each thread ended with, in the order of :meth:`at`.

        Raises:
            AssertionError: threads are left that wait for ever.
        """
        while any(not thread.done for thread in self._threads):
            events = [event for thread in self._threads if (event := self._next(thread)) is not None]
            assert events, "threads wait for ever"
            at, _, _, number = min(events)
            self.now = max(self.now, at)
            self._step(self._threads[number])
        return [thread.error for thread in self._threads]

    def _next(self, thread: _Thread) -> tuple[int, int, int, int] | None:
        if thread.done:
            return None
        if not thread.started:
            # New ones come last among what happens at one time: those who wait are let through first.
            return (thread.starts, 2, thread.number, thread.number)
        assert thread.gate is not None
        if not thread.gate.locked():
            return (self.now, 0, thread.number, thread.number)
        times = [time for time in (thread.until, thread.interrupted_at) if time is not None]
        return (max(self.now, min(times)), 1, thread.number, thread.number) if times else None

    def _step(self, thread: _Thread) -> None:
        if not thread.started:
            thread.started = True
            threading.Thread(target=self._body, args=(thread,), daemon=True).start()
        else:
            thread.go.release()
        self._back.acquire()

    def _body(self, thread: _Thread) -> None:
        self._here[threading.get_ident()] = thread
        try:
            thread.outcome = thread.work()
        except BaseException as error:  # noqa: BLE001 - returned by run()
            thread.error = error
        finally:
            thread.done = True
            del self._here[threading.get_ident()]
            self._back.release()
