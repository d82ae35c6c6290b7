"""Where branch key records are kept: one contract, in DynamoDB, in a SQLite file, and from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest
from testkit.branch_keys import MemoryStorage

from envelope_sdk import Client
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings import HierarchicalKeyring
from envelope_sdk.keyrings.hierarchical import (
    BranchKeyStorage,
    BranchKeyStore,
    DynamoDbStorage,
    KmsKeyArn,
    SqliteStorage,
)
from envelope_sdk.local_kms import LocalKms

PLAINTEXT = b"plaintext"
CONTEXT = {"größe": "ñandú 😀"}


def record(kind: str, enc: bytes = b"\0\xff", name: str = "id", **more: Any) -> dict[str, Any]:
    return {"branch-key-id": name, "type": kind, "enc": enc, "hierarchy-version": 1, **more}


ACTIVE = record("branch:ACTIVE", b"old", **{"aws-crypto-ec:größe": "ñandú 😀", "empty": ""})
FIRST = record("branch:version:1")
SECOND = record("branch:version:2")
NEW_ACTIVE = record("branch:ACTIVE", b"new")


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with moto.mock_aws():
        yield boto3.client(
            "dynamodb", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )


@pytest.fixture
def table(dynamodb: Any) -> DynamoDbStorage:
    storage = DynamoDbStorage("branch-keys", dynamodb)
    storage.create_table()
    return storage


@pytest.fixture
def file(tmp_path: Path) -> SqliteStorage:
    return SqliteStorage(tmp_path / "branch-keys.db")


@pytest.fixture(params=["table", "file", "memory"])
def storage(request: pytest.FixtureRequest) -> BranchKeyStorage:
    if request.param == "memory":
        return MemoryStorage()
    return request.getfixturevalue(request.param)


def content(storage: BranchKeyStorage) -> list[dict[str, Any]]:
    return sorted((dict(record) for record in storage.records()), key=lambda record: str(record["type"]))


def test_what_was_added_is_there_with_all_its_attributes(storage: BranchKeyStorage) -> None:
    assert storage.add([ACTIVE, FIRST])

    assert storage.get("id", "branch:ACTIVE") == ACTIVE
    assert storage.get("id", "branch:version:1") == FIRST
    assert content(storage) == [ACTIVE, FIRST]


def test_what_was_not_added_is_not_there(storage: BranchKeyStorage) -> None:
    storage.add([ACTIVE])

    assert storage.get("id", "beacon:ACTIVE") is None
    assert storage.get("other", "branch:ACTIVE") is None


@pytest.mark.parametrize("order", [1, -1])
def test_of_records_one_of_which_is_there_none_is_added(order: int, storage: BranchKeyStorage) -> None:
    storage.add([ACTIVE])

    assert not storage.add([FIRST, NEW_ACTIVE][::order])
    assert content(storage) == [ACTIVE]


def test_a_version_is_added_and_the_active_one_replaced(storage: BranchKeyStorage) -> None:
    storage.add([ACTIVE, FIRST])

    assert storage.add_version(SECOND, NEW_ACTIVE, replacing=b"old")
    assert content(storage) == [NEW_ACTIVE, FIRST, SECOND]


def test_an_active_one_that_is_another_by_now_stays(storage: BranchKeyStorage) -> None:
    storage.add([ACTIVE, FIRST])

    assert not storage.add_version(SECOND, NEW_ACTIVE, replacing=b"older")
    assert content(storage) == [ACTIVE, FIRST]


def test_a_version_that_is_there_stays_and_the_active_one_too(storage: BranchKeyStorage) -> None:
    storage.add([ACTIVE, FIRST])

    assert not storage.add_version(record("branch:version:1", b"another"), NEW_ACTIVE, replacing=b"old")
    assert content(storage) == [ACTIVE, FIRST]


def test_branch_keys_are_told_apart(storage: BranchKeyStorage) -> None:
    other = record("branch:ACTIVE", name="other")

    assert storage.add([ACTIVE])
    assert storage.add([other])
    assert storage.get("other", "branch:ACTIVE") == other


@pytest.fixture
def kms() -> Iterator[LocalKms]:
    with LocalKms.in_memory() as kms:
        yield kms


@pytest.fixture
def key(kms: LocalKms) -> KmsKeyArn:
    return KmsKeyArn(str(kms.create_key()["KeyMetadata"]["Arn"]))


@pytest.mark.parametrize(("origin", "copy"), [("table", "file"), ("file", "table")])
def test_a_copy_of_all_records_opens_the_same_messages(
    origin: str, copy: str, kms: LocalKms, key: KmsKeyArn, request: pytest.FixtureRequest
) -> None:
    ours, theirs = request.getfixturevalue(origin), request.getfixturevalue(copy)
    store = BranchKeyStore(ours, kms, logical_name="logical", kms_key=key)
    names = [store.create_key(), store.create_key("mine", CONTEXT)]
    messages = []
    for _ in range(2):
        for name in names:
            with HierarchicalKeyring(store, name, ttl_seconds=60) as keyring:
                messages.append((name, Client(keyring).encrypt(PLAINTEXT).ciphertext))
            store.version_key(name)

    for each in ours.records():
        assert theirs.add([each])

    assert len(content(theirs)) == 10
    assert all(theirs.get(each["branch-key-id"], each["type"]) == each for each in content(ours))
    copied = BranchKeyStore(theirs, kms, logical_name="logical", kms_key=key)
    for place in (store, copied):
        for name, message in messages:
            opened = Client(HierarchicalKeyring(place, name, ttl_seconds=60)).decrypt(message)
            assert opened.plaintext == PLAINTEXT
    copied.version_key("mine")


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_made_once_paid_by_the_request(dynamodb: Any) -> None:
    storage = DynamoDbStorage("branch-keys", dynamodb)

    arn = storage.create_table()

    assert storage.create_table() == arn
    assert arn.endswith(":table/branch-keys")
    made = dynamodb.describe_table(TableName="branch-keys")["Table"]
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert made["KeySchema"] == [
        {"AttributeName": "branch-key-id", "KeyType": "HASH"},
        {"AttributeName": "type", "KeyType": "RANGE"},
    ]


def test_a_table_with_other_keys_is_not_taken(dynamodb: Any) -> None:
    dynamodb.create_table(
        TableName="other",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    with pytest.raises(UsageError, match="none for branch keys"):
        DynamoDbStorage("other", dynamodb).create_table()


def test_records_are_written_in_dynamodb_s_types(dynamodb: Any, table: DynamoDbStorage) -> None:
    table.add([ACTIVE])

    (item,) = dynamodb.scan(TableName="branch-keys")["Items"]
    assert item == {
        "branch-key-id": {"S": "id"},
        "type": {"S": "branch:ACTIVE"},
        "enc": {"B": b"old"},
        "hierarchy-version": {"N": "1"},
        "aws-crypto-ec:größe": {"S": "ñandú 😀"},
        "empty": {"S": ""},
    }


def test_all_pages_of_a_table_are_read(dynamodb: Any, table: DynamoDbStorage) -> None:
    for number in range(30):
        table.add([record("branch:ACTIVE", bytes(60_000), str(number))])

    assert dynamodb.scan(TableName="branch-keys").get("LastEvaluatedKey")
    assert len(list(table.records())) == 30


@pytest.mark.parametrize(("name", "error"), [("", UsageError), (None, TypeError)])
def test_a_table_has_a_name(name: Any, error: type[Exception], dynamodb: Any) -> None:
    with pytest.raises(error):
        DynamoDbStorage(name, dynamodb)
