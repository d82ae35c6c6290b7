"""The hierarchical keyring and its store of branch keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.hierarchical import (
    BranchKeyStorage,
    BranchKeyStore,
    DynamoDbStorage,
    HierarchicalKeyring,
    KmsKeyArn,
    KmsKeyConfiguration,
    KmsMrkArn,
    SqliteStorage,
)
from envelope_sdk.keyrings.kms.api import BranchKeyKmsApi
from envelope_sdk.keyrings.kms.arn import region_of
from envelope_sdk.keyrings.kms.clients import check_endpoint, endpoint_of_client
from envelope_sdk.keyrings.schemes.aws_kms import client_of
from envelope_sdk.keyrings.schemes.door import LocalKmsDoor
from envelope_sdk.keyrings.schemes.local_kms import arn_of
from envelope_sdk.keyrings.schemes.local_kms import client_of as client_of_local
from envelope_sdk.keyrings.schemes.pace import PACE, RETRIES
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

__all__ = ["DEFAULT_TTL_SECONDS", "branch_key_store", "create_table", "existing_store", "keyring"]

DEFAULT_TTL_SECONDS: Final = 600
"""How long a branch key is kept in memory where the URI does not say."""


def keyring(uri: KeyringUri, door: LocalKmsDoor) -> Keyring:
    """Return the keyring of a branch key.

    Raises:
        UsageError: the URI does not say which store and KMS key, or not in a way that can be followed.
        KeyringError: there is no such file.
        KmsError, KmsServiceError, KeyStoreError: a KMS or the storage refuses or fails.
    """
    return HierarchicalKeyring(existing_store(uri, door), uri.rest, ttl_seconds=_ttl(uri))


def existing_store(uri: KeyringUri, door: LocalKmsDoor) -> BranchKeyStore:
    """Return the store that ``uri`` says, whose file has to be there.

    Raises:
        As :func:`keyring`.
    """
    file = uri.one("file")
    if file is not None:
        _require_there(uri.path(file))
    return branch_key_store(uri, door)


def branch_key_store(uri: KeyringUri, door: LocalKmsDoor) -> BranchKeyStore:
    """Return the store that ``uri`` says; a file is made where there is none.

    Raises:
        As :func:`keyring`.
    """
    kms, kms_key = _kms(uri, door)
    storage, name = _storage(uri)
    return BranchKeyStore(storage, kms, logical_name=uri.one("logical-name") or name, kms_key=kms_key)


def _require_there(path: str) -> None:
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise KeyringError(f"there are no branch keys in {path!r}: 'envelope branch-keys create' makes one") from None
    except OSError as error:
        raise KeyringError(f"the branch keys in {path!r} cannot be read: {str(error.strerror).lower()}") from error


def create_table(uri: KeyringUri) -> None:
    """Make the DynamoDB table that ``uri`` names, where there is none.

    Raises:
        UsageError: it names none, or another table has the name.
        KmsError: DynamoDB refused or failed.
    """
    table = uri.one("table")
    if table is None:
        raise UsageError("hierarchical:// names no table= to make")
    DynamoDbStorage(table, _dynamodb(uri)).create_table()


def _storage(uri: KeyringUri) -> tuple[BranchKeyStorage, str]:
    table, file = uri.one("table"), uri.one("file")
    if (table is None) == (file is None):
        raise UsageError("hierarchical:// takes either table= or file=, where its branch keys are kept")
    if file is not None:
        path = uri.path(file)
        return SqliteStorage(path), Path(path).stem
    assert table is not None
    return DynamoDbStorage(table, _dynamodb(uri)), table


def _dynamodb(uri: KeyringUri) -> Any:
    import boto3.session
    from botocore.exceptions import BotoCoreError

    kms_key = uri.one("kms-key") or ""
    region = uri.one("region") or (region_of(kms_key) if kms_key.startswith("arn:") else None)
    check_endpoint(uri.one("endpoint-url"))
    try:
        session: Any = boto3.session.Session(profile_name=uri.one("profile"))
        client = session.client("dynamodb", region_name=region, endpoint_url=uri.one("endpoint-url"))
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"boto3 makes no DynamoDB client: {error}") from error
    check_endpoint(endpoint_of_client(client))
    return client


def _kms(uri: KeyringUri, door: LocalKmsDoor) -> tuple[BranchKeyKmsApi, KmsKeyConfiguration]:
    named = uri.one("kms-key")
    if named is None:
        raise UsageError("hierarchical:// needs kms-key=, the KMS key that wraps its branch keys: an ARN or a URI")
    if named.startswith("arn:"):
        parameters = {"profile": uri.every("profile")} if uri.every("profile") else {}
        key = KeyringUri("aws-kms", named, parameters)
    else:
        key = KeyringUri.of_key(named, uri.folder)
    if key.scheme == "local-kms":
        key.check(single=["store", *PACE])
        local = client_of_local(key, door)
        return local, KmsKeyArn(arn_of(local, key.rest))
    if key.scheme not in ("aws-kms", "aws-kms-mrk"):
        raise UsageError("kms-key= is an ARN, aws-kms://ARN, aws-kms-mrk://ARN or local-kms://KEY")
    key.check(single=["region", "profile", "endpoint-url", *RETRIES, *PACE])
    configuration = KmsKeyArn(key.rest) if key.scheme == "aws-kms" else KmsMrkArn(key.rest)
    return client_of(key), configuration


def _ttl(uri: KeyringUri) -> float:
    text = uri.one("ttl")
    if text is None:
        return DEFAULT_TTL_SECONDS
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"ttl= is a number of seconds, not {text!r}") from None
