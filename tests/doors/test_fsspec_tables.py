"""Tables in encrypted files: pandas, pyarrow datasets and dask, through the URLs that they hand to fsspec."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.key_files import client_of_key, key_file

from envelope_sdk.errors import AuthenticationError, NoMatchingKeyError

fsspec = pytest.importorskip("fsspec")
pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

import pyarrow  # noqa: E402
import pyarrow.dataset  # noqa: E402
import pyarrow.fs  # noqa: E402
import pyarrow.parquet  # noqa: E402
from testkit.object_store import ObjectStore  # noqa: E402

from envelope_sdk.integrations.fsspec import EncryptedFileSystem  # noqa: E402

ROWS = 40_000


@pytest.fixture(scope="module")
def table() -> Any:
    chance = random.Random(7)
    return pandas.DataFrame(
        {
            "id": range(ROWS),
            "amount": [chance.random() for _ in range(ROWS)],
            "name": [f"größe {chance.getrandbits(64):x}" for _ in range(ROWS)],
            "region": [("north", "south")[number * 2 // ROWS] for number in range(ROWS)],
        }
    )


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "keys").mkdir()
    return {"esdk": {"keys": [key_file(tmp_path / "keys")], "encryption_context": {"table": "orders"}}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "data").mkdir()
    return f"esdk::file://{tmp_path}/data"


def assert_all_encrypted(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert all(path.read_bytes()[:2] == b"\x02\x04" for path in files)


# --- pandas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_pandas_writes_and_reads_csv(table, options, url: str, tmp_path: Path, compression: str | None):
    table.to_csv(f"{url}/table.csv", index=False, compression=compression, storage_options=options)
    found = pandas.read_csv(f"{url}/table.csv", compression=compression, storage_options=options)

    pandas.testing.assert_frame_equal(found, table)
    assert_all_encrypted(tmp_path / "data")


def test_pandas_writes_and_reads_parquet(table, options, url: str, tmp_path: Path):
    table.to_parquet(f"{url}/table.parquet", storage_options=options)
    found = pandas.read_parquet(f"{url}/table.parquet", columns=["id", "name"], storage_options=options)

    pandas.testing.assert_frame_equal(found, table[["id", "name"]])
    assert_all_encrypted(tmp_path / "data")


def test_pandas_leaves_nothing_where_writing_fails(url: str, options, tmp_path: Path):
    class Unwritable:
        def __str__(self) -> str:
            raise KeyError("cannot be written")

    table = pandas.DataFrame({"a": [*range(200_000), Unwritable()]})

    with pytest.raises(KeyError, match="cannot be written"):
        table.to_csv(f"{url}/table.csv", storage_options=options)

    assert list((tmp_path / "data").iterdir()) == []


def test_pandas_reads_no_table_that_was_altered(table, options, url: str, tmp_path: Path):
    table.to_csv(f"{url}/table.csv", storage_options=options)
    message = bytearray((tmp_path / "data" / "table.csv").read_bytes())
    message[-1000] ^= 1
    (tmp_path / "data" / "table.csv").write_bytes(message)

    with pytest.raises(AuthenticationError):
        pandas.read_csv(f"{url}/table.csv", storage_options=options)


# --- pyarrow ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(table) -> ObjectStore:
    """Two files with four row groups each, in a store that counts."""
    store = ObjectStore()
    fs = EncryptedFileSystem(store, client=client_of_key(frame_length=4096))
    for number in range(2):
        part = pyarrow.Table.from_pandas(table[number * ROWS // 2 : (number + 1) * ROWS // 2])
        with fs.open(f"bucket/part-{number}.parquet", "wb") as file:
            pyarrow.parquet.write_table(part, file, row_group_size=ROWS // 8, use_dictionary=False, compression="none")
    store.requests.clear()
    return store


def dataset_of(store: ObjectStore) -> Any:
    fs = EncryptedFileSystem(store, client=client_of_key(frame_length=4096))
    return pyarrow.dataset.dataset("bucket", filesystem=fs, format="parquet")


def test_a_dataset_reads_all(store: ObjectStore, table):
    pandas.testing.assert_frame_equal(dataset_of(store).to_table().to_pandas(), table)


def test_of_a_dataset_only_the_columns_that_are_wanted_are_read(store: ObjectStore, table):
    found = dataset_of(store).to_table(columns=["amount"]).to_pandas()

    assert list(found["amount"]) == list(table["amount"])
    column, whole = ROWS * 8, sum(len(content) for content, _ in store.objects.values())
    # Eight chunks of the column, each with its edges, and both ends of both files.
    assert column < store.bytes_read < column + 8 * 3 * 4096 + 2 * 5 * 2**15 < whole


def test_of_a_dataset_only_the_row_groups_that_can_fit_are_read(store: ObjectStore, table):
    wanted = pyarrow.dataset.field("id") < 100
    found = dataset_of(store).to_table(filter=wanted).to_pandas()

    pandas.testing.assert_frame_equal(found, table[:100])
    whole = sum(len(content) for content, _ in store.objects.values())
    assert store.bytes_read < whole / 3


def test_row_groups_are_read_one_by_one(store: ObjectStore, table):
    fs = EncryptedFileSystem(store, client=client_of_key(frame_length=4096))
    with fs.open("bucket/part-1.parquet") as file:
        parquet = pyarrow.parquet.ParquetFile(file)
        before = store.bytes_read
        found = parquet.read_row_group(2, columns=["id"]).to_pandas()

    assert list(found["id"]) == list(range(ROWS // 2 + 2 * ROWS // 8, ROWS // 2 + 3 * ROWS // 8))
    assert store.bytes_read - before < ROWS + 4 * 4096


def test_a_dataset_with_a_file_that_was_altered_is_refused(store: ObjectStore):
    content, etag = store.objects["bucket/part-1.parquet"]
    altered = bytearray(content)
    altered[len(altered) // 2] ^= 1
    store.objects["bucket/part-1.parquet"] = bytes(altered), etag

    with pytest.raises(AuthenticationError):
        dataset_of(store).to_table()


def failing_batches() -> Iterator[Any]:
    yield pyarrow.record_batch({"id": range(100_000)})
    raise KeyError("no more batches")


def write_dataset(fs: Any) -> None:
    schema = pyarrow.schema({"id": pyarrow.int64()})
    pyarrow.dataset.write_dataset(failing_batches(), "set", schema=schema, filesystem=fs, format="parquet")


def write_parquet(fs: Any) -> None:
    with pyarrow.parquet.ParquetWriter("file", pyarrow.schema({"id": pyarrow.int64()}), filesystem=fs) as writer:
        for batch in failing_batches():
            writer.write_batch(batch)


def write_stream(fs: Any) -> None:
    with pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs)).open_output_stream("file") as stream:
        for batch in failing_batches():
            stream.write(batch.column(0).buffers()[1])


@pytest.mark.filterwarnings("ignore:StoredWriter was never closed")
@pytest.mark.parametrize("write", [write_dataset, write_parquet, write_stream], ids=lambda write: write.__name__)
def test_pyarrow_leaves_nothing_where_writing_fails(write: Callable[[Any], None]):
    store = ObjectStore()

    with pytest.raises(KeyError, match="no more batches"):
        write(EncryptedFileSystem(store, client=client_of_key()))
    gc.collect()

    assert store.objects == {}
    assert store.uploads == []


def test_a_partitioned_dataset_is_written_and_read(table, options, tmp_path: Path):
    fs = fsspec.filesystem("esdk", target_protocol="file", **options["esdk"])
    small = pyarrow.Table.from_pandas(table)
    pyarrow.dataset.write_dataset(
        small, str(tmp_path / "set"), filesystem=fs, format="parquet", partitioning=["region"]
    )
    found = pyarrow.dataset.dataset(str(tmp_path / "set"), filesystem=fs, partitioning=["region"]).to_table()

    pandas.testing.assert_frame_equal(
        found.to_pandas().sort_values("id", ignore_index=True)[list(table)], table, check_dtype=False
    )
    assert_all_encrypted(tmp_path / "set")


def test_parquet_files_are_opened_by_their_columns(store: ObjectStore, table):
    parquet = pytest.importorskip("fsspec.parquet")
    fs = EncryptedFileSystem(store, client=client_of_key(frame_length=4096))

    with parquet.open_parquet_file("bucket/part-0.parquet", fs=fs, columns=["amount"], engine="pyarrow") as file:
        found = pyarrow.parquet.ParquetFile(file).read(columns=["amount"]).to_pandas()

    assert list(found["amount"]) == list(table["amount"][: ROWS // 2])


# --- dask ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
        ) as cluster,
        distributed.Client(cluster) as connected,
    ):
        yield connected


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
class TestDask:
    """On worker processes, which are told the names of keys."""

    def test_writes_and_reads_parquet(self, cluster, table, options, url: str, tmp_path: Path):
        dd = pytest.importorskip("dask.dataframe")
        dd.from_pandas(table, npartitions=4).to_parquet(f"{url}/set", storage_options=options)
        found = dd.read_parquet(f"{url}/set", columns=["id", "amount"], storage_options=options)

        pandas.testing.assert_frame_equal(found.compute(), table[["id", "amount"]], check_names=False)
        assert_all_encrypted(tmp_path / "data")

    def test_writes_and_reads_csv_in_blocks(self, cluster, table, options, url: str, tmp_path: Path):
        dd = pytest.importorskip("dask.dataframe")
        table.to_csv(f"{url}/table.csv", index=False, storage_options=options)
        found = dd.read_csv(f"{url}/table.csv", blocksize=250_000, storage_options=options)

        assert found.npartitions > 4
        assert found["id"].sum().compute() == table["id"].sum()
        pandas.testing.assert_frame_equal(found.compute().reset_index(drop=True), table, check_dtype=False)
        found.to_csv(f"{url}/parts/*.csv", index=False, storage_options=options)
        again = dd.read_csv(f"{url}/parts/*.csv", storage_options=options)
        assert len(again) == ROWS
        assert_all_encrypted(tmp_path / "data")

    def test_a_block_that_was_altered_is_told_by_its_worker(self, cluster, table, options, url: str, tmp_path: Path):
        dd = pytest.importorskip("dask.dataframe")
        table.to_csv(f"{url}/table.csv", index=False, storage_options=options)
        lazy = dd.read_csv(f"{url}/table.csv", blocksize=250_000, storage_options=options)
        message = bytearray((tmp_path / "data" / "table.csv").read_bytes())
        message[len(message) // 2] ^= 1
        (tmp_path / "data" / "table.csv").write_bytes(message)

        with pytest.raises(AuthenticationError, match="frame"):
            lazy.compute()

    def test_work_in_other_processes_and_make_their_own_clients(self, cluster, options, url: str, tmp_path: Path):
        fs, _ = fsspec.url_to_fs(url, **options)
        fs.pipe(f"{tmp_path}/data/file", b"content")

        def read(fs: Any, path: str) -> tuple[int, bytes]:
            return os.getpid(), fs.cat(path)

        process, content = cluster.submit(read, fs, f"{tmp_path}/data/file", pure=False).result()

        assert (process != os.getpid(), content) == (True, b"content")

    def test_a_worker_without_the_key_is_refused(self, cluster, options, url: str, tmp_path: Path):
        fs, _ = fsspec.url_to_fs(url, **options)
        fs.pipe(f"{tmp_path}/data/file", b"content")
        Path(key_file(tmp_path / "keys", "key-2")).replace(tmp_path / "keys" / "key-1.json")

        with pytest.raises(NoMatchingKeyError):
            cluster.submit(lambda fs, path: fs.cat(path), fs, f"{tmp_path}/data/file", pure=False).result()
