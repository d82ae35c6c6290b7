"""Root key rotation, backup and restore from the command line, and where the root key may be."""

from __future__ import annotations

import base64
import stat
from collections.abc import Generator
from typing import Any

import pytest
from testkit.servers import PASSWORD, Postgres, free_port, postgres

_ROOT_KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def message(envelope: Any) -> bytes:
    """A message under the default key of the usual store."""
    out: bytes = envelope.ok("encrypt", "-", stdin=b"hello").out
    return out


def _decrypts(envelope: Any, message: bytes) -> bool:
    return bool(envelope.ok("decrypt", "-", stdin=message).out == b"hello")


# --- rotation --------------------------------------------------------------------------------------------------------


def test_another_root_key_in_the_same_place(envelope: Any, message: bytes) -> None:
    beside = envelope.store.with_name("kms.db.rootkey")
    old = beside.read_text()
    ran = envelope.ok("kms", "rotate-root-key")

    assert ran.out == b""
    assert ran.lines == [
        f"the keys in {envelope.store} are under another root key now; backups made before need the old one"
    ]
    assert beside.read_text() != old == envelope.store.with_name("kms.db.rootkey.1").read_text()
    assert _decrypts(envelope, message)


@pytest.mark.parametrize(
    ("source", "setting"),
    [
        ("file:elsewhere.key", None),
        ("env:MY_ROOT_KEY", ("MY_ROOT_KEY", _ROOT_KEY)),
        ("passphrase-env:WORDS", ("WORDS", "correct horse")),
        ("passphrase-file:words.txt", None),
    ],
)
def test_the_root_key_may_move_elsewhere(
    envelope: Any, message: bytes, source: str, setting: tuple[str, str] | None
) -> None:
    envelope.write("words.txt", b"battery staple\n")
    if setting:
        envelope.env[setting[0]] = setting[1]
    ran = envelope.ok("kms", "rotate-root-key", "--new-root-key", source)

    assert ran.lines[-1] == "hint: from now on, name it with --root-key or in ENVELOPE_KMS_ROOT_KEY_FROM"
    refused = envelope("decrypt", "-", stdin=message)
    assert (refused.code, refused.out, len(refused.lines)) == (4, b"", 1)
    assert envelope.ok("kms", "--root-key", source, "list-keys").out
    envelope.env["ENVELOPE_KMS_ROOT_KEY_FROM"] = source
    assert _decrypts(envelope, message)


def test_the_option_goes_before_the_variable(envelope: Any, message: bytes) -> None:
    envelope.env["ENVELOPE_KMS_ROOT_KEY_FROM"] = "env:NOWHERE"
    beside = envelope.store.with_name("kms.db.rootkey")

    assert envelope("kms", "list-keys").code == 4
    assert envelope.ok("kms", "--root-key", f"file:{beside}", "list-keys").out


def test_a_new_root_key_that_is_the_old_one(envelope: Any) -> None:
    envelope.env["K"] = _ROOT_KEY
    envelope.ok("kms", "--root-key", "env:K", "create-key")
    ran = envelope("kms", "--root-key", "env:K", "rotate-root-key", "--new-root-key", "env:K")

    assert (ran.code, len(ran.lines)) == (2, 1)
    assert "is under already" in ran.lines[0]


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        (_ROOT_KEY, 2, "a root key is named by file:PATH"),
        ("secret-words", 2, "a root key is named by file:PATH"),
        ("passphrase:secret-words", 2, "a root key is named by file:PATH"),
        ("env:", 2, "a root key is named by file:PATH"),
        ("env:NOWHERE", 4, "the environment variable 'NOWHERE' that should hold the root key is not set"),
        ("env:SECRET", 4, "the environment variable 'SECRET' does not hold a root key: base64 of 32 bytes"),
        ("passphrase-env:NOWHERE", 4, "the environment variable 'NOWHERE'"),
        ("passphrase-file:nowhere", 4, "the passphrase cannot be read from nowhere: no such file or directory"),
        ("passphrase-file:binary", 4, "the file binary holds no passphrase"),
        ("passphrase-file:long", 4, "the file long holds no passphrase"),
        ("passphrase-file:empty", 2, "the passphrase is empty"),
        ("pkcs11:token=vault", 2, "library"),
        ("pkcs11:object=a?pin-value=secret-words", 2, "pin-value"),
    ],
)
def test_a_place_that_holds_no_root_key(envelope: Any, message: bytes, source: str, code: int, said: str) -> None:
    envelope.env["SECRET"] = "secret-words"
    for name, content in (("binary", b"secret-words\xff"), ("long", b"secret-words" * 1000), ("empty", b"\n")):
        envelope.write(name, content)
    for arguments in (("--root-key", source, "list-keys"), ("rotate-root-key", "--new-root-key", source)):
        ran = envelope("kms", *arguments)

        assert (ran.code, ran.out, len(ran.lines)) == (code, b"", 1)
        assert said in ran.lines[0]
        assert "secret-words" not in ran.err
        assert _ROOT_KEY not in ran.err
    assert _decrypts(envelope, message)


# --- backup and restore ----------------------------------------------------------------------------------------------


def test_a_backup_comes_back(envelope: Any, message: bytes) -> None:
    ran = envelope.ok("kms", "backup", "copy.db")

    assert ran.lines == [
        "wrote copy.db",
        "hint: the root key is not in it: keep a copy of that in another place, without which the backup opens nothing",
    ]
    assert stat.S_IMODE((envelope.home / "copy.db").stat().st_mode) == 0o600
    envelope.store.unlink()
    restored = envelope.ok("kms", "restore", "copy.db")
    assert restored.lines == [f"{envelope.store} is the store that was backed up to copy.db"]
    assert _decrypts(envelope, message)


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_the_store_is_no_backup_of_itself(envelope: Any, message: bytes, command: str) -> None:
    ran = envelope("kms", command, str(envelope.store))

    assert (ran.code, len(ran.lines)) == (2, 1)
    assert "is the key store itself" in ran.lines[0]


def test_a_backup_comes_back_on_another_machine(envelope: Any, message: bytes) -> None:
    envelope.ok("kms", "backup", "copy.db")
    other = ("--kms-store", "other/place/kms.db", "--root-key", f"file:{envelope.store}.rootkey")
    envelope.ok("kms", *other, "restore", "copy.db")

    assert envelope.ok("kms", *other, "list-keys").out == envelope.ok("kms", "list-keys").out


def test_files_that_are_there_are_left_alone_unless_asked_for(envelope: Any, message: bytes) -> None:
    envelope.write("copy.db", b"precious")
    ran = envelope("kms", "backup", "copy.db")

    assert (ran.code, len(ran.lines), envelope.read("copy.db")) == (2, 2, b"precious")
    assert ran.lines[1] == "hint: --force replaces the file"
    envelope.ok("kms", "backup", "-f", "copy.db")
    refused = envelope("kms", "restore", "copy.db")
    assert (refused.code, len(refused.lines)) == (2, 2)
    assert refused.lines[1] == "hint: --replace puts it aside"
    ran = envelope.ok("kms", "restore", "--replace", "copy.db")
    assert ran.lines[-1] == f"what was there before is {envelope.store}.replaced-1 now"
    assert _decrypts(envelope, message)


def test_what_is_no_backup(envelope: Any, message: bytes) -> None:
    envelope.write("copy.db", b"rubbish" * 1000)
    for name in ("copy.db", "nowhere.db"):
        ran = envelope("kms", "restore", "--replace", name)

        assert (ran.code, ran.out, len(ran.lines)) == (4, b"", 1)
    assert _decrypts(envelope, message)


@pytest.mark.parametrize("command", [("rotate-root-key",), ("backup", "copy.db")])
def test_where_there_is_no_store_none_is_made(envelope: Any, command: tuple[str, ...]) -> None:
    ran = envelope("kms", *command)

    assert (ran.code, len(ran.lines)) == (4, 1)
    assert "there is no local KMS" in ran.lines[0]
    assert list(envelope.home.iterdir()) == []


# --- keys in PostgreSQL ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def database(envelope: Any, server: Postgres) -> str:
    """A database as the usual store, with a password in its URL, and a root key in a file."""
    server.execute("DROP SCHEMA IF EXISTS envelope_kms CASCADE")
    envelope.env["ENVELOPE_KMS_STORE"] = server.asked_url
    envelope.env["ENVELOPE_KMS_ROOT_KEY_FROM"] = "file:root.key"
    return server.asked_url


def test_keys_may_be_in_a_database(envelope: Any, database: str) -> None:
    ran = envelope.ok("encrypt", "-", stdin=b"hello")

    assert ran.lines[0].endswith(" in the PostgreSQL database")
    assert _decrypts(envelope, ran.out)
    key_id = envelope.ok("kms", "list-keys", "--json").json["Keys"][0]["KeyId"]
    envelope.ok("kms", "disable-key", key_id)
    assert envelope("decrypt", "-", stdin=ran.out).code == 4
    envelope.ok("kms", "enable-key", key_id)
    envelope.ok("kms", "rotate-root-key", "--new-root-key", "file:root.key")
    assert _decrypts(envelope, ran.out)
    assert envelope.names() == {"root.key", "root.key.1"}


@pytest.mark.parametrize("command", [("backup", "copy.db"), ("restore", "copy.db")])
def test_a_database_is_backed_up_with_its_own_tools(envelope: Any, database: str, command: tuple[str, ...]) -> None:
    ran = envelope("kms", *command)

    assert (ran.code, len(ran.lines)) == (2, 1)
    assert "own tools" in ran.lines[0]


def test_a_database_needs_a_root_key_to_be_named(envelope: Any, database: str) -> None:
    envelope.ok("kms", "create-key")
    for arguments, how in (
        (("rotate-root-key",), "--new-root-key"),
        (("list-keys",), "--root-key or in ENVELOPE_KMS_ROOT_KEY_FROM"),
        (("serve", "--port", "0"), "--root-key or in ENVELOPE_KMS_ROOT_KEY_FROM"),
    ):
        if how != "--new-root-key":
            envelope.env.pop("ENVELOPE_KMS_ROOT_KEY_FROM", None)
        ran = envelope("kms", *arguments)

        assert (ran.code, len(ran.lines)) == (2, 1)
        assert ran.lines[0].endswith(f"the PostgreSQL database, which needs a root key: name it with {how}")


def test_a_database_that_is_not_there(envelope: Any, database: str) -> None:
    envelope.env["ENVELOPE_KMS_STORE"] = f"postgresql://u:hidden-word@127.0.0.1:{free_port()}/d"
    for arguments in (("kms", "list-keys"), ("encrypt", "-")):
        ran = envelope(*arguments, stdin=b"x")

        assert (ran.code, ran.out, len(ran.lines)) == (4, b"", 1)
        assert "hidden-word" not in ran.err
        assert PASSWORD not in ran.err
