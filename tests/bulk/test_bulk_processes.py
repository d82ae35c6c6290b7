"""Bulk runs on processes: clients made there, figures added up, and workers that are lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from testkit.bulk import Asked, Deadly, Refusing, Together, Waiting
from testkit.processes import wait_until_gone

from envelope_sdk import bulk
from envelope_sdk.errors import KmsUnavailableError, WorkerLostError
from envelope_sdk.local_kms import LocalKms

pytestmark = pytest.mark.slow

Files = Callable[..., list[bulk.Item]]
NAMES = [f"file-{number}" for number in range(20)]


def two() -> bulk.Processes:
    return bulk.Processes(2)


def spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("make", [two, spawned], ids=["own", "plain"])
def test_every_item_is_done_and_told(recipe: bulk.ClientRecipe, files: Files, opens: Any, make: Any) -> None:
    results = list(bulk.run(files(NAMES), bulk.Encrypt(), client=recipe, executor=make))

    assert {result.status for result in results} == {bulk.Status.DONE}
    assert {result.bytes_in for result in results} == {2000}
    assert opens(NAMES)


def test_an_executor_that_was_given_is_left_open(recipe: bulk.ClientRecipe, files: Files) -> None:
    items = files(NAMES)
    with two() as pool:
        for half in (items[:10], items[10:]):
            run = bulk.run(half, bulk.Encrypt(), client=recipe, executor=pool)
            assert len(list(run)) == 10
            # Clients are kept between runs, and what they did before is not told again.
            assert run.usage().encrypt.messages == 10


def test_errors_travel_with_their_notes(recipe: bulk.ClientRecipe, files: Files) -> None:
    results = {
        Path(r.item.source).name: r for r in bulk.run(files(["bad", "a"]), Refusing(), client=recipe, executor=two)
    }

    error = results["bad"].error
    assert isinstance(error, KmsUnavailableError)
    assert (error.code, error.__notes__) == ("ThrottlingException", ["wait a little"])
    assert results["a"].error is None


def test_calls_of_kms_are_added_up_over_the_workers(tmp_path: Path, files: Files) -> None:
    store = tmp_path / "kms.db"
    with LocalKms.open(store) as kms:
        key = kms.create_key()["KeyMetadata"]["KeyId"]
    recipe = bulk.ClientRecipe([f"local-kms://{key}?store={store}"], cache=bulk.CacheLimits(max_age_seconds=600))

    run = bulk.run(files(NAMES), bulk.Encrypt(), client=recipe, executor=two, in_flight=8)
    results = list(run)

    calls = run.kms_calls["GenerateDataKey"]
    assert 1 <= calls <= 2
    assert run.usage().kms_calls == {"GenerateDataKey": calls}
    assert run.usage().kms_calls_saved == {"GenerateDataKey": 20 - calls}
    assert sum(result.kms_calls.get("GenerateDataKey", 0) for result in results) == calls


def test_an_item_whose_worker_dies_once_is_done(
    recipe: bulk.ClientRecipe, files: Files, opens: Any, tmp_path: Path
) -> None:
    names = [*NAMES, "deadly"]

    results = list(bulk.run(files(names), Deadly(mark=str(tmp_path / "mark")), client=recipe, executor=two))

    assert {result.error for result in results} == {None}
    assert len(results) == 21
    assert opens(names)


def test_an_item_whose_worker_dies_after_it_was_done_is_done(
    recipe: bulk.ClientRecipe, files: Files, opens: Any, tmp_path: Path
) -> None:
    """Its target is there, which is the run's own and no reason to fail."""
    operation = Deadly(mark=str(tmp_path / "mark"), after=True)

    results = list(bulk.run(files(["a", "deadly"]), operation, client=recipe, executor=two))

    assert {result.error for result in results} == {None}
    assert opens(["a", "deadly"])


def test_only_the_item_that_kills_every_worker_fails(recipe: bulk.ClientRecipe, files: Files, opens: Any) -> None:
    results = {
        Path(r.item.source).name: r
        for r in bulk.run(files([*NAMES, "deadly"]), Deadly(), client=recipe, executor=two, in_flight=16)
    }

    assert isinstance(results.pop("deadly").error, WorkerLostError)
    assert {result.error for result in results.values()} == {None}
    assert opens(NAMES)


def test_without_what_makes_another_the_run_ends_and_says_so(recipe: bulk.ClientRecipe, files: Files) -> None:
    items = files([*NAMES[:5], "deadly", *NAMES[5:]])
    with spawned() as pool:
        run = bulk.run(items, Deadly(), client=recipe, executor=pool, in_flight=4)
        with pytest.raises(WorkerLostError, match="give what makes one"):
            list(run)

    assert run.progress.failed >= 1
    assert run.progress.done + run.progress.failed < len(items)


def test_workers_that_cannot_begin_end_the_run(recipe: bulk.ClientRecipe, files: Files) -> None:
    def failing() -> Executor:
        return ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=os._exit, initargs=(1,)
        )

    with pytest.raises(WorkerLostError, match="as soon as they begin"):
        list(bulk.run(files(NAMES), bulk.Encrypt(), client=recipe, executor=failing))


def wait_for_marks(folder: Path, number: int) -> list[int]:
    """Wait until workers have said that they are in the middle of an item; return their process ids."""
    for _ in range(3000):
        found = [int(path.name) for path in folder.iterdir()]
        if len(found) == number:
            return found
        threading.Event().wait(0.01)
    raise AssertionError("the workers do not begin")


def test_closing_a_run_discards_what_workers_are_at(
    recipe: bulk.ClientRecipe, files: Files, marks: Path, tmp_path: Path
) -> None:
    items = files(["a", "b"])
    items = [item._replace(size=2**20) for item in items]

    def interrupted() -> Iterator[bulk.Item]:
        yield from items
        workers.extend(wait_for_marks(marks, 2))
        raise KeyboardInterrupt

    workers: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        list(bulk.run(interrupted(), Waiting(marks=str(marks)), client=recipe, executor=two))

    wait_until_gone(workers)
    assert list((tmp_path / "out").iterdir()) == []


def test_where_a_worker_is_killed_the_others_discard_what_they_are_at(
    recipe: bulk.ClientRecipe, files: Files, opens: Any, marks: Path
) -> None:
    """The pool ends them by SIGTERM."""
    names = ["waiting", "deadly", "another"]
    first, second, third = (item._replace(size=2**20) for item in files(names))

    def items() -> Iterator[bulk.Item]:
        yield from (first, second)
        # A pool knows of a worker's end when something else happens after its start (Python 3.11).
        while not (marks / "begun").exists():
            threading.Event().wait(0.01)
        yield third

    results = list(bulk.run(items(), Together(marks=str(marks)), client=recipe, executor=two))

    assert (marks / "discarded").exists()
    assert {result.error for result in results} == {None}
    assert opens(names)


@pytest.mark.parametrize("taken", [False, True], ids=["its own signals", "signals of an event loop"])
def test_what_a_worker_had_that_was_asked_to_end_is_done_by_another(
    recipe: bulk.ClientRecipe, files: Files, opens: Any, tmp_path: Path, taken: bool
) -> None:
    """As of one that was killed; what is sent to it meanwhile, too."""
    items = [item._replace(size=2**20) for item in files(NAMES)]

    operation = Asked(mark=str(tmp_path / "mark"), taken=taken)
    results = list(bulk.run(items, operation, client=recipe, executor=two))

    assert (tmp_path / "mark").exists()
    assert [result.error for result in results] == [None] * len(NAMES)
    assert opens(NAMES)


RUNNER = """
import sys
from envelope_sdk import bulk
from testkit.bulk import Waiting

if __name__ == "__main__":
    key, marks, *sources = sys.argv[1:]
    items = [bulk.Item(source, source.replace("/in/", "/out/"), 2**20) for source in sources]
    recipe = bulk.ClientRecipe([key])
    for result in bulk.run(items, Waiting(marks=marks), client=recipe, executor=lambda: bulk.Processes(2)):
        print(result)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_workers_end_with_whoever_started_them(
    key: str, files: Files, marks: Path, tmp_path: Path, number: signal.Signals
) -> None:
    items = files(["a", "b"])
    (tmp_path / "runner.py").write_text(RUNNER)
    testkit = str(Path(sys.modules["testkit.bulk"].__file__ or "").parents[1])
    path = os.pathsep.join(filter(None, [testkit, os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "runner.py"), key, str(marks), *(item.source for item in items)],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    workers = wait_for_marks(marks, 2)

    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert process.returncode != 0
    wait_until_gone(workers)
    assert list((tmp_path / "out").iterdir()) == []
    # Of the runner, which does not catch it; not of every worker too.
    assert err.count(b"KeyboardInterrupt") == (number == signal.SIGINT)


def test_what_a_lost_worker_had_written_is_known_for_the_runs_own(
    recipe: bulk.ClientRecipe, files: Files, opens: Any, tmp_path: Path
) -> None:
    items = files(["deadly", "a"])
    operation = Deadly(mark=str(tmp_path / "mark"), after=True)
    options: dict[str, Any] = {"client": recipe, "journal": tmp_path / "journal", "in_flight": 1}

    with bulk.Processes(1) as pool, pytest.raises(WorkerLostError):
        list(bulk.run(items, operation, executor=pool, **options))
    assert Path(items[0].target).exists()

    results = list(bulk.run(items, operation, **options))

    assert [result.error for result in results] == [None, None]
    assert opens(["deadly", "a"])
