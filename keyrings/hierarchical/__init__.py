"""The hierarchical keyring: data keys wrapped under branch keys, which a KMS wraps and a table keeps.

::

    store = BranchKeyStore(
        DynamoDbStorage("branch-keys", boto3.client("dynamodb")),
        boto3.client("kms"),
        logical_name="branch-keys",
        kms_key=KmsKeyArn(arn),
    )
    keyring = HierarchicalKeyring(store, store.create_key(), ttl_seconds=600)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from envelope_sdk.keyrings.hierarchical.branch_keys import BeaconKey, BranchKey
    from envelope_sdk.keyrings.hierarchical.dynamodb import DynamoDbStorage
    from envelope_sdk.keyrings.hierarchical.keyring import HierarchicalKeyring
    from envelope_sdk.keyrings.hierarchical.kms_keys import (
        KmsDiscovery,
        KmsKeyArn,
        KmsKeyConfiguration,
        KmsMrkArn,
        KmsMrkDiscovery,
    )
    from envelope_sdk.keyrings.hierarchical.sqlite import SqliteStorage
    from envelope_sdk.keyrings.hierarchical.storage import BranchKeyStorage
    from envelope_sdk.keyrings.hierarchical.store import BranchKeySource, BranchKeyStore
    from envelope_sdk.keyrings.hierarchical.suppliers import BranchKeySupplier, ContextKeySupplier

__all__ = [
    "BeaconKey",
    "BranchKey",
    "BranchKeySource",
    "BranchKeyStorage",
    "BranchKeyStore",
    "BranchKeySupplier",
    "ContextKeySupplier",
    "DynamoDbStorage",
    "HierarchicalKeyring",
    "KmsDiscovery",
    "KmsKeyArn",
    "KmsKeyConfiguration",
    "KmsMrkArn",
    "KmsMrkDiscovery",
    "SqliteStorage",
]

_PACKAGE: Final = "envelope_sdk.keyrings.hierarchical"
_HOMES: Final = {
    "BeaconKey": "branch_keys",
    "BranchKey": "branch_keys",
    "BranchKeySource": "store",
    "BranchKeyStorage": "storage",
    "BranchKeyStore": "store",
    "BranchKeySupplier": "suppliers",
    "ContextKeySupplier": "suppliers",
    "DynamoDbStorage": "dynamodb",
    "HierarchicalKeyring": "keyring",
    "KmsDiscovery": "kms_keys",
    "KmsKeyArn": "kms_keys",
    "KmsKeyConfiguration": "kms_keys",
    "KmsMrkArn": "kms_keys",
    "KmsMrkDiscovery": "kms_keys",
    "SqliteStorage": "sqlite",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: whoever keeps records in DynamoDB does not wait for SQLite."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{_PACKAGE}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
