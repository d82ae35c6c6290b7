"""Arguments in boto3's manner, and which of them go with which request."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import IO, Any, Final, cast

from botocore.exceptions import ClientError

from envelope_sdk.errors import MessageError, UsageError
from envelope_sdk.formats.cursor import byte_view
from envelope_sdk.formats.geometry import layout_of_body
from envelope_sdk.formats.header import ContentType
from envelope_sdk.integrations.s3.pinned import S3Api
from envelope_sdk.message.authenticated import Header

__all__ = [
    "COPIED",
    "LENGTH_MARK",
    "MESSAGE_MARK",
    "body_to_read",
    "claimed_length",
    "copy_source",
    "described",
    "file_to_read",
    "file_to_write",
    "implied_length",
    "known_to",
    "marked",
    "only_known_to",
    "range_of",
    "request_checksum",
    "stored_parameters",
    "told",
    "unmarked",
]

MESSAGE_MARK: Final = "envelope-message"
"""Metadata that says what an object holds, for people and inventories."""

LENGTH_MARK: Final = "envelope-plaintext-length"
"""Metadata that says how long the plaintext is, where that was known beforehand. Nothing here relies on it."""

COPIED: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
)
"""What an object says of its content, which one that is made of it says too."""

_OF_THE_BODY: Final = frozenset({"Body", "ContentLength", "ContentMD5", "MpuObjectSize"})
_LENGTH: Final = re.compile(r"[0-9]{1,20}")
_RANGE: Final = re.compile(r"bytes=([0-9]{0,100})-([0-9]{0,100})")


def body_to_read(body: Any) -> IO[bytes]:
    """Return a file object over what ``put_object`` takes.

    Raises:
        TypeError: it is neither bytes-like nor a binary file object.
    """
    if hasattr(body, "read"):
        return file_to_read(body, "Body")
    try:
        return io.BytesIO(byte_view(body))
    except TypeError:
        raise TypeError(f"Body is bytes or a binary file object to read, not {type(body).__name__}") from None


def file_to_read(file: Any, name: str) -> IO[bytes]:
    """Return ``file``, called ``name``. Raises :class:`TypeError` where it is no binary file object to read."""
    if isinstance(file, io.TextIOBase) or not hasattr(file, "read"):
        raise TypeError(
            f"{name} is a binary file object to read, not {type(file).__name__}; "
            "put_object takes bytes, and upload_file a path"
        )
    return cast("IO[bytes]", file)


def file_to_write(file: Any, name: str) -> IO[bytes]:
    """Return ``file``, called ``name``. Raises :class:`TypeError` where it is no binary file object to write."""
    if isinstance(file, io.TextIOBase) or not hasattr(file, "write"):
        raise TypeError(
            f"{name} is a binary file object to write, not {type(file).__name__}; download_file takes a path"
        )
    return cast("IO[bytes]", file)


def copy_source(source: Any) -> tuple[str, str, dict[str, Any]]:
    """Return bucket and key of the source of a copy, and what else is said of it.

    Raises:
        UsageError: it is not a mapping with ``Bucket`` and ``Key``.
    """
    if not isinstance(source, Mapping) or not {"Bucket", "Key"} <= source.keys():
        raise UsageError("CopySource is a mapping of 'Bucket', 'Key' and, where wanted, 'VersionId'")
    given: dict[str, Any] = dict(cast("Mapping[str, Any]", source))
    return given.pop("Bucket"), given.pop("Key"), given


def stored_parameters(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what is to be passed on to requests that store.

    Raises:
        UsageError: it holds a length or checksum of the body, which would be the plaintext's.
    """
    given = dict(parameters or {})
    wrong = sorted(
        name
        for name in given
        if name in _OF_THE_BODY or (name.startswith("Checksum") and name not in ("ChecksumAlgorithm", "ChecksumType"))
    )
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: what is stored is not the plaintext, so it is for S3's client to say")
    return given


def known_to(s3: S3Api, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``parameters`` that an operation takes."""
    members = s3.meta.service_model.operation_model(operation).input_shape.members
    return {name: value for name, value in parameters.items() if name in members}


def only_known_to(s3: S3Api, operation: str, other: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that ``operation`` takes and ``other`` does not."""
    return {
        name: value
        for name, value in known_to(s3, operation, parameters).items()
        if name not in known_to(s3, other, parameters)
    }


def request_checksum(s3: S3Api, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return which checksum the parts of an upload get: the one asked for, or boto3's default."""
    if "ChecksumAlgorithm" in parameters:
        return {"ChecksumAlgorithm": parameters["ChecksumAlgorithm"]}
    default = getattr(s3.meta.config, "request_checksum_calculation", None) == "when_supported"
    return {"ChecksumAlgorithm": "CRC32"} if default else {}


def marked(parameters: dict[str, Any], header: Header, plaintext_length: int | None) -> dict[str, Any]:
    """Return parameters whose metadata also say what is stored.

    Raises:
        UsageError: the caller's metadata use the same names.
    """
    metadata = dict(parameters.get("Metadata") or {})
    if taken := sorted(name for name in metadata if name.lower() in (MESSAGE_MARK, LENGTH_MARK)):
        raise UsageError(f"the metadata {', '.join(taken)} are written by this package")
    metadata[MESSAGE_MARK] = f"aws-encryption-sdk/{header.algorithm_suite.message_version}"
    if plaintext_length is not None:
        metadata[LENGTH_MARK] = str(plaintext_length)
    return {**parameters, "Metadata": metadata}


def unmarked(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata without what this package wrote."""
    # In any case: they are names of HTTP headers, and some stores spell them their own way.
    return {name: value for name, value in metadata.items() if name.lower() not in (MESSAGE_MARK, LENGTH_MARK)}


def claimed_length(metadata: Mapping[str, str]) -> int | None:
    """Return the plaintext's length as the metadata, which nobody authenticates, have it."""
    claim = next((value for name, value in metadata.items() if name.lower() == LENGTH_MARK), "")
    return int(claim) if _LENGTH.fullmatch(claim) else None


def implied_length(header: Header, size: int) -> int | None:
    """Return the only plaintext length that an authentic message of ``size`` bytes can have; ``None`` if unknown."""
    if header.algorithm_suite.signed or header.content_type is not ContentType.FRAMED:
        return None
    try:
        return layout_of_body(header.length, size - header.length, header.frame_length).plaintext_length
    except MessageError:
        return None


def range_of(text: str, size: int) -> tuple[int, int]:
    """Return where a range as in HTTP begins in ``size`` bytes, and how many bytes it has.

    Raises:
        UsageError: it is no single range of bytes.
        ClientError: ``InvalidRange``, as from S3, where it holds nothing.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]) or (found[1] and found[2] and int(found[2]) < int(found[1])):
        raise UsageError(f"the range {text!r} is none of 'bytes=FIRST-LAST', 'bytes=FIRST-' and 'bytes=-LENGTH'")
    if found[1]:
        start, end = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
    else:
        start, end = max(0, size - int(found[2])), size
    if start >= end:
        error = {"Code": "InvalidRange", "Message": "The requested range is not satisfiable", "RangeRequested": text}
        answer: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 416}}
        raise ClientError(answer, "GetObject")
    return start, end - start


def told(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an answer holds for the plaintext too."""
    of_the_object = ("Body", "ContentLength", "ContentRange")
    return {
        name: value for name, value in answer.items() if name not in of_the_object and not name.startswith("Checksum")
    }


def described(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that store a copy as its source is described."""
    described = {name: answer[name] for name in COPIED if answer.get(name)}
    return {**described, "Metadata": unmarked(answer.get("Metadata", {}))}
