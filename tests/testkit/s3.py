"""An S3 in process, the requests that reach it, and faults in chosen ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import boto3
import moto
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ResponseStreamingError

BUCKET = "bucket"
CREDENTIALS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@contextmanager
def emulator_in_process() -> Iterator[Any]:
    """Yield moto, which answers in place of AWS; its ``reset()`` forgets all that it holds. To begin takes it long."""
    with mock.patch.dict("os.environ"), moto.mock_aws() as emulator:
        yield emulator


@contextmanager
def s3_in_process() -> Iterator[Any]:
    """Yield a boto3 client of an S3 with one bucket. It does not retry, so that nothing waits."""
    with emulator_in_process():
        yield client_with_bucket()


def client_with_bucket() -> Any:
    """Return a client that does not retry, and make the bucket."""
    s3 = client_of()
    s3.create_bucket(Bucket=BUCKET)
    return s3


@cache
def _session() -> Any:
    # Each session reads the description of S3, which takes ten times as long as making a client.
    return boto3.Session()


def client_of(region: str = "us-east-1", **options: Any) -> Any:
    """Return a client that does not retry."""
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=50)
    given = {"config": config, **CREDENTIALS, **options}
    return _session().client("s3", region_name=region, **given)


def answer(status: int, code: str) -> AWSResponse:
    """Return an error as S3 answers with it."""
    text = f"<Error><Code>{code}</Code><Message>{code}, says the test</Message></Error>"
    headers: Any = {"content-type": "application/xml"}
    raw: Any = Raw(text.encode())
    return AWSResponse("https://s3.test", status, headers, raw)


class Raw:
    """The body of an answer, as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._content


class Wire:
    """What a client sends, in order, and what goes wrong with it.

    Attributes:
        requests: names of operations, with the range where one was asked for.
        headers: those of every request.
        faults: called with the number of a request, from 0 on, and its operation: returns an answer in place of S3's,
            or ``None``, or raises.
        bodies: called with the number of a ``GetObject``, from 0 on, and the body; returns what is read in its place.
    """

    def __init__(self, s3: Any) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: Callable[[int, str], AWSResponse | None] = lambda _number, _operation: None
        self.bodies: Callable[[int, Any], Any] = lambda _number, body: body
        self.received = 0
        self._read = 0
        self._lock = threading.Lock()
        s3.meta.events.register_first("before-send.s3", self._send)
        s3.meta.events.register("after-call.s3.GetObject", self._answered)

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.requests]

    @property
    def ranges(self) -> list[str | None]:
        return [asked for operation, asked in self.requests if operation == "GetObject"]

    def clear(self) -> None:
        self.requests.clear()
        self.headers.clear()
        self.received = 0

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        with self._lock:
            number = len(self.requests)
            self.requests.append((operation, headers.get("range")))
            self.headers.append(headers)
        fault = self.faults(number, operation)
        if fault is not None:
            # Whoever else would answer is asked all the same: S3 is not to be reached.
            request.url = fault.url
        return fault

    def _answered(self, parsed: dict[str, Any], **_: Any) -> None:
        if "Body" in parsed:
            with self._lock:
                number, self._read = self._read, self._read + 1
                self.received += int(parsed["ContentLength"])
            parsed["Body"] = self.bodies(number, parsed["Body"])


class Breaking:
    """A body whose connection breaks after some bytes, or which ends there as if that were all."""

    def __init__(self, body: Any, after: int, *, silently: bool = False) -> None:
        self._body = body
        self._left = after
        self._silently = silently
        self.closed = False

    def readinto(self, buffer: memoryview) -> int:
        if self._left == 0:
            if self._silently:
                return 0
            raise ResponseStreamingError(error="the connection broke, says the test")
        count = int(self._body.readinto(buffer[: self._left]))
        self._left -= count
        return count

    def close(self) -> None:
        self.closed = True
        self._body.close()


class Still:
    """A client of an S3 that holds one object and only answers reads: for what is read very often, or very long."""

    ETAG = '"still"'

    def __init__(self, content: bytes, breaking_after: int | None = None) -> None:
        self._content = memoryview(content)
        self._breaking_after = breaking_after
        self.asked = 0

    def get_object(self, **request: str) -> dict[str, Any]:
        first, _, last = request.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, size = int(first), len(self._content)
        end = min(size, int(last) + 1) if last else size
        self.asked += 1
        body: Any = Remembered(self._content[start:end])
        return {
            "Body": body if self._breaking_after is None else Breaking(body, self._breaking_after),
            "ETag": self.ETAG,
            "ContentLength": end - start,
            "ContentRange": f"bytes {start}-{end - 1}/{size}",
        }


class Remembered:
    """The body of an answer, without a copy."""

    def __init__(self, content: memoryview) -> None:
        self._left = content

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None: ...


def nothing_left(s3: Any) -> bool:
    """Return whether the bucket holds no object and no part of one."""
    return "Contents" not in s3.list_objects_v2(Bucket=BUCKET) and "Uploads" not in s3.list_multipart_uploads(
        Bucket=BUCKET
    )


def stored(s3: Any, key: str = "key") -> bytes:
    """Return the bytes of an object."""
    return bytes(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
