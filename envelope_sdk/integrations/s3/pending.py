"""An object that is written piece by piece and appears when it is committed."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from envelope_sdk.integrations.s3.arguments import known_to, request_checksum
from envelope_sdk.integrations.s3.errors import os_errors
from envelope_sdk.integrations.s3.pinned import S3Api, error_status

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LONGEST_PART", "SHORTEST_PART", "PendingObject"]

SHORTEST_PART: Final = 5 * 2**20
"""Bytes of a part that another follows, at least: S3's limit."""

LONGEST_PART: Final = 500 * 2**20
"""Bytes of the first parts, at most: the last ones are ten times as long, which S3 just takes."""

_MOST_PARTS: Final = 10_000
_ALIKE: Final = 1000
"""Parts of one length; the next thousand are longer by that of the first. So all lengths fit into 10,000 parts."""

_MARK: Final = "envelope-upload"


class PendingObject:
    """One upload: a single request for what is shorter than a part, in parts otherwise. For one thread.

    What is not sent yet is held in memory: less than a part.
    """

    def __init__(
        self, s3: S3Api, bucket: str, key: str, *, overwrite: bool, part_size: int, parameters: dict[str, Any]
    ) -> None:
        """Ask for nothing yet."""
        self._s3 = s3
        self._object = {"Bucket": bucket, "Key": key}
        self._name = f"s3://{bucket}/{key}"
        self._overwrite = overwrite
        self._part_size = part_size
        # By it, an object whose making was answered by an error is known for one's own.
        self._token = os.urandom(16).hex()
        self._parameters = {**parameters, "Metadata": {**parameters.get("Metadata", {}), _MARK: self._token}}
        if not overwrite:
            self._parameters["IfNoneMatch"] = "*"
        self._buffer = io.BytesIO()
        self._upload: dict[str, str] | None = None
        self._parts: list[dict[str, Any]] = []
        self._closed = False

    def write(self, data: Buffer, /) -> int:
        """Take all of ``data``; send it where there is a part.

        Raises:
            ValueError: it is closed or committed.
            FileExistsError: there is an object, and it may not be replaced.
            OSError: S3 refuses or cannot be reached, or takes no object that long.
        """
        self._require_open()
        with memoryview(data) as view, view.cast("B") as left:
            offset = 0
            while offset < len(left):
                # Sent only when more follows: what fits into one request needs no others.
                room = self._next_size() - self._buffer.tell()
                if not room:
                    self._send()
                    continue
                offset += self._buffer.write(left[offset : offset + room])
            return len(left)

    def commit(self) -> None:
        """Have the object appear, whole.

        Raises:
            ValueError: it is closed or committed.
            FileExistsError: there is one, and it may not be replaced.
            OSError: S3 refuses or cannot be reached. Where its answer was lost and it tells no more, the object may be
                there all the same.
        """
        self._require_open()
        with os_errors(self._name):
            if self._upload is not None:
                self._send()
            try:
                self._complete()
            except (ClientError, BotoCoreError):
                if not self._is_there():
                    raise
        self._upload = None
        self.close()

    def close(self) -> None:
        """Discard it, unless it was committed: the parts that S3 has are given up.

        Raises:
            OSError: S3 refuses that, or cannot be reached. A note where something else is being raised.
        """
        failed = sys.exception()
        self._closed = True
        self._buffer = io.BytesIO()
        upload, self._upload = self._upload, None
        if upload is None:
            return
        try:
            with os_errors(self._name):
                self._s3.abort_multipart_upload(**upload, **self._known("AbortMultipartUpload"))
        except FileNotFoundError:
            return
        except OSError as failure:
            text = f"the upload {upload['UploadId']} could not be aborted, its parts stay: {failure}"
            if failed is None:
                raise OSError(failure.errno, text, self._name) from failure
            failed.add_note(text)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self._name} is closed")

    def _known(self, operation: str) -> dict[str, Any]:
        return known_to(self._s3, operation, self._parameters)

    def _next_size(self) -> int:
        return self._part_size * (1 + len(self._parts) // _ALIKE)

    def _send(self) -> None:
        """Send what is held as the next part."""
        with os_errors(self._name):
            upload = self._upload or self._begin()
            number = len(self._parts) + 1
            if number > _MOST_PARTS:
                raise OSError(errno.EFBIG, f"S3 takes {_MOST_PARTS} parts: choose a larger part_size", self._name)
            body = self._buffer.getvalue()
            self._buffer = io.BytesIO()
            answer = self._s3.upload_part(**upload, PartNumber=number, Body=body, **self._known("UploadPart"))
        sums = {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], **sums})

    def _begin(self) -> dict[str, str]:
        """Begin an upload in parts, unless the object is there: S3 would say so only after all of them."""
        if not self._overwrite and self._head() is not None:
            raise FileExistsError(errno.EEXIST, "there is such an object", self._name)
        self._parameters |= request_checksum(self._s3, self._parameters)
        created = self._s3.create_multipart_upload(**self._object, **self._known("CreateMultipartUpload"))
        self._upload = {**self._object, "UploadId": created["UploadId"]}
        return self._upload

    def _complete(self) -> None:
        if self._upload is None:
            self._s3.put_object(**self._object, Body=self._buffer.getvalue(), **self._known("PutObject"))
        else:
            known = self._known("CompleteMultipartUpload")
            self._s3.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": self._parts}, **known)

    def _head(self) -> dict[str, Any] | None:
        known = self._known("HeadObject").items()
        parameters = {name: value for name, value in known if name not in ("IfMatch", "IfNoneMatch")}
        try:
            return dict(self._s3.head_object(**self._object, **parameters))
        except ClientError as error:
            if error_status(error) != 404:
                raise
            return None

    def _is_there(self) -> bool:
        """Return whether the object was made, although making it was answered by an error, or not at all."""
        try:
            found = self._head()
        except (ClientError, BotoCoreError):
            return False
        return found is not None and found.get("Metadata", {}).get(_MARK) == self._token
