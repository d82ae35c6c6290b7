"""Bulk runs into S3 and out of it by worker processes, and on a cluster, over HTTP to a server of moto's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.bulk import Deadly, DeadlyRotate
from testkit.s3_server import served_s3

from envelope_sdk import bulk
from envelope_sdk.keyrings.key_files import encode_aes_key_file

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server", reason="moto is installed without what its server needs")

from envelope_sdk.integrations.s3 import S3Place  # noqa: E402 - only where boto3 is

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]

MIB = 2**20


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 with a bucket, and credentials for it that workers find in their environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with served_s3() as url:
        yield url


@pytest.fixture
def s3(endpoint: str) -> Any:
    s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint)
    s3.create_bucket(Bucket="bucket")
    return s3


@pytest.fixture
def place(s3: Any, endpoint: str) -> S3Place:
    return S3Place("bucket", "sealed/", region_name="us-east-1", endpoint_url=endpoint, part_size=5 * MIB)


@pytest.fixture
def recipe(tmp_path: Path) -> bulk.ClientRecipe:
    path = tmp_path / "a.key"
    path.write_bytes(encode_aes_key_file("test", "key-1", bytes(32)))
    path.chmod(0o600)
    return bulk.ClientRecipe([str(path)])


@pytest.fixture
def folder(tmp_path: Path) -> bulk.LocalFiles:
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"file-{number}").write_bytes(bytes([number]) * 1000)
    (tmp_path / "in" / "long").write_bytes(bytes(11 * MIB))
    (tmp_path / "in" / "deadly").write_bytes(b"deadly")
    return bulk.LocalFiles(str(tmp_path / "in"))


def same(source: bulk.Place) -> list[bulk.Item]:
    return [bulk.Item(entry.name, entry.name, entry.size) for entry in source.list()]


def contents(place: bulk.LocalFiles) -> dict[str, bytes]:
    return {entry.name: Path(place.root, entry.name).read_bytes() for entry in place.list()}


def there_and_back(
    folder: bulk.LocalFiles, place: S3Place, recipe: bulk.ClientRecipe, tmp_path: Path, **options: Any
) -> None:
    """A folder goes into S3, across it in the clear and sealed again, and back."""
    plain = S3Place("bucket", "plain/", region_name="us-east-1", endpoint_url=place.endpoint_url, part_size=5 * MIB)
    again = S3Place("bucket", "again/", region_name="us-east-1", endpoint_url=place.endpoint_url)
    back = bulk.LocalFiles(str(tmp_path / "back"))
    for operation in (
        bulk.Encrypt(folder, place),
        bulk.Decrypt(place, plain),
        bulk.Encrypt(plain, again),
        bulk.Decrypt(again, back),
    ):
        results = list(bulk.run(same(operation.source), operation, client=recipe, **options))
        assert [result.error for result in results] == [None] * 14
    assert contents(back) == contents(folder)


def test_processes_take_a_folder_into_s3_across_it_and_back(
    folder: bulk.LocalFiles, place: S3Place, recipe: bulk.ClientRecipe, tmp_path: Path, s3: Any
) -> None:
    there_and_back(folder, place, recipe, tmp_path, executor=lambda: bulk.Processes(2))

    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")


def test_a_cluster_does_too(folder: bulk.LocalFiles, place: S3Place, recipe: bulk.ClientRecipe, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as dask,
    ):
        there_and_back(folder, place, recipe, tmp_path, executor=dask.get_executor())


@pytest.mark.parametrize("after", [False, True], ids=["before its object is there", "after its object is there"])
def test_a_worker_killed_in_the_middle_loses_nothing(
    folder: bulk.LocalFiles, place: S3Place, recipe: bulk.ClientRecipe, tmp_path: Path, after: bool
) -> None:
    operation = Deadly(folder, place, mark=str(tmp_path / "mark"), after=after)

    with bulk.run(same(folder), operation, client=recipe, executor=lambda: bulk.Processes(2)) as run:
        results = list(run)

    assert (tmp_path / "mark").exists()
    assert [result.error for result in results] == [None] * 14
    back = bulk.LocalFiles(str(tmp_path / "back"))
    assert {r.error for r in bulk.run(same(place), bulk.Decrypt(place, back), client=recipe)} == {None}
    assert contents(back) == contents(folder)


@pytest.mark.parametrize("after", [False, True], ids=["before its object is replaced", "after it is replaced"])
def test_objects_are_rotated_in_place_whoever_is_killed(
    folder: bulk.LocalFiles, place: S3Place, recipe: bulk.ClientRecipe, tmp_path: Path, after: bool, s3: Any
) -> None:
    path = tmp_path / "b.key"
    path.write_bytes(encode_aes_key_file("test", "key-2", bytes(range(32))))
    path.chmod(0o600)
    new = bulk.ClientRecipe([str(path)])
    items = [item._replace(target=f"{item.target}.enc") for item in same(folder)]
    assert {r.error for r in bulk.run(items, bulk.Encrypt(folder, place), client=recipe)} == {None}
    operation = DeadlyRotate(recipe, place, mark=str(tmp_path / "mark"), after=after)

    with bulk.run(same(place), operation, client=new, executor=lambda: bulk.Processes(2)) as run:
        results = {result.item.source: result for result in run}

    assert (tmp_path / "mark").exists()
    assert {result.error for result in results.values()} == {None}
    assert (results["deadly.enc"].status is bulk.Status.SKIPPED) is after
    back = bulk.LocalFiles(str(tmp_path / "back"))
    again = [bulk.Item(entry.name, entry.name.removesuffix(".enc")) for entry in place.list()]
    assert {r.error for r in bulk.run(again, bulk.Decrypt(place, back), client=new)} == {None}
    assert contents(back) == contents(folder)


def test_a_run_of_processes_is_resumed(
    folder: bulk.LocalFiles, place: S3Place, recipe: bulk.ClientRecipe, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "client": recipe,
        "executor": lambda: bulk.Processes(2),
        "journal": tmp_path / "journal",
        "in_flight": 4,
    }
    with bulk.run(same(folder), bulk.Encrypt(folder, place), **options) as run:
        for _ in range(5):
            assert next(run).error is None
    before = {entry.name: entry.tag for entry in place.list()}

    resumed = bulk.run(same(folder), bulk.Encrypt(folder, place), **options)
    results = {result.item.source: result for result in resumed}

    assert {result.error for result in results.values()} == {None}
    assert resumed.progress.skipped >= 5
    now = {entry.name: entry.tag for entry in place.list()}
    skipped = {name for name, result in results.items() if result.status is bulk.Status.SKIPPED}
    assert {name: now[name] for name in skipped} == {name: before[name] for name in skipped}
    assert now.keys() == contents(folder).keys()
