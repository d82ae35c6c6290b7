"""What is under which path, as an ASGI application: KMS and STS at ``/``, and what operators look at."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError, KmsServiceError, LocalKmsError, UsageError
from envelope_sdk.local_kms import faults, wire
from envelope_sdk.local_kms.canonical import SignedRequest
from envelope_sdk.local_kms.gateway import Admitted, Gateway, Peer, Response
from envelope_sdk.local_kms.quotas.latency import Latency
from envelope_sdk.local_kms.server.clocks import MovableClock
from envelope_sdk.local_kms.server.logs import Log
from envelope_sdk.local_kms.server.metrics import CONTENT_TYPE as METRICS_TYPE
from envelope_sdk.local_kms.server.metrics import Metrics
from envelope_sdk.local_kms.server.origins import Origins
from envelope_sdk.local_kms.service import Service

__all__ = ["App", "Message", "Receive", "Send"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON: Final = ((b"content-type", b"application/json"),)
_TEMPORARY: Final = frozenset({"DependencyTimeoutException", "KMSInternalException"})
CLOCK_PATH: Final = b"/_envelope/clock"


class App:
    """Answers requests. One for each process."""

    def __init__(
        self,
        service: Service,
        gateway: Gateway,
        *,
        threads: Executor,
        origins: Origins,
        log: Log,
        metrics: Metrics,
        version: str,
        max_body: int,
        body_seconds: float,
        latency: Latency | None = None,
        clock: MovableClock | None = None,
    ) -> None:
        """Take what answers, and what is told of it.

        Args:
            service: the KMS.
            gateway: the KMS behind its wire format.
            threads: runs what takes longer.
            origins: who may ask.
            log: is told of every request.
            metrics: likewise.
            version: of this package.
            max_body: bytes of a body.
            body_seconds: for it to arrive.
            latency: how much longer each call is to take, if at all.
            clock: the service's, if callers may move it.
        """
        self._service = service
        self._gateway = gateway
        self._threads = threads
        self._origins = origins
        self._log = log
        self._metrics = metrics
        self._version = version
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._latency = latency
        self._clock = clock

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, ``http`` alone)."""
        if scope["type"] != "http":
            raise NotImplementedError(f"ASGI {scope['type']} is not served here")
        problem = self._origins.problem(scope["headers"])
        if problem is not None:
            await _send(send, _refusal(403, "AccessDeniedException", problem))
            return
        body = await self._body(scope, receive)
        if body is None:
            return
        if isinstance(body, Response):
            await _send(send, body)
            return
        response = await self._answer(scope, body)
        await _send(send, response, self._origins.headers(scope["headers"]))

    async def _answer(self, scope: MutableMapping[str, Any], body: bytes) -> Response:
        path, method = scope["raw_path"], scope["method"]
        if path != b"/":
            return await self._beside(path, method, body)
        if method == "POST" or (method == "GET" and scope["query_string"]):
            return await self._call(scope, body)
        if method == "OPTIONS":
            return Response(204, (), b"")
        return _refusal(405, "UnknownOperationException", "", (b"allow", b"POST"))

    async def _call(self, scope: MutableMapping[str, Any], body: bytes) -> Response:
        begun = time.perf_counter()
        self._metrics.begun()
        request = SignedRequest(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)
        admitted = self._gateway.admit(request, Peer(_address(scope["client"]), scope["scheme"] == "https"))
        if admitted.quick:
            response = admitted.perform()
        else:
            response = await asyncio.get_running_loop().run_in_executor(self._threads, admitted.perform)
        if self._latency is not None:
            # Others go on meanwhile.
            await asyncio.sleep(self._latency.draw())
        self._note(admitted, response, time.perf_counter() - begun)
        return response

    def _note(self, admitted: Admitted, response: Response, seconds: float) -> None:
        self._metrics.ended(admitted.operation, response.outcome, seconds)
        if response.outcome in _TEMPORARY:
            self._metrics.store_failed()
        self._log.request(admitted, response.status, response.outcome, seconds)

    async def _beside(self, path: bytes, method: str, body: bytes) -> Response:
        if path == CLOCK_PATH and self._clock is not None and method in ("GET", "POST"):
            return await self._time(self._clock, method, body)
        if method in ("GET", "HEAD"):
            if path == b"/health":
                return self._health()
            if path == b"/metrics":
                return Response(200, ((b"content-type", METRICS_TYPE),), self._metrics.show())
        return _refusal(404, "UnknownOperationException", "")

    def _health(self) -> Response:
        try:
            self._service.check()
        except LocalKmsError:
            status, store = 503, "unusable"
        else:
            status, store = 200, "ok"
        found = {"status": "ok" if status == 200 else "failing", "store": store, "version": self._version}
        return Response(status, _JSON, json.dumps(found).encode())

    async def _time(self, clock: MovableClock, method: str, body: bytes) -> Response:
        if method == "POST":
            try:
                clock.move(body)
                await asyncio.get_running_loop().run_in_executor(self._threads, self._service.settle)
            except UsageError as error:
                return _refusal(400, "ValidationException", str(error))
            except (KmsServiceError, KeyStoreError):
                return _refusal(500, "KMSInternalException", faults.internal().message)
        return Response(200, _JSON, clock.show())

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes | Response | None:
        """Return a request's body, the refusal of one that is too large or too late, or ``None``: nobody waits."""
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > self._max_body):
                return _too_large(self._max_body)
        first = await receive()
        if not first.get("more_body") and first["type"] == "http.request":
            whole: bytes = first.get("body", b"")
            return whole if len(whole) <= self._max_body else _too_large(self._max_body)
        try:
            async with asyncio.timeout(self._body_seconds):
                return await self._rest(first, receive)
        except TimeoutError:
            return _refusal(408, "RequestTimeoutException", "The request's body did not arrive.", _CLOSE)

    async def _rest(self, message: Message, receive: Receive) -> bytes | Response | None:
        body = bytearray()
        while message["type"] == "http.request":
            body += message.get("body", b"")
            if len(body) > self._max_body:
                return _too_large(self._max_body)
            if not message.get("more_body"):
                return bytes(body)
            message = await receive()
        return None


_CLOSE: Final = (b"connection", b"close")
_MAPPED: Final = "::ffff:"
"""What stands before IPv4 addresses at sockets for both kinds. Policies and logs know them without."""


def _address(client: Sequence[Any] | None) -> str | None:
    if not client:
        return None
    address: str = client[0]
    return address.removeprefix(_MAPPED) if "." in address else address


def _too_large(limit: int) -> Response:
    error = faults.request_too_large(limit)
    return _refusal(error.status, error.code, error.message, _CLOSE)


def _refusal(status: int, code: str, message: str, *headers: tuple[bytes, bytes]) -> Response:
    kinds = ((b"content-type", wire.CONTENT_TYPE.encode()), (b"x-amzn-errortype", code.encode()))
    body = wire.write_error(KmsServiceError(code, message, status=status))
    return Response(status, (*kinds, *headers), body, code)


async def _send(send: Send, response: Response, more: Any = ()) -> None:
    length = (b"content-length", b"%d" % len(response.body))
    headers = [*response.headers, *more, length]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
