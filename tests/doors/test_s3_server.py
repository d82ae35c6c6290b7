"""Encrypted objects over HTTP, in a server of moto's: real connections, real threads, and memory that stays flat."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testkit.s3_server import served_s3

from envelope_sdk import Client
from envelope_sdk.errors import StreamError
from envelope_sdk.keyrings import RawAesKeyring

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server", reason="moto is installed without what its server needs")

from boto3.s3.transfer import TransferConfig  # noqa: E402 - only where boto3 is
from botocore.config import Config  # noqa: E402

from envelope_sdk.integrations.s3 import EncryptedS3  # noqa: E402

MIB = 2**20


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with served_s3() as url:
        yield url


@pytest.fixture
def s3(endpoint: str) -> Iterator[Any]:
    s3 = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(max_pool_connections=20),
    )
    s3.create_bucket(Bucket="bucket")
    yield s3
    for entry in s3.list_objects_v2(Bucket="bucket").get("Contents", []):
        s3.delete_object(Bucket="bucket", Key=entry["Key"])
    s3.delete_bucket(Bucket="bucket")


@pytest.fixture
def objects(s3: Any) -> EncryptedS3:
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=3)
    return EncryptedS3(s3, Client(RawAesKeyring("test", "key-1", bytes(32))), config=config)


class Flowing:
    """As many bytes as wanted, which nobody holds, and their digest."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = bytes(self.left if size < 0 else min(size, self.left))
        self.left -= len(piece)
        self.digest.update(piece)
        return piece


class Digesting:
    """Takes bytes and keeps their digest."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.length = 0

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.length += len(data)
        return len(data)


@pytest.mark.slow
def test_memory_is_that_of_a_few_parts_however_long_the_object(objects: EncryptedS3):
    length = 128 * MIB
    source, target = Flowing(length), Digesting()
    tracemalloc.start()
    try:
        objects.upload_fileobj(source, "bucket", "key", plaintext_length=length)  # type: ignore[arg-type]
        uploading = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        objects.download_fileobj("bucket", "key", target)  # type: ignore[arg-type]
        downloading = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        objects.copy({"Bucket": "bucket", "Key": "key"}, "bucket", "copy")
        copying = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (target.length, target.digest.digest()) == (length, source.digest.digest())
    # Three parts under way, one that is being made, and what boto3 and the machines hold of each.
    assert max(uploading, downloading) < 8 * 8 * MIB
    assert copying < 14 * 8 * MIB


def test_threads_share_one_client(objects: EncryptedS3):
    def one(number: int) -> bool:
        plaintext = bytes([number]) * (number * 100_000 + 1)
        objects.put_object(Bucket="bucket", Key=f"key-{number}", Body=plaintext)
        objects.download_fileobj("bucket", f"key-{number}", file := io.BytesIO())
        ranged = objects.get_object(Bucket="bucket", Key=f"key-{number}", Range="bytes=-1")["Body"].read()
        return file.getvalue() == plaintext and ranged == plaintext[-1:]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(one, range(18)))


def test_an_archive_is_listed_without_being_read(objects: EncryptedS3):
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("large.bin", bytes(20 * MIB))
            archive.writestr("notes.txt", "hello")
        objects.upload_fileobj(io.BytesIO(file.getvalue()), "bucket", "archive.zip")
    received: list[int] = []
    objects._s3.meta.events.register(
        "after-call.s3.GetObject", lambda parsed, **_: received.append(parsed["ContentLength"])
    )

    with objects.open("bucket", "archive.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["large.bin", "notes.txt"]
        assert archive.read("notes.txt") == b"hello"

    assert sum(received) < 1 * MIB


def test_a_replaced_object_is_told_over_http_too(objects: EncryptedS3):
    objects.put_object(Bucket="bucket", Key="key", Body=bytes(MIB))
    reader = objects.open("bucket", "key", cache_size=0)
    objects.put_object(Bucket="bucket", Key="key", Body=bytes(MIB))

    with pytest.raises(StreamError, match="replaced"):
        reader.read_at(500_000, 10)


def test_a_connection_is_used_again(objects: EncryptedS3, s3: Any):
    """Every answer is read to its end or closed, so that one connection after the other is not lost."""
    objects.put_object(Bucket="bucket", Key="key", Body=bytes(MIB))
    with objects.open("bucket", "key", cache_size=0) as reader:
        for offset in range(0, MIB, 50_000):
            reader.read_at(offset, 10)
    manager = s3._endpoint.http_session._manager
    pools = [manager.pools[key] for key in manager.pools.keys()]  # noqa: SIM118 - it is no dict

    assert sum(pool.num_connections for pool in pools) <= 2
