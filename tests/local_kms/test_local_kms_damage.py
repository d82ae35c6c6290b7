"""Whatever is done to the file, what comes out is an error of the store or of the service."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from envelope_sdk.errors import KeyStoreError, LocalKmsError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

_ROOT_KEY = bytes(32)
_SCOPE = Scope("000000000000", "us-east-1")
_LATER = datetime(2100, 1, 1, tzinfo=UTC)
_COLUMNS = {
    "keys": (
        *("account", "region", "key_id", "created", "description", "usage", "spec", "origin", "state", "deletion"),
        *("role", "primary_region", "policy", "material_id"),
    ),
    "materials": ("material_id", "key_id", "created", "wrapped"),
    "aliases": ("name", "key_id", "created", "updated"),
    "tags": ("tag", "value"),
    "meta": ("value",),
}
_VALUES = ("'x'", "''", "x'ff'", "x''", "5", "-1", "4611686018427387904", "1.5", "9e999", "CAST(x'ff41' AS TEXT)")


class _Store:
    """A good store, to be copied and damaged."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "good.db"
        self.copy = folder / "copy.db"
        with LocalKms.open(self.path, root_key=_ROOT_KEY) as kms:
            self.ids = [self._key(kms, number) for number in range(4)]
            kms.schedule_key_deletion(KeyId=self.ids[3])
            self.blob = kms.encrypt(KeyId=self.ids[0], Plaintext=b"x")["CiphertextBlob"]

    def damaged(self, content: bytes | None = None) -> Path:
        for name in ("", "-wal", "-shm"):
            Path(f"{self.copy}{name}").unlink(missing_ok=True)
        if content is None:
            shutil.copyfile(self.path, self.copy)
        else:
            self.copy.write_bytes(content)
        return self.copy

    def use(self) -> Iterator[Callable[[], object]]:
        """Yield calls on the damaged copy; each may fail, in a documented way."""
        with LocalKms.open(self.copy, root_key=_ROOT_KEY) as kms:
            yield kms.list_keys
            yield kms.list_aliases
            yield lambda: kms.decrypt(CiphertextBlob=self.blob)
            for key_id in self.ids:
                yield lambda key_id=key_id: kms.describe_key(KeyId=key_id)
            yield lambda: kms.encrypt(KeyId="alias/1", Plaintext=b"y")
            yield lambda: kms.disable_key(KeyId=self.ids[2])
            yield kms.create_key

    def check(self) -> None:
        with suppress(LocalKmsError):
            for call in self.use():
                with suppress(LocalKmsError):
                    call()

    def _key(self, kms: LocalKms, number: int) -> str:
        tags = [{"TagKey": "a", "TagValue": "b"}]
        made = kms.create_key(Description=f"key {number}", Tags=tags, MultiRegion=number == 1)["KeyMetadata"]
        kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=made["KeyId"])
        return str(made["KeyId"])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> _Store:
    return _Store(tmp_path_factory.mktemp("damage"))


@pytest.mark.parametrize("table", _COLUMNS)
@pytest.mark.parametrize("value", _VALUES)
def test_a_column_of_another_type_or_value_ends_in_a_documented_error(good: _Store, table: str, value: str) -> None:
    for column in _COLUMNS[table]:
        with closing(sqlite3.connect(good.damaged(), isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            with suppress(sqlite3.Error):
                connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {value}")
        good.check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_changed_end_in_a_documented_error(good: _Store, seed: int) -> None:
    choose = random.Random(seed)
    content = good.path.read_bytes()
    for _ in range(25):
        damaged = bytearray(content)
        for _ in range(choose.choice((1, 3, 20))):
            damaged[choose.randrange(len(damaged))] = choose.randrange(256)
        good.damaged(bytes(damaged))
        good.check()


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("UPDATE materials SET key_id = x'ff'", lambda look: look.material(_SCOPE, "m")),
        ("UPDATE tags SET value = x'ff'", lambda look: look.tags(_SCOPE, "k")),
        ("UPDATE aliases SET key_id = x'ff'", lambda look: look.alias(_SCOPE, "alias/a")),
        ("UPDATE aliases SET updated = 1.5", lambda look: look.alias(_SCOPE, "alias/a")),
        ("UPDATE keys SET policy = x'ff'", lambda look: look.key(_SCOPE, "k")),
        ("UPDATE keys SET material_id = x'ff'", lambda look: look.key(_SCOPE, "k")),
        ("UPDATE keys SET primary_region = 'nowhere'", lambda look: look.key(_SCOPE, "k")),
        ("UPDATE keys SET manager = 'NOBODY'", lambda look: look.related("000000000000", "k")),
        ("UPDATE keys SET rotation_days = 'x'", lambda look: look.key(_SCOPE, "k")),
        ("UPDATE keys SET next_rotation = 'x'", lambda look: look.next_due()),
        ("UPDATE keys SET deletion_days = 1.5", lambda look: look.due_rotations(_LATER)),
        ("UPDATE materials SET state = 'x'", lambda look: look.materials(_SCOPE, "k")),
        ("UPDATE materials SET rotation = 'x'", lambda look: look.due_expiries(_LATER)),
        ("UPDATE materials SET region = 'x'", lambda look: look.due_expiries(_LATER)),
        ("UPDATE grants SET effective = 'x'", lambda look: look.grants(_SCOPE, "k")),
        ("UPDATE grants SET token = x'ff'", lambda look: look.retirable(_SCOPE.region, "r", ("", "", ""), 9)),
        ("UPDATE identities SET document = x'ff'", lambda look: look.identities("000000000000")),
        ("UPDATE identities SET created = 1.5", lambda look: look.identity("arn:aws:iam::000000000000:user/u")),
        ("UPDATE access_keys SET document = document", lambda look: look.access_key("A")),
        ("UPDATE access_keys SET wrapped = 9", lambda look: look.access_keys("arn")),
        ("UPDATE usage_counts SET count = 'x'", lambda look: look.usage_counts("2026-01")),
        ("UPDATE last_usage SET used = 'x'", lambda look: look.last_usage(_SCOPE, "k")),
        ("UPDATE keys SET region = x'ff'", lambda look: look.next_due() and look.erase_keys(look.next_due())),
        ("UPDATE aliases SET key_id = CAST(x'ff41' AS TEXT)", lambda look: look.alias(_SCOPE, "alias/a")),
    ],
)
def test_each_column_is_checked_when_it_is_read(database: Path, change: str, read: Callable[[Any], object]) -> None:
    store = SqliteStore.open(database, _ROOT_KEY, system_random)
    with store.write() as transaction:
        connection = transaction._connection
        connection.execute("PRAGMA defer_foreign_keys = ON")
        row = "'000000000000', 'us-east-1'"
        key = "'k', 1, '', '', '', '', 'Enabled', 1, NULL, NULL, '', NULL, 'AWS', 9, 9, 9"
        connection.execute(f"INSERT INTO keys VALUES ({row}, {key})")
        connection.execute(f"INSERT INTO aliases VALUES ({row}, 'alias/a', 'k', 1, 1)")
        connection.execute(f"INSERT INTO tags VALUES ({row}, 'k', 't', 'v')")
        connection.execute(f"INSERT INTO grants VALUES ({row}, 'k', 'g', 't', 1, 1, 'a', 'p', 'r', '{{}}')")
        connection.execute("INSERT INTO identities VALUES ('000000000000', 'arn:aws:iam::000000000000:user/u', 1, '')")
        connection.execute("INSERT INTO access_keys VALUES ('A', '000000000000', 'arn', 1, 1, '', x'00')")
        connection.execute(f"INSERT INTO usage_counts VALUES ({row}, 'k', '2026-01', 'c', 1)")
        connection.execute(f"INSERT INTO last_usage VALUES ({row}, 'k', 'Decrypt', 1, 'e', 'r')")
        connection.execute(
            f"INSERT INTO materials VALUES ({row}, 'm', 'k', 1, 'CURRENT', 1, 'AUTOMATIC', 'd', 1, x'00')"
        )
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute(change)
    with pytest.raises(KeyStoreError, match="damaged"), store.write() as transaction:
        read(transaction)
    store.close()


@pytest.mark.slow
@given(data=strategies.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_makes_another_key_of_one(good: _Store, data: strategies.DataObject) -> None:
    content = bytearray(good.path.read_bytes())
    for _ in range(data.draw(strategies.integers(1, 3))):
        content[data.draw(strategies.integers(0, len(content) - 1))] ^= 1 << data.draw(strategies.integers(0, 7))
    good.damaged(bytes(content))
    with suppress(LocalKmsError), LocalKms.open(good.copy, root_key=_ROOT_KEY) as kms:
        with suppress(LocalKmsError):
            assert kms.decrypt(CiphertextBlob=good.blob)["Plaintext"] == b"x"
        with suppress(LocalKmsError):
            made = kms.generate_data_key(KeyId=good.ids[0], KeySpec="AES_256")
            with LocalKms.open(good.path, root_key=_ROOT_KEY) as whole:
                assert made["Plaintext"] == whole.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]


@pytest.mark.slow
@given(data=strategies.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_in_the_log_ends_in_a_documented_error_or_the_right_key(
    good: _Store, data: strategies.DataObject
) -> None:
    good.damaged()
    with LocalKms.open(good.copy, root_key=_ROOT_KEY) as kms:
        blob = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
        content, log = good.copy.read_bytes(), bytearray(Path(f"{good.copy}-wal").read_bytes())
    log[data.draw(strategies.integers(0, len(log) - 1))] ^= 1 << data.draw(strategies.integers(0, 7))
    good.damaged(content)
    Path(f"{good.copy}-wal").write_bytes(log)
    with suppress(LocalKmsError), LocalKms.open(good.copy, root_key=_ROOT_KEY) as kms:
        for known in (blob, good.blob):
            with suppress(LocalKmsError):
                assert kms.decrypt(CiphertextBlob=known)["Plaintext"] == b"x"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("root key check", b"", "is not that of the key store"),
        ("root key check", b"\0" * 28, "is not that of the key store"),
        ("root key check", "text", "holds no record of its root key"),
        ("root key generation", b"many", "record of its root key is damaged"),
    ],
)
def test_damaged_records_of_the_root_key_are_errors_of_the_store(
    good: _Store, name: str, value: object, said: str
) -> None:
    with closing(sqlite3.connect(good.damaged(), isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
    with pytest.raises(KeyStoreError, match=said), LocalKms.open(good.copy, root_key=_ROOT_KEY) as kms:
        kms.rotate_root_key(bytes(range(32)))


def test_an_error_that_quotes_damaged_bytes_is_an_error_of_the_store(good: _Store) -> None:
    content = good.path.read_bytes()
    damaged = content.replace(b"CREATE TABLE materials", b"CREATE TABL\xff materials")
    assert damaged != content
    good.damaged(damaged)
    with pytest.raises(KeyStoreError, match="damaged"):
        next(good.use())()
