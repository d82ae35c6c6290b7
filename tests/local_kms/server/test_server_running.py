"""The server as a whole: its clock, figures, log and audit, TLS, settings, many clients, and its end."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from testkit.kms_http import (
    Answer,
    FailingStore,
    call,
    client,
    connect,
    eventually,
    post,
    read_answer,
    request_bytes,
)

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.server.background import BackgroundServer
from envelope_sdk.local_kms.server.clocks import MovableClock
from envelope_sdk.local_kms.server.logs import Complaints, KeyNotes, Log
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

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


def test_what_falls_due_is_done_while_nobody_calls(start: Any) -> None:
    store = SqliteStore.in_memory(system_random)
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    server = start(open_store=lambda: store, clock=lambda: now[0], settle_seconds=0.05)
    kms = client(server.url)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)

    def there() -> bool:
        with store.read() as transaction:
            return transaction.key(Scope("000000000000", "us-east-1"), key_id) is not None

    assert there()
    now[0] += timedelta(days=8)
    assert eventually(lambda: not there())


def test_it_goes_on_when_what_falls_due_cannot_be_done(start: Any) -> None:
    store = FailingStore()
    store.error = RuntimeError("a secret")
    server = start(open_store=lambda: store, settle_seconds=0.01)
    assert eventually(lambda: sum('"failure"' in line for line in server.lines) > 2)
    assert "a secret" not in "".join(server.lines)
    store.error = None
    assert post(server.url, "ListKeys", b"{}").status == 200


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


def test_ipv4_addresses_at_a_socket_for_both_kinds_are_as_policies_have_them(start: Any) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no sockets for IPv4 and IPv6 at once")
    server = start(host="::", anonymous_remote=True)
    port = server.url.rpartition(":")[2]
    assert post(f"http://127.0.0.1:{port}", "ListKeys", b"{}").status == 200
    assert json.loads(server.lines[-1])["source_ip"] == "127.0.0.1"


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


def test_what_is_no_http_is_a_line_of_the_log_in_its_form(start: Any, capfd: pytest.CaptureFixture[str]) -> None:
    server = start()
    with connect(server.url) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert read_answer(connection)[0].status == 400
    assert eventually(lambda: bool(server.lines))
    line = json.loads(server.lines[0])
    assert (line["event"], line["problem"]) == ("http", "Invalid HTTP request received.")
    assert capfd.readouterr().err == ""


def test_what_goes_wrong_around_a_call_is_told_without_a_traceback() -> None:
    lines: list[str] = []
    complaints = Complaints(Log("json", KeyNotes(), lines.append))
    failed = (ValueError, ValueError("a plaintext"), None)
    complaints.handle(logging.LogRecord("x", logging.ERROR, "x.py", 1, "Exception in %s\n", ("app",), failed))
    line = json.loads(lines[0])
    assert (line["event"], line["problem"], line["error"]) == ("http", "Exception in app", "ValueError")
    assert "plaintext" not in lines[0]
    assert "Traceback" not in lines[0]


def test_the_log_may_be_text_or_off(start: Any) -> None:
    text, off = start(log_format="text"), start(log_format="off")
    for server in (text, off):
        assert post(server.url, "ListKeys", b"{}").status == 200
    assert len(text.lines) == 1
    assert " ListKeys 000000000000 us-east-1 arn:aws:iam::000000000000:root 127.0.0.1 200 ok " in text.lines[0]
    assert off.lines == []


def test_every_call_is_in_the_audit_log(start: Any, tmp_path: Path) -> None:
    server = start(audit=str(tmp_path / "audit.log"))
    post(server.url, "DescribeKey", b'{"KeyId":"alias/none"}')
    made = client(server.url, key_id="111122223333").create_key()
    events = [json.loads(line) for line in (tmp_path / "audit.log").read_text("utf-8").splitlines()]
    text = json.dumps(events)
    assert made["ResponseMetadata"]["RequestId"] in text
    assert "127.0.0.1" in text
    assert "Boto3/" in text
    assert "NotFoundException" in text


def test_an_audit_log_that_cannot_be_opened_keeps_the_server_from_starting(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="audit log"):
        BackgroundServer(Settings(port=0, audit=str(tmp_path / "none" / "audit.log")))


def test_request_quotas_throttle(start: Any) -> None:
    # One CreateKey a second.
    kms = client(start(quota_scale=0.2, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)).url)
    kms.create_key()
    with pytest.raises(kms.exceptions.ClientError, match=r"ThrottlingException.*exceeded the rate"):
        kms.create_key()


def test_one_quota_may_have_a_rate_of_its_own(start: Any) -> None:
    kms = client(start(quota_rates={"createkey": 1}, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)).url)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises(kms.exceptions.ClientError, match="ThrottlingException"):
        kms.create_key()
    for _ in range(10):
        kms.generate_data_key(KeyId=key_id, NumberOfBytes=32)


def test_what_has_no_rate_of_its_own_goes_by_the_scale() -> None:
    assert Settings().request_quotas() is None
    for settings, rates in (
        (Settings(quota_rates={"CreateKey": 1}), (1, 50)),
        (Settings(quota_rates={"CreateKey": 1}, quota_scale=0.5), (1, 25)),
        (Settings(quota_scale=0.2), (1, 10)),
    ):
        quotas = settings.request_quotas()
        assert quotas is not None
        assert rates == (quotas.rate("CreateKey", "us-east-1"), quotas.rate("CreateGrant", "us-east-1"))


def test_settings_go_to_workers_as_they_are() -> None:
    settings = Settings(quota_rates={"CreateKey": 1.5}, allowed_hosts=("a",), workers=2)

    assert settings == Settings.from_json(settings.to_json())


def test_latency_is_felt_by_each_and_holds_up_nobody(start: Any) -> None:
    server = start(latency_seconds=0.5)
    begun = time.monotonic()
    threads = [threading.Thread(target=post, args=(server.url, "ListKeys", b"{}")) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 5
    assert all(json.loads(line)["ms"] >= 490 for line in server.lines)


def test_a_new_grant_takes_its_time(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(0o600)
    path.write_text(
        '[AKIDROOTROOTROOT]\nsecret = "s"\narn = "arn:aws:iam::111122223333:root"\n'
        '[AKIDALICEALICEALICE]\nsecret = "s"\narn = "arn:aws:iam::111122223333:user/alice"\n'
    )
    server = start(access_keys=str(path), grant_propagation_seconds=300, test_clock=True)
    root, alice = (client(server.url, key_id=name, secret="s") for name in ("AKIDROOTROOTROOT", "AKIDALICEALICEALICE"))
    key_id = root.create_key()["KeyMetadata"]["KeyId"]
    wanted = {"GranteePrincipal": "arn:aws:iam::111122223333:user/alice", "Operations": ["Encrypt"]}
    token = root.create_grant(KeyId=key_id, **wanted)["GrantToken"]

    with pytest.raises(alice.exceptions.ClientError, match="AccessDenied"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")
    assert alice.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[token])["CiphertextBlob"]
    _move(server, {"advance_seconds": 301})
    assert alice.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]


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
    "no quotas": {"quota_scale": 0},
    "a quota that there is not": {"quota_rates": {"MakeKey": 1}},
    "a rate that is none": {"quota_rates": {"CreateKey": 0}},
    "answers before the question": {"latency_seconds": -1},
    "grants before they are made": {"grant_propagation_seconds": -1},
    "grants after a time that is none": {"grant_propagation_seconds": float("nan")},
    "grants that never count": {"grant_propagation_seconds": float("inf")},
    "a clock that strangers move": {"host": "0.0.0.0", "stored_access_keys": True, "test_clock": True},
    "no body": {"max_body": 0},
}


@pytest.mark.parametrize("settings", _CONTRADICTORY.values(), ids=_CONTRADICTORY)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Settings(**settings)


@pytest.mark.parametrize("more", [{"access_keys": "/k"}, {"anonymous_remote": True, "test_clock": True}])
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
    server.stop()
    assert eventually(lambda: not _listens(server.url))
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
        assert eventually(lambda: not _listens(server.url))
        assert server.running
        server.stop()
        assert eventually(lambda: not server.running)


def _listens(url: str) -> bool:
    try:
        connect(url, 1).close()
    except ConnectionError:
        return False
    return True
