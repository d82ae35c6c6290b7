"""Runs that go on where an earlier one ended: what is skipped, what is done again, and what is nobody's to replace."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from testkit.bulk import Refusing, Shelf

from envelope_sdk import bulk
from envelope_sdk.bulk.journal import Journal
from envelope_sdk.errors import JournalError

Files = Callable[..., list[bulk.Item]]
NAMES = [f"file-{number}" for number in range(6)]


@pytest.fixture
def go(recipe: bulk.ClientRecipe, tmp_path: Path) -> Callable[..., dict[str, bulk.Result]]:
    """Runs items on the journal and returns the results by the names of the sources."""

    def run(items: Iterable[bulk.Item], operation: Any = None, **options: Any) -> dict[str, bulk.Result]:
        client = options.pop("client", recipe)
        results = bulk.run(items, operation or bulk.Encrypt(), client=client, journal=tmp_path / "journal", **options)
        return {Path(result.item.source).name: result for result in results}

    return run


def statuses(results: dict[str, bulk.Result]) -> dict[str, str]:
    return {name: str(result.status) for name, result in results.items()}


def test_what_is_done_is_skipped(go: Any, files: Files, opens: Any) -> None:
    items = files(NAMES)
    go(items[:3])
    before = {item.target: Path(item.target).stat() for item in items[:3]}

    results = go(items)

    assert statuses(results) == dict.fromkeys(NAMES[:3], "skipped") | dict.fromkeys(NAMES[3:], "done")
    assert {item.target: Path(item.target).stat() for item in items[:3]} == before
    assert opens(NAMES)


def test_skipped_bytes_are_no_part_of_the_rate(
    recipe: bulk.ClientRecipe, files: Files, go: Any, tmp_path: Path
) -> None:
    items = files(NAMES)
    go(items[:3])

    run = bulk.run(items, bulk.Encrypt(), client=recipe, journal=tmp_path / "journal", bytes_total=12_000)
    list(run)

    assert run.progress[:5] == (3, 0, 3, 6000, 6000)
    assert run.progress.seconds_left == 0.0


def test_a_target_that_is_gone_is_made_again(go: Any, files: Files) -> None:
    items = files(NAMES[:2])
    go(items)
    Path(items[0].target).unlink()

    assert statuses(go(items)) == {NAMES[0]: "done", NAMES[1]: "skipped"}


def test_a_target_that_was_changed_is_not_taken_for_done(go: Any, files: Files, opens: Any) -> None:
    items = files(NAMES[:2])
    go(items)
    Path(items[0].target).write_bytes(b"somebody else's")

    results = go(items)
    assert isinstance(results[NAMES[0]].error, FileExistsError)
    assert Path(items[0].target).read_bytes() == b"somebody else's"

    assert statuses(go(items, bulk.Encrypt(overwrite=True))) == {NAMES[0]: "done", NAMES[1]: "skipped"}
    assert opens(NAMES[:2])


def test_a_source_that_was_changed_is_not_taken_for_done(go: Any, files: Files) -> None:
    [item] = files(NAMES[:1])
    go([item])
    Path(item.source).write_bytes(b"newer")

    assert isinstance(go([item])[NAMES[0]].error, FileExistsError)
    assert statuses(go([item], bulk.Encrypt(overwrite=True))) == {NAMES[0]: "done"}


def test_a_source_that_is_gone_was_done_all_the_same(go: Any, files: Files) -> None:
    [item] = files(NAMES[:1])
    go([item])
    Path(item.source).unlink()

    assert statuses(go([item])) == {NAMES[0]: "skipped"}


def test_what_a_killed_run_had_begun_is_replaced(
    go: Any, files: Files, recipe: bulk.ClientRecipe, tmp_path: Path, opens: Any
) -> None:
    """As after a kill between the moment when a file takes its name and that when it is noted."""
    items = files(NAMES)
    go([])
    with Journal(tmp_path / "journal", {**recipe.words(), **bulk.Encrypt().words()}) as journal:
        journal.note_begun(items[:2])
    Path(items[0].target).parent.mkdir()
    recipe.open().client.encrypt_file(items[0].source, items[0].target)

    results = go(items)

    assert statuses(results) == dict.fromkeys(NAMES, "done")
    assert opens(NAMES)


def test_what_a_killed_run_had_begun_is_replaced_though_it_fails_at_first(
    go: Any, files: Files, recipe: bulk.ClientRecipe, tmp_path: Path, opens: Any
) -> None:
    written, bad = files(["written", "bad"])
    with Journal(tmp_path / "journal", {**recipe.words(), **bulk.Encrypt().words()}) as journal:
        journal.note_begun([written, bad])
    Path(written.target).parent.mkdir()
    recipe.open().client.encrypt_file(written.source, written.target)
    hidden = Path(written.source).rename(tmp_path / "hidden")

    assert statuses(go([written, bad], Refusing())) == {"written": "failed", "bad": "failed"}
    hidden.rename(written.source)
    # Of what nothing was there, and nothing is, whatever is found later is somebody else's.
    Path(bad.target).write_bytes(b"somebody else's")

    assert statuses(go([written, bad])) == {"written": "done", "bad": "failed"}
    assert Path(bad.target).read_bytes() == b"somebody else's"
    Path(bad.target).unlink()
    assert opens(["written"])


def test_what_was_there_before_a_killed_run_is_not_replaced(go: Any, files: Files) -> None:
    [item] = files(NAMES[:1])
    Path(item.target).parent.mkdir()
    Path(item.target).write_bytes(b"older")

    for _ in range(2):
        assert isinstance(go([item])[NAMES[0]].error, FileExistsError)
    assert Path(item.target).read_bytes() == b"older"


def test_failed_items_are_tried_again(go: Any, files: Files) -> None:
    [item] = files(NAMES[:1])
    data = Path(item.source).read_bytes()
    Path(item.source).unlink()
    assert statuses(go([item])) == {NAMES[0]: "failed"}
    Path(item.source).write_bytes(data)

    assert statuses(go([item])) == {NAMES[0]: "done"}


@pytest.mark.parametrize(
    "other",
    [
        {"operation": bulk.Encrypt(encryption_context={"a": "b"})},
        {"operation": bulk.Decrypt()},
        {"operation": bulk.Encrypt(target=bulk.LocalFiles("/elsewhere"))},
        {"change": {"frame_length": 99}},
        {"change": {"sign": True}},
        {"change": {"keys": ("other.key",)}},
    ],
    ids=str,
)
def test_another_run_is_refused(go: Any, recipe: bulk.ClientRecipe, other: Any, tmp_path: Path) -> None:
    go([])

    operation = other.get("operation", bulk.Encrypt())
    client = dataclasses.replace(recipe, **other.get("change", {}))
    with pytest.raises(JournalError, match="other settings"):
        bulk.run([], operation, client=client, journal=tmp_path / "journal", executor=bulk.Processes)


def test_threads_and_executors_may_change(go: Any, files: Files, recipe: bulk.ClientRecipe) -> None:
    items = files(NAMES[:2])
    go(items[:1])

    changed = dataclasses.replace(recipe, threads=3, cache=bulk.CacheLimits(9))
    assert statuses(go(items, client=changed, in_flight=1)) == {NAMES[0]: "skipped", NAMES[1]: "done"}


def test_two_runs_at_once_are_refused(recipe: bulk.ClientRecipe, tmp_path: Path) -> None:
    options: Any = {"client": recipe, "journal": tmp_path / "journal"}
    with bulk.run([], bulk.Encrypt(), **options), pytest.raises(JournalError, match="another run"):
        bulk.run([], bulk.Encrypt(), **options)

    bulk.run([], bulk.Encrypt(), **options).close()


def test_a_run_that_was_dropped_lets_go_of_the_journal(recipe: bulk.ClientRecipe, tmp_path: Path) -> None:
    options: Any = {"client": recipe, "journal": tmp_path / "journal"}
    with pytest.raises(TypeError):
        bulk.run(None, bulk.Encrypt(), **options)  # type: ignore[arg-type]

    def drop() -> None:
        bulk.run([], bulk.Encrypt(), **options)
        gc.collect()

    with pytest.warns(ResourceWarning):
        drop()

    assert list(bulk.run([], bulk.Encrypt(), **options)) == []


class _Forgetful(Shelf):
    """Fails to tell of what was stored a moment ago."""

    failing_to_tell = True

    def entry(self, name: str) -> bulk.Entry | None:
        if self.failing_to_tell and name in self.objects:
            raise OSError(5, "the store failed", name)
        return super().entry(name)


def test_a_target_that_was_written_and_cannot_be_asked_for_is_written_again(go: Any, files: Files) -> None:
    [item] = files(["a"])
    shelf = _Forgetful()

    assert statuses(go([item], bulk.Encrypt(target=shelf))) == {"a": "done"}
    shelf.failing_to_tell = False
    assert statuses(go([item], bulk.Encrypt(target=shelf))) == {"a": "done"}
    assert statuses(go([item], bulk.Encrypt(target=shelf))) == {"a": "skipped"}
