"""One state of one object: pinned by its ETag, read by ranges, and read again where a connection breaks."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any, Final, TypeAlias

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ResponseStreamingError
from urllib3.exceptions import HTTPError

from envelope_sdk.errors import StreamError, UsageError

__all__ = ["ATTEMPTS", "BREAKS", "PinnedObject", "S3Api", "error_code", "error_status", "read_body", "read_some"]

S3Api: TypeAlias = Any
"""A boto3 S3 client."""

ATTEMPTS: Final = 5
"""How often the bytes of one range are asked for where connections break, botocore's own retries not counted."""

BREAKS: Final = (HTTPClientError, IncompleteReadError, ConnectionError, TimeoutError)
"""What reading an answer raises where the connection broke. botocore retries requests, and no reading of answers."""

_FIRST_TIME_ONLY: Final = frozenset({"IfModifiedSince", "IfNoneMatch", "IfUnmodifiedSince"})
_CONTENT_RANGE: Final = re.compile(r"bytes 0-(\d+)/(\d+)")


class PinnedObject:
    """An object as it was when it was first asked for. Safe to share between threads.

    Attributes:
        answer: what the first request was answered, its body among it.
        size: bytes of the object.
        attempts: how often bytes are asked for where connections break.
    """

    __slots__ = ("_etag", "_parameters", "_s3", "answer", "attempts", "bucket", "key", "size")

    def __init__(self, s3: S3Api, bucket: str, key: str, *, attempts: int, parameters: dict[str, Any]) -> None:
        """Note which object it is; ``parameters`` go with every request.

        Raises:
            UsageError: one of them says which part of the object to read, which is for this class to say.
        """
        if parameters.keys() & {"Range", "PartNumber"}:
            raise UsageError("Range and PartNumber do not go with an object that is read at any position, or whole")
        self._s3 = s3
        self.bucket = bucket
        self.key = key
        self.attempts = attempts
        self._parameters = parameters
        self._etag = ""
        self.answer: dict[str, Any] = {}
        self.size = 0

    @property
    def s3(self) -> S3Api:
        """The client that asks for it."""
        return self._s3

    @property
    def name(self) -> str:
        """What people call it."""
        return f"s3://{self.bucket}/{self.key}"

    def ask_all(self) -> Any:
        """Ask for the whole object and return the body of the answer.

        Raises:
            ClientError: S3 refuses.
            StreamError: the store does not say how long the object is, or gives no ETag.
        """
        answer = self._s3.get_object(Bucket=self.bucket, Key=self.key, **self._parameters)
        if "ContentLength" not in answer:
            answer["Body"].close()
            raise StreamError(f"{self.name}: the store does not say how long the object is")
        self._pin(answer, int(answer["ContentLength"]))
        return answer["Body"]

    def read_first(self, count: int) -> memoryview:
        """Ask for the first ``count`` bytes, and return as many as there are.

        Raises:
            ClientError: S3 refuses.
            StreamError: the store does not answer ranges.
        """
        asked = {**self._parameters, "Range": f"bytes=0-{count - 1}"}
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=self.key, **asked)
        except ClientError as error:
            # An empty object has no first byte, but is there. Stores give that names of their own.
            if error_status(error) != 416:
                raise
            return memoryview(b"")
        with closing(answer["Body"]) as body:
            told = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
            if told is None or int(told[1]) != min(count, int(told[2])) - 1:
                raise StreamError(f"{self.name}: the store did not answer with the range that it was asked for")
            self._pin(answer, int(told[2]))
            buffer = memoryview(bytearray(int(told[1]) + 1))
            try:
                read_body(body, buffer)
            except BREAKS:
                if self.attempts < 2:
                    raise
            else:
                return buffer
        self.read(0, buffer, attempts=self.attempts - 1)
        return buffer

    def read(self, offset: int, buffer: memoryview, *, attempts: int | None = None) -> None:
        """Fill ``buffer`` from ``offset`` on, which lies within the object.

        Raises:
            StreamError: the object was replaced or deleted since it was first asked for.
            ClientError: S3 refuses, after botocore's own retries.
            BotoCoreError: it cannot be reached, or connections broke as often as they may.
        """
        left = self.attempts if attempts is None else attempts
        while True:
            left -= 1
            with closing(self.ask(offset, offset + len(buffer))) as body:
                try:
                    read_body(body, buffer)
                except BREAKS as error:
                    if left < 1:
                        error.add_note(f"while reading bytes {offset} to {offset + len(buffer)} of {self.name}")
                        raise
                else:
                    return

    def ask(self, start: int, end: int) -> Any:
        """Ask for the bytes from ``start`` to before ``end`` and return the body of the answer; as :meth:`read`."""
        condition = {"Range": f"bytes={start}-{end - 1}", "IfMatch": self._etag}
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=self.key, **self._parameters | condition)
        except ClientError as error:
            change = {412: "replaced", 404: "deleted"}.get(error_status(error))
            if change is None:
                raise
            raise StreamError(f"{self.name} was {change} since it was opened") from error
        if answer.get("ETag") != self._etag or answer.get("ContentRange") != f"bytes {start}-{end - 1}/{self.size}":
            answer["Body"].close()
            raise StreamError(f"{self.name}: the store answered with other bytes than it was asked for")
        return answer["Body"]

    def _pin(self, answer: dict[str, Any], size: int) -> None:
        if not answer.get("ETag"):
            answer["Body"].close()
            raise StreamError(f"{self.name}: the store gives no ETag, so a replaced object would not be noticed")
        self._etag = answer["ETag"]
        self._parameters = {name: value for name, value in self._parameters.items() if name not in _FIRST_TIME_ONLY}
        self.answer = answer
        self.size = size


def read_body(body: Any, buffer: memoryview) -> None:
    """Fill all of ``buffer`` from the body of an answer; raises one of ``BREAKS`` where it breaks off."""
    filled = 0
    while filled < len(buffer):
        count = read_some(body, buffer[filled:])
        if not count:
            raise IncompleteReadError(actual_bytes=filled, expected_bytes=len(buffer))
        filled += count


def read_some(body: Any, buffer: memoryview) -> int:
    """Read some bytes from the body of an answer; 0 at the end. Raises one of ``BREAKS`` where it breaks off."""
    try:
        return int(body.readinto(buffer))
    except HTTPError as error:
        # botocore lets some of urllib3's through: a TLS record that was garbled on the way, for one.
        raise ResponseStreamingError(error=error) from error


def error_code(error: ClientError) -> str:
    """Return S3's name for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_status(error: ClientError) -> int:
    """Return the HTTP status of an error."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
