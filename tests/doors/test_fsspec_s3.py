"""Encrypted files in S3 through s3fs: uploads that never show half of anything, ranges pinned to their ETag."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.key_files import client_of_key, key_file

from envelope_sdk import Client
from envelope_sdk.errors import StreamError
from envelope_sdk.keyrings import RawAesKeyring

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

from envelope_sdk.integrations.fsspec import EncryptedFileSystem  # noqa: E402

LONG = os.urandom(2**20) * 13


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    fs = s3fs.S3FileSystem(
        key="testing", secret="testing", endpoint_url=f"http://{host}:{port}", skip_instance_cache=True
    )
    fs.mkdir("bucket")
    yield fs
    server.stop()


@pytest.fixture
def fs(s3: Any) -> EncryptedFileSystem:
    return EncryptedFileSystem(s3, client=client_of_key())


def uploads(s3: Any) -> list[Any]:
    found = s3.call_s3("list_multipart_uploads", Bucket="bucket")
    return list(found.get("Uploads", []))


def test_a_short_and_a_long_file_come_back(fs: EncryptedFileSystem, s3: Any):
    for path, content in {"bucket/short": b"content", "bucket/long": LONG}.items():
        with fs.open(path, "wb", block_size=5 * 2**20) as file:
            file.write(content)

        assert fs.cat(path) == content
        assert fs.size(path) == len(content)
        assert s3.cat(path)[:2] == b"\x02\x04"
    assert uploads(s3) == []


def test_ranges_and_listings(fs: EncryptedFileSystem):
    fs.pipe("bucket/folder/long", LONG)
    fs.pipe("bucket/folder/short", b"content")

    assert fs.cat_ranges(["bucket/folder/long", "bucket/folder/short"], [5_000_000, 3], [5_000_010, 5]) == [
        LONG[5_000_000:5_000_010],
        b"te",
    ]
    assert {name: entry["size"] for name, entry in fs.find("bucket/folder", detail=True).items()} == {
        "bucket/folder/long": len(LONG),
        "bucket/folder/short": 7,
    }
    fs.cp("bucket/folder/short", "bucket/folder/copy")
    fs.mv("bucket/folder/copy", "bucket/folder/moved")
    assert fs.cat("bucket/folder/moved") == b"content"
    fs.rm("bucket/folder", recursive=True)
    assert not fs.exists("bucket/folder/long")


def test_sizes_of_signed_messages_and_of_those_with_long_headers(s3: Any):
    signing = Client(RawAesKeyring("test", "key-1", bytes(32)), sign=True)
    fs = EncryptedFileSystem(s3, client=signing, encryption_context={"much": "x" * 20_000})
    fs.pipe("bucket/signed/file", b"content")

    assert [entry["size"] for entry in fs.ls("bucket/signed")] == [7]


def test_an_upload_whose_block_fails_leaves_no_parts(fs: EncryptedFileSystem, s3: Any):
    with pytest.raises(KeyError), fs.open("bucket/failed", "wb", block_size=5 * 2**20) as file:  # noqa: PT012
        file.write(LONG)
        assert len(uploads(s3)) == 1
        raise KeyError

    assert uploads(s3) == []
    assert not fs.exists("bucket/failed")


def test_a_transaction_completes_its_uploads_at_the_end(fs: EncryptedFileSystem, s3: Any):
    with fs.transaction:
        fs.pipe("bucket/one", LONG)
        fs.pipe("bucket/two", b"content")
        assert not fs.exists("bucket/one")
        assert not fs.exists("bucket/two")
    with pytest.raises(KeyError), fs.transaction:  # noqa: PT012
        fs.pipe("bucket/three", LONG)
        raise KeyError

    assert fs.cat("bucket/one") == LONG
    assert fs.cat("bucket/two") == b"content"
    assert not fs.exists("bucket/three")
    assert uploads(s3) == []


def test_an_object_that_is_replaced_while_it_is_read_is_told_as_such(fs: EncryptedFileSystem):
    fs.pipe("bucket/file", LONG)

    with fs.open("bucket/file") as file:
        assert file.read(10) == LONG[:10]
        fs.pipe("bucket/file", LONG[::-1])
        file.seek(9_000_000)
        with pytest.raises(StreamError, match="was replaced since it was opened"):
            file.read(10)


def test_creating_refuses_to_replace(fs: EncryptedFileSystem):
    fs.pipe("bucket/once", b"first")

    with pytest.raises(FileExistsError):
        fs.pipe_file("bucket/once", b"second", mode="create")

    assert fs.cat("bucket/once") == b"first"


def test_urls_chain(s3: Any, fs: EncryptedFileSystem):
    import fsspec

    fs.pipe("bucket/table.csv", b"id,amount\n1,250\n")
    options = {"esdk": {"client": client_of_key()}, "s3": s3.storage_options}

    with fsspec.open("esdk::s3://bucket/table.csv", "rt", **options) as file:
        assert file.readlines() == ["id,amount\n", "1,250\n"]


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def options(s3: Any, tmp_path: Path) -> dict[str, Any]:
    esdk = {"keys": [key_file(tmp_path)], "encryption_context": {"table": "orders"}}
    return {"esdk": esdk, "s3": s3.storage_options}


@pytest.fixture(scope="module")
def table() -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"id": range(20_000), "amount": range(0, 60_000, 3)})


def assert_all_encrypted(s3: Any, folder: str) -> None:
    paths = s3.find(folder)
    assert paths
    assert all(s3.cat(path)[:2] == b"\x02\x04" for path in paths)


def test_pandas_writes_and_reads_tables(s3: Any, table: Any, options: dict[str, Any]):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table.to_csv("esdk::s3://bucket/pandas/table.csv", index=False, storage_options=options)
    table.to_parquet("esdk::s3://bucket/pandas/table.parquet", storage_options=options)

    csv = pandas.read_csv("esdk::s3://bucket/pandas/table.csv", nrows=100, storage_options=options)
    parquet = pandas.read_parquet("esdk::s3://bucket/pandas/table.parquet", columns=["id"], storage_options=options)

    pandas.testing.assert_frame_equal(csv, table[:100])
    pandas.testing.assert_frame_equal(parquet, table[["id"]])
    assert_all_encrypted(s3, "bucket/pandas")


def test_a_dataset_of_pyarrow_is_written_and_read_in_parts(s3: Any, table: Any, options: dict[str, Any]):
    import fsspec

    dataset, pyarrow = pytest.importorskip("pyarrow.dataset"), pytest.importorskip("pyarrow")
    fs, path = fsspec.url_to_fs("esdk::s3://bucket/pyarrow", **options)
    dataset.write_dataset(pyarrow.Table.from_pandas(table), path, filesystem=fs, format="parquet")

    wanted = dataset.field("id") >= 19_990
    found = dataset.dataset(path, filesystem=fs).to_table(columns=["amount"], filter=wanted)

    assert found.column("amount").to_pylist() == list(range(59_970, 60_000, 3))
    assert_all_encrypted(s3, "bucket/pyarrow")


def test_dask_writes_tables_and_reads_them_in_blocks(s3: Any, table: Any, options: dict[str, Any]):
    dask, dd = pytest.importorskip("dask"), pytest.importorskip("dask.dataframe")
    with dask.config.set(scheduler="synchronous"):
        parts = dd.from_pandas(table, npartitions=3)
        parts.to_parquet("esdk::s3://bucket/dask/parquet", storage_options=options)
        parts.to_csv("esdk::s3://bucket/dask/csv/*.csv", index=False, storage_options=options)

        parquet = dd.read_parquet("esdk::s3://bucket/dask/parquet", columns=["amount"], storage_options=options)
        csv = dd.read_csv("esdk::s3://bucket/dask/csv/*.csv", blocksize=20_000, storage_options=options)

        assert csv.npartitions > 6
        assert parquet["amount"].sum().compute() == csv["amount"].sum().compute() == table["amount"].sum()
    assert_all_encrypted(s3, "bucket/dask")
