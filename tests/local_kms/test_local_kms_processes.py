"""Several processes on one file, one of them killed: nothing that was answered is ever lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms import LocalKms

pytestmark = pytest.mark.slow

Start = Callable[[str, Path], "subprocess.Popen[str]"]

_CREATE = """
import sys
from envelope_sdk.local_kms import LocalKms
print("ready", flush=True)
sys.stdin.readline()
with LocalKms.open(sys.argv[1]) as kms:
    for number in range(10):
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/{key_id}", TargetKeyId=key_id)
        blob = kms.encrypt(KeyId=key_id, Plaintext=key_id.encode())["CiphertextBlob"]
        print(key_id, blob.hex(), flush=True)
"""

_CREATE_FOR_EVER = _CREATE.replace("range(10)", "range(10**9)")

_SAME_ALIAS = """
import sys
from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
print("ready", flush=True)
sys.stdin.readline()
with LocalKms.open(sys.argv[1]) as kms:
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    try:
        kms.create_alias(AliasName="alias/one", TargetKeyId=key_id)
        print("won", key_id, flush=True)
    except KmsServiceError as error:
        print(error.code, key_id, flush=True)
"""

_USE = """
import sys
from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
with LocalKms.open(sys.argv[1]) as kms:
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            kms.generate_data_key(KeyId="alias/a", KeySpec="AES_256")
            print("ok", flush=True)
        except KmsServiceError as error:
            print(error.code, flush=True)
"""


@pytest.fixture
def start() -> Start:
    """Starts a process that has imported everything and waits for a line."""

    def run(code: str, database: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert _line(process) == "ready"
        return process

    return run


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _check(database: Path, reported: list[list[str]]) -> None:
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with LocalKms.open(database) as kms:
        for key_id, blob in reported:
            assert kms.describe_key(KeyId=f"alias/{key_id}")["KeyMetadata"]["KeyId"] == key_id
            assert kms.decrypt(CiphertextBlob=bytes.fromhex(blob))["Plaintext"] == key_id.encode()


def test_processes_that_start_at_once_share_one_root_key_and_lose_no_key(database: Path, start: Start) -> None:
    processes = [start(_CREATE, database) for _ in range(5)]
    for process in processes:
        _say(process)
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 5
    reported = [line.split() for output in outputs for line in output.splitlines()]
    assert len({key_id for key_id, _ in reported}) == 50
    _check(database, reported)
    assert sorted(path.name for path in database.parent.glob("*root*")) == ["keys.db.rootkey"]
    with LocalKms.open(database) as kms:
        assert len(kms.list_keys(Limit=1000)["Keys"]) == 50


def test_an_alias_wanted_by_several_is_given_once(database: Path, start: Start) -> None:
    processes = [start(_SAME_ALIAS, database) for _ in range(4)]
    for process in processes:
        _say(process)
    outcomes = dict(reversed(process.communicate()[0].split()) for process in processes)
    assert sorted(outcomes.values()) == ["AlreadyExistsException"] * 3 + ["won"]
    with LocalKms.open(database) as kms:
        assert outcomes[kms.describe_key(KeyId="alias/one")["KeyMetadata"]["KeyId"]] == "won"


@pytest.mark.parametrize("lines", [0, 1, 7, 40])
def test_every_key_a_killed_process_has_reported_is_there(database: Path, start: Start, lines: int) -> None:
    process = start(_CREATE_FOR_EVER, database)
    _say(process)
    reported = [_line(process).split() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    # What it had written before the kill came through counts too, up to the last whole line.
    rest = process.communicate()[0].rpartition("\n")[0]
    reported += [line.split() for line in rest.splitlines()]
    assert process.returncode == -signal.SIGKILL
    assert len(reported) >= lines
    _check(database, reported)


def test_two_processes_killed_while_both_write(database: Path, start: Start) -> None:
    processes = [start(_CREATE_FOR_EVER, database) for _ in range(2)]
    for process in processes:
        _say(process)
    reported = [_line(process).split() for _ in range(10) for process in processes]
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()
    _check(database, reported)


def test_a_key_disabled_in_one_process_is_refused_in_another_at_once(database: Path, start: Start) -> None:
    with LocalKms.open(database) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
        other = start(_USE, database)
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
        other.communicate()


def test_after_a_fork_the_child_is_told_to_open_again(database: Path) -> None:
    with LocalKms.open(database) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        child = os.fork()
        if child == 0:
            status = 1
            try:
                kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
            except KeyStoreError as error:
                status = 0 if "open it again" in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"]
