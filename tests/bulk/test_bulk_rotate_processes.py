"""Rotation by processes: each has its clients, calls of KMS are added up, and what a lost worker had is done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.bulk import DeadlyRotate

from envelope_sdk import bulk
from envelope_sdk.local_kms import LocalKms

pytestmark = pytest.mark.slow

NAMES = [*(f"{number:02}.enc" for number in range(30)), "deadly.enc"]


@pytest.fixture
def recipes(tmp_path: Path) -> Iterator[tuple[bulk.ClientRecipe, bulk.ClientRecipe]]:
    """Clients of two keys of a local KMS."""
    store = tmp_path / "kms.db"
    with LocalKms.open(store) as kms:
        ids = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
        yield tuple(bulk.ClientRecipe([f"local-kms://{key}?store={store}"]) for key in ids)  # type: ignore[misc]


@pytest.fixture
def files(tmp_path: Path, recipes: tuple[bulk.ClientRecipe, bulk.ClientRecipe]) -> bulk.LocalFiles:
    """Messages under the old key."""
    (tmp_path / "t").mkdir()
    writer = recipes[0].open().client
    for name in NAMES:
        (tmp_path / "t" / name).write_bytes(writer.encrypt(name.encode() * 100).ciphertext)
    return bulk.LocalFiles(str(tmp_path / "t"))


def same(place: bulk.Place) -> list[bulk.Item]:
    return [bulk.Item(entry.name, entry.name, entry.size) for entry in place.list()]


def opened(files: bulk.LocalFiles, recipe: bulk.ClientRecipe) -> bool:
    reader = recipe.open().client
    found = {path.name: reader.decrypt(path.read_bytes()).plaintext for path in Path(files.root).iterdir()}
    return found == {name: name.encode() * 100 for name in NAMES}


def test_every_worker_has_its_clients_and_calls_are_added_up(files: bulk.LocalFiles, recipes: Any) -> None:
    old, new = recipes
    with bulk.Processes(2) as pool:
        run = bulk.run(same(files), bulk.Rotate(old, files), client=new, executor=pool)
        results = list(run)

        assert [result.error for result in results] == [None] * 31
        assert opened(files, new)
        assert run.kms_calls["Decrypt"] == 62
        # Each worker asks once which keys are wanted.
        assert run.kms_calls["GenerateDataKey"] - 31 in (1, 2)
        assert run.kms_calls == run.usage().kms_calls

        again = bulk.run(same(files), bulk.Rotate(old, files), client=new, executor=pool)
        assert {result.status for result in again} == {bulk.Status.SKIPPED}
        assert again.kms_calls == again.usage().kms_calls
        assert again.kms_calls.keys() == {"GenerateDataKey"}


@pytest.mark.parametrize("after", [False, True], ids=["before the message is replaced", "after it is replaced"])
@pytest.mark.parametrize("noted", [False, True], ids=["without a journal", "with a journal"])
def test_a_worker_killed_in_the_middle_loses_nothing(
    files: bulk.LocalFiles, recipes: Any, tmp_path: Path, after: bool, noted: bool
) -> None:
    old, new = recipes
    operation = DeadlyRotate(old, files, mark=str(tmp_path / "mark"), after=after)
    journal = tmp_path / "journal" if noted else None

    run = bulk.run(same(files), operation, client=new, executor=lambda: bulk.Processes(2), journal=journal)
    results = {result.item.source: result for result in run}

    assert (tmp_path / "mark").exists()
    assert {result.error for result in results.values()} == {None}
    if after:
        # It was done, by a worker that could not tell.
        assert results["deadly.enc"].status is bulk.Status.SKIPPED
    assert opened(files, new)
