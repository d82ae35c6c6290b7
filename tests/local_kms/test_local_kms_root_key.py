"""The root key: where it comes from, and what happens when it is missing, wrong or open to others."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms import ROOT_KEY_VARIABLE, LocalKms, Passphrase
from envelope_sdk.local_kms.store.passphrase import Derivation
from envelope_sdk.local_kms.store.root_key import RootKey, decode_root_key, load_root_key, make_root_key_file
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper
from envelope_sdk.primitives.entropy import system_random

_KEY = bytes(range(32))
_OTHER = bytes(32)


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_KEY_VARIABLE, raising=False)


def _make(database: Path, **parameters: Any) -> str:
    with LocalKms.open(database, **parameters) as kms:
        return kms.create_key()["KeyMetadata"]["KeyId"]


def _opens(database: Path, key_id: str, **parameters: Any) -> bool:
    with LocalKms.open(database, **parameters) as kms:
        return len(kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["Plaintext"]) == 32


def test_by_default_it_is_a_file_next_to_the_database(database: Path) -> None:
    key_id = _make(database)
    text = database.with_name("keys.db.rootkey").read_text()
    assert len(base64.b64decode(text)) == 32
    assert _opens(database, key_id)


def test_it_may_be_a_file_elsewhere(database: Path, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    file = tmp_path / "safe" / "root"
    key_id = _make(database, root_key=file)
    assert file.exists()
    assert not database.with_name("keys.db.rootkey").exists()
    assert _opens(database, key_id, root_key=file)


def test_it_may_be_given(database: Path) -> None:
    key_id = _make(database, root_key=_KEY)
    assert _opens(database, key_id, root_key=_KEY)
    assert [path.name for path in database.parent.glob("*rootkey*")] == []


def test_it_may_stand_in_the_environment(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_KEY_VARIABLE, base64.b64encode(_KEY).decode())
    key_id = _make(database)
    assert _opens(database, key_id)
    assert _opens(database, key_id, root_key=_KEY)


def test_what_is_given_goes_before_the_environment(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_KEY_VARIABLE, base64.b64encode(_OTHER).decode())
    key_id = _make(database, root_key=_KEY)
    assert _opens(database, key_id, root_key=_KEY)


def test_it_may_come_from_a_passphrase(database: Path) -> None:
    key_id = _make(database, root_key=Passphrase("correct horse"))
    assert _opens(database, key_id, root_key=Passphrase("correct horse"))
    with pytest.raises(KeyStoreError, match="the root key from the passphrase is not that of the key store"):
        LocalKms.open(database, root_key=Passphrase("wrong horse"))


@pytest.mark.parametrize("name", ["argon2id", "scrypt"])
def test_both_derivations_can_be_read_back(name: str) -> None:
    cheap = {"argon2id": {"iterations": 1, "lanes": 1, "memory_cost": 64}, "scrypt": {"n": 16, "r": 1, "p": 1}}
    derivation = Derivation(name, bytes(16), cheap[name])
    again = Derivation.from_json(derivation.to_json())
    assert again == derivation
    assert again.derive(b"x") == derivation.derive(b"x") != derivation.derive(b"y")


def test_a_new_derivation_has_a_salt_of_its_own() -> None:
    assert Derivation.new(system_random).salt != Derivation.new(system_random).salt
    assert Derivation.new(system_random, "scrypt").costs == {"n": 131072, "r": 8, "p": 1}


@pytest.mark.parametrize(
    ("name", "costs"),
    [
        ("argon2id", {"iterations": 3, "lanes": 4, "memory_cost": 2**40}),
        ("argon2id", {"iterations": 10**9, "lanes": 4, "memory_cost": 65536}),
        ("argon2id", {"iterations": 3, "lanes": 4}),
        ("scrypt", {"n": 2**40, "r": 8, "p": 1}),
        ("scrypt", {"n": True, "r": 8, "p": 1}),
        ("scrypt", {"n": 0, "r": 8, "p": 1}),
    ],
)
def test_a_file_cannot_ask_for_all_time_and_memory(name: str, costs: dict[str, int]) -> None:
    text = json.dumps({"name": name, "salt": base64.b64encode(bytes(16)).decode(), "costs": costs})
    with pytest.raises(KeyStoreError, match="is taken"):
        Derivation.from_json(text)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"name": "md5", "salt": "", "costs": {}}', '{"name": [], "salt": "", "costs": {}}']
)
def test_a_damaged_derivation_is_an_error_of_the_store(text: str) -> None:
    with pytest.raises(KeyStoreError, match="damaged"):
        Derivation.from_json(text)


def test_costs_that_cannot_work_are_an_error_of_the_store() -> None:
    with pytest.raises(KeyStoreError, match="does not run"):
        Derivation("scrypt", bytes(16), {"n": 15, "r": 1, "p": 1}).derive(b"x")


def test_a_missing_file_is_asked_for_and_never_replaced(database: Path) -> None:
    _make(database)
    file = database.with_name("keys.db.rootkey")
    file.unlink()
    with pytest.raises(KeyStoreError, match=r"is missing: there is no file .*keys.db.rootkey.* give or restore"):
        LocalKms.open(database)
    assert not file.exists()


@pytest.mark.parametrize(
    ("made_with", "words"), [(_KEY, "given by the program"), (Passphrase("x"), "made with a passphrase")]
)
def test_the_error_says_what_the_store_was_made_with(database: Path, made_with: Any, words: str) -> None:
    _make(database, root_key=made_with)
    with pytest.raises(KeyStoreError, match=words):
        LocalKms.open(database)


def test_a_passphrase_opens_no_store_made_without_one(database: Path) -> None:
    _make(database)
    with pytest.raises(
        KeyStoreError, match=r"takes no passphrase: it was made with the root key file keys\.db\.rootkey"
    ):
        LocalKms.open(database, root_key=Passphrase("x"))


def test_a_wrong_one_is_refused_at_once_and_not_shown(database: Path) -> None:
    _make(database, root_key=_KEY)
    with pytest.raises(KeyStoreError, match="is not that of the key store") as caught:
        LocalKms.open(database, root_key=b"Z" * 32)
    assert "ZZZ" not in str(caught.value)


def test_a_store_without_its_record_of_the_root_key_is_damaged(database: Path) -> None:
    _make(database, root_key=_KEY)
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("DELETE FROM meta")
    connection.close()
    with pytest.raises(KeyStoreError, match="holds no record of its root key"):
        LocalKms.open(database, root_key=_KEY)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_open_to_others_is_refused(database: Path, mode: int) -> None:
    _make(database)
    file = database.with_name("keys.db.rootkey")
    file.chmod(mode)
    with pytest.raises(KeyStoreError, match=f"run chmod 600 {file}"):
        LocalKms.open(database)


@pytest.mark.parametrize("content", [b"", b"secret-but-wrong", base64.b64encode(bytes(31)), b"\xff" * 44])
def test_a_file_that_holds_no_root_key_is_refused_and_not_shown(database: Path, content: bytes) -> None:
    _make(database)
    database.with_name("keys.db.rootkey").write_bytes(content)
    with pytest.raises(KeyStoreError, match="base64 of 32 bytes") as caught:
        LocalKms.open(database)
    assert "secret-but-wrong" not in str(caught.value)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="cannot be read"):
        load_root_key(tmp_path)


def test_a_named_pipe_in_place_of_the_file_is_refused_and_not_waited_for(database: Path) -> None:
    os.mkfifo(database.with_name("keys.db.rootkey"), 0o600)
    with pytest.raises(KeyStoreError, match="not a regular file"):
        LocalKms.open(database)


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="cannot be written"):
        make_root_key_file(tmp_path / "nowhere" / "root", system_random)


def test_a_variable_that_holds_no_root_key_is_refused(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_KEY_VARIABLE, "secret-but-wrong")
    with pytest.raises(KeyStoreError, match="the environment variable ENVELOPE_KMS_ROOT_KEY") as caught:
        LocalKms.open(database)
    assert "secret-but-wrong" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_one_of_another_length_is_refused(database: Path, length: int) -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        LocalKms.open(database, root_key=bytes(length))


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        Passphrase("")


def test_a_passphrase_that_utf8_cannot_express_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="UTF-8") as caught:
        Passphrase("hidden\ud800")
    assert caught.value.__context__ is None


def test_a_derivation_nested_beyond_measure_is_an_error_of_the_store() -> None:
    with pytest.raises(KeyStoreError, match="damaged"):
        Derivation.from_json("[" * 100_000)


def test_a_store_that_failed_to_start_can_be_started_again(database: Path) -> None:
    with pytest.raises(UsageError):
        LocalKms.open(database, root_key=b"short")
    assert _opens(database, _make(database))


def test_a_file_made_meanwhile_is_used(tmp_path: Path) -> None:
    first = make_root_key_file(tmp_path / "root", system_random)
    second = make_root_key_file(tmp_path / "root", system_random)
    assert first.secret == second.secret
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


_SECRETS = [
    Passphrase("hidden-words"),
    RootKey(bytearray(b"hidden-words"), "a test"),
    MaterialWrapper(RootKey(bytearray(32), "a test"), system_random),
]


@pytest.mark.parametrize("secret", _SECRETS, ids=lambda secret: type(secret).__name__)
def test_a_secret_is_neither_shown_nor_copied(secret: Any) -> None:
    assert "hidden" not in repr(secret)
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            attempt(secret)


def test_a_root_key_is_overwritten_on_request() -> None:
    root_key = decode_root_key(base64.b64encode(_KEY).decode(), "a test")
    root_key.wipe()
    assert root_key.secret == bytes(32)


@pytest.mark.parametrize("root_key", ["a path or a passphrase?", 5, bytearray(32)])
def test_one_of_another_kind_is_refused(database: Path, root_key: Any) -> None:
    with pytest.raises(TypeError, match=r"give 32 bytes, a pathlib\.Path of a root key file, or Passphrase"):
        LocalKms.open(database, root_key=root_key)
