"""Files that earlier versions made: opened, brought up to this version, and used."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.store.schema import MIGRATIONS, SCHEMA_VERSION

_OLD = (Path(__file__).parents[1] / "vectors" / "local_kms" / "schema-1.sql").read_text("utf-8")


def _noted(name: str) -> bytes:
    found = re.search(rf"^-- {name} ([0-9a-f]+)$", _OLD, re.MULTILINE)
    assert found is not None
    return bytes.fromhex(found[1])


@pytest.fixture
def old(database: Path) -> Path:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(_OLD)
    return database


def _version(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def test_there_is_a_step_from_every_earlier_version() -> None:
    assert list(range(1, SCHEMA_VERSION)) == sorted(MIGRATIONS)


def _tables(database: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(database)) as connection:
        names = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")
        ]
        # Of each column: name, type, whether it may be empty, default, place in the primary key.
        return {name: [row[1:] for row in connection.execute(f"PRAGMA table_xinfo('{name}')")] for name in names}


def test_an_old_file_has_the_tables_of_a_new_one_once_opened(old: Path, tmp_path: Path) -> None:
    LocalKms.open(old, root_key=_noted("root key")).close()
    LocalKms.open(tmp_path / "new.db").close()

    assert _tables(old) == _tables(tmp_path / "new.db")


def test_what_an_old_file_holds_opens_and_decrypts(old: Path) -> None:
    with LocalKms.open(old, root_key=_noted("root key")) as kms:
        opened = kms.decrypt(CiphertextBlob=_noted("blob"), EncryptionContext={"a": "b"}, KeyId="alias/old")
        metadata = kms.describe_key(KeyId="alias/old")["KeyMetadata"]

    assert (opened["Plaintext"], metadata["KeySpec"]) == (b"from long ago", "SYMMETRIC_DEFAULT")


def test_an_old_file_is_of_this_version_once_opened(old: Path) -> None:
    assert _version(old) == 1
    LocalKms.open(old, root_key=_noted("root key")).close()

    assert _version(old) == SCHEMA_VERSION


def test_an_old_file_takes_keys_of_the_new_kinds(old: Path) -> None:
    with LocalKms.open(old, root_key=_noted("root key")) as kms:
        made = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    with LocalKms.open(old, root_key=_noted("root key")) as kms:
        assert made == kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"]


def test_an_old_file_opened_with_another_root_key_is_left_as_it_is(old: Path) -> None:
    with pytest.raises(KeyStoreError, match="is not that of the key store"):
        LocalKms.open(old, root_key=hashlib.sha256(b"another").digest())

    assert _version(old) == 1


def test_a_program_of_another_version_that_has_it_open_is_told_to_start_again(database: Path) -> None:
    with LocalKms.open(database) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        with closing(sqlite3.connect(database)) as later:
            later.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        for call in (kms.create_key, lambda: kms.generate_data_key(KeyId=key_id, KeySpec="AES_256"), kms.list_keys):
            with pytest.raises(KeyStoreError, match=f"one of schema {SCHEMA_VERSION + 1} while it was open .* start"):
                call()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM keys").fetchone() == (1,)
