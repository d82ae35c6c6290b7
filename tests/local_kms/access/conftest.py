"""A KMS in the account of the policies in ``testkit.policies``, and another account beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
from testkit.policies import OURS

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.store.sqlite import SqliteStore

PutPolicy = Callable[..., None]


@pytest.fixture
def kms(store: SqliteStore, clock: Any, random: Any) -> Generator[LocalKms]:
    with LocalKms(store, account=OURS, region="us-west-2", clock=clock, random=random) as kms:
        yield kms


@pytest.fixture
def key_id(kms: LocalKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["KeyId"])


@pytest.fixture
def arn(key_id: str) -> str:
    return f"arn:aws:kms:us-west-2:{OURS}:key/{key_id}"


@pytest.fixture
def put_policy(kms: LocalKms, key_id: str) -> PutPolicy:
    """Replaces the key's policy by these statements, whomever they lock out."""

    def put(*statements: dict[str, Any]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        kms.put_key_policy(KeyId=key_id, Policy=document, BypassPolicyLockoutSafetyCheck=True)

    return put


@pytest.fixture
def blob(kms: LocalKms, key_id: str) -> bytes:
    """A ciphertext made before the key's policy is changed, under a context."""
    answer = kms.encrypt(KeyId=key_id, Plaintext=b"secret", EncryptionContext={"team": "blue"})
    return bytes(answer["CiphertextBlob"])
