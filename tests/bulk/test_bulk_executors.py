"""Executors of all kinds: what they do again, how they are closed, and what is left when they are not waited for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk import Client, bulk

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
