"""The server's HTTP: what is under which path, hostile requests, limits, and web pages."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from testkit.kms_http import (
    FailingStore,
    call,
    client,
    connect,
    eventually,
    exchange,
    post,
    read_answer,
    request_bytes,
)

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.server.background import BackgroundServer
from envelope_sdk.local_kms.server.connections import MAX_HEAD
from envelope_sdk.local_kms.server.origins import Origins
from envelope_sdk.local_kms.server.settings import Settings


def _alive(url: str) -> bool:
    return call(url, "GET", "/health").status == 200


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_has_aws_s_headers(server: BackgroundServer) -> None:
    answer = post(server.url, "ListKeys", b"{}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["cache-control"] == "no-cache, no-store, must-revalidate, private"
    assert len(answer.headers["x-amzn-requestid"]) == 36
    assert "server" not in answer.headers


def test_an_error_has_its_code_in_body_and_header(server: BackgroundServer) -> None:
    answer = post(server.url, "DescribeKey", b'{"KeyId":"alias/none"}')
    assert answer.status == 400
    assert answer.code == answer.headers["x-amzn-errortype"] == "NotFoundException"
    assert answer.json["message"] == "Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found."


@pytest.mark.parametrize(
    ("headers", "operation"),
    [
        ({"X-Amz-Target": None}, "ListKeys"),
        ({"X-Amz-Target": ""}, "ListKeys"),
        ({"X-Amz-Target": "ListKeys"}, "ListKeys"),
        ({"X-Amz-Target": "DynamoDB_20120810.ListTables"}, "ListKeys"),
        ({"Content-Type": None}, "ListKeys"),
        ({"Content-Type": "text/plain"}, "ListKeys"),
        ({}, "MakeCoffee"),
        ({}, ""),
        ({}, "list_keys"),
    ],
)
def test_a_request_for_nothing_that_is_there(server: BackgroundServer, headers: Any, operation: str) -> None:
    answer = post(server.url, operation, b"{}", headers)
    assert (answer.status, answer.json) == (400, {"__type": "UnknownOperationException"})


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"KeyId":"a","KeyId":"b"}', b'{"KeyId":NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_request(server: BackgroundServer, body: bytes) -> None:
    answer = post(server.url, "DescribeKey", body)
    assert (answer.status, answer.code) == (400, "SerializationException")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_other_methods_are_refused(server: BackgroundServer, method: str) -> None:
    with connect(server.url) as connection:
        connection.sendall(request_bytes(method, "/"))
        head = connection.recv(65_536)
    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nallow: POST\r\n" in head


@pytest.mark.parametrize("path", ["/x", "//", "/health/", "/_envelope/clock", "/%2e", "/..", "/\xc3\xa9"])
def test_other_paths_are_refused(server: BackgroundServer, path: str) -> None:
    answer = call(server.url, "POST", path, b"{}")
    assert answer.status in (400, 404)
    assert _alive(server.url)


def test_health_says_that_the_store_answers(server: BackgroundServer) -> None:
    answer = call(server.url, "GET", "/health")
    assert answer.status == 200
    assert {"status": "ok", "store": "ok"}.items() <= answer.json.items()


def test_a_store_that_fails_is_an_internal_error_and_bad_health(start: Any) -> None:
    store = FailingStore()
    server = start(open_store=lambda: store)
    store.error = KeyStoreError("the key store /somewhere cannot be used: it is damaged")

    answer, health = post(server.url, "ListKeys", b"{}"), call(server.url, "GET", "/health")

    assert (answer.status, answer.code) == (500, "KMSInternalException")
    assert "somewhere" not in answer.body.decode()
    assert (health.status, health.json["status"], health.json["store"]) == (503, "failing", "unusable")
    failure = next(line for line in map(json.loads, server.lines) if line.get("event") == "failure")
    assert failure["request_id"] == answer.headers["x-amzn-requestid"]
    assert "it is damaged" in failure["error"]
    assert "envelope_kms_store_errors_total 1.0" in call(server.url, "GET", "/metrics").body.decode()

    store.error = None
    assert post(server.url, "ListKeys", b"{}").status == 200


def test_whatever_goes_wrong_within_is_answered_and_not_told(start: Any) -> None:
    store = FailingStore()
    server = start(open_store=lambda: store)
    store.error = RuntimeError("a secret")

    answer = post(server.url, "ListKeys", b"{}")

    assert (answer.status, answer.code) == (500, "KMSInternalException")
    assert "a secret" not in "".join(server.lines)
    assert "RuntimeError" in "".join(server.lines)


# --- HTTP ------------------------------------------------------------------------------------------------------------


def test_a_connection_is_kept(server: BackgroundServer) -> None:
    with connect(server.url) as connection:
        for _ in range(3):
            connection.sendall(request_bytes("GET", "/health"))
            assert read_answer(connection)[0].status == 200


def test_requests_in_a_pipeline_are_answered_in_order(server: BackgroundServer) -> None:
    headers: dict[str, str | None] = {"Content-Type": "application/x-amz-json-1.1"}
    targets = ["TrentService.CreateKey", "TrentService.ListKeys", "TrentService.GenerateRandom"] * 5
    requests = (request_bytes("POST", "/", b"{}", headers | {"X-Amz-Target": target}) for target in targets)
    with connect(server.url) as connection:
        connection.sendall(b"".join(requests))
        rest, found = b"", []
        for _ in targets:
            answer, rest = read_answer(connection, rest)
            found.append(next(iter(answer.json)))
    # GenerateRandom without a length is an error.
    assert found == ["KeyMetadata", "Keys", "__type"] * 5


def test_a_request_may_come_byte_by_byte(server: BackgroundServer) -> None:
    with connect(server.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request_bytes("POST", "/", b"{}", {"Content-Type": "text/plain"}):
            connection.send(bytes([byte]))
        assert read_answer(connection)[0].code == "UnknownOperationException"


def test_a_chunked_body_is_read(server: BackgroundServer) -> None:
    headers: dict[str, str | None] = {
        "Transfer-Encoding": "chunked",
        "Content-Length": None,
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "TrentService.GenerateRandom",
    }
    chunks = b'e\r\n{"NumberOfByte\r\n6\r\ns": 7}\r\n0\r\n\r\n'
    answer = exchange(server.url, request_bytes("POST", "/", b"", headers) + chunks)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("left_out", "trailer", "status"),
    [("X-Amz-Target", b"X-Amz-Target: TrentService.ListKeys", 400), ("Host", b"Host: localhost", 403)],
)
def test_headers_that_follow_a_body_count_for_nothing(
    server: BackgroundServer, left_out: str, trailer: bytes, status: int
) -> None:
    headers: dict[str, str | None] = {
        "Transfer-Encoding": "chunked",
        "Content-Length": None,
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "TrentService.ListKeys",
    }
    request = request_bytes("POST", "/", b"", headers | {left_out: None})
    assert exchange(server.url, request + b"2\r\n{}\r\n0\r\n" + trailer + b"\r\n\r\n").status == status


def test_expect_100_continue_is_answered(server: BackgroundServer) -> None:
    with connect(server.url) as connection:
        connection.sendall(request_bytes("POST", "/", b"", {"Expect": "100-continue", "Content-Length": "2"}))
        assert read_answer(connection)[0].status == 100
        connection.sendall(b"{}")
        assert read_answer(connection)[0].status == 400


_NOT_HTTP = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "zeros": bytes(100),
    "a length that is none": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a header of control characters": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
}


@pytest.mark.parametrize("data", _NOT_HTTP.values(), ids=_NOT_HTTP)
def test_what_is_no_http_is_refused(server: BackgroundServer, data: bytes) -> None:
    assert exchange(server.url, data).status == 400
    assert _alive(server.url)


@pytest.mark.parametrize("cut", [1, 10, 40, 90])
def test_a_request_that_is_cut_off_harms_nobody(server: BackgroundServer, cut: int) -> None:
    whole = request_bytes("POST", "/", b'{"KeyId": "x"}', {"Content-Type": "application/x-amz-json-1.1"})
    with connect(server.url) as connection:
        connection.sendall(whole[:-cut] if cut < len(whole) else whole[:1])
    assert _alive(server.url)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_body_as_large_as_it_may_be_is_read(start: Any) -> None:
    server = start(max_body=1000)
    assert post(server.url, "ListKeys", b'{"x":"' + bytes(b"a" * 992) + b'"}').status == 200


@pytest.mark.parametrize("length", [1001, 10**6, 10**12])
def test_a_body_that_says_that_it_is_too_large_is_not_waited_for(start: Any, length: int) -> None:
    answer = call(start(max_body=1000).url, "POST", "/", b"", {"Content-Length": str(length)})
    assert (answer.status, answer.code) == (413, "RequestEntityTooLargeException")
    assert answer.headers["connection"] == "close"


def test_a_body_that_turns_out_to_be_too_large_is_refused(start: Any) -> None:
    server = start(max_body=1000)
    headers = request_bytes("POST", "/", b"", {"Transfer-Encoding": "chunked", "Content-Length": None})
    with connect(server.url) as connection:
        connection.sendall(headers)
        for _ in range(4):
            connection.sendall(b"100\r\n" + bytes(256) + b"\r\n")
        assert read_answer(connection)[0].status == 413


@pytest.mark.parametrize("line", [b"X: " + b"a" * 1000 + b"\r\n", b"X" * 1000])
def test_a_head_that_is_too_long_is_refused(server: BackgroundServer, line: bytes) -> None:
    sent = 0
    with connect(server.url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        try:
            while sent < 100 * MAX_HEAD:
                connection.sendall(line)
                sent += len(line)
            head = connection.recv(65_536)
        except ConnectionError:
            # It was closed with bytes unread, whose answer is lost then.
            head = b"HTTP/1.1 431 "
    assert head.startswith(b"HTTP/1.1 431 ")
    assert sent < 100 * MAX_HEAD
    assert _alive(server.url)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"0\r\n", b"X: " + b"a" * 1000 + b"\r\n"),
        (b"0\r\nX: ", b"a" * 1000),
        (b"2;x=", b"a" * 1000),
    ],
    ids=["many headers", "a long header", "a long extension of a chunk"],
)
def test_what_surrounds_a_body_has_its_limit(start: Any, begin: bytes, more: bytes) -> None:
    server = start(max_body=1000)
    limit, sent = 16 * 2**20, 0
    with connect(server.url) as connection:
        connection.sendall(request_bytes("POST", "/", b"", {"Transfer-Encoding": "chunked", "Content-Length": None}))
        connection.sendall(begin)
        try:
            while sent < limit:
                connection.sendall(more * 64)
                sent += len(more) * 64
        except ConnectionError:
            pass
    assert sent < limit
    assert _alive(server.url)


def test_a_body_in_the_smallest_chunks_is_as_large_as_any(start: Any) -> None:
    server = start(max_body=300_000)
    headers: dict[str, str | None] = {
        "Transfer-Encoding": "chunked",
        "Content-Length": None,
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "TrentService.ListKeys",
    }
    body = b'{"x":"' + b"a" * 299_992 + b'"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    assert exchange(server.url, request_bytes("POST", "/", b"", headers) + chunks + b"0\r\n\r\n").status == 200


def test_a_head_that_does_not_end_is_not_waited_for(start: Any) -> None:
    server = start(head_seconds=0.3)
    with connect(server.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert _closed(connection, lambda: connection.send(b"G"))
    with connect(server.url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        assert _closed(connection, lambda: connection.send(b"X: y\r\n"))
    with connect(server.url) as connection:
        assert _closed(connection, lambda: 0)
    assert _alive(server.url)


def _closed(connection: socket.socket, drip: Callable[[], int]) -> bool:
    """Send a little now and then, until the other side closes."""
    connection.settimeout(0.05)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            drip()
            if connection.recv(1000) == b"":
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_a_body_that_does_not_arrive_is_not_waited_for(start: Any) -> None:
    server = start(body_seconds=0.2)
    with connect(server.url) as connection:
        connection.sendall(request_bytes("POST", "/", b"{", {"Content-Length": "100"}))
        answer, _ = read_answer(connection)
    assert (answer.status, answer.code) == (408, "RequestTimeoutException")


def test_a_connection_without_requests_is_closed(start: Any) -> None:
    server = start(idle_seconds=0.2)
    with connect(server.url) as connection:
        connection.sendall(request_bytes("GET", "/health"))
        assert read_answer(connection)[0].status == 200
        assert _closed(connection, lambda: 0)


def test_a_connection_too_many_is_refused(start: Any) -> None:
    server = start(max_connections=3)
    held = [connect(server.url) for _ in range(3)]
    try:
        for connection in held:
            connection.sendall(request_bytes("GET", "/health"))
            assert read_answer(connection)[0].status == 200
        with connect(server.url) as fourth:
            answer, _ = read_answer(fourth)
        assert (answer.status, answer.code) == (503, "ServiceUnavailableException")
    finally:
        for connection in held:
            connection.close()
    assert eventually(lambda: _alive(server.url))


def test_slow_calls_do_not_hold_up_quick_ones(start: Any) -> None:
    """A write that waits for the store's lock leaves the server answering."""
    waiting, go_on = threading.Event(), threading.Event()

    class Slow(FailingStore):
        def write(self) -> Any:
            waiting.set()
            assert go_on.wait(20)
            return self.store.write()

    server = start(open_store=Slow)
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(client(server.url).create_key()))
    thread.start()
    assert waiting.wait(20)
    assert post(server.url, "ListKeys", b"{}").status == 200
    assert made == []
    go_on.set()
    thread.join()
    assert made[0]["KeyMetadata"]["Enabled"]


# --- browsers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8900", "127.8.9.1", "[::1]:1", "kms.localhost", "LOCALHOST:80"]
)
def test_this_machine_s_own_names_are_taken(server: BackgroundServer, host: str) -> None:
    assert call(server.url, "GET", "/health", b"", {"Host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "", None])
def test_other_names_are_refused_at_a_loopback_address(server: BackgroundServer, host: str | None) -> None:
    answer = call(server.url, "GET", "/health", b"", {"Host": host})
    assert (answer.status, answer.code) == (403, "AccessDeniedException")


def test_two_names_are_refused(server: BackgroundServer) -> None:
    data = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert exchange(server.url, data).status in (400, 403)


def test_a_name_may_be_allowed(start: Any) -> None:
    server = start(allowed_hosts=("kms.test",))
    assert call(server.url, "GET", "/health", b"", {"Host": "KMS.test:80"}).status == 200


def test_a_server_for_other_machines_does_not_know_its_names() -> None:
    origins = Origins(Settings(host="0.0.0.0", anonymous_remote=True))
    assert origins.problem([(b"host", b"kms.internal")]) is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
def test_requests_of_web_pages_are_refused(server: BackgroundServer, origin: str) -> None:
    answer = post(server.url, "ListKeys", b"{}", {"Origin": origin})
    assert (answer.status, answer.code) == (403, "AccessDeniedException")
    assert call(server.url, "OPTIONS", "/", b"", {"Origin": origin}).status == 403


@pytest.mark.parametrize("allowed", ["http://localhost:3000", "*"])
def test_a_web_page_may_be_allowed(start: Any, allowed: str) -> None:
    server = start(allowed_origins=(allowed,))
    origin: dict[str, str | None] = {"Origin": "http://localhost:3000"}

    asked, answer = call(server.url, "OPTIONS", "/", b"", origin), post(server.url, "ListKeys", b"{}", origin)

    assert (asked.status, answer.status) == (204, 200)
    for found in (asked, answer):
        assert found.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in post(server.url, "ListKeys", b"{}").headers
