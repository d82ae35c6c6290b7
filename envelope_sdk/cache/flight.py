"""One load of a value, for all who wait for it."""

from __future__ import annotations

import threading

from envelope_sdk.cache.entries import Entry

__all__ = ["Flight"]


class Flight:
    """One load, and those who wait for it.

    They wait at a plain lock, since the classes of :mod:`threading` that are made for it are written in Python: an
    interrupt inside one of them can leave it locked for good.
    """

    __slots__ = ("_gate", "entry", "error", "generation", "joined", "landed", "waiting")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self.entry: Entry | None = None
        self.error: Exception | None = None
        self.generation = -1
        self.joined: Flight | None = None
        self.landed = False
        self.waiting = 0

    def land(self) -> None:
        """Let all through who wait. Landing twice is no error."""
        if not self.landed:
            self.landed = True
            self._gate.release()

    def wait(self) -> None:
        """Return once it has landed."""
        with self._gate:
            pass
