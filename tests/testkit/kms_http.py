"""Calling the local KMS's server: boto3 without anybody's configuration, and bytes over sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

__all__ = [
    "Answer",
    "FailingStore",
    "call",
    "client",
    "connect",
    "eventually",
    "exchange",
    "post",
    "read_answer",
    "request_bytes",
]


def client(
    url: str, service: str = "kms", *, region: str = "us-east-1", key_id: str = "000000000000", **more: Any
) -> Any:
    """Return a boto3 client of a server that tries once."""
    secret = more.pop("secret", "local")
    options = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=30)
    session = boto3.Session(region_name=region)
    return session.client(
        service, endpoint_url=url, aws_access_key_id=key_id, aws_secret_access_key=secret, config=options, **more
    )


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        status: of HTTP.
        headers: by their names in lower case.
        body: the whole of it.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.json["__type"])


def connect(url: str, timeout: float = 20) -> socket.socket:
    """Return a connection to a server."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout)


def request_bytes(method: str, path: str, body: bytes = b"", headers: dict[str, str | None] | None = None) -> bytes:
    """Return a request; headers that are ``None`` are left out."""
    usual: dict[str, str | None] = {"Host": "127.0.0.1", "Content-Length": str(len(body))}
    fields = {name: value for name, value in (usual | (headers or {})).items() if value is not None}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def read_answer(connection: socket.socket, rest: bytes = b"") -> tuple[Answer, bytes]:
    """Read one answer from a connection; return it and what came after it."""
    while b"\r\n\r\n" not in rest:
        more = connection.recv(65_536)
        assert more, f"the connection ended in the middle of {rest!r}"
        rest += more
    head, _, rest = rest.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        more = connection.recv(65_536)
        assert more, "the connection ended in the middle of a body"
        rest += more
    return Answer(int(first.split()[1]), headers, rest[:length]), rest[length:]


def exchange(url: str, data: bytes) -> Answer:
    """Send bytes over a connection of their own and return the first answer."""
    with connect(url) as connection:
        connection.sendall(data)
        return read_answer(connection)[0]


def call(url: str, method: str, path: str, body: bytes = b"", headers: dict[str, str | None] | None = None) -> Answer:
    """Make one request over a connection of its own."""
    return exchange(url, request_bytes(method, path, body, headers))


def post(url: str, operation: str, body: bytes, headers: dict[str, str | None] | None = None) -> Answer:
    """Call an operation of KMS with a body as it is, unsigned."""
    usual: dict[str, str | None] = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"TrentService.{operation}",
    }
    return call(url, "POST", "/", body, usual | (headers or {}))


class FailingStore:
    """A store in memory that works until it is told not to.

    Attributes:
        store: it.
        error: what every look at it ends in, if anything.
    """

    def __init__(self) -> None:
        self.store = SqliteStore.in_memory(system_random)
        self.error: Exception | None = None

    def version(self) -> object:
        """Return what the store does."""
        if self.error is not None:
            raise self.error
        return self.store.version()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def eventually(check: Callable[[], bool]) -> bool:
    """Return whether ``check`` holds within 20 seconds; a server that is not there does not."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if check():
                return True
        except (OSError, AssertionError, BotoCoreError):
            pass
        time.sleep(0.01)
    return False
