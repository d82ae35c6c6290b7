"""An object in S3 as a source of bytes at any position."""

from __future__ import annotations

from typing import Any, Final

from envelope_sdk.integrations.s3.pinned import ATTEMPTS, PinnedObject, S3Api

__all__ = ["READ_AHEAD", "S3Source"]

READ_AHEAD: Final = 8 * 2**20
"""Bytes that are asked for at once where more is going to be read."""

_FIRST: Final = 2**16
"""Bytes of the first request: a header, and all of many an object."""


class S3Source:
    """A :class:`~envelope_sdk.streams.PositionalSource` over an object, pinned by its ETag from the first request on.

    One request learns the size and the ETag and brings the first 64 KiB. Every other asks for one range and names the
    ETag: an object that was replaced meanwhile raises :class:`StreamError`. Connections that break are read again.
    """

    def __init__(
        self,
        s3: S3Api,
        Bucket: str,
        Key: str,
        *,
        read_ahead: int = READ_AHEAD,
        attempts: int = ATTEMPTS,
        **parameters: Any,
    ) -> None:
        """Ask for the beginning of an object.

        Args:
            s3: a boto3 S3 client. It stays open.
            Bucket: as for boto3. So is ``Key``.
            read_ahead: bytes to ask for at once where more is going to be read.
            attempts: how often a range is asked for where connections break.
            parameters: what else ``get_object`` takes: ``VersionId``, ``SSECustomerKey`` and the like.

        Raises:
            UsageError: a parameter is given that says which part to read.
            ClientError: S3 refuses.
            StreamError: the store does not answer ranges.
        """
        self._object = PinnedObject(s3, Bucket, Key, attempts=attempts, parameters=parameters)
        self._first = self._object.read_first(_FIRST)
        self.size: Final = self._object.size
        self.read_ahead: Final = read_ahead

    @property
    def name(self) -> str:
        """What people call the object."""
        return self._object.name

    @property
    def answer(self) -> dict[str, Any]:
        """What S3 answered to the first request, but for the body; empty for an empty object."""
        return {name: value for name, value in self._object.answer.items() if name != "Body"}

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        """Fill ``buffer`` from ``offset`` on and return how many bytes came: fewer only at the end.

        Raises:
            StreamError: the object was replaced or deleted.
            ClientError, BotoCoreError: S3 refuses or cannot be reached, or connections broke too often.
        """
        wanted = buffer[: max(0, self.size - offset)]
        end = offset + len(wanted)
        if end <= len(self._first):
            wanted[:] = self._first[offset:end]
        elif len(wanted):
            self._object.read(offset, wanted)
        return len(wanted)

    def close(self) -> None:
        """Do nothing: the client is somebody else's, and connections are its own."""
