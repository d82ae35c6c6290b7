"""Backups made while the store is used, and what is checked before one becomes the store again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms import ROOT_KEY_VARIABLE, LocalKms, Passphrase
from envelope_sdk.local_kms.store.schema import SCHEMA_VERSION

_KEY = bytes(range(32))
_SCHEMA_1 = (Path(__file__).parents[1] / "vectors" / "local_kms" / "schema-1.sql").read_text("utf-8")


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_KEY_VARIABLE, raising=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere" / "keys.db"


def _make(database: Path, root_key: Any = _KEY) -> bytes:
    with LocalKms.open(database, root_key=root_key) as kms:
        key_id = kms.create_key(Description="kept", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
        return kms.encrypt(KeyId=key_id, Plaintext=b"secret")["CiphertextBlob"]


def _backup(database: Path, copy: Path, root_key: Any = _KEY, **parameters: Any) -> None:
    with LocalKms.open(database, root_key=root_key) as kms:
        kms.backup(copy, **parameters)


def _decrypts(database: Path, blob: bytes, root_key: Any = _KEY) -> bool:
    with LocalKms.open(database, root_key=root_key) as kms:
        return kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- backup ----------------------------------------------------------------------------------------------------------


def test_a_backup_becomes_the_store_elsewhere(database: Path, copy: Path, elsewhere: Path) -> None:
    blob = _make(database)
    _backup(database, copy)
    content = copy.read_bytes()

    assert LocalKms.restore(copy, elsewhere, root_key=_KEY) is None
    assert _decrypts(elsewhere, blob)
    assert _names(elsewhere.parent) == ["keys.db"]
    assert copy.read_bytes() == content


def test_it_is_one_file_of_its_owners_alone(database: Path, copy: Path) -> None:
    _make(database)
    before = os.umask(0)
    try:
        _backup(database, copy)
    finally:
        os.umask(before)

    assert copy.stat().st_mode & 0o777 == 0o600
    assert _names(copy.parent) == ["copy.db", "keys.db"]


def test_neither_the_root_key_nor_anything_in_the_clear_is_in_it(database: Path, copy: Path) -> None:
    _make(database)
    _backup(database, copy)

    assert _KEY not in copy.read_bytes()


def test_it_has_everything_that_was_answered_before_and_is_consistent(database: Path, copy: Path) -> None:
    _make(database)
    answered: list[str] = []
    stop = threading.Event()

    def write() -> None:
        with LocalKms.open(database, root_key=_KEY) as kms:
            while not stop.is_set():
                key_id = kms.create_key()["KeyMetadata"]["KeyId"]
                kms.create_alias(AliasName=f"alias/{key_id}", TargetKeyId=key_id)
                answered.append(key_id)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        with LocalKms.open(database, root_key=_KEY) as kms:
            for number in range(5):
                known = list(answered)
                kms.backup(copy, replace=number > 0)
                _check_holds(copy, known)
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def _check_holds(copy: Path, key_ids: list[str]) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        keys = {row[0] for row in connection.execute("SELECT key_id FROM keys")}
        aliases = {row[0] for row in connection.execute("SELECT name FROM aliases")}
        without_material = connection.execute(
            "SELECT count(*) FROM keys WHERE material_id NOT IN (SELECT material_id FROM materials)"
        ).fetchone()

    assert set(key_ids) <= keys
    assert {f"alias/{key_id}" for key_id in key_ids} <= aliases
    assert without_material == (0,)


def test_a_file_that_is_there_is_replaced_only_when_asked_for(database: Path, copy: Path) -> None:
    _make(database)
    copy.write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        _backup(database, copy)

    assert copy.read_text() == "precious"
    _backup(database, copy, replace=True)
    assert copy.read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.parametrize("part", ["", "-wal", "-shm", "-journal"])
def test_it_does_not_replace_the_store_itself(database: Path, part: str) -> None:
    blob = _make(database)
    with pytest.raises(UsageError, match="is the key store itself"):
        _backup(database, Path(f"{database}{part}"), replace=True)

    assert _decrypts(database, blob)


def test_a_folder_that_is_not_there_is_an_error_of_the_store(database: Path, tmp_path: Path) -> None:
    _make(database)
    with pytest.raises(KeyStoreError, match="cannot be written: No such file"):
        _backup(database, tmp_path / "nowhere" / "copy.db")


def test_a_damaged_store_makes_no_backup_and_leaves_the_last_one(database: Path, copy: Path) -> None:
    _make(database)
    _backup(database, copy)
    good = copy.read_bytes()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM keys")
    with pytest.raises(KeyStoreError, match="damaged: records of a key that is not there"):
        _backup(database, copy, replace=True)

    assert copy.read_bytes() == good
    assert _names(copy.parent) == ["copy.db", "keys.db"]


def test_a_store_in_memory_has_none(copy: Path) -> None:
    with LocalKms.in_memory() as kms, pytest.raises(UsageError, match="in memory"):
        kms.backup(copy)


# --- restore ---------------------------------------------------------------------------------------------------------


def test_the_root_key_is_put_beside_first(database: Path, copy: Path, elsewhere: Path) -> None:
    blob = _make(database, None)
    _backup(database, copy, None)
    with pytest.raises(KeyStoreError, match=r"is missing: there is no file .*elsewhere/keys\.db\.rootkey"):
        LocalKms.restore(copy, elsewhere)

    assert _names(elsewhere.parent) == []
    shutil.copy2(database.with_name("keys.db.rootkey"), elsewhere.with_name("keys.db.rootkey"))
    LocalKms.restore(copy, elsewhere)
    assert _decrypts(elsewhere, blob, None)


def test_a_passphrase_opens_it(database: Path, copy: Path, elsewhere: Path) -> None:
    blob = _make(database, Passphrase("correct horse"))
    _backup(database, copy, Passphrase("correct horse"))
    with pytest.raises(KeyStoreError, match="is not that of the key store"):
        LocalKms.restore(copy, elsewhere, root_key=Passphrase("wrong horse"))
    LocalKms.restore(copy, elsewhere, root_key=Passphrase("correct horse"))

    assert _decrypts(elsewhere, blob, Passphrase("correct horse"))


def test_one_from_before_a_root_key_rotation_opens_with_the_root_key_of_then(database: Path, copy: Path) -> None:
    blob = _make(database, None)
    with LocalKms.open(database) as kms:
        kms.backup(copy)
        kms.rotate_root_key()
    with pytest.raises(KeyStoreError, match="is not that of the key store"):
        LocalKms.restore(copy, database, replace=True)
    old = database.with_name("keys.db.rootkey.1")
    LocalKms.restore(copy, database, root_key=old, replace=True)

    assert _decrypts(database, blob, old)


def test_one_of_an_earlier_schema_is_brought_up_to_this_one(copy: Path, elsewhere: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(_SCHEMA_1)
    root_key = bytes.fromhex(_SCHEMA_1.split("-- root key ")[1].split()[0])
    LocalKms.restore(copy, elsewhere, root_key=root_key)
    with closing(sqlite3.connect(elsewhere)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_store_that_is_there_stays_unless_it_is_to_be_put_aside(database: Path, copy: Path, elsewhere: Path) -> None:
    blob, other = _make(database), _make(elsewhere)
    _backup(database, copy)
    with pytest.raises(UsageError, match="is there already"):
        LocalKms.restore(copy, elsewhere, root_key=_KEY)

    assert _decrypts(elsewhere, other)
    aside = LocalKms.restore(copy, elsewhere, root_key=_KEY, replace=True)
    assert aside == elsewhere.with_name("keys.db.replaced-1")
    assert _decrypts(elsewhere, blob)
    assert _decrypts(aside, other)


def test_what_was_put_aside_before_is_not_overwritten(database: Path, copy: Path) -> None:
    _make(database)
    _backup(database, copy)
    names = [LocalKms.restore(copy, database, root_key=_KEY, replace=True) for _ in range(3)]

    assert names == [database.with_name(f"keys.db.replaced-{number}") for number in (1, 2, 3)]


def test_a_store_that_somebody_has_open_is_not_put_aside(database: Path, copy: Path) -> None:
    blob = _make(database)
    _backup(database, copy)
    with LocalKms.open(database, root_key=_KEY) as kms:
        with pytest.raises(KeyStoreError, match="is open in another process"):
            LocalKms.restore(copy, database, root_key=_KEY, replace=True)

        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
        kms.create_key()
    assert _names(database.parent) == ["copy.db", "keys.db"]


def test_a_damaged_store_is_put_aside_with_its_log(database: Path, copy: Path) -> None:
    blob = _make(database)
    _backup(database, copy)
    database.write_bytes(b"rubbish" * 1000)
    Path(f"{database}-wal").write_bytes(b"the rest of a log")
    LocalKms.restore(copy, database, root_key=_KEY, replace=True)

    assert _decrypts(database, blob)
    assert database.with_name("keys.db.replaced-1").read_bytes() == b"rubbish" * 1000
    assert database.with_name("keys.db.replaced-1-wal").read_bytes() == b"the rest of a log"


def test_a_log_that_was_left_behind_is_not_taken_for_the_backups(database: Path, copy: Path, elsewhere: Path) -> None:
    blob = _make(database)
    _backup(database, copy)
    Path(f"{elsewhere}-wal").write_bytes(b"the rest of a log")
    with pytest.raises(UsageError, match=r"keys\.db-wal is there already"):
        LocalKms.restore(copy, elsewhere, root_key=_KEY)
    LocalKms.restore(copy, elsewhere, root_key=_KEY, replace=True)

    assert _decrypts(elsewhere, blob)


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _changed_in_a_page(content: bytes) -> bytes:
    return content[:-4096] + b"\xff" * 4096


def _of_a_later_schema(content: bytes) -> bytes:
    return content[:60] + (SCHEMA_VERSION + 1).to_bytes(4, "big") + content[64:]


def _of_another_program(content: bytes) -> bytes:
    return content[:68] + b"abcd" + content[72:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_truncated, "damaged|cannot be used"),
        (_changed_in_a_page, "damaged|cannot be used"),
        (_of_a_later_schema, "later version of envelope-sdk"),
        (_of_another_program, "database of another program"),
        (lambda _: b"", "is empty"),
        (lambda _: b"no database" * 500, "not a database"),
    ],
    ids=["truncated", "changed", "later schema", "another program", "empty", "no database"],
)
def test_what_is_no_whole_backup_changes_nothing(
    database: Path, copy: Path, elsewhere: Path, change: Any, said: str
) -> None:
    _make(database)
    other = _make(elsewhere)
    _backup(database, copy)
    copy.write_bytes(change(copy.read_bytes()))
    with pytest.raises(KeyStoreError, match=said):
        LocalKms.restore(copy, elsewhere, root_key=_KEY, replace=True)

    assert _names(elsewhere.parent) == ["keys.db"]
    assert _decrypts(elsewhere, other)


def test_a_key_in_it_that_does_not_open_changes_nothing(database: Path, copy: Path, elsewhere: Path) -> None:
    _make(database)
    _backup(database, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE materials SET wrapped = zeroblob(60)")
    with pytest.raises(KeyStoreError, match="does not authenticate"):
        LocalKms.restore(copy, elsewhere, root_key=_KEY)

    assert _names(elsewhere.parent) == []


def test_a_store_in_use_is_no_backup(database: Path, elsewhere: Path) -> None:
    _make(database)
    with LocalKms.open(database, root_key=_KEY) as kms:
        kms.create_key()
        with pytest.raises(KeyStoreError, match="is in use, or was not closed"):
            LocalKms.restore(database, elsewhere, root_key=_KEY)


def test_a_backup_is_not_restored_onto_itself(database: Path) -> None:
    blob = _make(database)
    with pytest.raises(UsageError, match="is the key store itself"):
        LocalKms.restore(database, database, root_key=_KEY, replace=True)

    assert _decrypts(database, blob)


def test_a_backup_that_is_not_there_is_an_error_of_the_store(tmp_path: Path, elsewhere: Path) -> None:
    with pytest.raises(KeyStoreError, match="cannot be read: No such file"):
        LocalKms.restore(tmp_path / "nowhere.db", elsewhere, root_key=_KEY)
    with pytest.raises(UsageError, match="no file can be called"):
        LocalKms.restore(tmp_path / "a\0b", elsewhere, root_key=_KEY)

    assert _names(elsewhere.parent) == []


def test_a_backup_may_also_be_opened_where_it_is(database: Path, copy: Path) -> None:
    blob = _make(database)
    _backup(database, copy)

    assert _decrypts(copy, blob)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
