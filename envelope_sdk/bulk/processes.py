"""Worker processes that end with whoever started them, however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar

from envelope_sdk.bulk.worker import end_work

__all__ = ["GRACE_SECONDS", "Processes", "signals_later"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

GRACE_SECONDS: Final = 5.0
"""How long a worker has to discard what it writes, once nobody waits for it any more. Then it ends regardless."""

_TO_TELL_SECONDS: Final = 0.5


class Processes(ProcessPoolExecutor):
    """A pool of processes for bulk runs, each a fresh interpreter.

    Unlike those of a plain pool, its workers end when the process that made it is killed, leave Ctrl+C to it, and can
    be told to end in the middle of an item (:meth:`stop`). SIGTERM, by which a pool that has lost a worker ends the
    others, has them discard what they write first.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        """Make a pool.

        Args:
            max_workers: how many processes; left out, as many as there are processors for this one.
        """
        context = get_context("spawn")
        lifeline, self._held = context.Pipe(duplex=False)
        self._begun, begun = context.Pipe(duplex=False)
        self._theirs = (lifeline, begun)
        count = max_workers or _processors()
        # A process that sees to what is left behind starts here, and has to outlive the others.
        with signals_later(), _without_interrupts():
            super().__init__(count, mp_context=context, initializer=_begin_worker, initargs=self._theirs)

    @property
    def began(self) -> bool:
        """Whether a worker got as far as to do something, before the pool was shut down."""
        return self._begun.poll()

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have a worker call ``fn``; as of :class:`concurrent.futures.Executor`."""
        with signals_later(), _without_interrupts():
            return super().submit(fn, *args, **kwargs)

    def stop(self) -> None:
        """Have the workers discard what they are at and end, and wait until they have, which takes seconds at most."""
        with signals_later():
            self._held.close()
            self.shutdown(wait=True, cancel_futures=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish, and end them; as of :class:`concurrent.futures.Executor`."""
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            for end in (self._held, self._begun, *self._theirs):
                end.close()


def _processors() -> int:
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@contextmanager
def signals_later() -> Generator[None]:
    """Have signals that Python code handles wait until the block ends.

    A worker that is left half-way through its start, or whose queues are gone then, ends with a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    came: list[int] = []
    over = False

    def later(number: int, frame: FrameType | None) -> None:
        if over:
            before[number](number, frame)
        else:
            came.append(number)

    try:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(handler := signal.getsignal(each)):
                before[each] = handler
                signal.signal(each, later)
        yield
    finally:
        over = True
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


@contextmanager
def _without_interrupts() -> Generator[None]:
    """Have processes that start in the block not hear what a terminal sends to all: Ctrl+C, and that it is gone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(lifeline: Connection, begun: Connection) -> None:
    with contextlib.suppress(OSError):
        begun.send_bytes(b"!")
    begun.close()
    heard, said = os.pipe()
    os.set_blocking(said, False)

    def tell(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(said, bytes([number]))

    # An event loop may take the latter for itself; but it tells at once, also where this thread is in something that
    # takes long.
    signal.signal(signal.SIGTERM, tell)
    signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(lifeline, heard), daemon=True, name="lifeline").start()


def _watch(lifeline: Connection, heard: int) -> None:
    asked = False
    while not asked and lifeline not in connection.wait([lifeline, heard]):
        asked = signal.SIGTERM in os.read(heard, 4096)
    end_work(GRACE_SECONDS, silently=asked)
    # Where somebody still listens, there is something to tell, and to be told to end.
    time.sleep(_TO_TELL_SECONDS)
    os._exit(1)
