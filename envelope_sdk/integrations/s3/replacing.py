"""An object that is read and replaced, unless somebody else has replaced it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from envelope_sdk.errors import StreamError
from envelope_sdk.integrations.s3.arguments import COPIED, MESSAGE_MARK, known_to
from envelope_sdk.integrations.s3.errors import os_errors
from envelope_sdk.integrations.s3.pending import PendingObject
from envelope_sdk.integrations.s3.pinned import PinnedObject, error_code, error_status

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ObjectReplacement", "ReplacingObject"]

_KEPT: Final = (*COPIED, "StorageClass", "WebsiteRedirectLocation")
_ENCRYPTION: Final = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")


class ObjectReplacement:
    """An object, open for reading, and what is to take its place.

    Attributes:
        file: its bytes.
    """

    def __init__(self, stored: PinnedObject, file: IO[bytes], part_size: int, parameters: dict[str, Any]) -> None:
        """Take an object that has been asked for, and what goes with requests that store."""
        self._stored = stored
        self._part_size = part_size
        self._parameters = parameters
        self.file = file

    def create(self) -> ReplacingObject:
        """Begin to write. Where the object has tags, they are asked for.

        Raises:
            OSError: S3 refuses or cannot be reached.
        """
        stored = self._stored
        kept = {name: stored.answer[name] for name in _KEPT if stored.answer.get(name)}
        kept["Metadata"] = dict(stored.answer.get("Metadata", {}))
        if not self._parameters.keys() & set(_ENCRYPTION):
            kept |= {name: stored.answer[name] for name in _ENCRYPTION if stored.answer.get(name)}
        if stored.answer.get("TagCount") and "Tagging" not in self._parameters:
            kept["Tagging"] = self._tags()
        return ReplacingObject(stored, part_size=self._part_size, parameters={**kept, **self._parameters})

    def close(self) -> None:
        """Close the connection, unless all was read."""
        self.file.close()

    def _tags(self) -> str:
        stored = self._stored
        known = known_to(stored.s3, "GetObjectTagging", self._parameters)
        with os_errors(stored.name):
            answer = stored.s3.get_object_tagging(Bucket=stored.bucket, Key=stored.key, **known)
        return urlencode({tag["Key"]: tag["Value"] for tag in answer["TagSet"]})


class ReplacingObject(PendingObject):
    """A pending object that takes the place of the one that was read, and of no other."""

    def __init__(self, stored: PinnedObject, *, part_size: int, parameters: Mapping[str, Any]) -> None:
        """Ask for nothing yet."""
        conditional = {**parameters, "IfMatch": stored.answer["ETag"]}
        super().__init__(
            stored.s3, stored.bucket, stored.key, overwrite=True, part_size=part_size, parameters=conditional
        )
        self._etag = stored.answer["ETag"]
        self._begun = False

    def write(self, data: Buffer, /) -> int:
        """Take all of ``data``, as :class:`PendingObject` does."""
        if not self._begun and (version := bytes(memoryview(data)[:1])):
            self._begun = True
            metadata = self._parameters["Metadata"]
            # Of the message that was there; the plaintext, whose length is another mark, is the same.
            for name in [name for name in metadata if name.lower() == MESSAGE_MARK]:
                metadata[name] = f"aws-encryption-sdk/{version[0]}"
        return super().write(data)

    def _complete(self) -> None:
        # Some stores do not know the condition where an upload in parts ends.
        if self._upload is not None and not self._is_as_it_was():
            raise self._changed()
        try:
            super()._complete()
        except ClientError as error:
            if not _tells_of_a_change(error) or self._is_there():
                raise
            raise self._changed() from error

    def _is_as_it_was(self) -> bool:
        found = self._head()
        return found is not None and found["ETag"] == self._etag

    def _changed(self) -> StreamError:
        return StreamError(f"{self._name} was replaced or deleted meanwhile: what is there now was left as it is")


def _tells_of_a_change(error: ClientError) -> bool:
    return error_status(error) in (409, 412) or error_code(error) == "NoSuchKey"
