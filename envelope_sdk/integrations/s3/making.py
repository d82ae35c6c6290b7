"""Requests that make an object, and whether they made it although they were answered by an error, or not at all."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from envelope_sdk.integrations.s3.arguments import known_to, told
from envelope_sdk.integrations.s3.pinned import BREAKS, S3Api, error_status, read_body

__all__ = ["BEGINNING", "complete", "put"]

BEGINNING: Final = 64
"""Bytes in which every message has its identifier, which is random."""

_SECOND_TIME: Final = frozenset({404, 409, 412})
"""What S3 answers to who asks again for what was done already: the upload is gone, or there is an object."""


def put(s3: S3Api, place: dict[str, Any], message: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
    """Store a message in one request, and return S3's answer.

    Raises:
        ClientError, BotoCoreError: S3 refuses or cannot be reached, after botocore's own retries.
    """
    try:
        return dict(s3.put_object(**place, Body=message, **parameters))
    except (ClientError, HTTPClientError) as error:
        return _made_after_all(s3, place, message[:BEGINNING], parameters, error)


def complete(
    s3: S3Api, upload: dict[str, Any], parts: list[dict[str, Any]], beginning: bytes, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Have an object appear, all parts of which are there, and return S3's answer; raises as :func:`put`.

    Args:
        s3: the client.
        upload: bucket, key and identifier of the upload.
        parts: what S3 said of them, in order.
        beginning: the first bytes of the message.
        parameters: those of the whole upload.
    """
    known = known_to(s3, "CompleteMultipartUpload", parameters)
    try:
        return dict(s3.complete_multipart_upload(**upload, **known, MultipartUpload={"Parts": parts}))
    except (ClientError, HTTPClientError) as error:
        place = {name: value for name, value in upload.items() if name != "UploadId"}
        return _made_after_all(s3, place, beginning, parameters, error)


def _made_after_all(
    s3: S3Api, place: dict[str, Any], beginning: bytes, parameters: dict[str, Any], error: ClientError | HTTPClientError
) -> dict[str, Any]:
    """Return what S3 says of the object where it is the message that begins so; raise ``error`` otherwise."""
    if isinstance(error, ClientError):
        again = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        if not again or error_status(error) not in _SECOND_TIME:
            raise error
    known = {name: value for name, value in known_to(s3, "GetObject", parameters).items() if not name.startswith("If")}
    found = bytearray(len(beginning))
    try:
        answer = dict(s3.get_object(**place, **known, Range=f"bytes=0-{len(beginning) - 1}"))
        with closing(answer["Body"]) as body:
            read_body(body, memoryview(found))
    except (ClientError, BotoCoreError, *BREAKS):
        raise error from None
    if bytes(found) != beginning:
        raise error
    return told(answer)
