"""Executors of all kinds: what they do again, how they are closed, and what is left when they are not waited for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk import Client, bulk
from envelope_sdk.bulk.processes import signals_later
from envelope_sdk.errors import WorkerLostError
from envelope_sdk.keyrings.kms.calls import note_call
from envelope_sdk.materials import Keyring

Files = Callable[..., list[bulk.Item]]


class Cluster(Executor):
    """Does tasks at once, all of them twice, as where the worker is lost that had done them; closes as dask's does."""

    def __init__(self) -> None:
        self.open = True
        self.submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        future: Future[Any] = Future()
        fn(*args, **kwargs)
        future.set_result(fn(*args, **kwargs))
        return future

    def shutdown(self, wait: bool = True) -> None:  # type: ignore[override]
        self.open = False


class Pool(ProcessPoolExecutor):
    """A pool of processes that makes none."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass(frozen=True)
class Overtaken(bulk.Encrypt):
    """Finds that somebody else has made the target meanwhile."""

    def __call__(self, client: Client, item: bulk.Item, **options: Any) -> bulk.Written:
        Path(item.target).parent.mkdir()
        Path(item.target).write_bytes(b"somebody else's")
        return super().__call__(client, item, **options)


@pytest.mark.parametrize("made", [False, True], ids=["given", "made"])
def test_what_a_cluster_does_again_is_done(recipe: bulk.ClientRecipe, files: Files, opens: Any, made: bool) -> None:
    cluster = Cluster()

    run = bulk.run(files(["a", "b"]), bulk.Encrypt(), client=recipe, executor=(lambda: cluster) if made else cluster)

    assert [result.error for result in run] == [None, None]
    assert opens(["a", "b"])
    assert cluster.open is not made


@pytest.mark.parametrize("made", [False, True], ids=["given", "made"])
def test_what_others_make_meanwhile_is_left_by_pools(recipe: bulk.ClientRecipe, files: Files, made: bool) -> None:
    pool = Pool(1)
    [item] = files(["a"])

    [result] = bulk.run([item], Overtaken(), client=recipe, executor=(lambda: pool) if made else pool)

    assert isinstance(result.error, FileExistsError)
    assert Path(item.target).read_bytes() == b"somebody else's"


def test_a_cluster_gets_nothing_more_once_the_block_is_left(
    recipe: bulk.ClientRecipe, files: Files, opens: Any, tmp_path: Path
) -> None:
    cluster = Cluster()
    items = files(["a", "b"])
    options: dict[str, Any] = {"client": recipe, "journal": tmp_path / "journal"}

    def interrupted() -> Any:
        yield from items
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(bulk.run(interrupted(), bulk.Encrypt(), executor=cluster, in_flight=3, **options))

    assert cluster.submitted == 2
    # What it had done is known for the run's own.
    assert [result.error for result in bulk.run(items, bulk.Encrypt(), **options)] == [None, None]
    assert opens(["a", "b"])


class Interrupted(ThreadPoolExecutor):
    """Begins a task, and is interrupted before it can say so."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        super().submit(fn, *args, **kwargs)
        raise KeyboardInterrupt


@dataclass(frozen=True)
class Patient(bulk.Encrypt):
    """Goes on until it is told to end, or for ten seconds."""

    def __call__(self, client: Client, item: bulk.Item, *, on_progress: Any, **options: Any) -> bulk.Written:
        for _ in range(1000):
            on_progress(0)
            threading.Event().wait(0.01)
        return super().__call__(client, item, on_progress=on_progress, **options)


def test_a_task_that_nobody_knows_to_be_begun_is_ended_all_the_same(
    recipe: bulk.ClientRecipe, files: Files, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(bulk.run(files(["a"]), Patient(), client=recipe, executor=lambda: Interrupted(1)))

    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Leaving(bulk.Encrypt):
    """Ends the thread that works on what is named ``bad``."""

    def __call__(self, client: Client, item: bulk.Item, **options: Any) -> bulk.Written:
        if item.source.endswith("bad"):
            raise SystemExit(0)
        return super().__call__(client, item, **options)


def test_an_item_that_ends_its_worker_does_not_end_who_waits(recipe: bulk.ClientRecipe, files: Files) -> None:
    with ThreadPoolExecutor(2) as pool:
        run = bulk.run(files(["a", "bad", "b"]), Leaving(), client=recipe, executor=pool)
        errors = {Path(result.item.source).name: result.error for result in run}

    assert isinstance(errors.pop("bad"), WorkerLostError)
    assert errors == {"a": None, "b": None}


class Doomed(bulk.Processes):
    """Loses its worker with every task."""

    began = True

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise BrokenExecutor


class Stillborn(Doomed):
    """Has workers that do not get as far as to begin."""

    began = False


def test_many_items_that_kill_their_workers_one_after_the_other_fail_alone(
    recipe: bulk.ClientRecipe, files: Files
) -> None:
    items = files(f"{number}" for number in range(12))

    results = list(bulk.run(items, bulk.Encrypt(), client=recipe, executor=lambda: Doomed(1)))

    assert {result.item for result in results} == set(items)
    assert {type(result.error) for result in results} == {WorkerLostError}


def test_workers_that_do_not_begin_end_the_run(recipe: bulk.ClientRecipe, files: Files) -> None:
    told: list[bulk.Result] = []
    with pytest.raises(WorkerLostError, match="before they begin"):
        told.extend(bulk.run(files("abcdef"), bulk.Encrypt(), client=recipe, executor=lambda: Stillborn(1)))

    assert "__main__" in told[0].error.__notes__[0]


class Noticing(bulk.Processes):
    """Begins nothing, and notices whether its futures are cancelled over its head."""

    def __init__(self, futures: list[Future[Any]], cancelled: list[bool]) -> None:
        super().__init__(1)
        self.futures, self.cancelled = futures, cancelled

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]

    def stop(self) -> None:
        self.cancelled.extend(future.cancelled() for future in self.futures)
        super().stop()


def test_a_pool_is_left_to_cancel_what_it_holds(recipe: bulk.ClientRecipe, files: Files) -> None:
    """One that breaks meanwhile ends with a traceback over futures that are cancelled already."""
    futures: list[Future[Any]] = []
    cancelled: list[bool] = []

    def interrupted() -> Any:
        yield from files("abc")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(
            bulk.run(
                interrupted(), bulk.Encrypt(), client=recipe, executor=lambda: Noticing(futures, cancelled), in_flight=4
            )
        )

    assert cancelled == [False, False, False]
    assert all(future.cancelled() for future in futures)


# --- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Costly(bulk.ClientRecipe):
    """Takes a call of KMS to make, as where a public key is asked for."""

    def keyring(self) -> Keyring:
        note_call("GetPublicKey")
        return super().keyring()


@pytest.mark.parametrize(
    "make", [lambda: None, lambda: ThreadPoolExecutor(2), lambda: Pool(1)], ids=["here", "threads", "a pool"]
)
def test_calls_that_making_a_client_takes_are_counted_once(key: str, files: Files, make: Any) -> None:
    recipe = Costly([key])
    executor = make()

    first = bulk.run(files(["a", "b"]), bulk.Encrypt(overwrite=True), client=recipe, executor=executor)
    assert [result.error for result in first] == [None, None]
    assert first.usage().kms_calls == {"GetPublicKey": 1}
    assert sum(first.usage().kms_calls_by_price.values()) == 1

    again = bulk.run(files(["a", "b"]), bulk.Encrypt(overwrite=True), client=recipe, executor=executor)
    assert [result.error for result in again] == [None, None]
    # A pool's workers keep their clients; here each run has its own.
    assert again.usage().kms_calls == ({} if isinstance(executor, Pool) else {"GetPublicKey": 1})


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Any:
    """What has been heard of SIGINT and SIGTERM."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    found: list[int] = []
    for number in numbers:
        signal.signal(number, lambda number, _: found.append(number))
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_heard_when_the_block_is_over(heard: list[int]) -> None:
    with signals_later():
        signal.raise_signal(signal.SIGTERM)
        with signals_later():
            signal.raise_signal(signal.SIGINT)
        assert heard == []

    assert heard == [signal.SIGTERM, signal.SIGINT]
    signal.raise_signal(signal.SIGINT)
    assert len(heard) == 3


def test_signals_that_are_ignored_stay_so(heard: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals_later():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)

    assert heard == []


def test_an_interrupt_comes_through_in_the_end(heard: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reached = []

    def interrupted() -> None:
        with signals_later():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert reached == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_leave_signals_alone(heard: list[int]) -> None:
    handlers = []

    def look() -> None:
        with signals_later():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert handlers == [before]
