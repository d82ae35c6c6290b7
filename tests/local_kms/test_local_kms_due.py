"""What falls due: done by whoever comes first, once, with the dates it would have happened at."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit.key_material import described, external, give

from envelope_sdk.local_kms import LocalKms, faults
from envelope_sdk.local_kms.call import Requester, ServiceEvent, Unlimited
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.service import Service
from envelope_sdk.local_kms.store.sqlite import SqliteStore

START = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
HERE = Scope("000000000000", "us-east-1")
ROOT = Requester(HERE, Caller.parse("arn:aws:iam::000000000000:root"), "request")
SECRET = bytes(32)


@pytest.fixture
def service(store: SqliteStore, clock: Any, random: Any) -> Service:
    return Service(store, clock=clock, random=random)


def _key(store: SqliteStore, key_id: str) -> Key:
    with store.read() as look:
        key = look.key(HERE, key_id)
    assert key is not None
    return key


def test_nothing_due_is_nothing_done(kms: LocalKms, service: Service, key_id: str, store: SqliteStore) -> None:
    kms.enable_key_rotation(KeyId=key_id)
    version = store.version()
    assert service.settle() == []
    assert store.version() == version


def test_a_server_that_nobody_calls_does_what_falls_due_and_tells(
    kms: LocalKms, service: Service, store: SqliteStore, clock: Any
) -> None:
    erased, rotated = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    expiring = external(kms)
    kms.schedule_key_deletion(KeyId=erased, PendingWindowInDays=7)
    kms.enable_key_rotation(KeyId=rotated, RotationPeriodInDays=90)
    give(kms, expiring, SECRET, ValidTo=START + timedelta(days=30))
    before = {key_id: _key(store, key_id) for key_id in (erased, rotated, expiring)}
    clock.advance(days=200)

    material = {"keyMaterialId": before[expiring].material_id or ""}
    rotation = {"rotationType": "AUTOMATIC"}
    assert service.settle() == [
        ServiceEvent("DeleteKey", before[erased], START + timedelta(days=7)),
        ServiceEvent("DeleteExpiredKeyMaterial", before[expiring], START + timedelta(days=30), material),
        ServiceEvent("RotateKey", before[rotated], START + timedelta(days=90), rotation),
        ServiceEvent("RotateKey", before[rotated], START + timedelta(days=180), rotation),
    ]
    assert service.settle() == []


class Recorder(Unlimited):
    """A journal that has room for so many of the service's events."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.events: list[ServiceEvent] = []

    def record_service_event(self, event: ServiceEvent) -> None:
        if len(self.events) == self.room:
            raise faults.unrecorded("no space left on device")
        self.events.append(event)


def test_the_journal_takes_note_of_what_happens(
    kms: LocalKms, store: SqliteStore, key_id: str, clock: Any, random: Any
) -> None:
    journal = Recorder(2)
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    clock.advance(days=200)
    events = Service(store, clock=clock, random=random, journal=journal).settle()
    assert (len(events), journal.events) == (2, events)


def test_what_cannot_be_recorded_does_not_happen(
    kms: LocalKms, store: SqliteStore, key_id: str, clock: Any, random: Any, refused: Any
) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    before = _key(store, key_id)
    clock.advance(days=200)
    with refused("KMSInternalException"):
        Service(store, clock=clock, random=random, journal=Recorder(1)).settle()
    assert _key(store, key_id) == before


def test_a_server_may_say_up_to_when(kms: LocalKms, service: Service, key_id: str) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    assert service.settle(START + timedelta(days=89)) == []
    assert [event.time for event in service.settle(START + timedelta(days=90))] == [START + timedelta(days=90)]


def test_a_call_does_it_first(kms: LocalKms, service: Service, key_id: str, clock: Any) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    clock.advance(days=90)
    service.call("GenerateRandom", {"NumberOfBytes": 1}, ROOT)
    assert service.settle() == []
    assert len(kms.list_key_rotations(KeyId=key_id)["Rotations"]) == 1


def test_whatever_is_done_nothing_is_left_due(kms: LocalKms, service: Service, store: SqliteStore, clock: Any) -> None:
    """Otherwise every call would look again."""
    disabled = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.enable_key_rotation(KeyId=disabled, RotationPeriodInDays=90)
    kms.disable_key(KeyId=disabled)
    expiring = external(kms)
    give(kms, expiring, SECRET, ValidTo=START + timedelta(days=30))
    kms.schedule_key_deletion(KeyId=expiring, PendingWindowInDays=30)
    clock.advance(days=29)
    kms.cancel_key_deletion(KeyId=expiring)
    clock.advance(days=100)
    service.settle()

    with store.read() as look:
        assert look.next_due() is None


def test_a_century_is_made_up_for_at_once(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    clock.advance(days=36525)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert len(kms.list_key_rotations(KeyId=key_id, Limit=1000)["Rotations"]) == 36525 // 90


@pytest.fixture
def other(database: Path, clock: Any) -> Generator[LocalKms]:
    with LocalKms.open(database, clock=clock) as other:
        yield other


@pytest.fixture
def one(database: Path, clock: Any) -> Generator[LocalKms]:
    with LocalKms.open(database, clock=clock) as one:
        yield one


def test_a_rotation_through_one_is_heeded_by_the_other_at_its_next_call(one: LocalKms, other: LocalKms) -> None:
    key_id = one.create_key()["KeyMetadata"]["KeyId"]
    old = other.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    one.rotate_key_on_demand(KeyId=key_id)
    new = other.generate_data_key(KeyId=key_id, KeySpec="AES_256")

    assert new["KeyMaterialId"] == described(one, key_id)["CurrentKeyMaterialId"] != old["KeyMaterialId"]
    assert one.decrypt(CiphertextBlob=old["CiphertextBlob"])["Plaintext"] == old["Plaintext"]


def test_material_deleted_through_one_is_gone_for_the_other_at_its_next_call(
    one: LocalKms, other: LocalKms, refused: Any
) -> None:
    key_id = external(one)
    give(one, key_id, SECRET)
    blob = other.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    one.delete_imported_key_material(KeyId=key_id)
    with refused("KMSInvalidStateException", f"{HERE.key_arn(key_id)} is pending import."):
        other.decrypt(CiphertextBlob=blob)


def test_what_falls_due_happens_once(one: LocalKms, other: LocalKms, clock: Any) -> None:
    key_id = one.create_key()["KeyMetadata"]["KeyId"]
    one.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    described(other, key_id)
    clock.advance(days=90)

    assert described(one, key_id) == described(other, key_id)
    assert len(other.list_key_rotations(KeyId=key_id)["Rotations"]) == 1
    assert one.list_key_rotations(KeyId=key_id)["Rotations"] == other.list_key_rotations(KeyId=key_id)["Rotations"]


def test_deleted_material_is_not_in_the_file_any_more(database: Path, clock: Any) -> None:
    """Wrapped, that is: who has the root key, and finds it, would have it back."""
    with LocalKms.open(database, clock=clock) as kms:
        key_id = external(kms)
        give(kms, key_id, SECRET)
        wrapped = _wrapped(database, key_id)
        assert _holds(database, wrapped)
        kms.delete_imported_key_material(KeyId=key_id)
    assert not _holds(database, wrapped)


def _wrapped(database: Path, key_id: str) -> bytes:
    connection = sqlite3.connect(database)
    (row,) = connection.execute("SELECT wrapped FROM materials WHERE key_id = ?", (key_id,)).fetchall()
    connection.close()
    wrapped: bytes = row[0]
    return wrapped


def _holds(database: Path, content: bytes) -> bool:
    return any(content in path.read_bytes() for path in database.parent.iterdir())


_SETTLE = """
import sys
from datetime import UTC, datetime
from envelope_sdk.local_kms import LocalKms
with LocalKms.open(sys.argv[1], clock=lambda: datetime(2036, 1, 1, tzinfo=UTC)) as kms:
    print("ready", flush=True)
    sys.stdin.readline()
    for key in kms.list_keys()["Keys"]:
        kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
"""


@pytest.mark.slow
def test_of_processes_that_come_at_once_one_does_what_is_due(database: Path, clock: Any) -> None:
    with LocalKms.open(database, clock=clock) as kms:
        ids = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(10)]
        for key_id in ids:
            kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=365)
    command = [sys.executable, "-c", _SETTLE, str(database)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4

    clock.now = datetime(2036, 1, 1, tzinfo=UTC)
    with LocalKms.open(database, clock=clock) as kms:
        for key_id in ids:
            dates = [each["RotationDate"] for each in kms.list_key_rotations(KeyId=key_id)["Rotations"]]
            assert dates == [START + timedelta(days=365 * number) for number in range(1, 11)]
