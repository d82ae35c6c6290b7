"""``envelope kms serve`` as a process: how it starts, what it refuses, how it stops, and what survives."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from testkit.kms_http import call, client, eventually

from envelope_sdk.cli.commands.serve import serve as command
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.server.settings import LOG_FORMATS, Settings

_READY = re.compile(r"local KMS at (\S+) \(Region (\S+), account (\d{12}), auth (none|sigv4)\)\n")


class Serving:
    """A server in a process of its own.

    Attributes:
        process: it.
        ready: its first line.
        url: where it is.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stderr is not None
        self.ready = process.stderr.readline().decode()
        found = _READY.fullmatch(self.ready)
        assert found, self.ready + process.stderr.read().decode()
        self.url = found[1]
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.decode())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(60)
        return code


Serve = Callable[..., Serving]


@pytest.fixture
def serve(envelope: Any) -> Generator[Serve]:
    """Starts servers at free ports."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str, group: tuple[str, ...] = ()) -> Serving:
        started.append(envelope.start("kms", *group, "serve", "--port", "0", *options))
        return Serving(started[-1])

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


# --- starting --------------------------------------------------------------------------------------------------------


def test_it_says_where_it_is_and_serves_the_keys_of_the_command(serve: Serve, envelope: Any) -> None:
    made = envelope.ok("kms", "create-key", "--alias", "invoices").json
    serving = serve()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", serving.url)

    kms = client(serving.url)
    assert kms.describe_key(KeyId="alias/invoices")["KeyMetadata"]["Arn"] == made["Arn"]
    there = kms.create_key()["KeyMetadata"]["KeyId"]

    assert envelope.ok("kms", "describe-key", there).json["KeyId"] == there
    assert serving.stop() == 0


def test_it_makes_store_and_folder(serve: Serve, envelope: Any) -> None:
    serving = serve("--store", "new/folder/k.db", "--region", "eu-west-1", "--account", "111122223333")
    assert "(Region eu-west-1, account 111122223333, auth none)" in serving.ready
    assert call(serving.url, "GET", "/health").status == 200
    assert (envelope.home / "new/folder/k.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_well_on_a_signal(serve: Serve, number: int) -> None:
    serving = serve()
    assert client(serving.url).list_keys()["Keys"] == []
    assert serving.stop(number) == 0
    assert not [line for line in serving.lines if "Traceback" in line]


def test_it_says_when_it_wants_signatures(serve: Serve, envelope: Any) -> None:
    keys = envelope.write("keys.toml", b'[AKIDEXAMPLEEXAMPLE]\nsecret = "s"\narn = "arn:aws:iam::111122223333:root"\n')
    keys.chmod(0o600)
    serving = serve("--access-key-file", "keys.toml")
    assert "auth sigv4" in serving.ready
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        client(serving.url).list_keys()
    assert client(serving.url, key_id="AKIDEXAMPLEEXAMPLE", secret="s").list_keys()["Keys"] == []


def test_its_log_is_json_where_that_is_wanted(serve: Serve) -> None:
    serving = serve("--log-format", "json")
    made = client(serving.url).create_key()["KeyMetadata"]
    assert serving.stop() == 0
    line = json.loads(serving.lines[0])
    assert (line["operation"], line["key"], line["outcome"]) == ("CreateKey", made["Arn"], "ok")


def test_a_test_moves_its_clock(serve: Serve) -> None:
    serving = serve("--test-clock")
    before = client(serving.url).create_key()["KeyMetadata"]["CreationDate"]
    call(serving.url, "POST", "/_envelope/clock", b'{"advance_seconds": 86400}')
    assert (client(serving.url).create_key()["KeyMetadata"]["CreationDate"] - before).days == 1


_REFUSED = {
    "anybody from anywhere": (["--host", "0.0.0.0"], "have requests signed (--auth sigv4"),
    "keys for nothing": (["--auth", "none", "--access-key-file", "keys.toml"], "access keys are of no use"),
    "keys that others read": (["--access-key-file", "open.toml"], "is open to others: run 'chmod 600' on it"),
    "no such keys": (["--access-key-file", "none.toml"], "does not exist"),
    "no certificate": (["--tls-cert", "keys.toml"], "cannot be used"),
    "a key without certificate": (["--tls-key", "keys.toml"], "of no use without its certificate"),
    "a clock for several": (["--test-clock", "--workers", "2"], "it cannot be had with several workers"),
    "no Region": (["--region", "mars"], "a Region looks like"),
    "no account": (["--account", "12"], "an account is twelve digits"),
    "no address": (["--host", "127.0.0.1.invalid", "--allow-anonymous-remote"], "cannot listen at 127.0.0.1.invalid"),
}


@pytest.mark.parametrize(("options", "text"), _REFUSED.values(), ids=_REFUSED)
def test_what_it_cannot_do_is_one_line(envelope: Any, options: list[str], text: str) -> None:
    for name, mode in (("keys.toml", 0o600), ("open.toml", 0o644)):
        envelope.write(name, b"").chmod(mode)
    ran = envelope("kms", "serve", "--port", "0", *options)
    assert ran.code in (2, 4)
    assert text in ran.lines[0]
    assert len(ran.lines) == 1 or ran.lines[1].startswith("hint:")


def test_a_wrong_root_key_is_refused_at_once(envelope: Any) -> None:
    envelope.ok("kms", "create-key")
    Path(f"{envelope.store}.rootkey").write_text("A" * 43 + "=")
    for options in ((), ("--workers", "2")):
        ran = envelope("kms", "serve", "--port", "0", *options)
        assert (ran.code, len(ran.lines)) == (4, 1)


def test_without_the_extra_it_says_how_to_get_it(envelope: Any, ended: Any) -> None:
    launcher = "import sys; sys.modules['uvicorn'] = None\nfrom envelope_sdk.cli.main import entry\nentry()"
    ran = ended(envelope.start("kms", "serve", launcher=launcher))
    assert ran.code == 2
    assert ran.lines == ["envelope: the server needs more: pip install 'envelope-sdk[server]'"]


def test_a_quota_is_set_by_its_name(serve: Serve) -> None:
    kms = client(serve("--quota", "Cryptographic operations (symmetric)=0.01", "--quota", "CreateKey=1000").url)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    for _ in range(9):
        kms.create_key()
    kms.generate_data_key(KeyId=key_id, NumberOfBytes=32)
    with pytest.raises(ClientError, match="ThrottlingException"):
        kms.generate_data_key(KeyId=key_id, NumberOfBytes=32)


NO_QUOTA = {
    "CreateKey": "a quota is NAME=RATE, for instance CreateKey=5, not 'CreateKey'",
    "CreateKey=many": "a quota is NAME=RATE, for instance CreateKey=5, not 'CreateKey=many'",
    "CreateKey=0": "a quota is a number above 0, not 0.0",
    "CreateKey=nan": "a quota is a number above 0, not nan",
    "=5": "there is no quota named ''; one is 'Cryptographic operations (symmetric)', another 'CreateKey'",
}


@pytest.mark.parametrize(("word", "said"), NO_QUOTA.items(), ids=NO_QUOTA)
def test_what_is_no_quota_is_refused(envelope: Any, word: str, said: str) -> None:
    ran = envelope("kms", "serve", "--quota", word)

    assert (ran.code, ran.lines[0]) == (2, f"envelope: {said}")


def test_what_is_not_said_is_as_the_settings_have_it() -> None:
    usual = Settings()
    names = {"tls_cert": "tls_certificate", "allow_host": "allowed_hosts", "allow_origin": "allowed_origins"}
    names |= {"quotas": "quota_scale", "latency": "latency_seconds", "grant_propagation": "grant_propagation_seconds"}
    names |= {"access_key_file": "access_keys", "allow_anonymous_remote": "anonymous_remote"}
    known = {field.name for field in fields(Settings)}
    for option in command.params:
        name = names.get(option.name or "", option.name or "")
        if name not in ("auth", "store", "quotas_at", "seed"):
            assert name in known
            default = option.to_info_dict()["default"]
            assert (default or getattr(usual, name)) == getattr(usual, name)
    formats: Any = next(option.type for option in command.params if option.name == "log_format")
    assert tuple(formats.choices) == LOG_FORMATS


# --- several workers -------------------------------------------------------------------------------------------------


def _workers_of(serving: Serving) -> list[int]:
    listed = Path(f"/proc/{serving.process.pid}/task/{serving.process.pid}/children").read_text("ascii")
    return [int(pid) for pid in listed.split()]


_needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")


@pytest.mark.slow
@_needs_proc
def test_workers_share_keys_and_figures_and_stop_together(serve: Serve, envelope: Any) -> None:
    envelope.env["ROOT_PASSPHRASE"] = "a passphrase for workers"
    serving = serve("--workers", "2", group=("--root-key", "passphrase-env:ROOT_PASSPHRASE"))
    workers = _workers_of(serving)
    assert len(workers) == 2

    key_id = client(serving.url).create_key()["KeyMetadata"]["KeyId"]
    for _ in range(20):
        # A connection each, so that both are asked.
        assert client(serving.url).describe_key(KeyId=key_id)["KeyMetadata"]["KeyId"] == key_id
    figures = call(serving.url, "GET", "/metrics").body.decode()
    assert 'envelope_kms_requests_total{operation="DescribeKey",outcome="ok"} 20.0' in figures

    assert serving.stop() == 0
    assert not any(_lives(pid) for pid in workers)


@pytest.mark.slow
@_needs_proc
def test_workers_that_are_told_to_stop_end_in_silence(serve: Serve) -> None:
    serving = serve("--workers", "2", "--log-format", "off")
    assert serving.stop() == 0
    assert [line for line in serving.lines if "local KMS at" not in line] == []


@pytest.mark.slow
@_needs_proc
def test_a_worker_that_dies_is_replaced(serve: Serve) -> None:
    serving = serve("--workers", "2")
    first, second = _workers_of(serving)
    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: len(set(_workers_of(serving)) - {first}) == 2)
    assert eventually(lambda: client(serving.url).list_keys()["Keys"] == [])
    assert second in _workers_of(serving)
    assert serving.stop() == 0
    assert any("a worker ended with -9 and is replaced" in line for line in serving.lines)


@pytest.mark.slow
@_needs_proc
def test_a_worker_that_dies_at_its_start_does_not_keep_the_address_from_being_told(envelope: Any) -> None:
    process = envelope.start("kms", "serve", "--port", "0", "--workers", "2")
    impatient = threading.Timer(20, process.terminate)
    impatient.start()
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        assert eventually(lambda: bool(children.read_text("ascii")))
        os.kill(int(children.read_text("ascii").split()[0]), signal.SIGKILL)
        said = [process.stderr.readline().decode() for _ in range(2)]
        assert any(_READY.fullmatch(line) for line in said)
        assert any("a worker ended with -9 and is replaced" in line for line in said)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        impatient.cancel()
        process.kill()
        process.wait()


@pytest.mark.slow
@_needs_proc
def test_workers_end_with_their_parent(serve: Serve) -> None:
    serving = serve("--workers", "2")
    workers = _workers_of(serving)
    serving.process.kill()
    assert eventually(lambda: not any(_lives(pid) for pid in workers))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- stopping --------------------------------------------------------------------------------------------------------


class _Writers:
    """Threads that make keys until the server is gone."""

    def __init__(self, url: str, count: int = 4) -> None:
        self.answered: list[str] = []
        self._url = url
        self._threads = [threading.Thread(target=self._write) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        kms = client(self._url)
        try:
            while True:
                self.answered.append(kms.create_key(Description="x" * 1000)["KeyMetadata"]["KeyId"])
        except BotoCoreError:
            return

    def wait(self, until: int) -> None:
        """Return when so many keys have been made."""
        assert eventually(lambda: len(self.answered) >= until)

    def join(self) -> set[str]:
        """Return all that were answered."""
        for thread in self._threads:
            thread.join()
        return set(self.answered)


def _kept(store: Path) -> set[str]:
    found: set[str] = set()
    with LocalKms.open(store) as kms:
        page: dict[str, Any] = {}
        while not page or page["Truncated"]:
            page = kms.list_keys(Limit=1000, Marker=page.get("NextMarker"))
            found |= {key["KeyId"] for key in page["Keys"]}
        for key_id in found:
            assert len(kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["Plaintext"]) == 32
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_answered_write_is_lost_when_it_is_stopped(serve: Serve, envelope: Any, workers: str) -> None:
    serving = serve("--workers", workers, "--log-format", "off")
    writers = _Writers(serving.url)
    writers.wait(40)
    assert serving.stop() == 0
    assert writers.join() <= _kept(envelope.store)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(5))
def test_no_answered_write_is_lost_when_it_is_killed(serve: Serve, envelope: Any, round_: int) -> None:
    serving = serve("--log-format", "off")
    writers = _Writers(serving.url)
    writers.wait(10 + 7 * round_)
    serving.process.kill()
    answered, kept = writers.join(), _kept(envelope.store)
    assert answered <= kept
    # At most one a writer was done and not answered any more.
    assert len(kept - answered) <= 4


# --- the AWS CLI -----------------------------------------------------------------------------------------------------


def _aws() -> str | None:
    found = shutil.which("aws")
    if found is None:
        return None
    try:
        done = subprocess.run([found, "--version"], capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found if done.returncode == 0 else None


@pytest.mark.slow
def test_the_aws_cli_walks_the_usual_path(serve: Serve, envelope: Any) -> None:
    program = _aws()
    if program is None:
        pytest.skip("the AWS CLI is not installed")
    serving = serve()
    environment = envelope.environment() | {
        "AWS_ENDPOINT_URL": serving.url,
        "AWS_ACCESS_KEY_ID": "111122223333",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "HOME": os.environ.get("HOME", ""),
    }
    # Its own Python finds its own packages.
    environment.pop("PYTHONPATH", None)

    def aws(*words: str, works: bool = True) -> Any:
        done = subprocess.run(
            [program, *words, "--output", "json"], capture_output=True, check=False, env=environment, cwd=envelope.home
        )
        assert (done.returncode == 0) is works, done.stderr.decode()
        return json.loads(done.stdout) if works and done.stdout.strip() else done.stderr.decode()

    assert aws("sts", "get-caller-identity")["Arn"] == "arn:aws:iam::111122223333:root"
    key = aws("kms", "create-key", "--description", "by hand")["KeyMetadata"]
    assert key["Arn"].startswith("arn:aws:kms:eu-central-1:111122223333:key/")
    aws("kms", "create-alias", "--alias-name", "alias/hand", "--target-key-id", key["KeyId"])
    envelope.write("text", "grüße".encode())
    encrypted = aws("kms", "encrypt", "--key-id", "alias/hand", "--plaintext", "fileb://text")
    envelope.write("blob", base64.b64decode(encrypted["CiphertextBlob"]))
    decrypted = aws("kms", "decrypt", "--ciphertext-blob", "fileb://blob")
    assert base64.b64decode(decrypted["Plaintext"]).decode() == "grüße"
    aws("kms", "disable-key", "--key-id", key["KeyId"])
    refused = aws("kms", "decrypt", "--ciphertext-blob", "fileb://blob", works=False)
    assert f"(DisabledException) when calling the Decrypt operation: {key['Arn']} is disabled." in refused
    gone = aws("kms", "schedule-key-deletion", "--key-id", key["KeyId"], "--pending-window-in-days", "7")
    assert gone["KeyState"] == "PendingDeletion"
