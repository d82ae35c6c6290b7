"""What a failing DynamoDB means to the caller: try again, ask for access, or neither; with its code and request id."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore.stub import Stubber

from envelope_sdk.errors import AuthenticationError, KmsAccessError, KmsError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings.hierarchical import DynamoDbStorage

RECORD = {"branch-key-id": "id", "type": "branch:ACTIVE", "enc": b"old", "hierarchy-version": 1}
KEYS = [{"AttributeName": "branch-key-id", "KeyType": "HASH"}, {"AttributeName": "type", "KeyType": "RANGE"}]
TYPES = [{"AttributeName": name, "AttributeType": "S"} for name in ("branch-key-id", "type")]
TABLE = {"TableArn": "arn", "TableStatus": "ACTIVE", "KeySchema": KEYS, "AttributeDefinitions": TYPES}

CODES = {
    "ProvisionedThroughputExceededException": (400, KmsUnavailableError),
    "ThrottlingException": (400, KmsUnavailableError),
    "RequestLimitExceeded": (400, KmsUnavailableError),
    "TransactionConflictException": (400, KmsUnavailableError),
    "TransactionInProgressException": (400, KmsUnavailableError),
    "InternalServerError": (500, KmsUnavailableError),
    "AccessDeniedException": (400, KmsAccessError),
    "UnrecognizedClientException": (400, KmsAccessError),
    "ResourceNotFoundException": (400, KmsAccessError),
    "ValidationException": (400, KmsError),
    "SomethingNew": (400, KmsError),
}


@pytest.fixture
def client() -> Any:
    return boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")


@pytest.fixture
def stub(client: Any) -> Any:
    with Stubber(client) as stubber:
        yield stubber


@pytest.fixture
def storage(client: Any) -> DynamoDbStorage:
    return DynamoDbStorage("branch-keys", client)


CALLS: dict[str, Any] = {
    "get_item": lambda storage: storage.get("id", "branch:ACTIVE"),
    "scan": lambda storage: list(storage.records()),
    "transact_write_items": lambda storage: storage.add([RECORD]),
}


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("code", CODES)
def test_an_error_keeps_its_code_and_request_id(
    code: str, operation: str, stub: Stubber, storage: DynamoDbStorage
) -> None:
    status, kind = CODES[code]
    stub.add_client_error(operation, code, "why", http_status_code=status, response_meta={"RequestId": "request-1"})

    with pytest.raises(KmsError) as caught:
        CALLS[operation](storage)

    error = caught.value
    assert type(error) is kind
    assert (error.code, error.request_id) == (code, "request-1")
    assert error.retryable is (kind is KmsUnavailableError)
    assert str(error).startswith("DynamoDB ")
    assert "why" in str(error)


def test_a_table_that_is_not_there_is_said_to_be_made_how(stub: Stubber, storage: DynamoDbStorage) -> None:
    stub.add_client_error("get_item", "ResourceNotFoundException", "Requested resource not found")

    with pytest.raises(KmsAccessError, match=r"make the table with create_table\(\)"):
        storage.get("id", "branch:ACTIVE")


UNREACHABLE = [
    (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"), KmsUnavailableError),
    (botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"), KmsUnavailableError),
    (botocore.exceptions.NoCredentialsError(), KmsAccessError),
    (botocore.exceptions.NoRegionError(), KmsError),
    (ConnectionResetError("reset"), KmsUnavailableError),
]


@pytest.mark.parametrize(("error", "kind"), UNREACHABLE, ids=lambda value: getattr(value, "__name__", repr(value)))
def test_a_client_that_cannot_ask(error: Exception, kind: type[KmsError]) -> None:
    class Failing:
        def get_item(self, **_parameters: Any) -> Any:
            raise error

    with pytest.raises(kind, match=r"^DynamoDB GetItem failed") as caught:
        DynamoDbStorage("branch-keys", Failing()).get("id", "branch:ACTIVE")  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error


def test_an_error_of_the_program_s_own_is_let_through() -> None:
    class Broken:
        def get_item(self, **_parameters: Any) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        DynamoDbStorage("branch-keys", Broken()).get("id", "branch:ACTIVE")  # type: ignore[arg-type]


REASONS = {
    "ConditionalCheckFailed": False,
    "TransactionConflict": KmsUnavailableError,
    "ThrottlingError": KmsUnavailableError,
    "ProvisionedThroughputExceeded": KmsUnavailableError,
    "ItemCollectionSizeLimitExceeded": KmsError,
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_cancelled_transaction_is_told_by_its_reason(reason: str, stub: Stubber, storage: DynamoDbStorage) -> None:
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        "cancelled",
        modeled_fields={"CancellationReasons": [{"Code": "None"}, {"Code": reason}]},
    )
    outcome = REASONS[reason]

    if outcome is False:
        assert storage.add([RECORD]) is False
        return
    with pytest.raises(KmsError) as caught:
        storage.add([RECORD])
    assert type(caught.value) is outcome
    assert caught.value.code == "TransactionCanceledException"


# --- making the table -------------------------------------------------------------------------------------------------


def test_a_table_that_somebody_else_makes_meanwhile_is_taken(stub: Stubber, storage: DynamoDbStorage) -> None:
    stub.add_client_error("describe_table", "ResourceNotFoundException")
    stub.add_client_error("create_table", "ResourceInUseException")
    stub.add_response("describe_table", {"Table": TABLE})
    stub.add_response("describe_table", {"Table": TABLE})

    assert storage.create_table() == "arn"
    stub.assert_no_pending_responses()


def test_a_table_that_is_still_being_made_is_waited_for(stub: Stubber, storage: DynamoDbStorage) -> None:
    stub.add_response("describe_table", {"Table": TABLE | {"TableStatus": "CREATING"}})
    stub.add_response("describe_table", {"Table": TABLE})
    stub.add_response("describe_table", {"Table": TABLE})

    assert storage.create_table() == "arn"
    stub.assert_no_pending_responses()


@pytest.mark.parametrize("operation", ["describe_table", "create_table"])
def test_a_table_that_may_not_be_made_is_told(operation: str, stub: Stubber, storage: DynamoDbStorage) -> None:
    if operation == "create_table":
        stub.add_client_error("describe_table", "ResourceNotFoundException")
    stub.add_client_error(operation, "AccessDeniedException", "not you")

    with pytest.raises(KmsAccessError, match="not you"):
        storage.create_table()


ODD_TABLES = {
    "other keys": TABLE | {"KeySchema": KEYS[:1]},
    "keys the other way round": TABLE | {"KeySchema": [KEYS[0] | {"KeyType": "RANGE"}, KEYS[1] | {"KeyType": "HASH"}]},
    "numbers": TABLE | {"AttributeDefinitions": [TYPES[0], TYPES[1] | {"AttributeType": "N"}]},
}


@pytest.mark.parametrize("table", ODD_TABLES.values(), ids=ODD_TABLES)
def test_a_table_for_something_else_is_refused(table: Any, stub: Stubber, storage: DynamoDbStorage) -> None:
    stub.add_response("describe_table", {"Table": table})

    with pytest.raises(UsageError, match="none for branch keys"):
        storage.create_table()


def test_a_table_may_have_more_than_it_needs(stub: Stubber, storage: DynamoDbStorage) -> None:
    more = TABLE | {"AttributeDefinitions": [*TYPES, {"AttributeName": "x", "AttributeType": "N"}]}
    stub.add_response("describe_table", {"Table": more})

    assert storage.create_table() == "arn"


# --- what no branch key has -------------------------------------------------------------------------------------------

ATTRIBUTES = [{"BOOL": True}, {"L": []}, {"NULL": True}, {"SS": ["a"]}, {"N": "1.5"}, {"N": "-1"}, {"M": {}}]


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=str)
def test_an_attribute_of_a_type_that_no_branch_key_has_is_an_alteration(
    attribute: Any, stub: Stubber, storage: DynamoDbStorage
) -> None:
    stub.add_response("get_item", {"Item": {"branch-key-id": {"S": "id"}, "odd": attribute}})

    with pytest.raises(AuthenticationError, match="'odd'"):
        storage.get("id", "branch:ACTIVE")
