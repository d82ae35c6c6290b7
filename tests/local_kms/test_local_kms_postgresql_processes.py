"""Several processes on one PostgreSQL database, as servers on several hosts would be, some of them killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Generator

import pytest
from testkit.servers import Postgres

from envelope_sdk.local_kms import LocalKms

pytestmark = pytest.mark.slow

Start = Callable[[str], "subprocess.Popen[str]"]

_OPEN = """
import sys
from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
print("ready", flush=True)
sys.stdin.readline()
kms = LocalKms.open_postgresql(sys.argv[1], root_key=bytes(32), schema=sys.argv[2])
"""

_CREATE = """
for number in range(10):
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=f"alias/{key_id}", TargetKeyId=key_id)
    blob = kms.encrypt(KeyId=key_id, Plaintext=key_id.encode())["CiphertextBlob"]
    print(key_id, blob.hex(), flush=True)
"""

_SAME_ALIAS = """
key_id = kms.create_key()["KeyMetadata"]["KeyId"]
try:
    kms.create_alias(AliasName="alias/one", TargetKeyId=key_id)
    print("won", key_id, flush=True)
except KmsServiceError as error:
    print(error.code, key_id, flush=True)
"""

_USE = """
for line in sys.stdin:
    try:
        kms.generate_data_key(KeyId="alias/a", KeySpec="AES_256")
        print("ok", flush=True)
    except KmsServiceError as error:
        print(error.code, flush=True)
"""


@pytest.fixture
def start(postgres_server: Postgres, empty_schema: str) -> Generator[Start]:
    """Starts a process that has imported everything and waits for a line."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _OPEN + code, postgres_server.tcp_url, empty_schema]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert _line(process) == "ready"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def kms(postgres_server: Postgres, empty_schema: str) -> Generator[LocalKms]:
    with LocalKms.open_postgresql(postgres_server.url, root_key=bytes(32), schema=empty_schema) as kms:
        yield kms


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _check(kms: LocalKms, reported: list[list[str]]) -> None:
    for key_id, blob in reported:
        assert kms.describe_key(KeyId=f"alias/{key_id}")["KeyMetadata"]["KeyId"] == key_id
        assert kms.decrypt(CiphertextBlob=bytes.fromhex(blob))["Plaintext"] == key_id.encode()


def test_processes_that_start_at_once_lose_no_key(start: Start, kms: LocalKms) -> None:
    processes = [start(_CREATE) for _ in range(8)]
    for process in processes:
        _say(process)
    outputs = [process.communicate()[0] for process in processes]
    reported = [line.split() for output in outputs for line in output.splitlines()]

    assert [process.returncode for process in processes] == [0] * 8
    assert len({key_id for key_id, _ in reported}) == 80
    _check(kms, reported)
    assert len(kms.list_keys(Limit=1000)["Keys"]) == 80


def test_an_alias_wanted_by_several_is_given_once(start: Start, kms: LocalKms) -> None:
    processes = [start(_SAME_ALIAS) for _ in range(8)]
    for process in processes:
        _say(process)
    outcomes = dict(reversed(process.communicate()[0].split()) for process in processes)

    assert sorted(outcomes.values()) == ["AlreadyExistsException"] * 7 + ["won"]
    assert outcomes[kms.describe_key(KeyId="alias/one")["KeyMetadata"]["KeyId"]] == "won"


@pytest.mark.parametrize("lines", [0, 1, 7, 40])
def test_every_key_a_killed_process_has_reported_is_there(
    start: Start, kms: LocalKms, postgres_server: Postgres, empty_schema: str, lines: int
) -> None:
    process = start(_CREATE.replace("range(10)", "range(10**9)"))
    _say(process)
    reported = [_line(process).split() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0].rpartition("\n")[0]
    reported += [line.split() for line in rest.splitlines()]
    _check(kms, reported)
    # Whoever comes next waits for no lock of the dead, and finds no key without its material.
    kms.create_key()
    half_made = postgres_server.execute(
        f"SELECT key_id FROM {empty_schema}.keys WHERE material_id NOT IN"
        f" (SELECT material_id FROM {empty_schema}.materials)"
    )

    assert half_made == []


def test_a_key_disabled_in_one_process_is_refused_in_another_at_once(start: Start, kms: LocalKms) -> None:
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    other = start(_USE)
    _say(other)
    for change, outcome in (
        (lambda: None, "ok"),
        (lambda: kms.disable_key(KeyId=key_id), "DisabledException"),
        (lambda: kms.enable_key(KeyId=key_id), "ok"),
        (lambda: kms.schedule_key_deletion(KeyId=key_id), "KMSInvalidStateException"),
        (lambda: kms.delete_alias(AliasName="alias/a"), "NotFoundException"),
    ):
        change()
        for _ in range(2):
            _say(other)
            assert _line(other) == outcome


def test_a_database_that_crashes_while_all_write_has_what_was_reported(
    start: Start, kms: LocalKms, postgres_server: Postgres
) -> None:
    process = start(_CREATE.replace("range(10)", "range(10**9)"))
    _say(process)
    reported = [_line(process).split() for _ in range(10)]
    postgres_server.stop(signal.SIGKILL)
    try:
        rest = process.communicate()[0].rpartition("\n")[0]
        reported += [line.split() for line in rest.splitlines()]
    finally:
        postgres_server.start()

    _check(kms, reported)
