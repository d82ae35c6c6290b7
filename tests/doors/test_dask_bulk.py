"""Bulk runs on a cluster of dask workers: keys travel as configuration, calls are added up, workers may be lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from testkit.bulk import Deadly, DeadlyRotate
from testkit.guides import example

from envelope_sdk import bulk
from envelope_sdk.errors import UsageError, WorkerLostError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.keyrings.key_files import encode_aes_key_file
from envelope_sdk.local_kms.server.background import BackgroundServer

distributed = pytest.importorskip("distributed")
boto3 = pytest.importorskip("boto3")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]

NAMES = [f"file-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "000000000000")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@contextmanager
def cluster(folder: Path, *, allowed_failures: int) -> Iterator[Any]:
    """Lend a client of two worker processes with two threads each."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            dashboard_address=":0",
            scheduler_kwargs={"allowed_failures": allowed_failures},
            local_directory=str(folder),
        ) as workers,
        distributed.Client(workers) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def dask(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster whose workers live as long as the tests."""
    with cluster(tmp_path_factory.mktemp("dask"), allowed_failures=1) as client:
        yield client


@pytest.fixture
def key(environment: None) -> Iterator[str]:
    """The URI of a key of a KMS that is served over HTTP."""
    with BackgroundServer() as server:
        kms = boto3.client("kms", endpoint_url=server.url)
        arn = kms.create_key()["KeyMetadata"]["Arn"]
        yield f"aws-kms://{arn}?endpoint-url={server.url}"


@pytest.fixture
def items(tmp_path: Path) -> list[bulk.Item]:
    (tmp_path / "in").mkdir()
    for name in [*NAMES, "deadly"]:
        (tmp_path / "in" / name).write_bytes(name.encode() * 100)
    return [item for item in bulk.encrypting(tmp_path / "in", tmp_path / "out") if not item.source.endswith("deadly")]


def opens(recipe: bulk.ClientRecipe, items: list[bulk.Item]) -> bool:
    opened = recipe.open()
    return all(
        opened.client.decrypt(Path(item.target).read_bytes()).plaintext == Path(item.source).read_bytes()
        for item in items
    )


def test_every_worker_makes_its_client_and_calls_are_added_up(dask: Any, key: str, items: list[bulk.Item]) -> None:
    recipe = bulk.ClientRecipe([key], cache=bulk.CacheLimits(max_age_seconds=600))

    run = bulk.run(items, bulk.Encrypt(), client=recipe, executor=dask.get_executor(), in_flight=16)
    results = list(run)

    assert [result.error for result in results] == [None] * 40
    assert opens(recipe, items)
    calls = run.kms_calls["GenerateDataKey"]
    assert 1 <= calls <= 2
    assert run.usage().kms_calls == {"GenerateDataKey": calls}
    assert run.usage().kms_calls_saved == {"GenerateDataKey": 40 - calls}


def test_without_a_cache_every_file_has_a_call(dask: Any, key: str, items: list[bulk.Item]) -> None:
    run = bulk.run(items, bulk.Encrypt(), client=bulk.ClientRecipe([key]), executor=dask.get_executor())
    results = list(run)

    assert len(results) == 40
    assert run.kms_calls == run.usage().kms_calls == {"GenerateDataKey": 40}


@pytest.mark.parametrize(
    ("after", "made"), [(False, False), (True, True)], ids=["before its target is there", "after its target is there"]
)
def test_a_worker_killed_in_the_middle_loses_nothing(
    key: str, items: list[bulk.Item], tmp_path: Path, after: bool, made: bool
) -> None:
    recipe = bulk.ClientRecipe([key])
    deadly = bulk.Item(str(tmp_path / "in" / "deadly"), str(tmp_path / "out" / "deadly.enc"))
    operation = Deadly(mark=str(tmp_path / "mark"), after=after)

    with cluster(tmp_path / "dask", allowed_failures=1) as dask:
        executor = dask.get_executor if made else dask.get_executor()
        results = list(bulk.run([deadly, *items], operation, client=recipe, executor=executor))

    assert (tmp_path / "mark").exists()
    assert [result.error for result in results] == [None] * 41
    assert opens(recipe, [deadly, *items])
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_an_item_that_kills_every_worker_fails_alone(key: str, items: list[bulk.Item], tmp_path: Path) -> None:
    recipe = bulk.ClientRecipe([key])
    deadly = bulk.Item(str(tmp_path / "in" / "deadly"), str(tmp_path / "out" / "deadly.enc"))

    with cluster(tmp_path / "dask", allowed_failures=0) as dask:
        run = bulk.run([*items, deadly], Deadly(), client=recipe, executor=dask.get_executor())
        results = {result.item: result for result in run}

    assert isinstance(results.pop(deadly).error, WorkerLostError)
    assert {result.error for result in results.values()} == {None}
    assert opens(recipe, items)


def test_a_run_on_a_cluster_is_resumed(dask: Any, key: str, items: list[bulk.Item], tmp_path: Path) -> None:
    options: dict[str, Any] = {"client": bulk.ClientRecipe([key]), "journal": tmp_path / "journal"}

    with bulk.run(items, bulk.Encrypt(), executor=dask.get_executor(), in_flight=8, **options) as run:
        for _ in range(5):
            next(run)
    resumed = bulk.run(items, bulk.Encrypt(), executor=dask.get_executor(), **options)
    results = list(resumed)

    assert {result.error for result in results} == {None}
    assert resumed.progress.skipped >= 5
    assert resumed.progress.done + resumed.progress.skipped == 40
    assert opens(options["client"], items)


@pytest.mark.parametrize("after", [False, True], ids=["before its message is replaced", "after it is replaced"])
def test_messages_are_rotated_and_a_worker_killed_in_the_middle_loses_nothing(
    dask: Any, key: str, tmp_path: Path, after: bool
) -> None:
    path = tmp_path / "old.key"
    path.write_bytes(encode_aes_key_file("test", "old", bytes(32)))
    path.chmod(0o600)
    old, new = bulk.ClientRecipe([str(path)]), bulk.ClientRecipe([key])
    (tmp_path / "t").mkdir()
    contents = {f"{name}.enc": name.encode() * 100 for name in [*NAMES, "deadly"]}
    for name, data in contents.items():
        (tmp_path / "t" / name).write_bytes(old.open().client.encrypt(data).ciphertext)
    operation = DeadlyRotate(old, mark=str(tmp_path / "mark"), after=after)

    run = bulk.run(bulk.rotating(tmp_path / "t"), operation, client=new, executor=dask.get_executor())
    results = {Path(result.item.source).name: result for result in run}

    assert (tmp_path / "mark").exists()
    assert {name: result.error for name, result in results.items()} == dict.fromkeys(contents)
    assert (results["deadly.enc"].status is bulk.Status.SKIPPED) is after
    reader = new.open().client
    found = {path.name: reader.decrypt(path.read_bytes()).plaintext for path in (tmp_path / "t").iterdir()}
    assert found == contents
    assert run.kms_calls["Decrypt"] == run.progress.done


def test_a_live_client_does_not_travel(dask: Any) -> None:
    from envelope_sdk import Client

    client = Client(RawAesKeyring("test", "key-1", bytes(32)))

    with pytest.raises(UsageError, match="ClientRecipe"):
        bulk.run([], bulk.Encrypt(), client=client, executor=dask.get_executor())


def test_the_example_of_the_page_runs(
    dask: Any, key: str, items: list[bulk.Item], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    exec(example("bulk.md", "dask"), {"dask": dask, "key": key})

    assert opens(bulk.ClientRecipe([key]), items)
