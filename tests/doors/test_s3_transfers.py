"""boto3's transfers read from an encrypting reader and write to a decrypting writer."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import AuthenticationError, EnvelopeError, StreamError

pytest.importorskip("boto3")
pytest.importorskip("moto")
pytest.importorskip("moto.s3", reason="moto is installed without what its S3 needs")

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, UnseekableStreamError
from testkit.s3 import client_of, emulator_in_process

MIB = 2**20
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=2)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Any]:
    with emulator_in_process() as emulator:
        yield emulator


@pytest.fixture
def s3(emulator: Any) -> Iterator[Any]:
    client = client_of(config=Config(retries={"total_max_attempts": 3}))
    client.create_bucket(Bucket="bucket")
    yield client
    emulator.reset()


@pytest.fixture(params=[0, 1000, 6 * MIB, 11 * MIB], ids=lambda size: f"{size} bytes")
def plaintext(request: pytest.FixtureRequest) -> bytes:
    return os.urandom(request.param)


@pytest.fixture
def large() -> Client:
    from envelope_sdk.keyrings import RawAesKeyring

    return Client(RawAesKeyring("test", "key-1", bytes(32)))


class Failing:
    """Breaks the connection of the first ``count`` requests of an operation when some of the body is sent."""

    def __init__(self, s3: Any, operation: str, count: int) -> None:
        self.left = count
        self.seen = 0
        s3.meta.events.register_first(f"before-send.s3.{operation}", self.send)
        s3.meta.events.register_first(f"needs-retry.s3.{operation}", self.retry)

    def send(self, request: Any, **_: Any) -> None:
        self.seen += 1
        if self.left:
            self.left -= 1
            if hasattr(request.body, "read"):
                request.body.read(100)
            raise ConnectionClosedError(endpoint_url=request.url)

    def retry(self, attempts: int, caught_exception: Exception | None, **_: Any) -> int | None:
        """At once, and not after the time that botocore would wait."""
        return 0 if caught_exception is not None and attempts < 3 else None


def stored(s3: Any, key: str = "key") -> bytes:
    return bytes(s3.get_object(Bucket="bucket", Key=key)["Body"].read())


def test_an_upload_and_a_download_go_through_the_streams(s3: Any, large: Client, plaintext: bytes, tmp_path: Path):
    (tmp_path / "plain").write_bytes(plaintext)
    with (tmp_path / "plain").open("rb") as file, large.encrypting_reader(file) as reader:
        s3.upload_fileobj(reader, "bucket", "key", Config=PARTS)
    assert large.decrypt(stored(s3)).plaintext == plaintext
    assert len(stored(s3)) == reader.length

    with large.decrypting_writer(tmp_path / "back") as writer:
        s3.download_fileobj("bucket", "key", writer, Config=PARTS)
    assert (tmp_path / "back").read_bytes() == plaintext


@pytest.mark.parametrize("size", [1000, 11 * MIB])
def test_an_upload_that_is_retried_sends_the_same_bytes_again(s3: Any, large: Client, size: int):
    plaintext = os.urandom(size)
    failing = Failing(s3, "PutObject" if size < 5 * MIB else "UploadPart", 2)
    with large.encrypting_reader(io.BytesIO(plaintext)) as reader:
        s3.upload_fileobj(reader, "bucket", "key", Config=PARTS)
    assert failing.seen > 2
    assert large.decrypt(stored(s3)).plaintext == plaintext


def test_an_upload_whose_source_fails_stores_nothing(s3: Any, large: Client):
    class Broken(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            if self.tell() > 6 * MIB:
                raise OSError("the disk is gone")
            return super().readinto(buffer)

    with pytest.raises(OSError, match="the disk is gone"), large.encrypting_reader(Broken(bytes(9 * MIB))) as reader:
        s3.upload_fileobj(reader, "bucket", "key", Config=PARTS)
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")


def test_one_request_takes_the_reader_as_its_body(s3: Any, large: Client):
    with large.encrypting_reader(io.BytesIO(b"plaintext")) as reader:
        s3.put_object(Bucket="bucket", Key="key", Body=reader)
    assert large.decrypt(stored(s3)).plaintext == b"plaintext"


def test_one_request_that_has_to_be_sent_again_fails_clearly_and_stores_nothing(s3: Any, large: Client):
    Failing(s3, "PutObject", 1)
    reader = large.encrypting_reader(io.BytesIO(b"plaintext"))
    with pytest.raises(UnseekableStreamError):
        s3.put_object(Bucket="bucket", Key="key", Body=reader)
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")


def test_a_download_that_is_retried_arrives_once(s3: Any, large: Client, tmp_path: Path):
    plaintext = os.urandom(11 * MIB)
    s3.put_object(Bucket="bucket", Key="key", Body=large.encrypt(plaintext).ciphertext)
    failing = Failing(s3, "GetObject", 2)
    with large.decrypting_writer(tmp_path / "back") as writer:
        s3.download_fileobj("bucket", "key", writer, Config=PARTS)
    assert failing.seen > 2
    assert (tmp_path / "back").read_bytes() == plaintext


@pytest.mark.parametrize("fault", ["cut", "altered"])
def test_a_download_that_is_not_authentic_leaves_no_file(s3: Any, large: Client, fault: str, tmp_path: Path):
    message = bytearray(large.encrypt(os.urandom(11 * MIB)).ciphertext)
    if fault == "cut":
        del message[-100_000:]
    else:
        message[-100] ^= 1
    s3.put_object(Bucket="bucket", Key="key", Body=bytes(message))
    with pytest.raises(EnvelopeError), large.decrypting_writer(tmp_path / "back") as writer:
        s3.download_fileobj("bucket", "key", writer, Config=PARTS)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_leaves_no_file(s3: Any, large: Client, tmp_path: Path):
    s3.put_object(Bucket="bucket", Key="key", Body=large.encrypt(os.urandom(11 * MIB)).ciphertext)
    Failing(s3, "GetObject", 99)
    with pytest.raises(ConnectionClosedError), large.decrypting_writer(tmp_path / "back") as writer:
        s3.download_fileobj("bucket", "key", writer, Config=PARTS)
    assert list(tmp_path.iterdir()) == []


def test_an_object_s_body_is_read_as_a_stream(s3: Any, large: Client):
    s3.put_object(Bucket="bucket", Key="key", Body=large.encrypt(b"line\n" * 1000).ciphertext)
    with large.open(s3.get_object(Bucket="bucket", Key="key")["Body"]) as reader:
        assert list(reader) == [b"line\n"] * 1000
    with (
        pytest.raises(StreamError, match="left before its end"),
        large.open(s3.get_object(Bucket="bucket", Key="key")["Body"]) as reader,
    ):
        reader.readline()


def test_an_altered_object_s_body_is_refused(s3: Any, large: Client):
    message = bytearray(large.encrypt(b"plaintext").ciphertext)
    message[-1] ^= 1
    s3.put_object(Bucket="bucket", Key="key", Body=bytes(message))
    with (
        pytest.raises(AuthenticationError),
        large.open(s3.get_object(Bucket="bucket", Key="key")["Body"]) as reader,
    ):
        reader.read()
