"""Doing the pieces of one job on several threads, with the ending of a plain loop.

The threads live as long as the call: nothing is left behind for a fork to lose or an exit to wait for.
"""

from __future__ import annotations

import contextlib
import operator
import os
import threading
from collections.abc import Callable
from typing import Final

from envelope_sdk.errors import StreamError, UsageError
from envelope_sdk.primitives.aead import RELEASES_GIL

__all__ = ["in_parallel", "threads_for"]

_MOST_BY_DEFAULT: Final = 4


def threads_for(wanted: int | None) -> int:
    """Return how many threads one message may use: ``wanted``, or by default one a processor, up to 4.

    Where ``cryptography`` does not let other threads run while it encrypts (before its version 50), it is 1.

    Raises:
        UsageError: fewer than one are wanted.
        TypeError: ``wanted`` is not a whole number.
    """
    if wanted is not None and (wanted := operator.index(wanted)) < 1:
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

    An interruption at the very moment of leaving may still leave a thread at work on its last piece: what ``work`` uses
    has to live for as long as ``work`` does.
    """
    share = _Share(work, count)
    try:
        # Where no thread can be had (a limit, an interpreter that ends), those that run do it all.
        with contextlib.suppress(RuntimeError):
            for _ in range(min(threads, count) - 1):
                threading.Thread(target=share.run, name="envelope-sdk-frames", daemon=True).start()
        share.run()
    finally:
        share.end()
    share.check()


class _Share:
    """Pieces of work, and who is at them.

    Threads count themselves in and out: an interruption while a thread is being started may leave nobody else who knows
    of it.
    """

    def __init__(self, work: Callable[[int], object], count: int) -> None:
        self._work = work
        self._count = count
        self._next = 0
        self._done = 0
        self._inside = 0
        self._changed = threading.Condition(threading.Lock())
        self._failure: tuple[int, BaseException] | None = None

    def run(self) -> None:
        number = self._count
        self._move(inside=1)
        try:
            while (number := self._take()) < self._count:
                self._work(number)
                self._move(done=1)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that asked for the work
            self._fail(number, error)
        finally:
            self._move(inside=-1)

    def end(self) -> None:
        """Begin nothing more, and wait for all that has been begun, however often it is interrupted."""
        interruption: BaseException | None = None
        while True:
            try:
                with self._changed:
                    self._next = self._count
                    self._changed.wait_for(lambda: self._inside == 0)
                break
            except BaseException as error:  # noqa: BLE001 - raised below
                interruption = error
        if interruption is not None:
            raise interruption

    def check(self) -> None:
        """Raise what the lowest piece that failed raised."""
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure[1]
            finally:
                # The error holds this frame, which would hold the error.
                del failure
        if self._done != self._count:
            raise StreamError("a thread was ended before its work was done")

    def _take(self) -> int:
        with self._changed:
            number = self._next
            self._next = min(number + 1, self._count)
            return number

    def _move(self, *, inside: int = 0, done: int = 0) -> None:
        with self._changed:
            self._inside += inside
            self._done += done
            self._changed.notify_all()

    def _fail(self, number: int, error: BaseException) -> None:
        with self._changed:
            self._next = self._count
            if self._failure is None or number < self._failure[0]:
                self._failure = (number, error)
