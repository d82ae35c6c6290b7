"""A store of branch keys over a KMS in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testkit.branch_keys import CountingKms, CountingStorage, MemoryStorage

from envelope_sdk.keyrings.hierarchical import BranchKeyStore, KmsKeyArn
from envelope_sdk.local_kms import LocalKms


@pytest.fixture
def local_kms() -> Iterator[LocalKms]:
    with LocalKms.in_memory() as kms:
        yield kms


@pytest.fixture
def key_arn(local_kms: LocalKms) -> str:
    return str(local_kms.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def kms(local_kms: LocalKms) -> CountingKms:
    return CountingKms(local_kms)


@pytest.fixture
def memory() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def storage(memory: MemoryStorage) -> CountingStorage:
    return CountingStorage(memory)


@pytest.fixture
def store(storage: CountingStorage, kms: CountingKms, key_arn: str) -> BranchKeyStore:
    return BranchKeyStore(storage, kms, logical_name="branch-keys", kms_key=KmsKeyArn(key_arn))
