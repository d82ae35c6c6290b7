"""Branch key records in a DynamoDB table (framework/branch-key-store.md, "CreateKeyStore" and the DynamoDB calls)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from envelope_sdk.errors import KmsAccessError, KmsError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings.hierarchical.attributes import from_attributes, to_attributes
from envelope_sdk.keyrings.hierarchical.records import BRANCH_KEY_ID, ENC, TYPE, Record
from envelope_sdk.keyrings.kms.api import call_service

__all__ = ["DynamoDbApi", "DynamoDbStorage"]

_SCHEMA: Final = [{"AttributeName": BRANCH_KEY_ID, "KeyType": "HASH"}, {"AttributeName": TYPE, "KeyType": "RANGE"}]
_DEFINITIONS: Final = [{"AttributeName": name, "AttributeType": "S"} for name in (BRANCH_KEY_ID, TYPE)]

_NO_TABLE: Final = "ResourceNotFoundException"
_KINDS: Final[Mapping[str, type[KmsError]]] = {
    _NO_TABLE: KmsAccessError,
    "ProvisionedThroughputExceededException": KmsUnavailableError,
    "TransactionConflictException": KmsUnavailableError,
    "TransactionInProgressException": KmsUnavailableError,
}
_CONDITION_FAILED: Final = "ConditionalCheckFailed"
_PASSING_REASONS: Final = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}
)


class DynamoDbApi(Protocol):
    """What the storage needs of ``boto3.client("dynamodb")``: these methods, with DynamoDB's names for parameters."""

    @property
    def get_item(self) -> Callable[..., Mapping[str, Any]]:
        """Returns ``Item`` (API_GetItem)."""
        ...

    @property
    def transact_write_items(self) -> Callable[..., Mapping[str, Any]]:
        """Writes all or nothing (API_TransactWriteItems)."""
        ...

    @property
    def scan(self) -> Callable[..., Mapping[str, Any]]:
        """Returns ``Items``, a page of them (API_Scan)."""
        ...

    @property
    def describe_table(self) -> Callable[..., Mapping[str, Any]]:
        """Returns ``Table`` (API_DescribeTable)."""
        ...

    @property
    def create_table(self) -> Callable[..., Mapping[str, Any]]:
        """Returns ``TableDescription`` (API_CreateTable)."""
        ...

    @property
    def get_waiter(self) -> Callable[..., Any]:
        """Returns what waits for a table to be there."""
        ...


class DynamoDbStorage:
    """Records in a table. Fulfils :class:`~envelope_sdk.keyrings.hierarchical.storage.BranchKeyStorage`."""

    __slots__ = ("_client", "_table")

    def __init__(self, table_name: str, client: DynamoDbApi) -> None:
        """Name the table.

        Args:
            table_name: its name or ARN.
            client: ``boto3.client("dynamodb")``, which does its own retries.

        Raises:
            UsageError: the name is empty.
            TypeError: it is not text.
        """
        if not isinstance(table_name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - arguments swapped
            raise TypeError(f"a table's name is text, not {type(table_name).__name__}")
        if not table_name:
            raise UsageError("the table's name is empty")
        self._table = table_name
        self._client = client

    def __repr__(self) -> str:
        return f"DynamoDbStorage({self._table!r})"

    def create_table(self) -> str:
        """Make the table where it is not there, paid by the request, wait until it can be used, and return its ARN.

        Raises:
            UsageError: there is a table of this name that has other keys.
            KmsError: DynamoDB refused or failed.
        """
        table = self._described()
        if table is None:
            try:
                self._call(
                    "CreateTable",
                    self._client.create_table,
                    KeySchema=_SCHEMA,
                    AttributeDefinitions=_DEFINITIONS,
                    BillingMode="PAY_PER_REQUEST",
                )
            except KmsError as error:
                # Somebody else was faster.
                if error.code != "ResourceInUseException":
                    raise
        if table is None or table.get("TableStatus") == "CREATING":
            self._call("DescribeTable", self._waited)
            table = self._described() or {}
        if not _holds(table.get("KeySchema"), _SCHEMA) or not _holds(table.get("AttributeDefinitions"), _DEFINITIONS):
            raise UsageError(
                f"the table {self._table!r} is none for branch keys, whose keys are {BRANCH_KEY_ID!r} and {TYPE!r}"
            )
        return str(table["TableArn"])

    def _waited(self, **parameters: Any) -> Mapping[str, Any]:
        # Alone among a client's methods, a waiter answers with nothing.
        self._client.get_waiter("table_exists").wait(**parameters)
        return {}

    def get(self, branch_key_id: str, kind: str) -> Record | None:
        """Return the record of this ``type``, as last written."""
        key = to_attributes({BRANCH_KEY_ID: branch_key_id, TYPE: kind})
        # A version that a message names may have been written a moment ago.
        answer = self._call("GetItem", self._client.get_item, Key=key, ConsistentRead=True)
        item = answer.get("Item")
        return None if item is None else from_attributes(cast("Mapping[str, Any]", item))

    def add(self, records: Sequence[Record]) -> bool:
        """Add all of the records, or none."""
        return self._write([self._put_new(record) for record in records])

    def add_version(self, version: Record, active: Record, *, replacing: bytes) -> bool:
        """Add one record and replace another, both or neither."""
        replace = self._put(active, "attribute_exists(#id) AND #enc = :old")
        replace["Put"]["ExpressionAttributeNames"]["#enc"] = ENC
        replace["Put"]["ExpressionAttributeValues"] = {":old": {"B": replacing}}
        return self._write([self._put_new(version), replace])

    def records(self) -> Iterator[Record]:
        """Yield every record."""
        start: dict[str, Any] = {}
        while True:
            page = self._call("Scan", self._client.scan, ConsistentRead=True, **start)
            for item in page.get("Items", ()):
                yield from_attributes(item)
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _described(self) -> Mapping[str, Any] | None:
        try:
            return cast("Mapping[str, Any]", self._call("DescribeTable", self._client.describe_table)["Table"])
        except KmsError as error:
            if error.code == _NO_TABLE:
                return None
            raise

    def _put_new(self, record: Record) -> dict[str, Any]:
        return self._put(record, "attribute_not_exists(#id)")

    def _put(self, record: Record, condition: str) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": to_attributes(record),
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#id": BRANCH_KEY_ID},
            }
        }

    def _write(self, items: list[dict[str, Any]]) -> bool:
        try:
            _call_dynamodb("TransactWriteItems", self._client.transact_write_items, TransactItems=items)
        except KmsError as error:
            if _CONDITION_FAILED in _reasons(error):
                return False
            raise
        return True

    def _call(self, operation: str, method: Callable[..., Any], **parameters: Any) -> Mapping[str, Any]:
        return _call_dynamodb(operation, method, TableName=self._table, **parameters)


def _holds(found: Any, wanted: Sequence[Mapping[str, str]]) -> bool:
    # A table may have more: indexes of its owner's.
    return isinstance(found, list) and all(part in found for part in wanted)


def _call_dynamodb(operation: str, method: Callable[..., Any], **parameters: Any) -> Mapping[str, Any]:
    try:
        return call_service(operation, method, **parameters)
    except KmsError as error:
        # AWS's services share most of their codes, and the clients all of the network's errors.
        kind = _KINDS.get(error.code, type(error))
        if _reasons(error) & _PASSING_REASONS:
            kind = KmsUnavailableError
        text = "DynamoDB " + str(error).removeprefix("KMS ")
        if error.code == _NO_TABLE and operation != "DescribeTable":
            text += "; make the table with create_table(), or with --create-table"
        raise kind(text, operation=operation, code=error.code, request_id=error.request_id) from error.__cause__


def _reasons(error: KmsError) -> frozenset[str]:
    """Return why a transaction was cancelled."""
    response: Any = getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return frozenset()
    reasons: Any = cast("dict[str, Any]", response).get("CancellationReasons", ())
    return frozenset(str(reason.get("Code")) for reason in reasons)
