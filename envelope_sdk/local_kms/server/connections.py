"""Connections with limits that hold before a request is whole: the size of its head, how long it takes, how many."""

from __future__ import annotations

import asyncio
from typing import Any, Final

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError as error:
    raise ImportError("the server needs more: pip install 'envelope-sdk[server]'") from error

from envelope_sdk.local_kms.server.settings import Settings

_CONTINUE: Final = b"HTTP/1.1 100"

__all__ = ["MAX_HEAD", "Connection", "bounded", "close_late"]

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's line and headers. Session tokens, the longest, have some thousands."""

_FRAMING: Final = 8
"""Bytes on the wire for a byte of a body, at most: a chunk of a single byte has six."""

_READ: Final = 2**20
"""Bytes that may come at once; what follows in a pipeline is among them."""


class _Joining:
    """A transport that writes the head of a response together with what follows.

    uvicorn writes them one by one. Each write is a system call that wakes the client up: a third of all that a call
    of KMS costs.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(_CONTINUE):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Connection(HttpToolsProtocol):
    """uvicorn's, which bounds neither the size of a head nor the time for it, nor what surrounds a body's chunks."""

    max_connections = 1
    max_body = 2**20
    _head_bytes = 0
    _body_bytes = 0
    _waiting_since: float | None = None
    _begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head; refuse one connection too many."""
        self._joining = _Joining(transport)
        super().connection_made(self._joining)  # type: ignore[arg-type]
        self._waiting_since = self.loop.time()
        self._begun = True
        if len(self.connections) > self.max_connections:
            self._refuse(b"503 Service Unavailable", b"ServiceUnavailableException")

    def data_received(self, data: bytes) -> None:
        """Read on; refuse a head that is too long, and a body whose chunks are mostly something else."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._waiting_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
                self._refuse(b"431 Request Header Fields Too Large", b"RequestHeaderSectionTooLargeException")
            return
        self._body_bytes += len(data)
        if self._body_bytes > _FRAMING * self.max_body + _READ and not self.transport.is_closing():
            self._refuse(b"413 Content Too Large", b"RequestEntityTooLargeException")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; leave out what comes after a body, which could pass for one that was looked at before."""
        if self._waiting_since is not None:
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self._waiting_since = self.loop.time()
        self._begun = True
        self._head_bytes = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self._waiting_since = None
        self._head_bytes = 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Begin to wait for another request."""
        # Responses without a body end with their head.
        self._joining.flush()
        super().on_response_complete()
        # With requests in a pipeline, the next is under way already, or its head is.
        if self._waiting_since is None and self.cycle.response_complete:
            self._waiting_since = self.loop.time()
            self._begun = False

    def close_if_late(self, now: float, head_seconds: float, idle_seconds: float) -> None:
        """Close the connection where a head, or the next request, has been waited for long enough."""
        since = self._waiting_since
        if since is not None and now - since > (head_seconds if self._begun else idle_seconds):
            self.transport.close()

    def _refuse(self, status: bytes, code: bytes) -> None:
        body = b'{"__type":"%s"}' % code
        head = b"HTTP/1.1 %s\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\n" % status
        self.transport.write(head + b"content-length: %d\r\n\r\n%s" % (len(body), body))
        self.transport.close()


def bounded(settings: Settings) -> type[Connection]:
    """Return connections with these limits, for uvicorn to make."""
    limits: dict[str, Any] = {"max_connections": settings.max_connections, "max_body": settings.max_body}
    return type("BoundedConnection", (Connection,), limits)


def close_late(connections: Any, now: float, settings: Settings) -> None:
    """Close all connections that have been waited for long enough."""
    for connection in list(connections):
        if isinstance(connection, Connection):
            connection.close_if_late(now, settings.head_seconds, settings.idle_seconds)
