"""Uploads, downloads and ranges of encrypted objects, against the same by boto3 alone.

    python benchmarks/s3.py
    python benchmarks/s3.py --mib 256

Proves that encryption costs less than boto3 itself does, where the network costs nothing. The store is in this
process: it takes parts and forgets them, and answers ranges from memory. What comes out is compared first.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from functools import partial
from os import urandom
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSResponse
from interleaved import measure
from report import Report, arguments
from tables import AtMost, Row, Table

from envelope_sdk import Client
from envelope_sdk.integrations.s3 import EncryptedS3
from envelope_sdk.keyrings import RawAesKeyring

BOTO3, ENCRYPTED = "boto3", "EncryptedS3"
CONFIG = TransferConfig(max_concurrency=4)
CLIENT = Client(RawAesKeyring("benchmark", "key", bytes(32)))
ETAG = '"1"'


class Body(io.BytesIO):
    """The body of an answer, as botocore reads it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


class Store:
    """Objects that stay as they are; what is uploaded is read and forgotten."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        url = urlsplit(request.url)
        if request.method in ("GET", "HEAD"):
            return self.get(request, url.path.rpartition("/")[2])
        if request.method == "PUT":
            while request.body.read(2**20):
                pass
            return respond(request, 200, b"", {"etag": ETAG})
        return respond(request, 200, b"<Answer><UploadId>1</UploadId><ETag>1</ETag></Answer>", {})

    def get(self, request: Any, key: str) -> AWSResponse:
        data = self.objects[key]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", header(request, "Range"))
        if asked is None or request.method == "HEAD":
            content = b"" if request.method == "HEAD" else data
            return respond(request, 200, content, {"etag": ETAG, "content-length": str(len(data))})
        start, end = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else len(data), len(data))
        place = {"content-range": f"bytes {start}-{end - 1}/{len(data)}", "content-length": str(end - start)}
        return respond(request, 206, data[start:end], {"etag": ETAG, **place})


def header(request: Any, name: str) -> str:
    value = request.headers.get(name, "")
    return value.decode() if isinstance(value, bytes) else value


def respond(request: Any, status: int, content: bytes, headers: dict[str, str]) -> AWSResponse:
    return AWSResponse(request.url, status, headers, Body(content))


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--mib", type=int, default=64, help="size of the object")
    options = parser.parse_args()
    if options.small:
        options.mib, options.rounds = 17, 1
    store = Store()
    s3: Any = boto3.client("s3", "us-east-1", aws_access_key_id="benchmark", aws_secret_access_key="benchmark")
    s3.meta.events.register_first("before-send.s3", store)
    objects = EncryptedS3(s3, CLIENT, config=CONFIG)
    plain = urandom(options.mib * 2**20)
    store.objects = {"plain": plain, "message": CLIENT.encrypt(plain).ciphertext}
    objects.download_fileobj("bucket", "message", back := io.BytesIO())
    reader = objects.open("bucket", "message", cache_size=0)
    middle = len(plain) // 2
    if back.getvalue() != plain or reader.read_at(middle, 2**20) != plain[middle : middle + 2**20]:
        sys.exit("other bytes came back")
    report = Report(options.check)
    report.begin(f"{options.mib} MiB in parts of 8 MiB, 4 at a time, a store in the process, {options.rounds} rounds")
    ranged = f"bytes={middle}-{middle + 2**20 - 1}"
    tables = {
        "upload": (
            lambda: s3.upload_fileobj(io.BytesIO(plain), "bucket", "up", Config=CONFIG),
            lambda: objects.upload_fileobj(io.BytesIO(plain), "bucket", "up"),
        ),
        "download": (
            lambda: s3.download_fileobj("bucket", "plain", io.BytesIO(), Config=CONFIG),
            lambda: objects.download_fileobj("bucket", "message", io.BytesIO()),
        ),
        "1 MiB from the middle": (
            lambda: s3.get_object(Bucket="bucket", Key="plain", Range=ranged)["Body"].read(),
            partial(reader.read_at, middle, 2**20),
        ),
    }
    for name, (bare, encrypted) in tables.items():
        times = measure({BOTO3: bare, ENCRYPTED: encrypted}, rounds=options.rounds)
        report.add(times, Table(name, [Row(BOTO3), Row(ENCRYPTED, (AtMost(2.0, BOTO3),))], [BOTO3], unit="ms"))
    report.end()


if __name__ == "__main__":
    main()
