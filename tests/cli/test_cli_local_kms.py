"""The local KMS behind the command: its file, its keys, and several processes at once."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from envelope_sdk import Client
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.keyrings import KmsKeyring, RawAesKeyring
from envelope_sdk.local_kms import LocalKms


@pytest.fixture
def key_id(envelope: Any) -> str:
    """A key under the alias ``alias/one``."""
    return str(envelope.ok("kms", "create-key", "--alias", "one").json["KeyId"])


def states(envelope: Any) -> dict[str, str]:
    keys = envelope.ok("kms", "list-keys", "--json").json["Keys"]
    return {key["KeyId"]: key["KeyState"] for key in keys}


# --- keys and names --------------------------------------------------------------------------------------------------


def test_the_life_of_a_key(envelope: Any, key_id: str) -> None:
    message = envelope.ok("encrypt", "-k", "local-kms://alias/one", "-", stdin=b"hello").out
    life = [
        (("disable-key", key_id), "Disabled", 4),
        (("enable-key", key_id), "Enabled", 0),
        (("schedule-key-deletion", key_id, "--days", "7"), "PendingDeletion", 4),
        (("cancel-key-deletion", key_id), "Disabled", 4),
        (("enable-key", key_id), "Enabled", 0),
    ]
    for command, state, code in life:
        envelope.ok("kms", *command)

        assert states(envelope) == {key_id: state}
        assert envelope.ok("kms", "describe-key", "alias/one").json["KeyState"] == state
        assert envelope("decrypt", "-", stdin=message).code == code
        assert envelope("encrypt", "-k", "local-kms://alias/one", "-", stdin=b"x").code == code


def test_a_key_of_another_kind(envelope: Any) -> None:
    made = envelope.ok("kms", "create-key", "--key-spec", "ECC_NIST_P256", "--key-usage", "KEY_AGREEMENT").json

    assert (made["KeySpec"], made["KeyUsage"]) == ("ECC_NIST_P256", "KEY_AGREEMENT")
    assert made == envelope.ok("kms", "describe-key", made["KeyId"]).json


def test_its_public_half_is_pem_that_others_read(envelope: Any) -> None:
    made = envelope.ok("kms", "create-key", "--key-spec", "RSA_2048", "--key-usage", "ENCRYPT_DECRYPT").json
    pem = envelope.ok("kms", "get-public-key", made["KeyId"]).out
    public = load_pem_public_key(pem)

    assert isinstance(public, RSAPublicKey)
    assert pem == public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--key-spec", "RSA_2048"], "You must specify a KeyUsage value"),
        (["--key-spec", "RSA_1024", "--key-usage", "SIGN_VERIFY"], "Member must satisfy enum value set: [RSA_2048, "),
        (["--key-usage", "SIGN_VERIFY"], "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT"),
    ],
)
def test_a_kind_of_key_that_does_not_exist(envelope: Any, options: list[str], said: str) -> None:
    ran = envelope("kms", "create-key", *options)

    assert (ran.code, ran.out) == (2, b"")
    assert said in ran.lines[0]


def test_a_symmetric_key_has_no_public_half(envelope: Any, key_id: str) -> None:
    ran = envelope("kms", "get-public-key", key_id)

    assert (ran.code == 0, ran.out, len(ran.lines)) == (False, b"", 1)
    assert ran.lines == ["envelope: UnsupportedOperationException"]


@pytest.mark.parametrize("command", ["disable-key", "enable-key", "schedule-key-deletion", "cancel-key-deletion"])
def test_a_key_that_is_not_there(envelope: Any, key_id: str, command: str) -> None:
    for nobody in ("00000000-0000-0000-0000-000000000000", "nosuch"):
        ran = envelope("kms", command, nobody)

        assert (ran.code, ran.out, len(ran.lines)) == (4, b"", 1)
        assert ran.lines[0].startswith("envelope: NotFoundException: ")


@pytest.mark.parametrize(("days", "code"), [("6", 2), ("31", 2), ("x", 2), ("7", 0), ("30", 0)])
def test_the_days_until_deletion(envelope: Any, key_id: str, days: str, code: int) -> None:
    ran = envelope("kms", "schedule-key-deletion", key_id, "--days", days)

    assert ran.code == code
    assert states(envelope) == {key_id: "Enabled" if code else "PendingDeletion"}
    if code == 0:
        assert ran.json["PendingWindowInDays"] == int(days)


def test_what_does_not_go_with_a_keys_state(envelope: Any, key_id: str) -> None:
    assert envelope("kms", "cancel-key-deletion", key_id).code == 4
    envelope.ok("kms", "schedule-key-deletion", key_id)
    for command in ("schedule-key-deletion", "enable-key", "disable-key"):
        ran = envelope("kms", command, key_id)

        assert (ran.code, ran.lines[0].split(": ")[1]) == (4, "KMSInvalidStateException")


def test_names_of_keys(envelope: Any, key_id: str) -> None:
    other = envelope.ok("kms", "create-key").json["KeyId"]
    for command, expected in (
        (("create-alias", "two", key_id), {"alias/one": key_id, "alias/two": key_id}),
        (("update-alias", "alias/two", other), {"alias/one": key_id, "alias/two": other}),
        (("delete-alias", "one"), {"alias/two": other}),
    ):
        assert envelope.ok("kms", *command).out == b""
        listed = envelope.ok("kms", "list-aliases", "--json").json["Aliases"]

        assert {alias["AliasName"]: alias["TargetKeyId"] for alias in listed} == expected
        assert envelope.ok("kms", "list-aliases").text == "".join(f"{a}  {k}\n" for a, k in sorted(expected.items()))


def test_names_that_cannot_be_given(envelope: Any, key_id: str) -> None:
    for arguments, code in (
        (("create-alias", "one", key_id), 2),
        (("create-alias", "alias/aws/s3", key_id), 4),
        (("create-alias", "two", "nosuch"), 4),
        (("update-alias", "nosuch", key_id), 4),
        (("delete-alias", "nosuch"), 4),
        (("create-alias", "a b", key_id), 2),
    ):
        ran = envelope("kms", *arguments)

        assert ran.code == code, arguments
        assert (ran.out, len(ran.lines)) == (b"", 1)
    assert [line.split()[0] for line in envelope.ok("kms", "list-aliases").text.splitlines()] == ["alias/one"]


def test_a_key_whose_name_is_refused_is_not_kept(envelope: Any, key_id: str) -> None:
    for alias in ("one", "a b", "alias/aws/mine"):
        assert envelope("kms", "create-key", "--alias", alias).code in (2, 4)

    assert [state for key, state in states(envelope).items() if key != key_id] == ["PendingDeletion"] * 3


def test_lists_longer_than_a_page_are_whole(envelope: Any) -> None:
    made = {envelope.ok("kms", "create-key", "--alias", f"a{number}").json["KeyId"] for number in range(105)}

    assert set(states(envelope)) == made
    assert len(envelope.ok("kms", "list-keys").text.splitlines()) == 105
    assert len(envelope.ok("kms", "list-aliases").text.splitlines()) == 105


def test_any_way_to_name_a_key(envelope: Any, key_id: str) -> None:
    arn = envelope.ok("kms", "describe-key", key_id).json["Arn"]
    for name in (key_id, arn, "alias/one", arn.replace(f"key/{key_id}", "alias/one")):
        message = envelope.ok("encrypt", "-k", f"local-kms://{name}", "-", stdin=b"hello").out

        assert envelope.ok("decrypt", "-k", f"local-kms://{name}", "-", stdin=message).out == b"hello"
        assert envelope.ok("decrypt", "-", stdin=message).out == b"hello"


# --- the default key -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_that_start_on_nothing_at_once_share_one_default_key(
    envelope: Any, on_a_word: str, ended: Any
) -> None:
    count = 6
    processes = [
        envelope.start("encrypt", "/dev/null", "-o", f"{number}.enc", launcher=on_a_word, stdin=subprocess.PIPE)
        for number in range(count)
    ]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    ran = [ended(process) for process in processes]

    assert [one.code for one in ran] == [0] * count, [one.err for one in ran]
    assert sum("created the key" in one.err for one in ran) == 1
    for number in range(count):
        assert envelope.ok("decrypt", f"{number}.enc", "-o", "-").out == b""
    aliases = envelope.ok("kms", "list-aliases").text.splitlines()
    assert [alias.split()[0] for alias in aliases] == ["alias/envelope-default"]
    assert list(states(envelope).values()).count("Enabled") == 1


def test_the_default_key_may_be_chosen(envelope: Any) -> None:
    key_id = envelope.ok("kms", "create-key", "--alias", "envelope-default").json["KeyId"]

    ran = envelope.ok("encrypt", "-", "-o", "a", stdin=b"x")

    assert ran.err == "encrypted - to a\n"
    assert key_id in envelope.ok("inspect", "a").text


# --- the file --------------------------------------------------------------------------------------------------------


def test_where_the_file_is(envelope: Any) -> None:
    elsewhere = envelope.home / "else" / "where"
    for env, options, store in (
        ({}, (), envelope.store),
        ({"XDG_DATA_HOME": str(elsewhere)}, (), elsewhere / "envelope" / "kms.db"),
        ({"ENVELOPE_KMS_STORE": "variable.db"}, (), envelope.home / "variable.db"),
        ({"ENVELOPE_KMS_STORE": "variable.db"}, ("--kms-store", "new/option.db"), envelope.home / "new" / "option.db"),
    ):
        envelope.env = env
        message = envelope.ok("encrypt", *options, "-", stdin=b"hello").out

        assert store.is_file()
        assert envelope.ok("decrypt", *options, "-", stdin=message).out == b"hello"
        assert envelope.ok("kms", *options, "list-keys").text.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("kms", "list-keys"),
        ("kms", "list-aliases"),
        ("kms", "describe-key", "alias/one"),
        ("kms", "disable-key", "alias/one"),
        ("encrypt", "-k", "local-kms://alias/one", "-"),
        ("decrypt", "-k", "local-kms://alias/one", "-"),
    ],
    ids=" ".join,
)
def test_only_what_keeps_something_makes_the_file(envelope: Any, arguments: tuple[str, ...]) -> None:
    ran = envelope(*arguments, stdin=b"x")

    assert ran.code == 4
    assert ran.lines == [
        f"envelope: there is no local KMS in {envelope.store}: 'envelope kms create-key' makes one",
    ]
    assert not envelope.store.parent.exists()


def broken_store(envelope: Any, how: str) -> None:
    store: Path = envelope.store
    root_key = store.with_name("kms.db.rootkey")
    if how == "no database":
        store.write_bytes(b"not a database" * 100)
    elif how == "half a database":
        for name in ("kms.db-wal", "kms.db-shm"):
            store.with_name(name).unlink(missing_ok=True)
        store.write_bytes(store.read_bytes()[:5000])
    elif how == "a folder":
        store.unlink()
        store.mkdir()
    elif how == "no root key":
        root_key.unlink()
    elif how == "another root key":
        envelope.ok("kms", "--kms-store", "other.db", "create-key")
        root_key.write_bytes(envelope.read("other.db.rootkey"))
    elif how == "no root key's text":
        root_key.write_bytes(b"\xff\x00")
    elif how == "a root key for everybody":
        root_key.chmod(0o644)
    elif how == "another root key in the environment":
        envelope.ok("kms", "--kms-store", "other.db", "create-key")
        envelope.env = {"ENVELOPE_KMS_ROOT_KEY": envelope.read("other.db.rootkey").decode().strip()}


@pytest.mark.parametrize(
    "how",
    [
        "no database",
        "half a database",
        "a folder",
        "no root key",
        "another root key",
        "no root key's text",
        "a root key for everybody",
        "another root key in the environment",
    ],
)
def test_a_file_that_cannot_be_used(envelope: Any, how: str) -> None:
    message = envelope.ok("encrypt", "-", stdin=b"hello").out
    broken_store(envelope, how)

    for arguments in (["encrypt", "-"], ["decrypt", "-"], ["kms", "list-keys"], ["kms", "create-key"]):
        ran = envelope(*arguments, stdin=message)

        assert (ran.code, ran.out) == (4, b""), ran.err
        assert len(ran.lines) == 1
        assert str(envelope.store) in ran.lines[0]


NOBODY = """
import os, pwd, sys
del os.environ["HOME"]
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
sys.argv[0] = "envelope"
from envelope_sdk.cli.main import entry
entry()
"""
"""A user without a home, and without an entry that would say where it is."""


def test_who_has_no_home_names_the_file(envelope: Any) -> None:
    for arguments in (("encrypt", "-"), ("decrypt", "-"), ("kms", "list-keys"), ("kms", "create-key")):
        ran = envelope.process(*arguments, stdin=envelope.ok("encrypt", "-", stdin=b"x").out, launcher=NOBODY)

        assert (ran.code, ran.out) == (2, b"")
        assert ran.lines[0].startswith("envelope: ")
        assert ran.err.endswith(": there is no home folder to keep a local KMS in: name its file with --kms-store\n")


def test_who_has_no_home_can_do_without(envelope: Any) -> None:
    key = envelope.key()
    for options in (("-k", key), ("--kms-store", "here.db")):
        made = envelope.process("encrypt", *options, "-", stdin=b"hello", launcher=NOBODY)
        opened = envelope.process("decrypt", *options, "-", stdin=made.out, launcher=NOBODY)

        assert (made.code, opened.code, opened.out) == (0, 0, b"hello"), made.err + opened.err


def test_folders_above_it_are_their_owners_alone(envelope: Any) -> None:
    """Whatever the umask."""
    envelope.write("a", b"hello")

    assert envelope.process("encrypt", "a", umask=0).code == 0
    assert envelope.process("encrypt", "a", "-o", "new/er/folder/", umask=0).code == 0

    made = [path for path in envelope.home.rglob("*") if path.is_dir()]
    assert len(made) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


@pytest.mark.parametrize("store", ["a file/kms.db", "/proc/nosuch/kms.db"])
def test_a_file_that_cannot_be_made(envelope: Any, store: str) -> None:
    envelope.write("a file", b"")

    ran = envelope("encrypt", "--kms-store", store, "-", stdin=b"x")

    assert (ran.code, ran.out, len(ran.lines)) == (4, b"", 1)
    assert ran.lines[0].startswith(f"envelope: the key store {store} cannot be used: ")


def test_a_message_of_another_local_kms(envelope: Any) -> None:
    message = envelope.ok("encrypt", "--kms-store", "other.db", "-", stdin=b"x").out
    envelope.ok("kms", "create-key")

    ran = envelope("decrypt", "-", stdin=message)

    assert ran.code == 4
    assert "NotFoundException" in ran.err


class _WrappedOnceMore:
    """Puts a data key nobody can open before that of another keyring."""

    def __init__(self, provider_info: str, other: Any) -> None:
        self.first = EncryptedDataKey("aws-kms", provider_info.encode(), b"x")
        self.other = other

    def on_encrypt(self, materials: Any) -> Any:
        return self.other.on_encrypt(materials.with_data_key(bytes(range(32)), self.first))

    def on_decrypt(self, materials: Any, encrypted_data_keys: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("name", ["key/é", "key/\n", "key/x", "alias/é"])
def test_a_data_key_that_names_no_key_does_not_hide_the_next(envelope: Any, name: str) -> None:
    with LocalKms.open(envelope.home / "k.db") as kms:
        good = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
        stray = f"arn:aws:kms:{kms.region}:{kms.account}:{name}"
        message = Client(_WrappedOnceMore(stray, good)).encrypt(b"hello").ciphertext
        lone = Client(_WrappedOnceMore(stray, RawAesKeyring("a", "b", bytes(32)))).encrypt(b"hello").ciphertext

    assert envelope.ok("decrypt", "--kms-store", "k.db", "-", stdin=message).out == b"hello"
    assert envelope("decrypt", "--kms-store", "k.db", "-", stdin=lone).code == 4


def test_a_message_of_no_local_kms(envelope: Any) -> None:
    """Wrapped by a raw key: nothing is asked of the local KMS, and it says so."""
    envelope.ok("kms", "create-key")
    message = envelope.ok("encrypt", "-k", envelope.key(), "-", stdin=b"x").out

    ran = envelope("decrypt", "-", stdin=message)

    assert ran.code == 4
    assert "none of the message's data keys is wrapped by one of its keys" in ran.lines[0]


def test_keys_are_of_the_region_and_account_that_are_named(envelope: Any) -> None:
    there = ("--region", "eu-west-1", "--account", "111122223333")
    made = envelope.ok("kms", "create-key", "--alias", "one", *there).json

    assert made["Arn"].startswith("arn:aws:kms:eu-west-1:111122223333:key/")
    assert envelope.ok("kms", "describe-key", "alias/one", *there).json["Arn"] == made["Arn"]
    assert envelope.ok("kms", "list-keys").text == ""
    assert envelope("kms", "describe-key", "alias/one", "--region", "eu-west-1").code == 4


@pytest.mark.parametrize("scope", [("--region", "no/where"), ("--account", "12")])
def test_a_region_or_account_that_cannot_be(envelope: Any, scope: tuple[str, str]) -> None:
    ran = envelope("kms", "create-key", *scope)

    assert (ran.code, ran.out, len(ran.lines)) == (2, b"", 1)
    assert repr(scope[1]) in ran.lines[0]
