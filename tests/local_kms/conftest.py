"""A KMS in memory with a clock and randomness of the test's own."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from testkit.servers import Postgres, postgres

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import KeyState
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.local_kms.store.postgresql.store import PostgresqlStore
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

Refused = Callable[..., AbstractContextManager[None]]


class Clock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: int) -> None:
        self.now += timedelta(**duration)


class CountingRandom:
    """Different bytes at every call, the same ones in every run."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, length: int) -> bytes:
        self.calls += 1
        return hashlib.shake_256(self.calls.to_bytes(8, "big")).digest(length)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def random() -> CountingRandom:
    return CountingRandom()


@pytest.fixture
def store() -> SqliteStore:
    return SqliteStore.in_memory(system_random)


@pytest.fixture
def kms(store: SqliteStore, clock: Clock, random: CountingRandom) -> Generator[LocalKms]:
    with LocalKms(store, clock=clock, random=random) as kms:
        yield kms


@pytest.fixture
def key_id(kms: LocalKms) -> str:
    return kms.create_key()["KeyMetadata"]["KeyId"]


@pytest.fixture
def arn(key_id: str) -> str:
    return f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"


@pytest.fixture
def force_state(store: SqliteStore, kms: LocalKms) -> Callable[[str, KeyState], None]:
    """Puts a key into a state that no operation leads to yet."""

    def force(key_id: str, state: KeyState) -> None:
        scope = Scope(kms.account, kms.region)
        with store.write() as transaction:
            key = transaction.key(scope, key_id)
            assert key is not None
            transaction.update_key(replace(key, state=state))

    return force


@pytest.fixture
def secret_of(store: SqliteStore, kms: LocalKms) -> Callable[[str], bytes]:
    """Returns a key's material, which leaves the KMS in tests only: to see that others come to the same."""

    def secret(key_id: str) -> bytes:
        scope = Scope(kms.account, kms.region)
        with store.read() as transaction:
            key = transaction.key(scope, key_id)
            assert key is not None
            assert key.material_id is not None
            material = transaction.material(scope, key.material_id)
        assert material is not None
        return bytes(material.secret)

    return secret


@pytest.fixture(scope="session")
def refused() -> Refused:
    """The block has to end in this error; with a text, in exactly this text."""

    @contextmanager
    def check(code: str, text: str | None = None) -> Generator[None]:
        with pytest.raises(KmsServiceError) as caught:
            yield
        assert (caught.value.code, caught.value.response["Error"]["Code"]) == (code, code)
        if text is not None:
            assert caught.value.response["Error"]["Message"] == text

    return check


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Postgres]:
    """A PostgreSQL server of this test process."""
    with postgres() as server:
        yield server


@pytest.fixture
def empty_schema(postgres_server: Postgres) -> Generator[str]:
    """The name of a schema of the test's own, which is not there yet."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    postgres_server.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture(params=["memory", "file", "postgresql"])
def any_store(request: pytest.FixtureRequest) -> Generator[Store]:
    """A store of each kind in turn."""
    made: Store
    if request.param == "memory":
        made = SqliteStore.in_memory(system_random)
    elif request.param == "file":
        made = SqliteStore.open(request.getfixturevalue("database"), bytes(32), system_random)
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        schema: str = request.getfixturevalue("empty_schema")
        made = PostgresqlStore.open(server.url, bytes(32), system_random, schema=schema)
    yield made
    made.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"
