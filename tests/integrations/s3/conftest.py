"""An S3 of moto's in process, and clients with keys of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from testkit.s3 import Wire, client_with_bucket, emulator_in_process

from envelope_sdk import Client
from envelope_sdk.integrations.s3 import EncryptedS3
from envelope_sdk.keyrings import RawAesKeyring

MIB = 2**20


@pytest.fixture(scope="module")
def emulator() -> Iterator[Any]:
    with emulator_in_process() as emulator:
        yield emulator


@pytest.fixture
def s3(emulator: Any) -> Iterator[Any]:
    yield client_with_bucket()
    emulator.reset()


@pytest.fixture
def wire(s3: Any) -> Wire:
    return Wire(s3)


@pytest.fixture
def client() -> Client:
    return Client(RawAesKeyring("test", "key-1", bytes(range(32))))


@pytest.fixture
def signing() -> Client:
    return Client(RawAesKeyring("test", "key-1", bytes(range(32))), sign=True)


@pytest.fixture
def config() -> TransferConfig:
    """As small as S3 allows: what is longer than a part goes up in parts."""
    return TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=3)


@pytest.fixture
def objects(s3: Any, client: Client, config: TransferConfig) -> EncryptedS3:
    return EncryptedS3(s3, client, config=config)
