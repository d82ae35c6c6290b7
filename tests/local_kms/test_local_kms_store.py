"""The file: what is in it, who may open it, and what happens to one that is not right."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.store import opening
from envelope_sdk.local_kms.store.opening import default_root_key_path
from envelope_sdk.local_kms.store.root_key import make_root_key_file
from envelope_sdk.local_kms.store.rows.transaction import forgive
from envelope_sdk.local_kms.store.schema import SCHEMA_VERSION
from envelope_sdk.local_kms.store.session import translate
from envelope_sdk.local_kms.store.sources import Keeper
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

_SCOPE = Scope("000000000000", "us-east-1")


def _make(database: Path) -> tuple[str, bytes]:
    with LocalKms.open(database) as kms:
        key_id = kms.create_key(Description="kept", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
        return key_id, kms.encrypt(KeyId=key_id, Plaintext=b"secret")["CiphertextBlob"]


def _change(database: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_keys_and_aliases_outlive_the_process(database: Path) -> None:
    key_id, blob = _make(database)
    with LocalKms.open(str(database)) as kms:
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
        metadata = kms.describe_key(KeyId="alias/a")["KeyMetadata"]
        assert (metadata["KeyId"], metadata["Description"]) == (key_id, "kept")


def test_tags_and_policy_are_kept(database: Path) -> None:
    key_id, _ = _make(database)
    store = SqliteStore.open(database, None, system_random)
    with store.read() as transaction:
        assert transaction.tags(_SCOPE, key_id) == {"a": "b"}
        key = transaction.key(_SCOPE, key_id)
        assert isinstance(key, Key)
        assert "arn:aws:iam::000000000000:root" in key.policy
    store.close()


def test_files_are_their_owners_alone(database: Path) -> None:
    with LocalKms.open(database) as kms:
        kms.create_key()
        files = sorted(path.name for path in database.parent.iterdir())
        assert files == ["keys.db", "keys.db-shm", "keys.db-wal", "keys.db.rootkey"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in database.parent.iterdir()} == {0o600}


def test_the_file_is_written_ahead_and_synced_fully(database: Path) -> None:
    store = SqliteStore.open(database, None, system_random)
    with store.write() as transaction:
        connection = transaction._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    store.close()


def test_material_is_nowhere_in_the_file_in_the_clear(database: Path) -> None:
    made: list[bytes] = []

    def random(length: int) -> bytes:
        made.append(os.urandom(length))
        return made[-1]

    with LocalKms.open(database, random=random) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        root_key, material = [value for value in made if len(value) == 32 and value not in _public(kms, key_id)]
        assert kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    content = b"".join(path.read_bytes() for path in database.parent.glob("keys.db*"))
    assert material not in content
    assert root_key not in content


def _public(kms: LocalKms, key_id: str) -> list[bytes]:
    material_id = bytes.fromhex(kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"])
    # Two bits of an id are fixed: the random bytes it came from differ from it in these.
    return [bytes([material_id[0] & 0x3F | high]) + material_id[1:] for high in (0, 0x40, 0x80, 0xC0)]


def test_an_erased_key_leaves_nothing_in_the_file(database: Path, clock: Any) -> None:
    with LocalKms.open(database, clock=clock) as kms:
        metadata = kms.create_key()["KeyMetadata"]
        wrapped = _wrapped(database)
        assert wrapped in _content(database)
        kms.schedule_key_deletion(KeyId=metadata["KeyId"], PendingWindowInDays=7)
        clock.advance(days=7)
        assert kms.list_keys()["Keys"] == []
        assert wrapped not in _content(database)
        assert metadata["KeyId"].encode() not in _content(database)


class _Erased:
    """A key erased while somebody reads, so that its row still stands in the log."""

    def __init__(self, database: Path, clock: Any, patience: float = 10.0) -> None:
        self.database = database
        self.kms = LocalKms(SqliteStore.open(database, None, system_random, patience), clock=clock)
        key_id = self.kms.create_key()["KeyMetadata"]["KeyId"]
        self.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        self.wrapped = _wrapped(database)
        self.reader = sqlite3.connect(database, isolation_level=None)
        self.reader.execute("BEGIN")
        self.reader.execute("SELECT count(*) FROM keys").fetchone()
        clock.advance(days=7)
        assert self.kms.list_keys()["Keys"] == []
        assert self.still_there

    @property
    def still_there(self) -> bool:
        return self.wrapped in _content(self.database)


def test_erasing_waits_for_no_reader(database: Path, clock: Any) -> None:
    # Were it to wait, it would do so for ten minutes.
    erased = _Erased(database, clock, patience=600)
    erased.kms.create_key()
    assert erased.still_there
    erased.reader.close()
    erased.kms.close()


@pytest.mark.parametrize("who", ["the same", "another"])
def test_an_erased_key_is_gone_with_the_next_write_after_the_reader(database: Path, clock: Any, who: str) -> None:
    erased = _Erased(database, clock)
    other = LocalKms.open(database)
    erased.reader.close()
    assert erased.still_there
    (erased.kms if who == "the same" else other).create_key()
    assert not erased.still_there
    for kms in (erased.kms, other):
        kms.close()


def test_an_erased_key_is_gone_when_the_file_is_next_opened_or_closed(database: Path, clock: Any) -> None:
    erased = _Erased(database, clock)
    other = LocalKms.open(database)
    assert erased.still_there
    erased.reader.close()
    # As after a kill: the one that erased does nothing more.
    LocalKms.open(database).close()
    assert not erased.still_there
    other.close()
    erased.kms.close()


def test_an_erased_key_is_gone_when_one_of_two_is_closed(database: Path, clock: Any) -> None:
    erased = _Erased(database, clock)
    other = LocalKms.open(database)
    erased.reader.close()
    erased.kms.close()
    assert not erased.still_there
    other.close()


def test_emptying_the_log_pays_for_no_erasure_that_came_meanwhile(database: Path, clock: Any) -> None:
    erased = _Erased(database, clock)
    erased.reader.close()
    store = SqliteStore.open(database, None, system_random)
    erased.kms.close()
    with store.write() as transaction:
        transaction._connection.execute("INSERT INTO meta VALUES ('log to be emptied', x'02')")
        forgive(transaction._connection, b"\x01")
        assert transaction.debt() == b"\x02"
    with store.read() as transaction:
        assert transaction.debt() is None
    store.close()


def _wrapped(database: Path) -> bytes:
    connection = sqlite3.connect(database)
    (wrapped,) = connection.execute("SELECT wrapped FROM materials").fetchone()
    connection.close()
    assert isinstance(wrapped, bytes)
    return wrapped


def _content(database: Path) -> bytes:
    return b"".join(path.read_bytes() for path in database.parent.glob("keys.db*"))


def test_rows_of_two_keys_cannot_be_swapped(database: Path) -> None:
    key_id, blob = _make(database)
    with LocalKms.open(database) as kms:
        kms.create_key()
    _change(database, "UPDATE materials SET wrapped = (SELECT wrapped FROM materials WHERE key_id != ?)", key_id)
    with LocalKms.open(database) as kms, pytest.raises(KeyStoreError, match="does not authenticate"):
        kms.decrypt(CiphertextBlob=blob)


@pytest.mark.parametrize("value", ["zeroblob(60)", "x''", "'text'", "5"])
def test_altered_material_is_noticed(database: Path, value: str) -> None:
    _, blob = _make(database)
    _change(database, f"UPDATE materials SET wrapped = {value}")
    with LocalKms.open(database) as kms, pytest.raises(KeyStoreError, match="does not authenticate"):
        kms.decrypt(CiphertextBlob=blob)


@pytest.mark.parametrize(
    "change", ["state = 'Merry'", "created = 99999999999999999", "created = 'now'", "role = 'SPARE'"]
)
def test_a_damaged_record_is_an_error_of_the_store(database: Path, change: str) -> None:
    _make(database)
    _change(database, "DELETE FROM aliases")
    _change(database, "DELETE FROM materials")
    _change(database, f"UPDATE keys SET {change}")
    store = SqliteStore.open(database, None, system_random)
    with store.read() as transaction, pytest.raises(KeyStoreError, match="damaged"):
        transaction.keys(_SCOPE, "", 10)
    store.close()


def test_a_later_schema_is_refused(database: Path) -> None:
    _make(database)
    _change(database, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(KeyStoreError, match="later version of envelope-sdk"):
        LocalKms.open(database)


@pytest.mark.parametrize("version", [0, -1])
def test_a_schema_that_never_was_is_refused(database: Path, version: int) -> None:
    _make(database)
    _change(database, f"PRAGMA user_version = {version}")
    with pytest.raises(KeyStoreError, match=f"is damaged: there is no schema {version}"):
        LocalKms.open(database)


def test_another_programs_database_is_refused_and_left_as_it_is(database: Path) -> None:
    _change(database, "CREATE TABLE birds (name TEXT)")
    before = database.read_bytes()
    with pytest.raises(KeyStoreError, match="another program"):
        LocalKms.open(database)
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == ["keys.db"]


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 4080])
def test_what_is_not_a_database_is_refused(database: Path, content: bytes) -> None:
    database.write_bytes(content)
    with pytest.raises(KeyStoreError, match="cannot be used"):
        LocalKms.open(database)


def test_a_damaged_file_is_an_error_of_the_store(database: Path) -> None:
    _make(database)
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    with pytest.raises(KeyStoreError):
        LocalKms.open(database).list_keys()


def test_a_path_that_no_file_can_have_is_misuse(tmp_path: Path, database: Path) -> None:
    for name in ("a\0b", "\ud800"):
        with pytest.raises(UsageError, match="no file can be called"):
            LocalKms.open(tmp_path / name)
        with pytest.raises(UsageError, match="no file can be called"):
            LocalKms.open(database, root_key=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rest", [(), ("-wal", "-shm")])
def test_a_database_that_lost_its_content_is_refused_and_left_as_it_is(database: Path, rest: tuple[str, ...]) -> None:
    _make(database)
    for name in ("", *rest):
        Path(f"{database}{name}").write_bytes(b"")
    before = sorted(path.name for path in database.parent.iterdir())
    with pytest.raises(KeyStoreError, match=r"is empty, but its root key .*keys\.db\.rootkey is there"):
        SqliteStore.open(database, None, system_random, patience=0)
    assert database.read_bytes() == b""
    assert sorted(path.name for path in database.parent.iterdir()) == before


class _Overtaken:
    """A connection that another process overtakes between two looks at an empty file."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection = sqlite3.connect(database, isolation_level=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str) -> sqlite3.Cursor:
        if statement == "PRAGMA user_version" and not list(self._database.parent.glob("*.rootkey")):
            _make(self._database)
        return self._connection.execute(statement)


def test_a_store_made_while_one_looks_is_not_taken_for_another_programs(database: Path) -> None:
    connection: Any = _Overtaken(database)
    connection.execute("PRAGMA journal_mode = WAL")
    keeper = Keeper(str(database), default_root_key_path(database), None, system_random)
    assert opening.prepare(connection, database, keeper, 10)
    connection.close()


def test_an_empty_file_without_a_root_key_becomes_a_store(database: Path) -> None:
    database.touch()
    _make(database)


def test_a_root_key_put_there_beforehand_is_used(database: Path) -> None:
    _make(database)
    database.unlink()
    assert _make(database)


def test_a_store_whose_first_use_broke_off_can_be_started_again(database: Path) -> None:
    # The header is there and so is the root key, but no table: a crash came before the commit.
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    make_root_key_file(database.with_name("keys.db.rootkey"), system_random)
    assert _make(database)


def test_a_disk_full_at_first_use_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "STATEMENTS", ("PRAGMA max_page_count = 1", *opening.STATEMENTS))
    with pytest.raises(KeyStoreError, match="the disk is full"):
        LocalKms.open(database)


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_file_locked_by_another_at_first_use_may_be_retried(
    database: Path, refused: Any, begin: str, mode: str
) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute(f"PRAGMA journal_mode = {mode}")
    other.execute(begin)
    with refused("DependencyTimeoutException"):
        SqliteStore.open(database, None, system_random, patience=0)
    other.close()
    _make(database)


def test_a_folder_that_is_not_there_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match=os.strerror(errno.ENOENT)):
        LocalKms.open(tmp_path / "nowhere" / "keys.db")


def test_a_folder_instead_of_a_file_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="cannot be opened"):
        LocalKms.open(tmp_path)


def test_a_full_disk_is_an_error_of_the_store_and_loses_nothing(database: Path) -> None:
    key_id, blob = _make(database)
    store = SqliteStore.open(database, None, system_random)
    kms = LocalKms(store)
    with store.write() as transaction:
        pages = transaction._connection.execute("PRAGMA page_count").fetchone()[0]
    # SQLite's own bound on the size of the file answers just as a full disk does.
    store._writer.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(KeyStoreError, match="the disk is full"):
        kms.create_key(Description="x" * 8192)
    assert [entry["KeyId"] for entry in kms.list_keys()["Keys"]] == [key_id]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    kms.close()


def test_a_file_locked_by_another_is_an_error_that_may_be_retried(database: Path, refused: Any) -> None:
    _, blob = _make(database)
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kms = LocalKms(SqliteStore.open(database, None, system_random, patience=0.05))
    with refused("DependencyTimeoutException"):
        kms.create_key()
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    other.execute("ROLLBACK")
    other.close()
    kms.create_key()
    kms.close()


def test_a_locked_file_answers_503_as_the_model_has_it() -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY_SNAPSHOT
    translated = translate(error, Path("x"))
    assert isinstance(translated, KmsServiceError)
    assert translated.response["ResponseMetadata"]["HTTPStatusCode"] == 503


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (sqlite3.SQLITE_READONLY, "it cannot be written"),
        (sqlite3.SQLITE_IOERR_FSYNC, "reading or writing it failed"),
        (sqlite3.SQLITE_PERM, "permission is denied"),
        (sqlite3.SQLITE_CORRUPT, "it is damaged; restore it from a backup"),
    ],
)
def test_sqlites_errors_are_put_into_words(code: int, text: str) -> None:
    error = sqlite3.OperationalError("raw")
    error.sqlite_errorcode = code
    assert str(translate(error, Path("keys.db"))) == f"the key store keys.db cannot be used: {text}"


def test_a_value_that_cannot_be_decoded_is_not_shown() -> None:
    error = sqlite3.OperationalError("Could not decode to UTF-8 column 'name' with text 'hidden'")
    assert str(translate(error, Path("keys.db"))).endswith("it is damaged; restore it from a backup")


def test_a_log_contended_for_too_long_may_be_retried() -> None:
    error = sqlite3.OperationalError("locking protocol")
    error.sqlite_errorcode = sqlite3.SQLITE_PROTOCOL
    assert isinstance(translate(error, Path("x")), KmsServiceError)


_CLOSED_CALLS: list[Callable[[LocalKms], object]] = [
    lambda kms: kms.list_keys(),
    lambda kms: kms.create_key(),
    lambda kms: kms.generate_data_key(KeyId="alias/a", KeySpec="AES_256"),
]


@pytest.mark.parametrize("call", _CLOSED_CALLS, ids=["read", "write", "cryptography"])
def test_a_closed_kms_says_so(database: Path, call: Callable[[LocalKms], object]) -> None:
    _make(database)
    kms = LocalKms.open(database)
    kms.generate_data_key(KeyId="alias/a", KeySpec="AES_256")
    kms.close()
    kms.close()
    with pytest.raises(KeyStoreError, match="closed"):
        call(kms)


def test_a_failed_write_leaves_nothing_behind(database: Path) -> None:
    store = SqliteStore.open(database, None, system_random)
    kms = LocalKms(store)
    metadata = kms.create_key()["KeyMetadata"]

    def fail_midway() -> None:
        with store.write() as transaction:
            transaction.erase_keys(metadata["CreationDate"])
            transaction._connection.execute("DELETE FROM keys")
            raise LookupError

    with pytest.raises(LookupError):
        fail_midway()
    assert len(kms.list_keys()["Keys"]) == 1
    kms.close()


def test_in_memory_stores_share_nothing() -> None:
    with LocalKms.in_memory() as first, LocalKms.in_memory() as second:
        first.create_key()
        assert second.list_keys()["Keys"] == []


def test_sqlites_name_for_memory_is_the_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key_id, _ = _make(Path(":memory:"))
    assert (tmp_path / ":memory:").exists()
    with LocalKms.open(":memory:") as kms:
        assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"] == "kept"
