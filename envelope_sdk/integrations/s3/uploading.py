"""Messages on their way into S3: in one request, or in parts, several of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from s3transfer.manager import TransferConfig as AnyTransferConfig
from s3transfer.utils import ChunksizeAdjuster

from envelope_sdk.errors import UsageError
from envelope_sdk.integrations.s3.arguments import known_to, only_known_to, request_checksum
from envelope_sdk.integrations.s3.making import BEGINNING, complete, put
from envelope_sdk.integrations.s3.pinned import S3Api, error_code
from envelope_sdk.integrations.s3.threads import begin
from envelope_sdk.streams.encrypting_reader import EncryptingReader

__all__ = ["Callback", "numbered_parts", "part_size", "upload", "usable"]

Callback: TypeAlias = "Callable[[int], object] | None"
"""Called in the calling thread with how many more bytes of the message were moved. What it raises ends the transfer."""

_MOST_PARTS: Final = 10_000


def usable(config: TransferConfig) -> TransferConfig:
    """Return ``config``.

    Raises:
        TypeError: it is something else, botocore's ``Config`` for one.
        UsageError: it limits the bandwidth.
    """
    given: Any = config
    if not isinstance(given, AnyTransferConfig):
        raise TypeError(f"Config is boto3's TransferConfig, not {type(given).__name__}")
    if cast("Any", given).max_bandwidth is not None:
        raise UsageError("max_bandwidth is not offered here: bandwidth is for the network to limit")
    return config


def upload(
    s3: S3Api,
    bucket: str,
    key: str,
    message: EncryptingReader,
    *,
    parameters: dict[str, Any],
    config: TransferConfig,
    callback: Callback,
) -> dict[str, Any]:
    """Store all that ``message`` gives as one object, which appears when all is there, and return S3's answer.

    Raises:
        ClientError, BotoCoreError: S3 refuses or cannot be reached, after botocore's own retries.
        Otherwise what reading ``message`` raises. Whatever is raised, no part is left in S3.
    """
    length = message.length
    size = part_size(config, length)
    if length is not None and length < config.multipart_threshold:
        # One byte of room to see that nothing follows.
        size = length + 1
    parts = _parts(message, size)
    # In a list, to be taken out of it: a name would keep it in memory as long as the upload takes.
    first = [next(parts)]
    if len(first[0]) < size:
        answer = put(s3, {"Bucket": bucket, "Key": key}, first[0], parameters)
        if callback is not None:
            callback(len(first[0]))
        return answer
    return _Multipart(s3, bucket, key, parameters, config, callback).run(first, parts)


def _parts(message: EncryptingReader, size: int) -> Iterator[bytes]:
    """Yield all of a message in parts of one size, the last of which is shorter, but for one that is all."""
    # Not bytearrays: boto3 copies those.
    while len(part := message.read(size)) == size:
        yield part
    yield part


def part_size(config: TransferConfig, length: int | None) -> int:
    """Return how long parts are: as configured, unless S3 would refuse so short ones, or so many."""
    return int(ChunksizeAdjuster().adjust_chunksize(config.multipart_chunksize, length))


def numbered_parts(first: list[bytes], more: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield parts with their numbers; ``first`` is emptied.

    Raises:
        UsageError: they are more than S3 takes.
    """
    yield 1, first.pop()
    for number, part in enumerate(more, 2):
        if not part:
            return
        if number > _MOST_PARTS:
            raise UsageError(
                f"S3 takes {_MOST_PARTS} parts, and the message has more of {len(part)} bytes each: "
                "say how long the plaintext is, or choose a larger multipart_chunksize"
            )
        yield number, part


class _Multipart:
    """One upload in parts."""

    def __init__(
        self,
        s3: S3Api,
        bucket: str,
        key: str,
        parameters: dict[str, Any],
        config: TransferConfig,
        callback: Callback,
    ) -> None:
        self._s3 = s3
        self._place = {"Bucket": bucket, "Key": key}
        self._parameters = {**parameters, **request_checksum(s3, parameters)}
        self._config = config
        self._callback = callback
        self._done: list[dict[str, Any]] = []
        self._sending: set[Future[tuple[int, dict[str, Any]]]] = set()
        # What threads are at, by their own account: an interrupt can take away a future, or a thread from its pool.
        self._under_way: set[int] = set()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._no_more = False

    def run(self, first: list[bytes], more: Iterator[bytes]) -> dict[str, Any]:
        at_the_end = only_known_to(
            self._s3, "CompleteMultipartUpload", "CreateMultipartUpload", self._parameters
        ).keys()
        create = {name: value for name, value in self._parameters.items() if name not in at_the_end}
        # A copy: the whole part would be kept.
        beginning = first[0][:BEGINNING]
        try:
            self._place["UploadId"] = self._s3.create_multipart_upload(**self._place, **create)["UploadId"]
            self._send(first, more)
            parts = sorted(self._done, key=lambda part: int(part["PartNumber"]))
            return complete(self._s3, self._place, parts, beginning, self._parameters)
        except BaseException as error:
            if "UploadId" in self._place:
                self._abort(error)
            raise

    def _send(self, first: list[bytes], more: Iterator[bytes]) -> None:
        """Upload the parts, at most ``max_concurrency`` at a time; one more is being made meanwhile."""
        if not self._config.use_threads:
            for number, part in numbered_parts(first, more):
                self._note(self._put(number, part))
            return
        threads = self._config.max_request_concurrency
        pool = ThreadPoolExecutor(threads, "envelope-sdk-s3")
        try:
            for number, part in numbered_parts(first, more):
                if len(self._sending) >= threads:
                    self._settle()
                self._sending.add(begin(pool, self._put_unless_over, number, part))
            while self._sending:
                self._settle()
        finally:
            # A part that arrives after the upload was aborted would stay.
            self._no_more = True
            pool.shutdown(cancel_futures=True)
            while self._under_way:
                self._ended.get()

    def _settle(self) -> None:
        done, self._sending = wait(self._sending, return_when=FIRST_COMPLETED)
        for part in done:
            self._note(part.result())

    def _put_unless_over(self, number: int, part: bytes) -> tuple[int, dict[str, Any]]:
        # First this, then that: who ends the upload does it the other way round, so one of the two sees the other.
        self._under_way.add(number)
        try:
            if self._no_more:
                raise CancelledError
            return self._put(number, part)
        finally:
            self._under_way.discard(number)
            self._ended.put(None)

    def _put(self, number: int, part: bytes) -> tuple[int, dict[str, Any]]:
        parameters = known_to(self._s3, "UploadPart", self._parameters)
        answer = self._s3.upload_part(**self._place, PartNumber=number, Body=part, **parameters)
        sums = {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
        return len(part), {"PartNumber": number, "ETag": answer["ETag"], **sums}

    def _note(self, part: tuple[int, dict[str, Any]]) -> None:
        length, entry = part
        self._done.append(entry)
        if self._callback is not None:
            self._callback(length)

    def _abort(self, error: BaseException) -> None:
        upload = self._place["UploadId"]
        parameters = known_to(self._s3, "AbortMultipartUpload", self._parameters)
        under_way = bool(self._under_way)
        try:
            self._s3.abort_multipart_upload(**self._place, **parameters)
        except BaseException as failure:
            if not (isinstance(failure, ClientError) and error_code(failure) == "NoSuchUpload"):
                what = f"{type(failure).__name__}: {failure}"
                error.add_note(f"the upload {upload} could not be aborted, its parts stay: {what}")
            if not isinstance(failure, Exception):
                raise
        if under_way:
            # Waiting for them was interrupted too: somebody is in a hurry.
            error.add_note(
                f"parts of the upload {upload} were under way: those that arrive stay until it is aborted again"
            )
