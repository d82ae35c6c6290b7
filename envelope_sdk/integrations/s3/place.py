"""A bucket, or a part of one, as a place of bulk runs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from envelope_sdk.bulk.places import Entry
from envelope_sdk.errors import UsageError
from envelope_sdk.integrations.s3.arguments import known_to
from envelope_sdk.integrations.s3.bodies import StoredBytes
from envelope_sdk.integrations.s3.errors import os_errors
from envelope_sdk.integrations.s3.pending import LONGEST_PART, SHORTEST_PART, PendingObject
from envelope_sdk.integrations.s3.pinned import ATTEMPTS, PinnedObject, S3Api, error_status
from envelope_sdk.integrations.s3.replacing import ObjectReplacement

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["S3Place"]

_CONNECTIONS: Final = 50
_PARAMETERS: Final = frozenset(
    {
        "ACL",
        "CacheControl",
        "ChecksumAlgorithm",
        "ContentDisposition",
        "ContentType",
        "ExpectedBucketOwner",
        "RequestPayer",
        "SSEKMSEncryptionContext",
        "SSEKMSKeyId",
        "ServerSideEncryption",
        "StorageClass",
        "Tagging",
    }
)


@dataclass(frozen=True)
class S3Place:
    """Objects of a bucket, by what follows the prefix in their keys: a :class:`~envelope_sdk.bulk.Place`.

    It travels as configuration. Where it is used, boto3 finds credentials by its usual search: the environment, the
    profile, the machine's role. What S3 answers raises :class:`OSError`: ``FileNotFoundError``, ``PermissionError``,
    ``FileExistsError`` and others, after botocore's own retries.

    Attributes:
        bucket: its name, or the ARN of an access point.
        prefix: what the keys begin with, to the letter: ``"sealed/"`` for what consoles show as a folder.
        region_name: as for boto3. So are ``endpoint_url`` and ``profile_name``; by default boto3 finds them.
        part_size: bytes of the first thousand parts of an upload; parts beyond are longer. As much is held in memory.
        parameters: what requests take besides: ``StorageClass``, ``ServerSideEncryption``, ``ExpectedBucketOwner`` and
            so on: a mapping of texts, kept as sorted pairs. No secrets.
        s3: a boto3 S3 client in place of the configuration. Such a place stays in its process, for threads.
    """

    bucket: str
    prefix: str = ""
    region_name: str | None = field(default=None, kw_only=True)
    endpoint_url: str | None = field(default=None, kw_only=True)
    profile_name: str | None = field(default=None, kw_only=True)
    part_size: int = field(default=8 * 2**20, kw_only=True)
    parameters: tuple[tuple[str, str], ...] | Mapping[str, str] = field(default=(), kw_only=True)
    s3: S3Api = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        given: dict[str, Any] = dict(self.parameters)
        if wrong := sorted(given.keys() - _PARAMETERS):
            raise UsageError(f"{', '.join(wrong)}: parameters are some of {', '.join(sorted(_PARAMETERS))}")
        if not all(isinstance(value, str) for value in given.values()):
            raise TypeError("the values of parameters are texts")
        if not SHORTEST_PART <= self.part_size <= LONGEST_PART:
            raise UsageError(f"part_size is {self.part_size}; it is from {SHORTEST_PART} to {LONGEST_PART} bytes")
        if self.s3 is not None and (self.region_name or self.endpoint_url or self.profile_name):
            raise UsageError("a client has its Region, endpoint and profile")
        if self.endpoint_url is not None and "@" in urlsplit(self.endpoint_url).netloc:
            raise UsageError("the endpoint holds credentials, which would travel: let boto3 find them")
        object.__setattr__(self, "parameters", tuple(sorted(given.items())))

    def __getstate__(self) -> dict[str, Any]:
        if self.s3 is not None:
            raise TypeError("a place with a client of its own stays in its process: leave s3 out, and say where it is")
        return dict(self.__dict__)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects in the order of their keys. Empty ones that stand for folders are left out.

        Raises:
            OSError: S3 refuses or cannot be reached.
        """
        with os_errors(self._path("")):
            s3 = self._client()
            where = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
            pages = iter(s3.get_paginator("list_objects_v2").paginate(**where, **self._known(s3, "ListObjectsV2")))
        while True:
            # Not around a yield: errors of whoever takes the entries are no answers of S3's.
            with os_errors(self._path("")):
                page = next(pages, None)
            if page is None:
                return
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(self.prefix)
                if name and (found["Size"] or not name.endswith("/")):
                    yield Entry(name, found["Size"], found["ETag"])

    def entry(self, name: str) -> Entry | None:
        """Return the object's size and ETag; ``None`` where there is none.

        Raises:
            PermissionError: S3 does not tell: those who may not list a bucket are not told what is not there.
            OSError: it refuses otherwise, or cannot be reached.
        """
        with os_errors(self._path(name)):
            s3 = self._client()
            try:
                found = s3.head_object(**self._object(name), **self._known(s3, "HeadObject"))
            except ClientError as error:
                if error_status(error) != 404:
                    raise
                return None
        return Entry(name, int(found["ContentLength"]), found["ETag"])

    def open(self, name: str) -> IO[bytes]:
        """Open an object for reading, in one answer, and in further ones where a connection breaks.

        Raises:
            StreamError: while reading: it was replaced or deleted meanwhile.
            OSError: S3 refuses or cannot be reached, now or while reading.
        """
        return cast("IO[bytes]", self._opened(name)[1])

    def create(self, name: str, *, overwrite: bool) -> PendingObject:
        """Begin to write an object. Nothing is asked for before there is a part, or it is committed."""
        with os_errors(self._path(name)):
            s3 = self._client()
        return PendingObject(
            s3,
            self.bucket,
            self.prefix + name,
            overwrite=overwrite,
            part_size=self.part_size,
            parameters=dict(self.parameters),
        )

    def replacing(self, name: str) -> ObjectReplacement:
        """Open an object. What replaces it is described as it was, and stored as it was unless ``parameters`` differ.

        Kept are its metadata, tags, storage class and server-side encryption; not its ACL, nor locks of its version.
        It is written on the condition that the object has the ETag of what was read (``If-Match``).

        Raises:
            OSError: S3 refuses or cannot be reached, now or while reading.
        """
        stored, file = self._opened(name)
        return ObjectReplacement(stored, cast("IO[bytes]", file), self.part_size, dict(self.parameters))

    def words(self) -> str:
        """Return bucket and prefix, and the endpoint where it is not Amazon's."""
        endpoint = self.endpoint_url if self.s3 is None else self.s3.meta.endpoint_url
        host = urlsplit(endpoint or "").hostname or ""
        amazon = not host or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return self._path("") if amazon else f"{self._path('')} at {endpoint}"

    # --- inside ------------------------------------------------------------------------------------------------------

    def _opened(self, name: str) -> tuple[PinnedObject, _Opened]:
        with os_errors(self._path(name)):
            s3 = self._client()
            given = self._known(s3, "GetObject")
            pinned = PinnedObject(s3, self.bucket, self.prefix + name, attempts=ATTEMPTS, parameters=given)
            return pinned, _Opened(StoredBytes(pinned), self._path(name))

    def _client(self) -> S3Api:
        if self.s3 is not None:
            return self.s3
        return _client(os.getpid(), self.region_name, self.endpoint_url, self.profile_name)

    def _known(self, s3: S3Api, operation: str) -> dict[str, Any]:
        return known_to(s3, operation, dict(self.parameters))

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + name}

    def _path(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{name}"


class _Opened(io.RawIOBase):
    """The bytes of an object, as a file object."""

    def __init__(self, stored: StoredBytes, name: str) -> None:
        super().__init__()
        self._stored = stored
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        with memoryview(buffer).cast("B") as target, os_errors(self._name):
            return self._stored.readinto(target)

    def close(self) -> None:
        if not self.closed:
            self._stored.close()
        super().close()


@lru_cache(maxsize=8)
def _client(_process: int, region: str | None, endpoint: str | None, profile: str | None) -> S3Api:
    """Return a client, shared by the threads of one process: no connection outlives a fork."""
    session: Any = boto3.Session(region_name=region, profile_name=profile)
    config = Config(max_pool_connections=_CONNECTIONS)
    try:
        return session.client("s3", endpoint_url=endpoint, config=config)
    except ValueError as error:
        raise UsageError(f"the endpoint {endpoint!r} is no URL of an S3") from error
