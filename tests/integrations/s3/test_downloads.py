"""Objects that come down in pieces, several at a time, and files that appear when all of them are authentic."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, IncompleteReadError, ResponseStreamingError
from testkit.s3 import BUCKET, Breaking, Still, Wire, answer
from urllib3.exceptions import SSLError

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    EnvelopeError,
    MessageError,
    SignedStreamError,
    StreamError,
    UsageError,
)
from envelope_sdk.integrations.s3 import EncryptedS3

AT = {"Bucket": BUCKET, "Key": "key"}
MIB = 2**20
PART = 2**18
PLAIN = bytes(range(256)) * 2250 + b"the end"
"""Two pieces, and a third that is shorter."""


@pytest.fixture
def config() -> TransferConfig:
    return TransferConfig(multipart_chunksize=PART, max_concurrency=3)


@pytest.fixture
def long(objects: EncryptedS3, wire: Wire) -> Wire:
    objects.put_object(**AT, Body=PLAIN)
    wire.clear()
    return wire


@pytest.mark.parametrize("size", [0, 1, PART - 2000, PART, len(PLAIN)])
def test_what_is_stored_comes_down(objects: EncryptedS3, size: int, tmp_path: Path):
    objects.put_object(**AT, Body=PLAIN[:size], encryption_context={"tenant": "a"})

    header = objects.download_file(BUCKET, "key", tmp_path / "file", encryption_context={"tenant": "a"})
    objects.download_fileobj(BUCKET, "key", file := io.BytesIO())

    assert (tmp_path / "file").read_bytes() == file.getvalue() == PLAIN[:size]
    assert dict(header.encryption_context) == {"tenant": "a"}
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_pieces_are_asked_for_by_their_etag(objects: EncryptedS3, long: Wire):
    etag = objects.head_object(**AT)["ETag"]
    long.clear()

    objects.download_fileobj(BUCKET, "key", io.BytesIO())

    size = objects.head_object(**AT)["ContentLength"]
    edges = [0, PART, 2 * PART, size]
    # Asked for at the same time, so in any order.
    assert sorted(long.ranges[:3], key=str) == sorted(f"bytes={start}-{end - 1}" for start, end in pairwise(edges))
    assert [headers.get("if-match") for headers in long.headers[:3]] == [None, etag, etag]


def test_a_short_object_is_one_request(objects: EncryptedS3, wire: Wire):
    objects.put_object(**AT, Body=b"plaintext")
    wire.clear()

    objects.download_fileobj(BUCKET, "key", io.BytesIO())

    assert wire.operations == ["GetObject"]


def test_pieces_come_at_the_same_time(objects: EncryptedS3, long: Wire):
    together = threading.Barrier(2)

    def meet(number: int, _operation: str) -> None:
        if number:
            together.wait(30)

    long.faults = meet
    config = TransferConfig(multipart_chunksize=PART, max_concurrency=2)

    objects.download_fileobj(BUCKET, "key", file := io.BytesIO(), Config=config)

    assert file.getvalue() == PLAIN


def test_no_more_is_asked_for_than_there_is_room_for(objects: EncryptedS3, wire: Wire):
    """Where nothing can be written, asking stops: what is in memory is bounded."""
    objects.put_object(**AT, Body=PLAIN * 2)
    wire.clear()
    all_asked = threading.Event()
    wire.faults = lambda number, _operation: all_asked.set() if number == 4 else None
    in_time: list[bool] = []

    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            if not in_time and self.tell() + len(data) > PART:
                in_time.append(all_asked.wait(0.3))
            return super().write(data)

    config = TransferConfig(multipart_chunksize=PART, max_concurrency=2)
    objects.download_fileobj(BUCKET, "key", slow := Slow(), Config=config)

    assert slow.getvalue() == PLAIN * 2
    assert (in_time, len(wire.requests)) == ([False], 5)


def test_progress_is_told_in_the_caller_s_thread_and_adds_up_to_the_message(objects: EncryptedS3, long: Wire, s3: Any):
    told: list[tuple[int, int]] = []

    objects.download_fileobj(
        BUCKET, "key", io.BytesIO(), None, lambda count: told.append((threading.get_ident(), count))
    )

    assert {thread for thread, _ in told} == {threading.get_ident()}
    assert sum(count for _, count in told) == objects.head_object(**AT)["ContentLength"]


def test_a_version_is_downloaded_where_it_is_named(objects: EncryptedS3, s3: Any):
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = objects.put_object(**AT, Body=PLAIN)["VersionId"]
    objects.put_object(**AT, Body=b"second")

    objects.download_fileobj(BUCKET, "key", file := io.BytesIO(), {"VersionId": first})

    assert file.getvalue() == PLAIN


@pytest.mark.parametrize("part", [{"Range": "bytes=0-3"}, {"PartNumber": 1}], ids=lambda part: next(iter(part)))
def test_a_part_is_refused_rather_than_all_of_the_object_returned(
    objects: EncryptedS3, part: dict[str, Any], tmp_path: Path
):
    objects.put_object(**AT, Body=b"plaintext")
    out = io.BytesIO()

    with pytest.raises(UsageError, match="Range and PartNumber"):
        objects.download_file(BUCKET, "key", tmp_path / "file", part)
    with pytest.raises(UsageError, match="Range and PartNumber"):
        objects.download_fileobj(BUCKET, "key", out, part)
    with pytest.raises(UsageError, match="Range and PartNumber"):
        objects.copy({**AT, **part}, BUCKET, "copy")

    assert out.getvalue() == b""
    assert list(tmp_path.iterdir()) == []


def test_a_signed_object_comes_to_a_path_once_verified_and_to_a_file_object_if_asked(
    s3: Any, signing: Client, config: TransferConfig, tmp_path: Path
):
    objects = EncryptedS3(s3, signing, config=config)
    objects.put_object(**AT, Body=PLAIN)

    objects.download_file(BUCKET, "key", tmp_path / "file")
    with pytest.raises(SignedStreamError):
        objects.download_fileobj(BUCKET, "key", io.BytesIO())
    objects.download_fileobj(BUCKET, "key", file := io.BytesIO(), release_unverified_plaintext=True)

    assert (tmp_path / "file").read_bytes() == file.getvalue() == PLAIN


@pytest.mark.parametrize("target", ["path", Path("path"), io.StringIO()], ids=lambda target: type(target).__name__)
def test_only_a_binary_file_object_is_one(objects: EncryptedS3, long: Wire, target: Any):
    with pytest.raises(TypeError, match=r"Fileobj is a binary file object to write.*download_file takes a path"):
        objects.download_fileobj(BUCKET, "key", target)
    assert long.requests == []


def test_a_file_that_is_there_is_not_replaced_where_that_is_asked(objects: EncryptedS3, long: Wire, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"old")

    with pytest.raises(FileExistsError):
        objects.download_file(BUCKET, "key", tmp_path / "file", overwrite=False)

    assert (tmp_path / "file").read_bytes() == b"old"
    assert long.requests == []


# --- nothing half-written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("fault", ["first frame", "middle", "last byte", "cut", "longer"])
def test_what_is_not_authentic_leaves_no_file(
    s3: Any, client: Client, signing: Client, config: TransferConfig, signed: bool, fault: str, tmp_path: Path
):
    writer = signing if signed else client
    message = bytearray(writer.encrypt(PLAIN).ciphertext)
    match fault:
        case "cut":
            del message[-100_000:]
        case "longer":
            message += b"more"
        case _:
            message[{"first frame": 2_000, "middle": PART + 100_000, "last byte": -1}[fault]] ^= 1
    s3.put_object(**AT, Body=bytes(message))
    (tmp_path / "old").write_bytes(b"old")

    with pytest.raises((AuthenticationError, MessageError)):
        EncryptedS3(s3, writer, config=config).download_file(BUCKET, "key", tmp_path / "old")
    with pytest.raises((AuthenticationError, MessageError)):
        EncryptedS3(s3, writer, config=config).download_file(BUCKET, "key", tmp_path / "new")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"old")]


def test_an_object_replaced_between_two_pieces_leaves_no_file(
    objects: EncryptedS3, s3: Any, long: Wire, tmp_path: Path
):
    once = TransferConfig(multipart_chunksize=PART, use_threads=False)
    replacing: list[int] = []

    def replace(number: int, operation: str) -> None:
        if number == 1:
            replacing.append(number)
            long.faults = lambda _number, _operation: None
            s3.put_object(**AT, Body=b"another object")

    long.faults = replace
    with pytest.raises(StreamError, match="was replaced since it was opened"):
        objects.download_file(BUCKET, "key", tmp_path / "file", Config=once)

    assert replacing == [1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (503, "SlowDown"), (500, "InternalError")])
def test_whichever_request_s3_refuses_no_file_is_left(
    objects: EncryptedS3, long: Wire, number: int, status: int, code: str, tmp_path: Path
):
    long.faults = lambda request, _operation: answer(status, code) if request == number else None

    with pytest.raises(ClientError) as raised:
        objects.download_file(BUCKET, "key", tmp_path / "file")

    assert raised.value.response["Error"]["Code"] == code
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_no_file_and_no_thread(objects: EncryptedS3, long: Wire, tmp_path: Path):
    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        objects.download_file(BUCKET, "key", tmp_path / "file", None, stop)

    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("envelope-sdk-s3")]


def test_another_context_leaves_no_file(objects: EncryptedS3, tmp_path: Path):
    objects.put_object(**AT, Body=b"plaintext", encryption_context={"tenant": "a"})

    with pytest.raises(ContextMismatchError):
        objects.download_file(BUCKET, "key", tmp_path / "file", encryption_context={"tenant": "b"})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_file(objects: EncryptedS3, long: Wire):
    class Full(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        objects.download_fileobj(BUCKET, "key", Full())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("envelope-sdk-s3")]


def test_what_a_file_object_got_before_a_failure_is_the_beginning_of_the_plaintext(
    objects: EncryptedS3, client: Client, s3: Any
):
    message = bytearray(client.encrypt(PLAIN).ciphertext)
    message[2 * PART] ^= 1
    s3.put_object(**AT, Body=bytes(message))

    with pytest.raises(AuthenticationError):
        objects.download_fileobj(BUCKET, "key", file := io.BytesIO())

    assert len(file.getvalue()) > PART
    assert PLAIN.startswith(file.getvalue())


# --- connections that break ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silently", [False, True], ids=["with an error", "silently"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_piece_whose_connection_breaks_is_read_again(objects: EncryptedS3, long: Wire, number: int, silently: bool):
    broken: list[Breaking] = []

    def broken_once(read: int, body: Any) -> Any:
        if read == number:
            broken.append(Breaking(body, 1000, silently=silently))
            return broken[0]
        return body

    long.bodies = broken_once
    objects.download_fileobj(BUCKET, "key", file := io.BytesIO())

    assert file.getvalue() == PLAIN
    assert [body.closed for body in broken] == [True]
    assert len(long.requests) == 4


@pytest.mark.parametrize(
    ("silently", "error"), [(False, ResponseStreamingError), (True, IncompleteReadError)], ids=["error", "silently"]
)
@pytest.mark.parametrize("way", ["download", "range", "whole"])
def test_connections_that_break_again_and_again_end_in_a_clear_error(
    objects: EncryptedS3, long: Wire, silently: bool, error: type[Exception], way: str, tmp_path: Path
):
    reader = objects.open(BUCKET, "key", cache_size=0)
    long.clear()
    long.bodies = lambda _number, body: Breaking(body, 2000, silently=silently)
    config = TransferConfig(multipart_chunksize=PART, num_download_attempts=5, max_concurrency=1)

    with pytest.raises(error) as raised:
        {
            "download": lambda: objects.download_file(BUCKET, "key", tmp_path / "file", Config=config),
            "range": lambda: reader.read_at(200_000, 10_000),
            "whole": lambda: objects.get_object(**AT)["Body"].read(),
        }[way]()

    assert "s3://bucket/key" in raised.value.__notes__[0]
    assert len(long.requests) == 5
    assert list(tmp_path.iterdir()) == []


class Garbled(Breaking):
    """A body in which TLS finds a record that was altered on the way: botocore lets urllib3's error through."""

    def readinto(self, buffer: memoryview) -> int:
        try:
            return super().readinto(buffer)
        except ResponseStreamingError:
            raise SSLError("bad record mac, says the test") from None


@pytest.mark.parametrize("way", ["download", "range", "whole"])
def test_what_was_garbled_on_the_way_is_read_again_and_told_as_botocore_s(objects: EncryptedS3, long: Wire, way: str):
    reader = objects.open(BUCKET, "key", cache_size=0)
    config = TransferConfig(multipart_chunksize=PART, num_download_attempts=2, use_threads=False)

    def download() -> bytes:
        objects.download_fileobj(BUCKET, "key", file := io.BytesIO(), Config=config)
        return file.getvalue()

    ways: dict[str, Callable[[], bytes]] = {
        "download": download,
        "range": lambda: reader.read_at(0, len(PLAIN)),
        "whole": lambda: bytes(objects.get_object(**AT)["Body"].read()),
    }
    left = [1]
    long.bodies = lambda _number, body: Garbled(body, 70_000) if left and left.pop() else body
    assert ways[way]() == PLAIN

    long.bodies = lambda _number, body: Garbled(body, 70_000)
    with pytest.raises(ResponseStreamingError, match="bad record mac"):
        ways[way]()


def test_who_wants_one_attempt_gets_one(objects: EncryptedS3, long: Wire):
    long.bodies = lambda _number, body: Breaking(body, 2000)
    config = TransferConfig(multipart_chunksize=PART, num_download_attempts=1, use_threads=False)

    with pytest.raises(ResponseStreamingError):
        objects.download_fileobj(BUCKET, "key", io.BytesIO(), Config=config)
    assert len(long.requests) == 1


def test_a_store_that_does_not_say_how_long_an_object_is_is_not_read(objects: EncryptedS3, long: Wire, s3: Any):
    s3.meta.events.register("after-call.s3.GetObject", lambda parsed, **_: parsed.pop("ContentLength"))

    with pytest.raises(StreamError, match="does not say how long"):
        objects.get_object(**AT)


def test_a_whole_object_is_read_on_from_where_its_connection_broke(objects: EncryptedS3, long: Wire):
    long.bodies = lambda number, body: Breaking(body, 150_000) if number < 3 else body

    body = objects.get_object(**AT)["Body"]

    assert body.read() == PLAIN
    starts = [(asked or "bytes=0-").split("-")[0] for asked in long.ranges]
    assert starts == ["bytes=0", "bytes=150000", "bytes=300000", "bytes=450000"]


def test_connections_may_break_now_and_then_in_a_long_object(client: Client):
    """Five times in a row is too often; once every few MiB, however long the object, is not."""
    plaintext = bytes(range(256)) * (55 * MIB // 256)
    store = Still(client.encrypt(plaintext).ciphertext, breaking_after=9 * MIB)

    assert EncryptedS3(store, client).get_object(**AT)["Body"].read() == plaintext
    assert store.asked == 7


def test_a_whole_object_replaced_while_its_connection_broke_is_told(objects: EncryptedS3, long: Wire):
    long.bodies = lambda number, body: Breaking(body, 150_000) if number == 0 else body
    body = objects.get_object(**AT)["Body"]
    objects.put_object(**AT, Body=PLAIN)

    with pytest.raises(StreamError, match="was replaced since it was opened"):
        body.read()
    with pytest.raises(EnvelopeError):
        body.read()
