"""Getting tasks to workers and their outcomes back, whatever becomes of the workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import nullcontext
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from envelope_sdk.bulk.figures import Figures
from envelope_sdk.bulk.processes import Processes, signals_later
from envelope_sdk.bulk.worker import Outcome, Report, Task, Work, do_tasks, stop_run
from envelope_sdk.errors import UsageError, WorkerLostError

__all__ = ["Dispatcher", "ExecutorMaker", "runs_here"]

ExecutorMaker = Callable[[], Executor]
"""Makes an executor, again where the one before has broken."""

_MOST_BREAKS: Final = 10
"""Executors in a row that may break before any of their workers has begun, as far as that is known, or else is done."""

_MOST_BREAKS_BEGUN: Final = 100
"""Those whose workers begin: several items that take their workers with them may follow one another."""

_TRIES: Final = 2
"""How often an item may be alone with a worker that is lost."""


class _Flight(NamedTuple):
    """Tasks on their way.

    Attributes:
        tasks: what a worker does one after the other.
        tries: how often they were sent before, alone.
        executor: who has them.
        alone: whether nothing else is on its way meanwhile.
    """

    tasks: tuple[Task, ...]
    tries: int
    executor: Executor | None
    alone: bool


class Dispatcher:
    """Sends tasks to an executor, or does them itself.

    Where a worker is lost, so is what it had, and with a pool of processes what all the others had too. Each of those
    items is sent again, alone, so that the one that takes workers with it is found, and the others are done. Each
    worker's figures are kept as it told them last.

    Attributes:
        resends: whether the executor may do tasks again of its own accord, as clusters do where a worker is lost.
        figures: what each worker told last.
        broken: why nothing more can be done; ``None`` as long as it can.
    """

    def __init__(self, executor: Executor | ExecutorMaker | None, work: Work) -> None:
        """Take who does the work.

        Args:
            executor: an executor, which is left open; what makes one, which is closed in the end; or ``None`` for
                this thread.
            work: what goes along with every task.
        """
        own = executor is not None and not isinstance(executor, Executor)
        self._make: ExecutorMaker | None = executor if own else None  # type: ignore[assignment]
        self._executor: Executor | None = executor if isinstance(executor, Executor) else None
        self._in_turn = executor is None
        self._work = work
        self._waiting: deque[Task] = deque()
        self._suspects: deque[tuple[Task, int]] = deque()
        self._flights: dict[Future[Report], _Flight] = {}
        self._ended: SimpleQueue[Future[Report]] = SimpleQueue()
        self._breaks = self._stillborn = 0
        self.figures: dict[str, Figures] = {}
        self.resends = _resends(self._executor)
        self.broken: WorkerLostError | None = None

    @property
    def flying(self) -> int:
        """Tasks whose outcome is not known yet."""
        return len(self._waiting) + len(self._suspects) + sum(len(flight.tasks) for flight in self._flights.values())

    @property
    def takes_more(self) -> bool:
        """Whether more may be sent now."""
        return self.broken is None and not self._suspects and not any(f.alone for f in self._flights.values())

    def send(self, tasks: Iterable[Task]) -> None:
        """Have tasks done, one after the other by one worker.

        Raises:
            UsageError: the executor takes no more work.
        """
        if self._in_turn:
            self._waiting.extend(tasks)
        else:
            self._send(tuple(tasks))

    def outcomes(self) -> list[Outcome]:
        """Wait for tasks to end, and return the outcomes of all that have. There have to be some."""
        if self._in_turn:
            return list(do_tasks(self._work, (self._waiting.popleft(),)).outcomes)
        while True:
            if self._suspects and not self._flights:
                task, tries = self._suspects.popleft()
                self._send((task,), tries=tries, alone=True)
            ended = [self._ended.get()]
            while True:
                try:
                    ended.append(self._ended.get_nowait())
                except Empty:
                    break
            found = [outcome for future in ended for outcome in self._end(future)]
            if found:
                return found

    def stop(self) -> list[Outcome]:
        """End everything: what has not begun is not begun, what has is discarded where the workers can be told.

        Returns:
            The outcomes of those that were done all the same.
        """
        stop_run(self._work.run)
        self._waiting.clear()
        self._suspects.clear()
        if isinstance(self._executor, Processes) and self._make is not None:
            # It cancels what it holds itself: a pool that breaks trips over what others have cancelled.
            self._executor.stop()
        left = [future for future in self._flights if not future.cancel()]
        self.close()
        wait(left)
        reports = [future.result() for future in left if not future.cancelled() and future.exception() is None]
        self._flights.clear()
        return [outcome for report in reports for outcome in self._taken(report) if not outcome.stopped]

    def close(self) -> None:
        """Close the executor, where it was made here, once its workers have finished."""
        if self._make is not None and self._executor is not None:
            # Workers that have nothing to do end as soon as they have started.
            with signals_later() if isinstance(self._executor, Processes) else nullcontext():
                # Not every executor can be told to cancel what has not begun, of which there is nothing any more.
                self._executor.shutdown(wait=True)
            self._executor = None

    def _send(self, tasks: tuple[Task, ...], *, tries: int = 0, alone: bool = False) -> None:
        if self._executor is None and self._make is not None:
            self._executor = self._make()
            self.resends = _resends(self._executor)
        executor = self._executor
        assert executor is not None
        future: Future[Report]
        try:
            future = executor.submit(do_tasks, self._work, tasks)
        except BrokenExecutor as error:
            future = Future()
            future.set_exception(error)
        except RuntimeError as error:
            raise UsageError(f"the executor takes no work: {error}") from error
        self._flights[future] = _Flight(tasks, tries, executor, alone)
        future.add_done_callback(self._ended.put)

    def _end(self, future: Future[Report]) -> list[Outcome]:
        flight = self._flights.pop(future)
        error = CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            # Whatever it is: what ends a worker, as SystemExit does, is not to end who waits for it.
            return self._lost(flight, error)
        self._breaks = self._stillborn = 0
        return self._taken(future.result())

    def _taken(self, report: Report) -> list[Outcome]:
        if report.usage is not None:
            known = self.figures.get(report.worker)
            # Two threads of a worker may tell in another order than they counted.
            if known is None or known.total() <= report.usage.total():
                self.figures[report.worker] = report.usage
        return list(report.outcomes)

    def _lost(self, flight: _Flight, error: BaseException) -> list[Outcome]:
        if isinstance(error, BrokenExecutor) and flight.executor is self._executor:
            self._replace(error)
        if self.broken is None and len(flight.tasks) > 1:
            self._suspects.extend((_again(task), 0) for task in flight.tasks)
            return []
        if self.broken is None and flight.tries + flight.alone < _TRIES:
            self._suspects.extend((_again(task), flight.tries + flight.alone) for task in flight.tasks)
            return []
        return [Outcome(task, error=self._lost_error(error)) for task in flight.tasks]

    def _lost_error(self, error: BaseException) -> WorkerLostError:
        lost = WorkerLostError(f"the worker was lost ({type(error).__name__}); the item may be tried again")
        if self._stillborn:
            lost = WorkerLostError("the worker ended before it began; the item may be tried again")
            lost.add_note("a script of one's own that starts workers needs if __name__ == '__main__'")
        lost.__cause__ = error
        return lost

    def _replace(self, error: BrokenExecutor) -> None:
        self._breaks += 1
        most = _MOST_BREAKS
        if isinstance(self._executor, Processes):
            most = _MOST_BREAKS_BEGUN
            self._stillborn = 0 if self._executor.began else self._stillborn + 1
        if self._make is None:
            self.broken = WorkerLostError("a worker was lost, and with it the executor: give what makes one instead")
        elif self._stillborn >= _MOST_BREAKS:
            self.broken = WorkerLostError("workers end before they begin")
        elif self._breaks >= most:
            self.broken = WorkerLostError("workers end as soon as they begin, or whatever they are given to do")
        else:
            # Its other futures end now, and come with an executor that is not the present one.
            self.close()
            return
        self.broken.__cause__ = error


def _again(task: Task) -> Task:
    return task._replace(overwrite=task.overwrite or task.free)


def _resends(executor: Executor | None) -> bool:
    return executor is not None and not isinstance(executor, ThreadPoolExecutor | ProcessPoolExecutor)


def runs_here(executor: Executor | ExecutorMaker | None) -> bool:
    """Whether work stays in this process, where a live client can be used."""
    return executor is None or isinstance(executor, ThreadPoolExecutor)
