"""What a worker does: a few items, one after the other, whatever becomes of each."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from envelope_sdk.bulk.clients import borrowed_client
from envelope_sdk.bulk.figures import Figures, figures_of
from envelope_sdk.bulk.operations import Item, Operation, is_in_place
from envelope_sdk.bulk.places import Entry
from envelope_sdk.bulk.recipe import ClientRecipe, OpenedClient
from envelope_sdk.errors import EnvelopeError, WorkerLostError
from envelope_sdk.keyrings.kms.calls import counted_calls
from envelope_sdk.message.authenticated import Header

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Outcome", "Report", "Task", "Work", "do_tasks", "end_work", "stop_run"]

_IDENTITY: Final = os.urandom(8).hex()

_stopped: set[str] = set()
_ending = _silent = False
_busy = 0
_idle = threading.Condition()
_first: dict[tuple[str, int], Figures] = {}


class Task(NamedTuple):
    """An item, as it goes to a worker.

    Attributes:
        item: what to do.
        overwrite: whether what is there may be replaced.
        free: whether nothing had the target's name just before, so that what does later is the run's own.
    """

    item: Item
    overwrite: bool
    free: bool = False


@dataclass(frozen=True)
class Work:
    """What goes to workers with every few tasks.

    Attributes:
        run: names the run.
        client: a recipe; or, for threads of one process, a client, or what an operation has in its stead.
        operation: what is done.
        noted: whether outcomes tell what the places hold afterwards, for a journal.
    """

    run: str
    client: Any
    operation: Operation
    noted: bool


class Outcome(NamedTuple):
    """How one task ended.

    Attributes:
        task: the task.
        header: of the message; ``None`` where it failed or was stopped, or where there was nothing to do.
        error: what went wrong; ``None`` where nothing did.
        notes: what was added to the error, which pickling may lose.
        bytes_in: bytes that were read.
        bytes_out: bytes that were written.
        seconds: how long it took.
        kms_calls: calls of KMS that it made, by operation.
        source: what was read, for a journal.
        target: what was written, for a journal.
        stopped: whether the run was ended before the item was done.
    """

    task: Task
    header: Header | None = None
    error: Exception | None = None
    notes: tuple[str, ...] = ()
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    kms_calls: Mapping[str, int] = {}
    source: Entry | None = None
    target: Entry | None = None
    stopped: bool = False


class Report(NamedTuple):
    """What a worker tells of a few tasks.

    Attributes:
        worker: names the worker.
        outcomes: in the order of the tasks.
        usage: of its client since the run began there; ``None`` where it has no count.
    """

    worker: str
    outcomes: tuple[Outcome, ...]
    usage: Figures | None


class _Stopped(BaseException):
    """Ends an item whose run was ended. Not an :class:`Exception`: nobody is to catch it."""


def stop_run(run: str) -> None:
    """Have the threads of this process that work for a run end their items."""
    _stopped.add(run)


def end_work(seconds: float, *, silently: bool = False) -> None:
    """Have all threads of this process end their items, and wait until they have, or for so many seconds.

    ``silently``: what they had is not told, so that it counts as lost with the process, and is done again.
    """
    global _ending, _silent
    _silent = silently
    _ending = True
    with _idle:
        _idle.wait_for(lambda: _busy == 0, seconds)


def do_tasks(work: Work, tasks: tuple[Task, ...]) -> Report:
    """Do the tasks and tell how they ended. What goes wrong with one is told, not raised."""
    with _counted_as_busy():
        report = _do_tasks(work, tasks)
    if _silent:
        threading.Event().wait()
    return report


@contextmanager
def _counted_as_busy() -> Generator[None]:
    global _busy
    with _idle:
        _busy += 1
    try:
        yield
    finally:
        with _idle:
            _busy -= 1
            _idle.notify_all()


def _do_tasks(work: Work, tasks: tuple[Task, ...]) -> Report:
    worker = f"{_IDENTITY}-{os.getpid()}"
    try:
        with _opened(work) as (client, opened):
            before = _usage_before(work, opened)
            outcomes = tuple(_ended(work, client, task) for task in tasks)
            usage = None if opened is None or before is None else figures_of(opened.usage())
    except Exception as error:  # noqa: BLE001 - whatever keeps a client from being made is told of each item
        return Report(worker, tuple(_failed(task, error) for task in tasks), None)
    if usage is not None and before is not None:
        usage.subtract(before)
    return Report(worker, outcomes, usage)


@contextmanager
def _opened(work: Work) -> Generator[tuple[Any, OpenedClient | None]]:
    if isinstance(work.client, ClientRecipe):
        with borrowed_client(work.client) as opened:
            yield opened.client, opened
    else:
        with nullcontext(work.client) as client:
            yield client, None


def _usage_before(work: Work, opened: OpenedClient | None) -> Figures | None:
    """Return what the client had done before the run came to this worker."""
    if opened is None:
        return None
    key = (work.run, os.getpid())
    with _idle:
        if key not in _first:
            while len(_first) > 100:
                _first.pop(next(iter(_first)), None)
            before = opened.usage_before()
            _first[key] = Figures() if before is None else figures_of(before)
        return _first[key]


def _ended(work: Work, client: Any, task: Task) -> Outcome:
    try:
        return _do(work, client, task)
    except SystemExit:
        if threading.current_thread() is threading.main_thread():
            # A signal may be what raises it.
            raise
        return Outcome(task, error=WorkerLostError("the item ended the thread that worked on it (SystemExit)"))


def _do(work: Work, client: Any, task: Task) -> Outcome:
    count = 0

    def on_progress(more: int) -> None:
        nonlocal count
        _raise_if_stopped(work.run)
        count += more

    begun = time.perf_counter()
    with counted_calls() as calls:
        try:
            _raise_if_stopped(work.run)
            in_place = is_in_place(work.operation, task.item)
            source = work.operation.source.entry(task.item.source) if work.noted and not in_place else None
            written = work.operation(client, task.item, overwrite=task.overwrite, on_progress=on_progress)
            target = _written(work, task.item) if work.noted else None
        except _Stopped:
            return Outcome(task, stopped=True)
        except Exception as error:  # noqa: BLE001 - an item that fails stops no other
            seconds = time.perf_counter() - begun
            return _failed(task, error)._replace(bytes_in=count, seconds=seconds, kms_calls=dict(calls))
    seconds = time.perf_counter() - begun
    header, size = (None, 0) if written is None else written
    count = task.item.size or 0 if written is None else count
    return Outcome(task, header, None, (), count, size, seconds, dict(calls), target if in_place else source, target)


def _written(work: Work, item: Item) -> Entry | None:
    """Return what the target holds now, ``None`` where that is not told: what was written is written."""
    try:
        return work.operation.target.entry(item.target)
    except (OSError, EnvelopeError):
        return None


def _raise_if_stopped(run: str) -> None:
    if _ending or run in _stopped:
        raise _Stopped


def _failed(task: Task, error: Exception) -> Outcome:
    return Outcome(task, error=_portable(error), notes=tuple(getattr(error, "__notes__", ())))


def _portable(error: Exception) -> Exception:
    """Return the error, or one that tells its type where it could not travel."""
    if isinstance(error, EnvelopeError | OSError):
        shown: Exception = error
    else:
        # Only what this package documents is known to be free of secrets.
        shown = WorkerLostError(f"the item ended the work on it with an undocumented {type(error).__name__}")
    try:
        pickle.loads(pickle.dumps(shown))  # noqa: S301 - what was pickled right here
    except Exception:  # noqa: BLE001 - whatever the error's own methods raise
        return WorkerLostError(f"the item failed with {type(error).__name__}, which cannot be sent")
    # Frames hold buffers, and lead nowhere elsewhere.
    return shown.with_traceback(None)
