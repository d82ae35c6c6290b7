"""A KMS that throttles when it is told to, and counts what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Switch", "together"]

T = TypeVar("T")


class Switch:
    """Buckets that are full, or empty, as somebody says.

    Attributes:
        on: whether calls are too many: every one, unless told otherwise.
        asked: how many calls were counted, those that were too many included.
        passed: how many of them were not.
        lets_pass: tells whether a call is allowed all the same while it is on.
    """

    def __init__(self, lets_pass: Callable[[], bool] = lambda: False) -> None:
        """Take what tells whether a call is allowed all the same while it is on."""
        self.on = False
        self.lets_pass = lets_pass
        self.asked = 0
        self.passed = 0
        self._lock = threading.Lock()

    def take(self, name: str, rate: float, burst: float) -> bool:
        """Count one call; return whether it is allowed."""
        with self._lock:
            allowed = not self.on or self.lets_pass()
            self.asked += 1
            self.passed += allowed
            return allowed


def together(calls: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Make all calls at once, each in a thread of its own; return what each returned or raised, in order."""
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], T]) -> T | Exception:
        ready.wait(60)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - returned
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))
