"""Doing the pieces of one job on several threads, with the ending of a plain loop.

The threads live as long as the call: nothing is left behind for a fork to lose or an exit to wait for.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Final

from envelope_sdk.errors import UsageError
from envelope_sdk.primitives.aead import RELEASES_GIL

__all__ = ["in_parallel", "threads_for"]

_MOST_BY_DEFAULT: Final = 4


def threads_for(wanted: int | None) -> int:
    """Return how many threads one message may use: ``wanted``, or by default one a processor, up to 4.

    Where ``cryptography`` does not let other threads run while it encrypts (before its version 50), it is 1.

    Raises:
        UsageError: fewer than one are wanted.
    """
    if wanted is not None and wanted < 1:
        raise UsageError(f"{wanted} threads cannot do anything: 1 is the least")
    if not RELEASES_GIL:
        return 1
    return min(_processors(), _MOST_BY_DEFAULT) if wanted is None else wanted


def _processors() -> int:
    """Return how many processors this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def in_parallel(work: Callable[[int], object], count: int, threads: int) -> None:
    """Call ``work`` with 0 to ``count`` - 1, begun in that order, on at most ``threads`` threads, this one included.

    It returns, or raises, when all that was begun has ended. Where pieces fail, no more are begun, and the error raised
    is that of the lowest piece, the one that a loop would have met first. An interruption of this thread counts as the
    failure of the piece it was at.
    """
    share = _Share(work, count)
    others: list[threading.Thread] = []
    try:
        # Where no thread can be had (a limit, an interpreter that ends), those that run do it all.
        with contextlib.suppress(RuntimeError):
            for _ in range(min(threads, count) - 1):
                thread = threading.Thread(target=share.run, name="envelope-sdk-frames", daemon=True)
                thread.start()
                others.append(thread)
        share.run()
    finally:
        share.stop()
        _join(others)
    share.raise_failure()


def _join(threads: list[threading.Thread]) -> None:
    """Wait for all, however often it is interrupted: they use the caller's buffers."""
    interruption: BaseException | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as error:  # noqa: BLE001 - raised below
                interruption = error
    if interruption is not None:
        raise interruption


class _Share:
    def __init__(self, work: Callable[[int], object], count: int) -> None:
        self._work = work
        self._count = count
        self._next = 0
        self._lock = threading.Lock()
        self._failure: tuple[int, BaseException] | None = None

    def run(self) -> None:
        while (number := self._take()) is not None:
            try:
                self._work(number)
            except BaseException as error:  # noqa: BLE001 - raised by the thread that asked for the work
                self._fail(number, error)

    def stop(self) -> None:
        with self._lock:
            self._next = self._count

    def raise_failure(self) -> None:
        if self._failure is None:
            return
        error = self._failure[1]
        try:
            raise error
        finally:
            # The error holds this frame, which would hold the error.
            self._failure = None
            del error

    def _take(self) -> int | None:
        with self._lock:
            number = self._next
            if number >= self._count:
                return None
            self._next += 1
            return number

    def _fail(self, number: int, error: BaseException) -> None:
        with self._lock:
            self._next = self._count
            if self._failure is None or number < self._failure[0]:
                self._failure = (number, error)
