"""Another root key for a store in use: from any source to any other, and killed at any step."""

from __future__ import annotations

import base64
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from testkit.processes import in_child

import envelope_sdk.local_kms.store
from envelope_sdk.errors import KeyringError, KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import ROOT_KEY_VARIABLE, LocalKms, Passphrase
from envelope_sdk.local_kms.model import AccessKey
from envelope_sdk.local_kms.store.root_key import make_root_key_file
from envelope_sdk.local_kms.store.root_key_files import waiting_path
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.aead import AESGCM
from envelope_sdk.primitives.entropy import system_random

_KEY = bytes(range(32))
_OTHER = bytes(range(32, 64))


class _Vault:
    """Wraps root keys, as a token does."""

    def __init__(self, key: bytes = bytes(32)) -> None:
        self._aead = AESGCM(key)
        self.wrapped: list[bytes] = []

    def __str__(self) -> str:
        return "the key of a test's vault"

    def wrap_root_key(self, root_key: bytes) -> bytes:
        nonce = os.urandom(12)
        self.wrapped.append(root_key)
        return nonce + self._aead.encrypt(nonce, root_key, b"")

    def unwrap_root_key(self, wrapped: bytes) -> bytes:
        try:
            return self._aead.decrypt(wrapped[:12], wrapped[12:], b"")
        except Exception:  # noqa: BLE001
            raise KeyringError("the vault does not open") from None


_SOURCES: dict[str, Callable[[Path], Any]] = {
    "file beside": lambda _: None,
    "file elsewhere": lambda folder: folder / "elsewhere.key",
    "bytes": lambda _: _KEY,
    "passphrase": lambda _: Passphrase("correct horse"),
    "wrapped": lambda _: _Vault(),
}
_NEW_SOURCES: dict[str, Callable[[Path], Any]] = _SOURCES | {
    "bytes": lambda _: _OTHER,
    "passphrase": lambda _: Passphrase("battery staple"),
}


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_KEY_VARIABLE, raising=False)


def _make(database: Path, root_key: Any = None) -> list[bytes]:
    """Make a store with three keys, and return what they have encrypted."""
    with LocalKms.open(database, root_key=root_key) as kms:
        ids = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)]
        kms.create_alias(AliasName="alias/a", TargetKeyId=ids[0])
        return [kms.encrypt(KeyId=key_id, Plaintext=b"secret")["CiphertextBlob"] for key_id in ids]


def _decrypts(kms: LocalKms, blobs: list[bytes]) -> bool:
    return [kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs] == [b"secret"] * len(blobs)


def _opens(database: Path, root_key: Any, blobs: list[bytes]) -> bool:
    with LocalKms.open(database, root_key=root_key) as kms:
        return _decrypts(kms, blobs)


def _wrapped(database: Path) -> set[bytes]:
    with closing(sqlite3.connect(database)) as connection:
        return {row[0] for row in connection.execute("SELECT wrapped FROM materials")}


@pytest.mark.parametrize("after", _NEW_SOURCES)
@pytest.mark.parametrize("before", _SOURCES)
def test_any_source_may_follow_any_other(database: Path, tmp_path: Path, before: str, after: str) -> None:
    old, new = _SOURCES[before](tmp_path), _NEW_SOURCES[after](tmp_path)
    blobs = _make(database, old)
    was = _wrapped(database)
    with LocalKms.open(database, root_key=old) as kms:
        kms.rotate_root_key(new)

        assert _decrypts(kms, blobs)

    assert not was & _wrapped(database)
    assert _opens(database, new, blobs)
    if before != after or before in ("bytes", "passphrase"):
        with pytest.raises(KeyStoreError, match=r"not that of the key store|takes no|holds no|is missing"):
            LocalKms.open(database, root_key=old)


def test_the_file_beside_keeps_its_name_and_the_old_one_gets_that_of_its_generation(database: Path) -> None:
    blobs = _make(database)
    beside = database.with_name("keys.db.rootkey")
    texts = [beside.read_text()]
    with LocalKms.open(database) as kms:
        for _ in range(2):
            kms.rotate_root_key()
            texts.append(beside.read_text())
    names = ["keys.db.rootkey.1", "keys.db.rootkey.2", "keys.db.rootkey"]

    assert texts == [database.with_name(name).read_text() for name in names]
    assert len(set(texts)) == 3
    assert sorted(path.name for path in database.parent.glob("*rootkey*")) == sorted(names)
    assert {path.stat().st_mode & 0o777 for path in database.parent.glob("*rootkey*")} == {0o600}
    assert _opens(database, None, blobs)


def test_an_old_file_is_never_overwritten(database: Path) -> None:
    _make(database)
    taken = database.with_name("keys.db.rootkey.1")
    taken.write_text("somebody else's")
    old = database.with_name("keys.db.rootkey").read_text()
    with LocalKms.open(database) as kms:
        kms.rotate_root_key()

    assert taken.read_text() == "somebody else's"
    assert database.with_name("keys.db.rootkey.1.1").read_text() == old


def test_the_file_beside_is_put_aside_when_the_root_key_comes_from_elsewhere(database: Path) -> None:
    _make(database)
    old = database.with_name("keys.db.rootkey").read_text()
    with LocalKms.open(database) as kms:
        kms.rotate_root_key(Passphrase("correct horse"))

    assert [path.name for path in database.parent.glob("*rootkey*")] == ["keys.db.rootkey.1"]
    assert database.with_name("keys.db.rootkey.1").read_text() == old


def test_a_file_elsewhere_is_left_where_it_is(database: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared.key"
    blobs = _make(database, shared)
    others = _make(tmp_path / "other.db", shared)
    with LocalKms.open(database, root_key=shared) as kms:
        kms.rotate_root_key()

    assert _opens(database, None, blobs)
    assert _opens(tmp_path / "other.db", shared, others)


def test_a_file_that_holds_another_root_key_is_taken_as_it_is(database: Path, tmp_path: Path) -> None:
    blobs = _make(database)
    ready = tmp_path / "ready.key"
    make_root_key_file(ready, system_random)
    text = ready.read_text()
    with LocalKms.open(database) as kms:
        kms.rotate_root_key(ready)

    assert ready.read_text() == text
    assert _opens(database, ready, blobs)


def test_the_environment_may_hold_the_new_one(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = _make(database)
    with LocalKms.open(database) as kms:
        monkeypatch.setenv(ROOT_KEY_VARIABLE, base64.b64encode(_KEY).decode())
        kms.rotate_root_key()

    assert _opens(database, _KEY, blobs)


def test_a_passphrase_may_follow_itself_with_another_salt(database: Path) -> None:
    blobs = _make(database, Passphrase("correct horse"))
    was = _wrapped(database)
    with LocalKms.open(database, root_key=Passphrase("correct horse")) as kms:
        kms.rotate_root_key(Passphrase("correct horse"))

    assert not was & _wrapped(database)
    assert _opens(database, Passphrase("correct horse"), blobs)


def test_the_same_root_key_is_refused(database: Path) -> None:
    blobs = _make(database, _KEY)
    was = _wrapped(database)
    with LocalKms.open(database, root_key=_KEY) as kms, pytest.raises(UsageError, match="is under already"):
        kms.rotate_root_key(_KEY)

    assert was == _wrapped(database)
    assert _opens(database, _KEY, blobs)


@pytest.mark.parametrize("root_key", ["text", 5])
def test_a_source_of_another_kind_is_refused(database: Path, root_key: Any) -> None:
    _make(database, _KEY)
    with LocalKms.open(database, root_key=_KEY) as kms, pytest.raises(TypeError, match="give 32 bytes"):
        kms.rotate_root_key(root_key)


def test_a_file_that_cannot_be_written_changes_nothing(database: Path, tmp_path: Path) -> None:
    blobs = _make(database)
    with LocalKms.open(database) as kms, pytest.raises(KeyStoreError, match="cannot be written"):
        kms.rotate_root_key(tmp_path / "nowhere" / "root.key")

    assert _opens(database, None, blobs)


def test_a_damaged_key_stops_it_before_anything_is_changed(database: Path) -> None:
    blobs = _make(database, _KEY)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE materials SET wrapped = zeroblob(60) WHERE key_id = (SELECT max(key_id) FROM keys)")
    was = _wrapped(database)
    with LocalKms.open(database, root_key=_KEY) as kms:
        with pytest.raises(KeyStoreError, match="does not authenticate"):
            kms.rotate_root_key(_OTHER)

        assert was == _wrapped(database)
        assert sum(_survives(kms, blob) for blob in blobs) == 2


def _survives(kms: LocalKms, blob: bytes) -> bool:
    try:
        return kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    except (KeyStoreError, KmsServiceError):
        return False


def test_nothing_wrapped_under_the_old_root_key_stays_in_the_files(database: Path) -> None:
    _make(database)
    with LocalKms.open(database) as kms:
        was = _wrapped(database)
        kms.rotate_root_key()
        content = b"".join(path.read_bytes() for path in database.parent.glob("keys.db*"))

        assert not [wrapped for wrapped in was if wrapped in content]


def test_a_store_in_memory_takes_another_too(tmp_path: Path) -> None:
    with LocalKms.in_memory() as kms:
        blob = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"secret")["CiphertextBlob"]
        kms.rotate_root_key(_KEY)

        assert _decrypts(kms, [blob])
        with pytest.raises(UsageError, match="needs a root key"):
            kms.rotate_root_key()


def test_secrets_of_access_keys_are_wrapped_anew_too(database: Path) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    user = "arn:aws:iam::000000000000:user/a"
    key = AccessKey(
        access_key_id="AKIA1",
        account="000000000000",
        arn=user,
        created=moment,
        expiry=None,
        document="{}",
        secret=bytearray(b"x" * 40),
    )
    store = SqliteStore.open(database, _KEY, system_random)
    with store.write() as change:
        change.put_access_key(key)
    store.rotate_root_key(_OTHER)
    store.close()
    store = SqliteStore.open(database, _OTHER, system_random)
    with store.read() as look:
        assert look.access_key("AKIA1") == key
    store.close()


def test_material_whose_secret_is_gone_stays_gone(database: Path) -> None:
    blobs = _make(database, _KEY)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE materials SET wrapped = NULL WHERE key_id = (SELECT max(key_id) FROM keys)")
    with LocalKms.open(database, root_key=_KEY) as kms:
        kms.rotate_root_key(_OTHER)

        assert sum(wrapped is None for wrapped in _wrapped(database)) == 1
        assert sum(_survives(kms, blob) for blob in blobs) == 2


# --- others who have the store open ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file beside", "wrapped"])
def test_others_with_the_same_source_go_on(database: Path, tmp_path: Path, kind: str) -> None:
    source = _SOURCES[kind](tmp_path)
    blobs = _make(database, source)
    with LocalKms.open(database, root_key=source) as kms, LocalKms.open(database, root_key=source) as other:
        kms.rotate_root_key(source)

        assert _decrypts(other, blobs)
        made = other.create_key()["KeyMetadata"]["KeyId"]
        kms.generate_data_key(KeyId=made, KeySpec="AES_256")


def test_others_who_cannot_have_the_new_one_are_told_so_and_can_open_again(database: Path) -> None:
    blobs = _make(database)
    with LocalKms.open(database) as kms, LocalKms.open(database) as other:
        assert _decrypts(other, blobs)
        kms.rotate_root_key(Passphrase("correct horse"))
        for call in (lambda: _decrypts(other, blobs), other.create_key):
            with pytest.raises(KeyStoreError, match=r"was changed while the key store was open: .*a passphrase"):
                call()

        assert _decrypts(kms, blobs)
    assert _opens(database, Passphrase("correct horse"), blobs)


def test_the_store_that_changed_it_goes_on_whatever_it_was_opened_with(database: Path) -> None:
    blobs = _make(database, _KEY)
    with LocalKms.open(database, root_key=_KEY) as kms:
        kms.rotate_root_key(_OTHER)
        kms.rotate_root_key(Passphrase("correct horse"))
        kms.create_key()

        assert _decrypts(kms, blobs)


def test_a_look_that_began_before_still_unwraps(database: Path) -> None:
    _make(database)
    store = SqliteStore.open(database, None, system_random)
    with closing(sqlite3.connect(database)) as connection:
        account, region, material_id = connection.execute(
            "SELECT account, region, material_id FROM materials"
        ).fetchone()
    scope = envelope_sdk.local_kms.identifiers.Scope(account, region)
    with store.read() as look:
        before = look.material(scope, material_id)
        store.rotate_root_key(_KEY)

        assert look.material(scope, material_id) == before
    with store.read() as look:
        assert look.material(scope, material_id) == before
    store.close()


def test_threads_that_use_keys_meanwhile_notice_nothing(database: Path) -> None:
    blobs = _make(database, _KEY)
    store = SqliteStore.open(database, _KEY, system_random)
    stop = threading.Event()
    errors: list[Exception] = []

    def use() -> None:
        kms = LocalKms(store)
        while not stop.is_set():
            try:
                assert _decrypts(kms, blobs)
                kms.create_key()
            except Exception as error:  # noqa: BLE001
                errors.append(error)
                return

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        store.rotate_root_key(_OTHER if number % 2 == 0 else _KEY)
    stop.set()
    for thread in threads:
        thread.join()
    store.close()

    assert errors == []
    assert _opens(database, _KEY, blobs)


# --- a key elsewhere that it is wrapped under ------------------------------------------------------------------------


def test_a_wrapped_root_key_is_in_the_database_only_as_it_was_wrapped(database: Path) -> None:
    vault = _Vault()
    blobs = _make(database, vault)
    (root_key,) = vault.wrapped

    assert root_key not in b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert _opens(database, _Vault(), blobs)
    assert [path.name for path in database.parent.glob("*rootkey*")] == []


def test_a_key_that_does_not_unwrap_it_is_named(database: Path) -> None:
    _make(database, _Vault())
    with pytest.raises(KeyStoreError, match="cannot be had from the key of a test's vault: the vault does not open"):
        LocalKms.open(database, root_key=_Vault(_KEY))
    with pytest.raises(KeyStoreError, match="which was made with the key of a test's vault"):
        LocalKms.open(database, root_key=_KEY)


def test_a_store_made_without_one_has_nothing_to_unwrap(database: Path) -> None:
    _make(database, _KEY)
    with pytest.raises(KeyStoreError, match="holds no root key for the key of a test's vault to unwrap"):
        LocalKms.open(database, root_key=_Vault())


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_root_key_of_another_length_is_none(database: Path, length: int) -> None:
    class Short(_Vault):
        def unwrap_root_key(self, wrapped: bytes) -> bytes:
            return bytes(length)

    _make(database, _Vault())
    with pytest.raises(KeyStoreError, match="unwrapped no root key: it has to be 32 bytes"):
        LocalKms.open(database, root_key=Short())


# --- killed ----------------------------------------------------------------------------------------------------------

_WATCHED = str(Path(envelope_sdk.local_kms.store.__file__).parent)


class _Killer:
    """Kills its own process at one of the lines that the store's code comes to."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(_WATCHED):
            return None
        if event == "line":
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
        return self


def _rotate_until(database: Path, new: Any, line: int) -> int:
    def rotate() -> bool:
        kms = LocalKms.open(database)
        sys.settrace(_Killer(line))
        kms.rotate_root_key(new)
        return True

    return in_child(rotate)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file beside", "file elsewhere", "bytes"])
def test_killed_at_any_step_it_leaves_a_store_that_opens_with_the_old_or_the_new(tmp_path: Path, kind: str) -> None:
    outcomes: dict[int, set[str]] = {}
    for line in range(0, 2000, 3):
        folder = tmp_path / str(line)
        folder.mkdir()
        database = folder / "keys.db"
        blobs = _make(database)
        new = _NEW_SOURCES[kind](folder)
        code = _rotate_until(database, new, line)
        opened = _which_opens(database, new, blobs)

        assert opened, f"at line {line}"
        outcomes.setdefault(code, set()).add(opened)
        if code == 0:
            break
        # It is no hindrance to the next attempt, however far the last one came.
        with LocalKms.open(database, root_key=None if opened == "old" else new) as kms:
            kms.rotate_root_key()
        assert _opens(database, None, blobs)
    expected = {"old"} if kind == "file beside" else {"old", "new"}

    assert outcomes == {-signal.SIGKILL: expected, 0: {"old"} if kind == "file beside" else {"new"}}


def _which_opens(database: Path, new: Any, blobs: list[bytes]) -> str:
    for name, source in (("old", None), ("new", new)):
        try:
            if _opens(database, source, blobs):
                return name
        except KeyStoreError:
            continue
    return ""


def test_a_new_file_that_waits_for_its_place_gets_it_with_the_next_opening(database: Path) -> None:
    blobs = _make(database)
    beside = database.with_name("keys.db.rootkey")
    old = beside.read_text()
    with LocalKms.open(database) as kms:
        kms.rotate_root_key()
    # As it was between the commit and the renaming.
    new = beside.read_text()
    beside.rename(waiting_path(beside))
    beside.with_name("keys.db.rootkey.1").rename(beside)

    assert _opens(database, None, blobs)
    assert (beside.read_text(), beside.with_name("keys.db.rootkey.1").read_text()) == (new, old)
    assert not waiting_path(beside).exists()


def test_a_new_file_that_was_never_in_force_is_not_used(database: Path) -> None:
    blobs = _make(database)
    beside = database.with_name("keys.db.rootkey")
    stale = make_root_key_file(waiting_path(beside), system_random)
    old = beside.read_text()

    assert _opens(database, None, blobs)
    assert beside.read_text() == old
    with LocalKms.open(database) as kms:
        kms.rotate_root_key()
    assert base64.b64decode(beside.read_text()) != bytes(stale.secret)
