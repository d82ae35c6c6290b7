"""Counts of requests, when keys were last used, and what a month costs."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.audit import read_events
from envelope_sdk.local_kms.call import Call, Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.metering import TRACKED, Metering, Month, costs, price_class
from envelope_sdk.local_kms.model import Key, KeyManager, KeyState, LastUsage, MaterialRecord, Rotation
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.store.sqlite import SqliteStore

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
HERE = Scope("111122223333", "us-east-1")


class Seconds:
    """A clock of seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def metering(store: SqliteStore, seconds: Seconds) -> Metering:
    return Metering(store, monotonic=seconds)


def _key(key_id: str = "k", **changes: Any) -> Key:
    given: dict[str, Any] = {
        "scope": HERE,
        "key_id": key_id,
        "created": NOVEMBER,
        "description": "",
        "usage": "ENCRYPT_DECRYPT",
        "spec": "SYMMETRIC_DEFAULT",
        "origin": "AWS_KMS",
        "state": KeyState.ENABLED,
        "policy": "{}",
        "material_id": None,
    }
    return Key(**(given | changes))


def _call(operation: str, *keys: Key, now: datetime = NOVEMBER, scope: Scope = HERE, **parameters: object) -> Call:
    requester = Requester(scope, Caller.parse(f"arn:aws:iam::{scope.account}:root"), f"{operation} at {now}")
    nothing: Any = None
    return Call(operation, parameters, requester, now, *[nothing] * 2, keys=keys)


def _counts(store: SqliteStore, month: str = "2026-11") -> dict[tuple[str, str], int]:
    with store.read() as transaction:
        return {(key_id, name): count for (_, key_id, name), count in transaction.usage_counts(month).items()}


def _add(store: SqliteStore, *keys: Key) -> None:
    with store.write() as transaction:
        for key in keys:
            transaction.add_key(key, {})


# --- counting --------------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_key_operation_and_price(store: SqliteStore, metering: Metering) -> None:
    rsa = _key("r", spec="RSA_3072")
    for call in (_call("Encrypt", _key()), _call("Encrypt", _key()), _call("Encrypt", rsa), _call("ListKeys")):
        metering.record(call, {}, None)
    metering.record(_call("GenerateDataKeyPair", _key(), KeyPairSpec="RSA_2048"), {}, None)
    metering.flush()

    assert _counts(store) == {
        ("", "ListKeys/requests"): 1,
        ("k", "Encrypt/requests"): 2,
        ("k", "GenerateDataKeyPair/RSA key pairs"): 1,
        ("r", "Encrypt/asymmetric requests"): 1,
    }


def test_a_request_counts_in_the_month_in_which_it_was_made(store: SqliteStore, metering: Metering) -> None:
    for now in (DECEMBER - timedelta(milliseconds=1), DECEMBER):
        metering.record(_call("ListKeys", now=now), {}, None)
    metering.flush()

    assert _counts(store, "2026-11") == _counts(store, "2026-12") == {("", "ListKeys/requests"): 1}


@pytest.mark.parametrize(
    ("code", "status", "count"),
    [
        ("NotFoundException", 400, 1),
        ("AccessDeniedException", 400, 1),
        ("DryRunOperationException", 400, 1),
        ("ThrottlingException", 400, 0),
        ("KMSInternalException", 500, 0),
        ("DependencyTimeoutException", 503, 0),
    ],
)
def test_failures_count_unless_they_are_the_services(
    store: SqliteStore, metering: Metering, code: str, status: int, count: int
) -> None:
    metering.record(_call("Encrypt", _key()), None, KmsServiceError(code, "", status=status))
    metering.flush()

    assert sum(_counts(store).values()) == count


def test_whoever_calls_is_charged_for_another_accounts_key(store: SqliteStore, metering: Metering) -> None:
    caller = Scope("444455556666", "us-east-1")
    metering.record(_call("Decrypt", _key(), scope=caller), {}, None)
    metering.flush()
    with store.read() as transaction:
        counts = transaction.usage_counts("2026-11")

    assert dict(counts) == {(caller, HERE.key_arn("k"), "Decrypt/requests"): 1}


def test_figures_are_written_by_the_first_call_after_a_minute(
    store: SqliteStore, metering: Metering, seconds: Seconds
) -> None:
    written = []
    for seconds.now in (0, 59, 60, 61, 119, 120):
        metering.record(_call("ListKeys"), {}, None)
        written.append(sum(_counts(store).values()))

    assert written == [0, 0, 3, 3, 3, 6]


def test_nothing_is_written_where_nothing_was_counted(store: SqliteStore, metering: Metering) -> None:
    before = store.version()
    metering.flush()

    assert store.version() == before


def test_what_cannot_be_written_now_is_written_later(store: SqliteStore, seconds: Seconds) -> None:
    class Busy:
        busy = True

        def write(self) -> Any:
            if self.busy:
                raise KmsServiceError("DependencyTimeoutException", "")
            return store.write()

    busy: Any = Busy()
    _add(store, _key())
    metering = Metering(busy, monotonic=seconds)
    metering.record(_call("Encrypt", _key()), {}, None)
    with pytest.raises(KmsServiceError):
        metering.flush()
    seconds.now = 1000
    metering.record(_call("Encrypt", _key()), {}, None)
    busy.busy = False
    metering.flush()

    assert _counts(store) == {("k", "Encrypt/requests"): 2}
    with store.read() as transaction:
        assert transaction.last_usage(HERE, "k") is not None


def test_no_request_of_many_threads_is_lost(store: SqliteStore, metering: Metering) -> None:
    def work() -> None:
        for number in range(2500):
            metering.record(_call("ListKeys"), {}, None)
            if number % 500 == 0:
                metering.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metering.flush()

    assert _counts(store) == {("", "ListKeys/requests"): 10_000}


def test_a_kms_counts_what_is_asked_of_it(database: Path, clock: Any) -> None:
    with LocalKms.open(database, clock=clock) as kms:
        kms.generate_random(NumberOfBytes=1)
        kms.generate_random(NumberOfBytes=1)
    with LocalKms.open(database, clock=clock) as kms:
        kms.generate_random(NumberOfBytes=1)
        charges = kms.costs("2026-01").charges

    assert [(charge.item, charge.requests) for charge in charges] == [("GenerateRandom", 3)]


def test_a_forked_child_leaves_the_figures_to_its_parent(store: SqliteStore, metering: Metering) -> None:
    metering.record(_call("ListKeys"), {}, None)
    child = os.fork()
    if child == 0:
        metering.flush()
        os._exit(0 if len(metering._notes) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    metering.flush()

    assert sum(_counts(store).values()) == 1


# --- the last use of keys --------------------------------------------------------------------------------------------


def test_operations_that_use_keys_are_those_of_the_model() -> None:
    model = botocore.session.get_session().get_service_model("kms")
    if "GetKeyLastUsage" not in model.operation_names:
        pytest.skip("this botocore's model is older than the one followed here")
    shape: Any = model.shape_for("KeyLastUsageTrackingOperation")

    assert set(shape.enum) == TRACKED


def test_a_key_never_used_says_since_when(kms: LocalKms, key_id: str, clock: Any) -> None:
    created = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CreationDate"]
    clock.advance(days=1)
    answer = kms.get_key_last_usage(KeyId=key_id)
    del answer["ResponseMetadata"]

    assert answer == {
        "KeyId": key_id,
        "KeyLastUsage": {},
        "TrackingStartDate": created,
        "KeyCreationDate": created,
    }


def test_the_last_use_is_told_with_the_event_in_the_audit_log(
    store: SqliteStore, clock: Any, tmp_path: Path, refused: Any
) -> None:
    with LocalKms(store, clock=clock, audit=tmp_path / "audit.jsonl") as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.encrypt(KeyId=key_id, Plaintext=b"p")
        clock.advance(hours=1)
        answer = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        used = clock.now
        clock.advance(hours=1)
        kms.describe_key(KeyId=key_id)
        with refused("DryRunOperationException"):
            kms.encrypt(KeyId=key_id, Plaintext=b"p", DryRun=True)
        found = kms.get_key_last_usage(KeyId=key_id)["KeyLastUsage"]
    event = next(event for event in read_events([tmp_path / "audit.jsonl"]) if event["eventName"] == "GenerateDataKey")

    assert found == {
        "Operation": "GenerateDataKey",
        "Timestamp": used.replace(microsecond=123000),
        "CloudTrailEventId": event["eventID"],
        "KmsRequestId": answer["ResponseMetadata"]["RequestId"],
    }


def test_reencryption_is_a_use_of_both_keys(kms: LocalKms) -> None:
    one, two = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    blob = kms.encrypt(KeyId=one, Plaintext=b"p")["CiphertextBlob"]
    kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=two)

    assert [kms.get_key_last_usage(KeyId=key_id)["KeyLastUsage"]["Operation"] for key_id in (one, two)] == [
        "ReEncrypt"
    ] * 2


def test_the_last_use_outlives_the_process(database: Path) -> None:
    with LocalKms.open(database) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.encrypt(KeyId=key_id, Plaintext=b"p")
        before = kms.get_key_last_usage(KeyId=key_id)["KeyLastUsage"]
    with LocalKms.open(database) as kms:
        assert kms.get_key_last_usage(KeyId=key_id)["KeyLastUsage"] == before


def test_the_later_of_two_uses_is_the_last_wherever_it_is_known(store: SqliteStore, metering: Metering) -> None:
    _add(store, _key())
    with store.write() as transaction:
        transaction.put_last_usage(HERE, "k", LastUsage("Decrypt", NOVEMBER + timedelta(hours=2), "e", "r"))
    operations = []
    for hours in (1, 3):
        metering.record(_call("Encrypt", _key(), now=NOVEMBER + timedelta(hours=hours)), {}, None)
        found = metering.last_usage(HERE, "k")
        assert found is not None
        operations.append(found.operation)

    assert operations == ["Decrypt", "Encrypt"]


def test_of_uses_that_end_in_another_order_the_later_is_the_last(store: SqliteStore, metering: Metering) -> None:
    _add(store, _key())
    for operation, hours in (("Encrypt", 2), ("Decrypt", 1)):
        metering.record(_call(operation, _key(), now=NOVEMBER + timedelta(hours=hours)), {}, None)
    metering.flush()
    found = metering.last_usage(HERE, "k")

    assert found is not None
    assert found.operation == "Encrypt"


def test_only_keys_that_are_there_have_a_last_use(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("InvalidArnException"):
        kms.get_key_last_usage(KeyId="alias/a")
    with refused("NotFoundException"):
        kms.get_key_last_usage(KeyId="00000000-0000-0000-0000-000000000000")


def test_a_key_older_than_the_notes_says_since_when_they_are_taken(
    database: Path, old_file: Callable[[], bytes]
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    with LocalKms.open(database, root_key=old_file()) as kms:
        key_id = kms.describe_key(KeyId="alias/old")["KeyMetadata"]["KeyId"]
        answer = kms.get_key_last_usage(KeyId=key_id)

    assert answer["KeyCreationDate"] < before < answer["TrackingStartDate"]


@pytest.fixture
def old_file(database: Path) -> Callable[[], bytes]:
    """Makes the database one of an earlier version, and returns its root key."""

    def make() -> bytes:
        script = (Path(__file__).parents[1] / "vectors" / "local_kms" / "schema-1.sql").read_text("utf-8")
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(script)
        line = next(line for line in script.splitlines() if line.startswith("-- root key "))
        return bytes.fromhex(line.rpartition(" ")[2])

    return make


# --- prices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "key_spec", "pair_spec", "name"),
    [
        ("Encrypt", "SYMMETRIC_DEFAULT", "", "requests"),
        ("GenerateMac", "HMAC_256", "", "requests"),
        ("DescribeKey", "RSA_4096", "", "requests"),
        ("GetPublicKey", "RSA_4096", "", "asymmetric requests"),
        ("Sign", "RSA_2048", "", "RSA 2048 requests"),
        ("Sign", "ECC_NIST_P256", "", "asymmetric requests"),
        ("Sign", "ML_DSA_44", "", "asymmetric requests"),
        ("Decapsulate", "ML_KEM_768", "", "asymmetric requests"),
        ("GenerateDataKeyPair", "SYMMETRIC_DEFAULT", "RSA_2048", "RSA key pairs"),
        ("GenerateDataKeyPairWithoutPlaintext", "SYMMETRIC_DEFAULT", "ECC_NIST_P256", "ECC key pairs"),
        ("GenerateRandom", "", "", "requests"),
    ],
)
def test_requests_are_priced_by_what_they_do(operation: str, key_spec: str, pair_spec: str, name: str) -> None:
    assert price_class(operation, key_spec, pair_spec) == name


@pytest.mark.parametrize(
    ("name", "count", "dollars"),
    [
        ("Encrypt/requests", 10_000, "0.03"),
        ("Sign/RSA 2048 requests", 10_000, "0.03"),
        ("Sign/asymmetric requests", 20_000, "0.30"),
        ("GenerateDataKeyPair/ECC key pairs", 5_000, "0.05"),
        ("GenerateDataKeyPair/RSA key pairs", 100, "0.12"),
        ("Encrypt/a class of later", 10_000, "0.03"),
    ],
)
def test_requests_cost_what_aws_asks(store: SqliteStore, name: str, count: int, dollars: str) -> None:
    with store.write() as transaction:
        transaction.add_usage("2026-11", {(HERE, "k", name): count})

    assert costs(store, "2026-11", DECEMBER).total == Decimal(dollars)


def test_the_free_tier_is_an_accounts_and_for_symmetric_requests_only(store: SqliteStore) -> None:
    other = Scope("444455556666", "us-east-1")
    elsewhere = Scope(HERE.account, "eu-west-1")
    counts = {
        (HERE, "", "Encrypt/requests"): 15_000,
        (elsewhere, "", "Encrypt/requests"): 15_000,
        (other, "", "Encrypt/requests"): 20_000,
        (HERE, "", "Sign/RSA 2048 requests"): 10_000,
    }
    with store.write() as transaction:
        transaction.add_usage("2026-11", counts)
    found = costs(store, "2026-11", DECEMBER, free_tier=True)

    # 10,000 of the one account's 30,000, and those with an RSA key.
    assert found.total == Decimal("0.06")
    assert sum(charge.requests for charge in found.charges) == 60_000


def _kept(store: SqliteStore, now: datetime = DECEMBER, month: str = "2026-11") -> list[tuple[str, Decimal]]:
    return [(charge.item, charge.dollars) for charge in costs(store, month, now).charges]


def test_a_key_costs_a_dollar_a_month(store: SqliteStore) -> None:
    _add(store, _key())

    assert _kept(store) == _kept(store, DECEMBER + timedelta(days=90)) == [("(key)", Decimal(1))]


def test_a_key_costs_by_the_hour(store: SqliteStore) -> None:
    _add(store, _key(created=NOVEMBER + timedelta(days=15)))

    assert _kept(store) == [("(key)", Decimal("0.5"))]
    assert _kept(store, NOVEMBER + timedelta(days=18)) == [("(key)", Decimal("0.1"))]
    assert _kept(store, month="2026-10") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"state": KeyState.PENDING_DELETION},
        {"state": KeyState.PENDING_REPLICA_DELETION},
        {"manager": KeyManager.AWS},
    ],
    ids=str,
)
def test_some_keys_cost_nothing(store: SqliteStore, changes: Any) -> None:
    _add(store, _key(**changes))

    assert _kept(store) == []


def test_a_disabled_key_costs_what_an_enabled_one_does(store: SqliteStore) -> None:
    _add(store, _key(state=KeyState.DISABLED))

    assert _kept(store) == [("(key)", Decimal(1))]


def test_replicas_cost_like_keys(store: SqliteStore) -> None:
    _add(store, _key("mrk-1"), _key("mrk-1", scope=Scope(HERE.account, "eu-west-1")))

    assert _kept(store) == [("(key)", Decimal(1))] * 2


def test_the_first_two_rotations_cost_as_much_as_a_key(store: SqliteStore) -> None:
    _add(store, _key())
    with store.write() as transaction:
        for number, days in enumerate((None, -60, 15, 20)):
            rotated = None if days is None else NOVEMBER + timedelta(days=days)
            rotation = None if days is None else Rotation.AUTOMATIC
            record = MaterialRecord(
                key_id="k", material_id=f"{number:064}", created=NOVEMBER, rotated=rotated, rotation=rotation
            )
            transaction.add_material(HERE, record, bytes(32))

    # One of before for the whole month, one in the middle of it for half, and none for the third.
    assert _kept(store) == [("(key)", Decimal(1)), ("(rotations)", Decimal("1.5"))]


def test_a_replica_costs_nothing_for_rotations_until_it_is_there(store: SqliteStore) -> None:
    moment = [NOVEMBER - timedelta(days=60)]
    with LocalKms(store, clock=lambda: moment[0]) as kms:
        key_id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        kms.rotate_key_on_demand(KeyId=key_id)
        moment[0] = NOVEMBER + timedelta(days=15)
        kms.replicate_key(KeyId=key_id, ReplicaRegion="us-west-2")
        moment[0] = DECEMBER
        charges = kms.costs("2026-11").charges

    assert {(charge.scope.region, charge.item): charge.dollars for charge in charges if not charge.requests} == {
        (kms.region, "(key)"): Decimal(1),
        (kms.region, "(rotations)"): Decimal(1),
        ("us-west-2", "(key)"): Decimal("0.5"),
        ("us-west-2", "(rotations)"): Decimal("0.5"),
    }


def test_costs_are_added_up_by_whatever_is_asked(store: SqliteStore) -> None:
    _add(store, _key("a"), _key("b"))
    with store.write() as transaction:
        transaction.add_usage("2026-11", {(HERE, "a", "Encrypt/requests"): 10_000})
    found = costs(store, "2026-11", DECEMBER)

    assert found.by(lambda charge: (charge.key_id,)) == {("a",): Decimal("1.03"), ("b",): Decimal(1)}
    assert found.total == Decimal("2.03")


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-00", "11-2026", "9999-12", "0000-01", "2026-11-01", ""])
def test_a_month_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a month looks like"):
        Month.parse(text)


def test_a_store_that_is_damaged_is_an_error(database: Path) -> None:
    with LocalKms.open(database) as kms:
        kms.list_keys()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE usage_counts SET count = 'x'")
        (month,) = connection.execute("SELECT month FROM usage_counts").fetchone()
    with LocalKms.open(database) as kms, pytest.raises(KeyStoreError, match="damaged"):
        kms.costs(month)
