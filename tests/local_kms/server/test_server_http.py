"""The server's HTTP: what is under which path, hostile requests, limits, browsers, TLS, the clock, figures and log."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from testkit.kms_http import Answer, call, client, connect, exchange, post, read_answer, request_bytes

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.server.background import BackgroundServer
from envelope_sdk.local_kms.server.clocks import MovableClock
from envelope_sdk.local_kms.server.connections import MAX_HEAD
from envelope_sdk.local_kms.server.origins import Origins
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random


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


class _Failing:
    """A store that works until it is told not to."""

    def __init__(self) -> None:
        self._store = SqliteStore.in_memory(system_random)
        self.error: Exception | None = None

    def version(self) -> object:
        if self.error is not None:
            raise self.error
        return self._store.version()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_store_that_fails_is_an_internal_error_and_bad_health(start: Any) -> None:
    store = _Failing()
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
    store = _Failing()
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
    "a header without a name": b"GET /health HTTP/1.1\r\n: x\r\n\r\n",
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
    assert _eventually(lambda: _alive(server.url))


def _eventually(check: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if check():
                return True
        except (OSError, AssertionError):
            pass
        time.sleep(0.01)
    return False


def test_slow_calls_do_not_hold_up_quick_ones(start: Any) -> None:
    """A write that waits for the store's lock leaves the server answering."""
    waiting, go_on = threading.Event(), threading.Event()

    class Slow(_Failing):
        def write(self) -> Any:
            waiting.set()
            assert go_on.wait(20)
            return self._store.write()

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


# --- the clock -------------------------------------------------------------------------------------------------------


def _move(server: BackgroundServer, body: object) -> Answer:
    return call(server.url, "POST", "/_envelope/clock", json.dumps(body).encode())


def test_a_key_is_erased_when_the_clock_has_come_to_its_day(start: Any) -> None:
    server = start(test_clock=True)
    kms = client(server.url)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    ends = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)["DeletionDate"]

    _move(server, {"advance_seconds": 7 * 86_400 - 60})
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingDeletion"

    answer = _move(server, {"now": (ends + timedelta(seconds=1)).isoformat()})
    assert datetime.fromisoformat(answer.json["now"]) > ends
    with pytest.raises(kms.exceptions.NotFoundException):
        kms.describe_key(KeyId=key_id)


def test_the_clock_tells_its_time(start: Any) -> None:
    server = start(test_clock=True, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    _move(server, {"advance_seconds": 1.5})
    assert call(server.url, "GET", "/_envelope/clock").json == {"now": "2026-01-01T00:00:01.500000+00:00"}


@pytest.mark.parametrize(
    "body",
    [
        *({}, [], 1, None, {"advance_seconds": "1"}, {"advance_seconds": 1, "now": "2027-01-01T00:00:00Z"}, {"x": 1}),
        *({"advance_seconds": -1}, {"advance_seconds": 1e300}, {"advance_seconds": None}, {"now": 1}, {"now": "later"}),
        *({"now": "2027-01-01T00:00:00"}, {"now": "2020-01-01T00:00:00Z"}, {"now": "9999-12-31T23:59:59Z"}),
    ],
)
def test_what_the_clock_cannot_do_is_refused(start: Any, body: object) -> None:
    server = start(test_clock=True, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    answer = _move(server, body)
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert call(server.url, "GET", "/_envelope/clock").json == {"now": "2026-01-01T00:00:00+00:00"}


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"advance_seconds": NaN}', b"[" * 100_000])
def test_what_is_no_json_does_not_move_the_clock(body: bytes) -> None:
    clock = MovableClock(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(UsageError):
        clock.move(body)
    assert clock() == datetime(2026, 1, 1, tzinfo=UTC)


def test_nobody_moves_the_clock_of_a_server_that_was_not_started_for_it(server: BackgroundServer) -> None:
    assert _move(server, {"advance_seconds": 1}).status == 404


# --- figures and log -------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_operation_and_outcome(start: Any) -> None:
    server = start()
    for body in (b"{}", b"{}", b'{"Limit":0}'):
        post(server.url, "ListKeys", body)
    post(server.url, "MakeCoffee", b"{}")

    answer = call(server.url, "GET", "/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    assert 'envelope_kms_requests_total{operation="ListKeys",outcome="ok"} 2.0' in lines
    assert 'envelope_kms_requests_total{operation="ListKeys",outcome="ValidationException"} 1.0' in lines
    assert 'envelope_kms_requests_total{operation="-",outcome="UnknownOperationException"} 1.0' in lines
    assert 'envelope_kms_request_seconds_count{operation="ListKeys"} 3.0' in lines
    assert "envelope_kms_requests_in_flight 0.0" in lines


def test_a_request_is_a_line_of_the_log(start: Any) -> None:
    server = start()
    kms = client(server.url, region="eu-west-1", key_id="111122223333")
    made = kms.create_key()
    kms.encrypt(KeyId=made["KeyMetadata"]["KeyId"], Plaintext=b"attack at dawn", EncryptionContext={"who": "us"})
    line = json.loads(server.lines[-1])
    assert isinstance(line.pop("ms"), float)
    assert datetime.fromisoformat(line.pop("time")) > datetime.now(UTC) - timedelta(minutes=1)
    assert line == {
        "request_id": line["request_id"],
        "operation": "Encrypt",
        "account": "111122223333",
        "region": "eu-west-1",
        "principal": "arn:aws:iam::111122223333:root",
        "source_ip": "127.0.0.1",
        "key": made["KeyMetadata"]["Arn"],
        "status": 200,
        "outcome": "ok",
    }
    assert json.loads(server.lines[-2])["request_id"] == made["ResponseMetadata"]["RequestId"]


def test_a_refused_request_is_a_line_of_the_log_too(start: Any) -> None:
    server = start()
    post(server.url, "DescribeKey", b'{"KeyId":"alias/none"}')
    line = json.loads(server.lines[-1])
    assert (line["operation"], line["outcome"], line["status"]) == ("DescribeKey", "NotFoundException", 400)
    assert line["key"] is None


def test_the_log_shows_nothing_of_what_was_sent(start: Any) -> None:
    for form in ("text", "json"):
        server = start(log_format=form)
        secret = "QXR0YWNr"
        post(server.url, "Encrypt", json.dumps({"KeyId": secret, "Plaintext": secret, "Description": secret}).encode())
        post(server.url, secret, secret.encode(), {"User-Agent": secret, "X-Amz-Date": secret})
        assert len(server.lines) == 2
        assert secret not in "".join(server.lines)


def test_the_log_may_be_text_or_off(start: Any) -> None:
    text, off = start(log_format="text"), start(log_format="off")
    for server in (text, off):
        assert post(server.url, "ListKeys", b"{}").status == 200
    assert len(text.lines) == 1
    assert " ListKeys 000000000000 us-east-1 arn:aws:iam::000000000000:root 127.0.0.1 200 ok " in text.lines[0]
    assert off.lines == []


# --- TLS -------------------------------------------------------------------------------------------------------------


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return paths


def test_a_server_speaks_tls(start: Any, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    server = start(tls_certificate=str(certificate), tls_key=str(key))
    url = server.url.replace("127.0.0.1", "localhost")

    assert url.startswith("https://")
    made = client(url, verify=str(certificate)).create_key()["KeyMetadata"]
    assert made["Enabled"]
    with pytest.raises((ConnectionError, AssertionError)):
        call(server.url, "GET", "/health")


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    with pytest.raises(UsageError, match="cannot be used"):
        BackgroundServer(Settings(port=0, tls_certificate=str(key)))
    with pytest.raises(UsageError, match="no such file"):
        BackgroundServer(Settings(port=0, tls_certificate=str(tmp_path / "none")))
    with pytest.raises(UsageError, match="cannot be used"):
        BackgroundServer(Settings(port=0, tls_certificate=str(certificate), tls_key=str(certificate)))


def test_an_encrypted_tls_key_is_refused_rather_than_asked_about(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    private: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"passphrase")
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, locked))
    with pytest.raises(UsageError, match="is encrypted"):
        BackgroundServer(Settings(port=0, tls_certificate=str(certificate), tls_key=str(key)))


# --- settings --------------------------------------------------------------------------------------------------------

_CONTRADICTORY: dict[str, dict[str, Any]] = {
    "anybody from anywhere": {"host": "0.0.0.0"},
    "anybody from anywhere, IPv6": {"host": "::"},
    "anybody by a name that is not this machine's alone": {"host": "myhost"},
    "a port that is none": {"port": 65_536},
    "a Region that is none": {"region": "mars"},
    "an account that is none": {"account": "1"},
    "a log that is none": {"log_format": "xml"},
    "a TLS key alone": {"tls_key": "/k"},
    "a clock for several processes": {"test_clock": True, "workers": 2},
    "no workers": {"workers": 0},
    "no body": {"max_body": 0},
}


@pytest.mark.parametrize("settings", _CONTRADICTORY.values(), ids=_CONTRADICTORY)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Settings(**settings)


@pytest.mark.parametrize("more", [{"access_keys": "/k"}, {"anonymous_remote": True}])
def test_other_machines_may_call_where_somebody_said_so(more: dict[str, Any]) -> None:
    assert Settings(host="0.0.0.0", **more).host == "0.0.0.0"


def test_settings_go_to_workers_and_come_back_as_they_were() -> None:
    settings = Settings(store="/k", allowed_hosts=("a", "b"), allowed_origins=("*",), workers=3, head_seconds=1.5)
    assert Settings.from_json(settings.to_json()) == settings


def test_a_port_that_is_taken_is_said_to_be(server: BackgroundServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(UsageError, match=r"cannot listen at 127\.0\.0\.1, port \d+: address already in use"):
        BackgroundServer(Settings(port=port))


# --- many ------------------------------------------------------------------------------------------------------------


def test_many_clients_at_once_are_all_answered(start: Any) -> None:
    server = start(log_format="off")
    key_id = client(server.url).create_key()["KeyMetadata"]["KeyId"]
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            body = json.dumps({"KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": {"n": str(number)}}).encode()
            headers: dict[str, str | None] = {"Content-Type": "application/x-amz-json-1.1"}
            making = request_bytes("POST", "/", body, headers | {"X-Amz-Target": "TrentService.GenerateDataKey"})
            with connect(server.url) as connection:
                for _ in range(20):
                    connection.sendall(making)
                    made = read_answer(connection)[0].json
                    wanted = {"CiphertextBlob": made["CiphertextBlob"], "EncryptionContext": {"n": str(number)}}
                    decrypting = headers | {"X-Amz-Target": "TrentService.Decrypt"}
                    connection.sendall(request_bytes("POST", "/", json.dumps(wanted).encode(), decrypting))
                    assert read_answer(connection)[0].json["Plaintext"] == made["Plaintext"]
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_what_is_under_way_when_a_server_stops_is_finished(start: Any) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    class Slow(_Failing):
        def write(self) -> Any:
            waiting.set()
            assert go_on.wait(20)
            return self._store.write()

    server = start(open_store=Slow)
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(client(server.url).create_key()))
    thread.start()
    assert waiting.wait(20)
    server.stop()
    assert _eventually(lambda: not _listens(server.url))
    assert made == []
    go_on.set()
    thread.join()
    assert made[0]["KeyMetadata"]["Enabled"]


def test_a_second_signal_leaves_behind_who_does_not_come_to_an_end(start: Any) -> None:
    server = start()
    with connect(server.url) as connection:
        connection.sendall(request_bytes("POST", "/", b"", {"Expect": "100-continue", "Content-Length": "2"}))
        assert read_answer(connection)[0].status == 100
        server.stop()
        assert _eventually(lambda: not _listens(server.url))
        assert server.running
        server.stop()
        assert _eventually(lambda: not server.running)


def _listens(url: str) -> bool:
    try:
        connect(url, 1).close()
    except ConnectionError:
        return False
    return True
