"""What ``get_object`` returns as its body: plaintext, read as boto3's bodies are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import IncompleteReadError

from envelope_sdk.integrations.s3.pinned import BREAKS, PinnedObject, read_some
from envelope_sdk.integrations.s3.source import READ_AHEAD
from envelope_sdk.streams.ranges import RandomAccessReader
from envelope_sdk.streams.reader import DecryptingReader

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ObjectBody", "RangeBody", "StoredBytes"]

_CHUNK: Final = 1024
"""boto3's default."""

_AGAIN: Final = 8 * 2**20
"""Bytes that, once read, are reason to hope that a connection which breaks will be the only one."""


class _Chunked(io.BufferedIOBase):
    """What boto3's bodies have beside, or call otherwise than, files."""

    def read(self, amt: int | None = -1) -> bytes:
        """Return ``amt`` bytes, fewer only at the end, or all that is left."""
        return super().read(amt)

    def iter_chunks(self, chunk_size: int = _CHUNK) -> Iterator[bytes]:
        """Yield ``chunk_size`` bytes at a time, fewer at the end."""
        while chunk := self.read(chunk_size):
            yield chunk

    def iter_lines(self, chunk_size: int = _CHUNK, keepends: bool = False) -> Iterator[bytes]:
        """Yield lines, as boto3 cuts them: at every end of line that :meth:`bytes.splitlines` knows."""
        pending = b""
        for chunk in self.iter_chunks(chunk_size):
            lines = (pending + chunk).splitlines(keepends=True)
            pending = lines.pop()
            for line in lines:
                yield line if keepends else line.splitlines()[0]
        if pending:
            yield pending if keepends else pending.splitlines()[0]


class ObjectBody(_Chunked, DecryptingReader):
    """The plaintext of a whole object: a :class:`~envelope_sdk.streams.DecryptingReader` over one answer of S3."""


class RangeBody(_Chunked, io.BufferedReader):
    """A range of the plaintext, every frame of which is authenticated, as are the size and the range's place in it."""

    def __init__(self, reader: RandomAccessReader, start: int, length: int) -> None:
        """Read ``length`` bytes from ``start`` on, which are there. The reader is closed with this body."""
        super().__init__(_Range(reader, start, length), max(1, min(length, READ_AHEAD)))


class _Range(io.RawIOBase):
    def __init__(self, reader: RandomAccessReader, start: int, length: int) -> None:
        super().__init__()
        self._reader = reader
        self._start = self._position = start
        self._end = start + length

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position - self._start

    def readinto(self, buffer: Buffer, /) -> int:
        with memoryview(buffer).cast("B") as target, target[: self._end - self._position] as wanted:
            count = self._reader.readinto_at(self._position, wanted)
        self._position += count
        return count

    def readall(self) -> bytes:
        data = self._reader.read_at(self._position, self._end - self._position)
        self._position += len(data)
        return data

    def close(self) -> None:
        self._reader.close()
        super().close()


class StoredBytes:
    """The bytes of a whole object, in one answer, and in further ones from where a connection broke."""

    def __init__(self, stored: PinnedObject) -> None:
        """Ask for the object."""
        self._object = stored
        self._body: Any = stored.ask_all()
        self._position = 0
        self._broke_at = 0
        self._left = stored.attempts

    def readinto(self, buffer: memoryview) -> int:
        """Read some bytes; 0 at the end. Raises as :meth:`PinnedObject.read`."""
        while True:
            try:
                count = read_some(self._body, buffer)
                if not count and self._position < self._object.size:
                    raise IncompleteReadError(actual_bytes=self._position, expected_bytes=self._object.size)
            except BREAKS as error:
                self._resume(error)
            else:
                self._position += count
                return count

    def close(self) -> None:
        """Close the connection, unless all was read."""
        self._body.close()

    def _resume(self, error: BaseException) -> None:
        if self._position - self._broke_at >= _AGAIN:
            self._left = self._object.attempts
        self._broke_at = self._position
        self._left -= 1
        self._body.close()
        if self._left < 1 or self._position >= self._object.size:
            error.add_note(f"while reading {self._object.name} from byte {self._position} on")
            raise error
        self._body = self._object.ask(self._position, self._object.size)
