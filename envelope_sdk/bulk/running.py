"""Running an operation over many items, on any executor."""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, Final, Self

from envelope_sdk.bulk.dispatch import Dispatcher, ExecutorMaker, runs_here
from envelope_sdk.bulk.figures import summed
from envelope_sdk.bulk.journal import Journal, Noted
from envelope_sdk.bulk.operations import Item, Operation, Preparing, is_in_place
from envelope_sdk.bulk.places import Entry, Place
from envelope_sdk.bulk.recipe import ClientRecipe, OpenedClient
from envelope_sdk.bulk.results import Progress, Result, Status
from envelope_sdk.bulk.worker import Outcome, Task, Work
from envelope_sdk.client import Client
from envelope_sdk.errors import EnvelopeError, UsageError, WorkerLostError
from envelope_sdk.managers.usage import MaterialsUsage

__all__ = ["IN_FLIGHT", "Run", "run"]

IN_FLIGHT: Final = 128
"""Items that are with workers at a time, where the caller says nothing."""

_TOGETHER_ITEMS: Final = 16
_TOGETHER_BYTES: Final = 2**20
"""What goes to one worker at once, at most: enough that sending costs little, little enough that all have work."""


def run(
    items: Iterable[Item],
    operation: Operation,
    *,
    client: ClientRecipe | Client,
    executor: Executor | ExecutorMaker | None = None,
    in_flight: int = IN_FLIGHT,
    journal: str | os.PathLike[str] | None = None,
    fail_fast: bool = False,
    items_total: int | None = None,
    bytes_total: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Do ``operation`` to every item, and return an iterator of how each ended, in the order in which they end.

    Items are taken from ``items`` as there is room for them, in the thread that asks for results; no more than
    ``in_flight`` are held at a time. One that fails stops no other. Leaving the ``with`` block of the iterator, or
    closing it, ends what is under way: every target is whole or as it was.

    Args:
        items: what to do; an iterator may be without end. No two may have one target. What it raises is raised when all
            items before it have been told.
        operation: :class:`~envelope_sdk.bulk.Encrypt`, :class:`~envelope_sdk.bulk.Decrypt`,
            :class:`~envelope_sdk.bulk.Rotate`, or another.
        client: a recipe, of which each worker makes its client; or, in this process, a client.
        executor: who does the work: an executor, which is left open; what makes one, such as
            ``lambda: Processes(4)``, which replaces it where a worker is lost; or ``None`` for this thread.
        in_flight: the most items that are begun, or waiting, at a time.
        journal: a file that makes the run resumable, see :mod:`envelope_sdk.bulk.journal`; no other run may use it.
        fail_fast: whether a failure ends the run: what is with workers still ends, and nothing more is begun.
        items_total: how many items there are, where that is known: for the time left.
        bytes_total: how many bytes they have.
        clock: returns seconds that never go back.

    Raises:
        UsageError: a client is to go to other processes, ``in_flight`` is less than 1, or ``operation`` cannot be
            sent there.
        JournalError: the journal is in use, of another run, or damaged.
        WorkerLostError: while iterating: no worker is left, and none can be had.
    """
    if in_flight < 1:
        raise UsageError(f"in_flight is {in_flight}; the least is 1")
    items = iter(items)
    if not runs_here(executor):
        _check_sendable(client, operation)
    worker = operation.prepared(client) if isinstance(operation, Preparing) else client
    opened = worker.open() if isinstance(worker, ClientRecipe) and runs_here(executor) else None
    try:
        noting = None if journal is None else Journal(journal, _plan(client, operation))
    except BaseException:
        if opened is not None:
            opened.close()
        raise
    totals = Progress(items=items_total, bytes=bytes_total)
    return Run(
        items,
        Work(os.urandom(8).hex(), worker if opened is None else opened.client, operation, noting is not None),
        executor,
        opened,
        noting,
        in_flight=in_flight,
        fail_fast=fail_fast,
        totals=totals,
        clock=clock,
    )


def _check_sendable(client: ClientRecipe | Client, operation: Operation) -> None:
    if not isinstance(client, ClientRecipe):
        raise UsageError("a client stays in its process, with its keys: give a ClientRecipe to this executor")
    try:
        pickle.dumps((client, operation))
    except Exception as error:
        raise UsageError(f"the operation cannot be sent to workers: {type(error).__name__}") from error


def _plan(client: ClientRecipe | Client, operation: Operation) -> dict[str, Any]:
    words = client.words() if isinstance(client, ClientRecipe) else {"client": repr(client)}
    return {**words, **operation.words()}


class Run:
    """A run under way: an iterator of :class:`~envelope_sdk.bulk.Result`, and a context manager that ends it."""

    def __init__(
        self,
        items: Iterator[Item],
        work: Work,
        executor: Executor | ExecutorMaker | None,
        opened: OpenedClient | None,
        journal: Journal | None,
        *,
        in_flight: int,
        fail_fast: bool,
        totals: Progress,
        clock: Callable[[], float],
    ) -> None:
        """Take everything; :func:`run` makes runs."""
        self._items = items
        self._work = work
        self._operation = work.operation
        self._dispatcher = Dispatcher(executor, work)
        self._checks_targets = journal is not None or not runs_here(executor)
        self._opened = opened
        self._journal = journal
        self._in_flight = in_flight
        self._together = max(1, min(_TOGETHER_ITEMS, in_flight // 8))
        self._fail_fast = fail_fast
        self._clock = clock
        self._begun: float | None = None
        self._progress = totals
        self._exhausted = False
        self._ended_by: Exception | None = None
        self._ready: deque[Result] = deque()
        self._targets: set[str] = set()
        self._calls: Counter[str] = Counter()
        self._usage: MaterialsUsage | None = None
        self._results = self._go()

    def __iter__(self) -> Iterator[Result]:
        """Return the run itself."""
        return self

    def __next__(self) -> Result:
        """Return how another item ended."""
        return next(self._results)

    def __enter__(self) -> Self:
        """Return the run itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()

    def close(self) -> None:
        """End the run: nothing more is begun, and what is under way is discarded, or waited for where it cannot be.

        A cluster cannot tell what it has begun: what its workers are at, they may still finish.
        """
        if self._begun is None:
            # A generator that never ran has nothing in it to clean up.
            self._exhausted = True
            for _ in self._results:
                pass
        self._results.close()

    @property
    def progress(self) -> Progress:
        """How far it is."""
        seconds = 0.0 if self._begun is None else self._clock() - self._begun
        return self._progress._replace(seconds=seconds)

    @property
    def kms_calls(self) -> Counter[str]:
        """Calls of KMS that the items told so far have made, by operation, in all workers together."""
        return Counter(self._calls)

    def usage(self) -> MaterialsUsage:
        """Return what the workers' materials managers tell, added up, without the figures of their caches.

        A worker that was lost counts as far as it had told. Of a live client nothing is known.
        """
        if self._usage is not None:
            return self._usage
        if self._opened is not None:
            return self._opened.usage()._replace(cache=None)
        return summed(self._dispatcher.figures.values())

    def _go(self) -> Generator[Result]:
        self._begun = self._clock()
        finished = False
        try:
            while True:
                self._fill()
                while self._ready:
                    yield self._ready.popleft()
                if self._dispatcher.broken is not None and not self._dispatcher.flying:
                    raise self._dispatcher.broken
                if self._dispatcher.flying:
                    self._take(self._dispatcher.outcomes())
                elif self._exhausted:
                    finished = True
                    break
            if self._ended_by is not None:
                raise self._ended_by
        finally:
            self._end(finished=finished)

    def _fill(self) -> None:
        while not self._exhausted and len(self._ready) < self._in_flight and self._dispatcher.takes_more:
            room = self._in_flight - self._dispatcher.flying
            if room <= 0:
                return
            tasks = self._next_tasks(min(room, self._together))
            if self._journal is not None:
                self._journal.note_begun(task.item for task in tasks if task.free)
                self._journal.sync()
            if tasks:
                self._dispatcher.send(tasks)

    def _next_tasks(self, most: int) -> list[Task]:
        tasks: list[Task] = []
        size = 0
        while (
            len(tasks) < most and size < _TOGETHER_BYTES and len(self._ready) < self._in_flight and not self._exhausted
        ):
            item = self._next_item()
            if item is None:
                break
            task = self._task(item)
            if task is not None:
                tasks.append(task)
                self._targets.add(item.target)
                size += _TOGETHER_BYTES if item.size is None else item.size
        return tasks

    def _next_item(self) -> Item | None:
        """Return another item; ``None`` where there is none, be it that asking for one failed."""
        try:
            item = next(self._items, None)
        except Exception as error:  # noqa: BLE001 - raised when what was begun has ended and been told
            self._ended_by = error
            item = None
        self._exhausted = self._exhausted or item is None
        return item

    def _task(self, item: Item) -> Task | None:
        """Return what to send for an item; ``None`` where its result is known."""
        try:
            return self._checked(item)
        except (OSError, EnvelopeError) as error:
            # A place that cannot tell of one item may well tell of others.
            self._tell(Result(item, Status.FAILED, error=error))
            return None

    def _checked(self, item: Item) -> Task | None:
        if item.target in self._targets:
            error = UsageError("another item that is under way has the same target")
            self._tell(Result(item, Status.FAILED, error=error))
            return None
        overwrite = self._operation.overwrite
        if self._journal is not None:
            noted = self._journal.done(item)
            if noted is not None and self._is_as_noted(item, noted):
                self._tell(Result(item, Status.SKIPPED, bytes_in=noted.source[0] if noted.source else 0))
                return None
            if self._journal.begun(item):
                return Task(item, True, True)
        looks = self._checks_targets and not overwrite and not is_in_place(self._operation, item)
        free = looks and self._operation.target.entry(item.target) is None
        return Task(item, overwrite, free)

    def _is_as_noted(self, item: Item, noted: Noted) -> bool:
        source = _ends_of(self._operation.source, item.source)
        target = _ends_of(self._operation.target, item.target)
        return target is not None and target == noted.target and source in (None, noted.source)

    def _take(self, outcomes: list[Outcome]) -> None:
        """Note outcomes in the journal; only when they are on the disk they count."""
        for outcome in outcomes:
            self._targets.discard(outcome.task.item.target)
            if self._was_resent(outcome):
                self._targets.add(outcome.task.item.target)
                self._dispatcher.send([outcome.task._replace(overwrite=True, free=False)])
                continue
            self._tell(self._noted(outcome))
        if self._journal is not None:
            self._journal.sync()

    def _was_resent(self, outcome: Outcome) -> bool:
        return self._dispatcher.resends and outcome.task.free and isinstance(outcome.error, FileExistsError)

    def _noted(self, outcome: Outcome) -> Result:
        item, error = outcome.task.item, outcome.error
        if outcome.stopped:
            error = WorkerLostError("the worker was told to end")
        self._calls.update(outcome.kms_calls)
        facts = (outcome.bytes_in, outcome.bytes_out, outcome.seconds, outcome.kms_calls)
        if error is None:
            status = Status.DONE if outcome.header is not None else Status.SKIPPED
            # Without its target's state it would never be found done: begun, it is done again.
            if self._journal is not None and outcome.target is not None:
                self._journal.note_done(item, outcome.source, outcome.target)
            return Result(item, status, outcome.header, None, *facts)
        for note in outcome.notes:
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
        if self._journal is not None and not self._may_be_there(outcome):
            self._journal.note_failed(item, error)
        return Result(item, Status.FAILED, None, error, *facts)

    def _may_be_there(self, outcome: Outcome) -> bool:
        """Return whether the target may be the work of this run, or of the one that it goes on with: begun, it is."""
        task = outcome.task
        if isinstance(outcome.error, WorkerLostError):
            return True
        if not (task.free and task.overwrite):
            return False
        try:
            return self._operation.target.entry(task.item.target) is not None
        except (OSError, EnvelopeError):
            return True

    def _tell(self, result: Result) -> None:
        progress, size = self._progress, result.item.size
        if result.status is Status.DONE:
            self._progress = progress._replace(done=progress.done + 1, bytes_done=progress.bytes_done + result.bytes_in)
        elif result.status is Status.FAILED:
            self._progress = progress._replace(
                failed=progress.failed + 1, bytes_done=progress.bytes_done + (result.bytes_in if size is None else size)
            )
            self._exhausted = self._exhausted or self._fail_fast
        else:
            self._progress = progress._replace(
                skipped=progress.skipped + 1, bytes_skipped=progress.bytes_skipped + result.bytes_in
            )
        self._ready.append(result)

    def _end(self, *, finished: bool) -> None:
        """Leave nothing behind: whatever comes in between, all of it is tried."""
        try:
            if finished:
                self._dispatcher.close()
            else:
                # Also where nothing seems to be under way: an interrupt may come before it is noted that something is.
                # What a cluster did twice is not sent a third time: begun, it is the run's own.
                self._take([each for each in self._dispatcher.stop() if not self._was_resent(each)])
        finally:
            self._usage = self.usage()
            try:
                if self._journal is not None:
                    self._journal.close()
            finally:
                if self._opened is not None:
                    self._opened.close()


def _ends_of(place: Place, name: str) -> tuple[int, str] | None:
    entry: Entry | None = place.entry(name)
    return None if entry is None else (entry.size, entry.tag)
