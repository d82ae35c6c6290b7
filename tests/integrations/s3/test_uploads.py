"""Files that go up in parts: in parallel, in bounded memory, whole or not at all."""

from __future__ import annotations

import io
import itertools
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from testkit.interrupts import handled_at
from testkit.s3 import BUCKET, Wire, answer, client_of, nothing_left, stored

from envelope_sdk import Client
from envelope_sdk.errors import KeyringError, StreamError, UsageError
from envelope_sdk.integrations.s3 import EncryptedS3, uploading

MIB = 2**20
PART = 5 * MIB
PLAIN = bytes(range(256)) * (11 * MIB // 256) + b"the end"
"""Two parts, and a third that is shorter."""


class Unseekable:
    """A file object that knows neither its length nor a way back."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def part_sizes(s3: Any, key: str = "key") -> list[int]:
    count = s3.head_object(Bucket=BUCKET, Key=key, PartNumber=1).get("PartsCount", 1)
    return [s3.head_object(Bucket=BUCKET, Key=key, PartNumber=number + 1)["ContentLength"] for number in range(count)]


@pytest.mark.parametrize("size", [0, 1, PART - 300_000, PART, PART + 1, len(PLAIN)])
@pytest.mark.parametrize("way", ["file", "file object", "unseekable", "unseekable, length told"])
def test_what_goes_up_comes_back(objects: EncryptedS3, client: Client, size: int, way: str, s3: Any, tmp_path: Path):
    plaintext = PLAIN[:size]
    if way == "file":
        (tmp_path / "file").write_bytes(plaintext)
        objects.upload_file(tmp_path / "file", BUCKET, "key")
    elif way == "file object":
        objects.upload_fileobj(io.BytesIO(plaintext), BUCKET, "key")
    else:
        length = size if way.endswith("told") else None
        objects.upload_fileobj(Unseekable(plaintext), BUCKET, "key", plaintext_length=length)  # type: ignore[arg-type]

    assert client.decrypt(stored(s3)).plaintext == plaintext
    claimed = objects.head_object(Bucket=BUCKET, Key="key")["PlaintextLength"]
    assert claimed == (None if way == "unseekable" else size)


def test_a_file_object_is_read_from_where_it_stands_and_stays_open(objects: EncryptedS3):
    file = io.BytesIO(b"read already, plaintext")
    file.seek(14)

    objects.upload_fileobj(file, BUCKET, "key")

    assert objects.get_object(Bucket=BUCKET, Key="key")["Body"].read() == b"plaintext"
    assert not file.closed


@pytest.mark.parametrize("file", [b"x", "path", Path("path"), io.StringIO("x")], ids=lambda file: type(file).__name__)
def test_only_a_binary_file_object_is_one(objects: EncryptedS3, wire: Wire, file: Any):
    with pytest.raises(TypeError, match=r"Fileobj is a binary file object to read.*put_object takes bytes"):
        objects.upload_fileobj(file, BUCKET, "key")
    assert wire.requests == []


def test_signed_messages_go_up_in_parts_too(s3: Any, signing: Client, config: TransferConfig):
    EncryptedS3(s3, signing, config=config).upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert signing.decrypt(stored(s3)).plaintext == PLAIN


def test_parts_are_of_one_size_but_for_the_last(objects: EncryptedS3, wire: Wire, s3: Any):
    objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    requests = ["CreateMultipartUpload", *["UploadPart"] * 3, "CompleteMultipartUpload"]
    assert wire.operations == requests
    lengths = [int(headers["x-amz-decoded-content-length"]) for headers in wire.headers[1:4]]
    assert sorted(lengths, reverse=True)[:2] == [PART, PART]
    assert sum(lengths) == len(stored(s3))


def test_what_is_shorter_than_the_threshold_goes_up_in_one_request(objects: EncryptedS3, wire: Wire):
    config = TransferConfig(multipart_threshold=20 * MIB, multipart_chunksize=PART)

    objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key", Config=config)

    assert wire.operations == ["PutObject"]


def test_parts_go_up_at_the_same_time_and_no_more_than_allowed(objects: EncryptedS3, wire: Wire):
    together = threading.Barrier(2)
    inside: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def meet(number: int, operation: str) -> None:
        if operation == "UploadPart":
            with lock:
                inside.append(number)
                most.append(len(inside))
            if number <= 2:
                together.wait(30)
            with lock:
                inside.remove(number)

    wire.faults = meet
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=2)
    objects.upload_fileobj(io.BytesIO(PLAIN * 2), BUCKET, "key", Config=config)

    assert max(most) == 2
    assert objects.get_object(Bucket=BUCKET, Key="key")["Body"].read() == PLAIN * 2


def test_without_threads_all_is_done_by_the_caller_s(objects: EncryptedS3, wire: Wire):
    threads: set[str] = set()
    wire.faults = lambda _number, _operation: threads.add(threading.current_thread().name)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False)

    objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key", Config=config)
    with objects.open(BUCKET, "key") as reader:
        assert reader.size == len(PLAIN)
    objects.download_fileobj(BUCKET, "key", back := io.BytesIO(), Config=config)

    assert threads == {threading.current_thread().name}
    assert back.getvalue() == PLAIN


def test_no_more_is_read_than_there_is_room_for(objects: EncryptedS3, wire: Wire):
    """Where no part goes through, reading stops: what is in memory is bounded."""
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=2)
    ahead: list[int] = []
    file = io.BytesIO(bytes(36 * MIB))
    sent: list[int] = []

    def note(number: int, operation: str) -> None:
        if operation == "UploadPart":
            sent.append(number)
            ahead.append(file.tell() - (len(sent) - 1) * PART)

    wire.faults = note
    objects.upload_fileobj(file, BUCKET, "key", Config=config)

    assert len(sent) == 8
    assert max(ahead) <= 5 * PART


def test_progress_is_told_in_the_caller_s_thread_and_adds_up_to_the_message(objects: EncryptedS3, s3: Any):
    told: list[tuple[int, int]] = []

    objects.upload_fileobj(
        io.BytesIO(PLAIN), BUCKET, "key", None, lambda count: told.append((threading.get_ident(), count))
    )

    assert {thread for thread, _ in told} == {threading.get_ident()}
    assert sum(count for _, count in told) == len(stored(s3))


def test_parameters_go_with_the_requests_that_take_them(objects: EncryptedS3, wire: Wire):
    extra = {"ContentType": "text/csv", "Metadata": {"owner": "me"}, "StorageClass": "STANDARD_IA"}
    objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key", extra | {"ExpectedBucketOwner": "123456789012"})

    head = objects.head_object(Bucket=BUCKET, Key="key")
    assert (head["ContentType"], head["StorageClass"]) == ("text/csv", "STANDARD_IA")
    assert head["Metadata"]["owner"] == "me"
    assert head["PlaintextLength"] == len(PLAIN)
    uploading = wire.headers[: wire.operations.index("HeadObject")]
    assert {headers["x-amz-expected-bucket-owner"] for headers in uploading} == {"123456789012"}


def test_parts_carry_boto3_s_checksum_or_the_one_asked_for(objects: EncryptedS3, wire: Wire):
    objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")
    objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "other", {"ChecksumAlgorithm": "SHA256"})

    named = zip(wire.operations, wire.headers, strict=True)
    sums = [headers["x-amz-trailer"] for operation, headers in named if operation == "UploadPart"]
    assert sums == ["x-amz-checksum-crc32"] * 3 + ["x-amz-checksum-sha256"] * 3


def test_a_client_that_sends_no_checksums_sends_none_with_parts(s3: Any, client: Client, config: TransferConfig):
    plain = client_of(config=Config(request_checksum_calculation="when_required"))
    wire = Wire(plain)
    EncryptedS3(plain, client, config=config).upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert "UploadPart" in wire.operations
    assert not [name for headers in wire.headers for name in headers if "checksum" in name or "trailer" in name]


# --- whole or not at all ---------------------------------------------------------------------------------------------

STEPS = {0: "create", **{number: f"part {number}" for number in range(1, 5)}, 5: "complete"}
FAULTS: dict[str, Callable[[], Any]] = {
    "throttled": lambda: answer(503, "SlowDown"),
    "disconnected": lambda: ConnectionClosedError(endpoint_url="https://s3.test"),
    "interrupted": KeyboardInterrupt,
    "exiting": SystemExit,
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("step", STEPS, ids=STEPS.values())
def test_wherever_an_upload_in_8_mib_parts_fails_nothing_is_left(
    step: int, fault: Callable[[], Any], objects: EncryptedS3, wire: Wire, s3: Any
):
    def fail(number: int, _operation: str) -> Any:
        if number == step:
            happening = fault()
            if isinstance(happening, BaseException):
                raise happening
            return happening
        return None

    wire.faults = fail
    # Once where the caller's own thread sends the parts.
    eight = TransferConfig(multipart_chunksize=8 * MIB, max_concurrency=3, use_threads=fault is not SystemExit)

    with pytest.raises((ClientError, ConnectionClosedError, KeyboardInterrupt, SystemExit)):
        objects.upload_fileobj(io.BytesIO(bytes(26 * MIB)), BUCKET, "key", Config=eight)

    assert len(wire.requests) > step
    assert nothing_left(s3)


def test_an_upload_is_aborted_once_no_part_is_under_way(objects: EncryptedS3, wire: Wire, s3: Any):
    """A part that arrived after that would stay."""
    failed, aborted = threading.Event(), threading.Event()
    aborted_meanwhile: list[bool] = []

    def fail_the_second(number: int, operation: str) -> Any:
        if operation == "AbortMultipartUpload":
            aborted.set()
        if number == 1:
            assert failed.wait(30)
            aborted_meanwhile.append(aborted.wait(0.3))
        if number == 2:
            failed.set()
            return answer(403, "AccessDenied")
        return None

    wire.faults = fail_the_second
    with pytest.raises(ClientError):
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert aborted_meanwhile == [False]
    assert wire.operations[-1] == "AbortMultipartUpload"
    assert nothing_left(s3)


@pytest.mark.slow
def test_interrupted_at_any_line_an_upload_leaves_no_parts(objects: EncryptedS3, client: Client, s3: Any):
    alone = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False)
    plaintext = PLAIN[: PART + 1]

    def interrupt() -> None:
        raise KeyboardInterrupt

    def upload() -> None:
        objects.upload_fileobj(io.BytesIO(plaintext), BUCKET, "key", Config=alone)

    for line in itertools.count(1):
        with suppress(KeyboardInterrupt):
            if not handled_at(line, interrupt, upload, "line", code=uploading.__file__):
                break
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET), f"at line {line}"
    assert line > 40
    assert client.decrypt(stored(s3)).plaintext == plaintext


def test_a_thread_whose_start_is_interrupted_is_waited_for_all_the_same(
    objects: EncryptedS3, wire: Wire, s3: Any, monkeypatch: pytest.MonkeyPatch
):
    """Its pool never knew it, and its part is nobody's."""
    aborted = threading.Event()
    aborted_meanwhile: list[bool] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("envelope-sdk-s3"):
            raise KeyboardInterrupt

    def note(_number: int, operation: str) -> None:
        if operation == "AbortMultipartUpload":
            aborted.set()
        elif operation == "UploadPart":
            aborted_meanwhile.append(aborted.wait(0.3))

    wire.faults = note
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert aborted_meanwhile in ([False], [])
    assert not hasattr(raised.value, "__notes__")
    assert wire.operations[-1] == "AbortMultipartUpload"
    assert nothing_left(s3)


def test_an_upload_that_is_interrupted_twice_is_aborted_at_once_and_says_what_may_stay(
    objects: EncryptedS3, wire: Wire
):
    """Once while parts go up, and once while those under way are waited for."""
    aborted = threading.Event()
    main = threading.get_ident()
    first = threading.Lock()

    def interrupt() -> None:
        # A signal that comes just before a thread begins to wait is handled only when it has waited.
        while not aborted.wait(0.001):
            signal.pthread_kill(main, signal.SIGUSR1)

    def get_stuck(_number: int, operation: str) -> Any:
        if operation == "AbortMultipartUpload":
            aborted.set()
        if operation != "UploadPart":
            return None
        if first.acquire(blocking=False):
            interrupting.start()
        assert aborted.wait(30)
        return answer(404, "NoSuchUpload")

    seen: list[int] = []

    def raise_it(number: int, _frame: object) -> None:
        # Not while it is being aborted: a third time, that is.
        if len(seen) < 2:
            seen.append(number)
            raise KeyboardInterrupt

    interrupting = threading.Thread(target=interrupt)
    wire.faults = get_stuck
    before = signal.signal(signal.SIGUSR1, raise_it)
    try:
        with pytest.raises(KeyboardInterrupt) as raised:
            objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")
    finally:
        aborted.set()
        interrupting.join()
        signal.signal(signal.SIGUSR1, before)

    assert len(seen) == 2
    assert "until it is aborted again" in raised.value.__notes__[0]


def test_an_interruption_while_it_is_aborted_says_that_parts_stay(objects: EncryptedS3, wire: Wire):
    def interrupt(number: int, operation: str) -> Any:
        if operation == "AbortMultipartUpload":
            raise KeyboardInterrupt
        return answer(403, "AccessDenied") if number == 2 else None

    wire.faults = interrupt
    with pytest.raises(KeyboardInterrupt) as raised:
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert isinstance(raised.value.__context__, ClientError)
    assert "could not be aborted" in raised.value.__context__.__notes__[0]


def test_an_interruption_while_the_file_is_read_leaves_nothing(objects: EncryptedS3, s3: Any):
    class Interrupted(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            if self.tell() > 8 * MIB:
                raise KeyboardInterrupt
            return super().readinto(buffer)

    with pytest.raises(KeyboardInterrupt):
        objects.upload_fileobj(Interrupted(PLAIN), BUCKET, "key")
    assert nothing_left(s3)


def test_a_callback_that_raises_ends_the_upload(objects: EncryptedS3, s3: Any):
    def stop(_count: int) -> None:
        raise TimeoutError("enough")

    with pytest.raises(TimeoutError, match="enough"):
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key", None, stop)
    assert nothing_left(s3)


@pytest.mark.parametrize("length", [len(PLAIN) - 1, len(PLAIN) + 1, 0], ids=["longer", "shorter", "not empty"])
def test_a_file_of_another_length_than_was_told_leaves_nothing(objects: EncryptedS3, length: int, s3: Any):
    with pytest.raises(StreamError, match="holds"):
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key", plaintext_length=length)
    assert nothing_left(s3)


def test_a_file_that_cannot_be_read_leaves_nothing(objects: EncryptedS3, s3: Any, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        objects.upload_file(tmp_path / "missing", BUCKET, "key")
    assert nothing_left(s3)


def test_a_key_that_cannot_be_had_sends_nothing(s3: Any, wire: Wire):
    class Failing:
        def on_encrypt(self, _materials: Any) -> Any:
            raise KeyringError("no key today")

        def on_decrypt(self, _materials: Any, _keys: Any) -> Any: ...

    with pytest.raises(KeyringError):
        EncryptedS3(s3, Client(Failing())).upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")
    assert wire.requests == []


def test_what_is_replaced_stays_until_the_new_object_is_whole(objects: EncryptedS3, wire: Wire):
    objects.put_object(Bucket=BUCKET, Key="key", Body=b"old")
    wire.clear()
    wire.faults = lambda number, _operation: answer(403, "AccessDenied") if number == 3 else None

    with pytest.raises(ClientError):
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert objects.get_object(Bucket=BUCKET, Key="key")["Body"].read() == b"old"


def test_an_object_that_is_there_is_not_replaced_where_that_is_asked(objects: EncryptedS3, wire: Wire, s3: Any):
    objects.put_object(Bucket=BUCKET, Key="key", Body=b"old")

    with pytest.raises(ClientError) as raised:
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key", {"IfNoneMatch": "*"})

    assert raised.value.response["Error"]["Code"] == "PreconditionFailed"
    assert objects.get_object(Bucket=BUCKET, Key="key")["Body"].read() == b"old"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_parts_that_cannot_be_aborted_are_told_with_what_went_wrong(objects: EncryptedS3, wire: Wire):
    wire.faults = lambda number, operation: (
        answer(403, "AccessDenied") if number == 2 or operation == "AbortMultipartUpload" else None
    )

    with pytest.raises(ClientError, match="UploadPart") as raised:
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert "could not be aborted" in raised.value.__notes__[0]


def test_an_upload_that_is_gone_already_needs_no_note(objects: EncryptedS3, wire: Wire):
    wire.faults = lambda number, operation: (
        answer(404, "NoSuchUpload") if number == 2 or operation == "AbortMultipartUpload" else None
    )

    with pytest.raises(ClientError, match="UploadPart") as raised:
        objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key")

    assert not hasattr(raised.value, "__notes__")


def test_more_parts_than_s3_takes_are_refused(objects: EncryptedS3, wire: Wire, s3: Any):
    """A store of nothing, so that ten thousand parts take no time: the fake parts are never sent."""
    from envelope_sdk.integrations.s3.uploading import numbered_parts

    parts = numbered_parts([b"x"], (b"x" for _ in range(10_000)))
    for _ in range(10_000):
        next(parts)

    with pytest.raises(UsageError, match="10000 parts"):
        next(parts)


def test_long_messages_have_parts_as_long_as_it_takes(objects: EncryptedS3):
    """S3 takes 10,000 parts: of a message of known length, they grow."""
    from envelope_sdk.integrations.s3.uploading import part_size

    config = TransferConfig(multipart_chunksize=8 * MIB)

    assert part_size(config, 10_000 * 8 * MIB) == 8 * MIB
    assert part_size(config, 10_000 * 8 * MIB + 1) == 16 * MIB
    assert part_size(config, None) == 8 * MIB
    assert part_size(TransferConfig(multipart_chunksize=1000), None) == 5 * MIB


def test_a_transfer_that_gets_no_threads_any_more_goes_on_alone():
    """As when the main thread has ended, and another one, for which the interpreter waits, is in the middle of one."""
    from envelope_sdk.integrations.s3.threads import begin

    with ThreadPoolExecutor(1) as pool:
        assert begin(pool, threading.get_ident).result() != threading.get_ident()

    assert begin(pool, threading.get_ident).result() == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        begin(pool, lambda: 1 / 0)


# --- sent again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, len(PLAIN)])
def test_what_is_sent_again_is_the_same(client: Client, config: TransferConfig, s3: Any, size: int):
    """botocore's retries: parts are bytes in memory, and are encrypted once."""
    retrying = client_of(config=Config(retries={"total_max_attempts": 3}))
    wire = Wire(retrying)
    retrying.meta.events.register_first(
        "needs-retry.s3", lambda caught_exception, **_: 0 if caught_exception is not None else None
    )
    lock = threading.Lock()
    left = [2]

    def fail(_number: int, operation: str) -> Any:
        with lock:
            if operation in ("UploadPart", "PutObject") and left:
                left.pop()
                raise ConnectionClosedError(endpoint_url="https://s3.test")

    wire.faults = fail
    EncryptedS3(retrying, client, config=config).upload_fileobj(io.BytesIO(PLAIN[:size]), BUCKET, "key")

    assert left == []
    assert client.decrypt(stored(s3)).plaintext == PLAIN[:size]


# --- answers that were lost ------------------------------------------------------------------------------------------

WAYS: dict[str, Callable[[EncryptedS3, bytes], dict[str, Any]]] = {
    "put_object": lambda objects, plaintext: objects.put_object(
        Bucket=BUCKET, Key="key", Body=plaintext, IfNoneMatch="*"
    ),
    "upload": lambda objects, plaintext: objects.upload_fileobj(
        io.BytesIO(plaintext), BUCKET, "key", {"IfNoneMatch": "*"}
    ),
}
MAKING = [
    pytest.param("put_object", "PutObject", 100, id="put_object"),
    pytest.param("upload", "PutObject", 100, id="upload in one"),
    pytest.param("upload", "CompleteMultipartUpload", len(PLAIN), id="upload in parts"),
]


def asks_twice(client: Client, config: TransferConfig, operation: str) -> tuple[EncryptedS3, Any]:
    """Return objects whose client asks a second time to make one, as where S3's answer is lost."""
    twice = client_of(config=Config(retries={"total_max_attempts": 2}))
    twice.meta.events.register_first(f"needs-retry.s3.{operation}", lambda attempts, **_: 0 if attempts == 1 else None)
    return EncryptedS3(twice, client, config=config), twice


@pytest.mark.parametrize(("way", "operation", "size"), MAKING)
def test_an_object_that_is_there_because_the_first_answer_was_lost_is_one_s_own(
    client: Client, config: TransferConfig, way: str, operation: str, size: int, s3: Any
):
    objects, twice = asks_twice(client, config, operation)
    wire = Wire(twice)

    answer = WAYS[way](objects, PLAIN[:size])

    assert wire.operations.count(operation) == 2
    looking = [headers for asked, headers in zip(wire.operations, wire.headers, strict=True) if asked == "GetObject"]
    assert not [headers for headers in looking if "if-none-match" in headers]
    assert answer["ETag"] == s3.head_object(Bucket=BUCKET, Key="key")["ETag"]
    assert "Body" not in answer
    assert client.decrypt(stored(s3)).plaintext == PLAIN[:size]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchUpload"), (412, "PreconditionFailed")])
def test_an_upload_that_is_gone_because_it_was_completed_is_one_s_own(
    client: Client, config: TransferConfig, status: int, code: str, s3: Any
):
    """What S3 answers to who completes an upload a second time."""
    objects, twice = asks_twice(client, config, "CompleteMultipartUpload")
    wire = Wire(twice)
    completed: list[int] = []

    def second_time(number: int, operation: str) -> Any:
        if operation == "CompleteMultipartUpload":
            completed.append(number)
            return answer(status, code) if len(completed) == 2 else None
        return None

    wire.faults = second_time
    stored_as = objects.upload_fileobj(io.BytesIO(PLAIN), BUCKET, "key", {"IfNoneMatch": "*"})["ETag"]

    assert len(completed) == 2
    assert stored_as == s3.head_object(Bucket=BUCKET, Key="key")["ETag"]


@pytest.mark.parametrize(("way", "operation", "size"), MAKING)
def test_an_object_whose_only_answer_was_lost_is_known(
    objects: EncryptedS3, way: str, operation: str, size: int, s3: Any
):
    def lose(**_: Any) -> None:
        raise ConnectionClosedError(endpoint_url="https://s3.test")

    s3.meta.events.register(f"after-call.s3.{operation}", lose)

    assert WAYS[way](objects, PLAIN[:size])["ETag"] == s3.head_object(Bucket=BUCKET, Key="key")["ETag"]


@pytest.mark.parametrize(("way", "operation", "size"), MAKING)
def test_an_object_of_another_s_is_not_taken_for_one_s_own(
    client: Client, config: TransferConfig, way: str, operation: str, size: int, s3: Any
):
    s3.put_object(Bucket=BUCKET, Key="key", Body=client.encrypt(PLAIN[:size]).ciphertext)
    objects, _ = asks_twice(client, config, operation)

    with pytest.raises(ClientError) as raised:
        WAYS[way](objects, PLAIN[:size])

    assert raised.value.response["Error"]["Code"] == "PreconditionFailed"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


@pytest.mark.parametrize(("way", "operation", "size"), MAKING)
def test_where_it_cannot_be_looked_what_failed_is_raised(
    objects: EncryptedS3, wire: Wire, way: str, operation: str, size: int
):
    def fail(_number: int, asked: str) -> Any:
        if asked == operation:
            raise ConnectionClosedError(endpoint_url="https://s3.test")
        return answer(403, "AccessDenied") if asked == "GetObject" else None

    wire.faults = fail
    with pytest.raises(ConnectionClosedError):
        WAYS[way](objects, PLAIN[:size])


def test_an_object_that_was_there_before_is_not_looked_at(objects: EncryptedS3, wire: Wire):
    objects.put_object(Bucket=BUCKET, Key="key", Body=b"old")
    wire.clear()

    with pytest.raises(ClientError):
        objects.put_object(Bucket=BUCKET, Key="key", Body=b"new", IfNoneMatch="*")
    assert wire.operations == ["PutObject"]
