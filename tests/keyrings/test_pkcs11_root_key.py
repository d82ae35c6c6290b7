"""A token's key over the root key of a local KMS. Tokens of SoftHSM."""

from __future__ import annotations

import copy
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from testkit.softhsm import PIN, Asked, Vault

from envelope_sdk.errors import AuthenticationError, KeyringError, KeyStoreError, UsageError
from envelope_sdk.keyrings import Pkcs11RootKey
from envelope_sdk.local_kms import LocalKms, Passphrase, RootKeyWrapper

pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")

Make = Callable[..., Pkcs11RootKey]


@pytest.fixture
def make(vault: Vault) -> Iterator[Make]:
    made: list[Pkcs11RootKey] = []

    def root_key(label: str = "wrapping", **other: Any) -> Pkcs11RootKey:
        names = {"module_path": vault.library, "pin": lambda: PIN} | other
        made.append(Pkcs11RootKey(f"pkcs11:token=vault;object={label}", **names))
        return made[-1]

    yield root_key
    for each in made:
        each.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


def _make(database: Path, root_key: Any) -> bytes:
    with LocalKms.open(database, root_key=root_key) as kms:
        return kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"secret")["CiphertextBlob"]


def _decrypts(database: Path, root_key: Any, blob: bytes) -> bool:
    with LocalKms.open(database, root_key=root_key) as kms:
        return kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_it_is_what_the_local_kms_takes(make: Make) -> None:
    assert isinstance(make(), RootKeyWrapper)


def test_a_store_under_it_opens_with_it(database: Path, make: Make) -> None:
    blob = _make(database, make())

    assert _decrypts(database, make(), blob)
    assert sorted(path.name for path in database.parent.iterdir()) == ["keys.db"]


def test_the_token_is_asked_when_the_store_is_opened_and_not_for_every_key(database: Path, make: Make) -> None:
    blob = _make(database, make())
    asked = Asked(PIN)
    root_key = make(pin=asked)
    with LocalKms.open(database, root_key=root_key) as kms:
        root_key.close()
        for _ in range(3):
            kms.create_key()
            kms.decrypt(CiphertextBlob=blob)

    assert asked.times <= 1


def test_it_wraps_every_root_key_with_an_iv_of_its_own(make: Make) -> None:
    root_key = make()
    first, second = (root_key.wrap_root_key(bytes(32)) for _ in range(2))

    assert first != second
    assert [len(first), first[:1]] == [61, b"\x01"]
    assert root_key.unwrap_root_key(first) == root_key.unwrap_root_key(second) == bytes(32)


def test_another_key_of_the_token_does_not_open_it(database: Path, make: Make) -> None:
    _make(database, make())
    with pytest.raises(KeyStoreError, match=r"cannot be had from the key of a PKCS#11 token .*'other'"):
        LocalKms.open(database, root_key=make("other"))


def test_a_key_that_is_not_there_is_an_error_of_the_store(database: Path, make: Make) -> None:
    _make(database, make())
    with pytest.raises(KeyStoreError, match="has no AES key like"):
        LocalKms.open(database, root_key=make("nowhere"))


def test_a_wrong_pin_is_an_error_of_the_store_and_not_shown(database: Path, vault: Vault) -> None:
    root_key = Pkcs11RootKey("pkcs11:token=guarded;object=behind", module_path=vault.library, pin=lambda: "4711-wrong")
    with pytest.raises(KeyStoreError, match="refuses the PIN") as caught:
        LocalKms.open(database, root_key=root_key)

    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("wrapped", [b"", b"\x02" + bytes(60), b"\x01" + bytes(59), bytes(61)])
def test_what_cannot_be_a_wrapped_root_key_is_not_shown_to_the_token(make: Make, wrapped: bytes) -> None:
    with pytest.raises(KeyringError, match="no root key of a version that is known"):
        make(pin=lambda: pytest.fail("the token is asked")).unwrap_root_key(wrapped)


@pytest.mark.parametrize("place", [1, 13, 44, 60])
def test_an_altered_one_does_not_open(make: Make, place: int) -> None:
    wrapped = bytearray(make().wrap_root_key(bytes(32)))
    wrapped[place] ^= 1
    with pytest.raises(AuthenticationError):
        make().unwrap_root_key(bytes(wrapped))


def test_an_altered_store_does_not_open(database: Path, make: Make) -> None:
    _make(database, make())
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = zeroblob(61) WHERE name = 'wrapped root key'")
    with pytest.raises(KeyStoreError, match="no root key of a version that is known"):
        LocalKms.open(database, root_key=make())


def test_the_root_key_moves_to_a_token_from_one_key_to_another_and_away(database: Path, make: Make) -> None:
    blob = _make(database, None)
    for old, new in ((None, make()), (make(), make("other")), (make("other"), Passphrase("correct horse"))):
        with LocalKms.open(database, root_key=old) as kms:
            kms.rotate_root_key(new)

        assert _decrypts(database, new, blob)


def test_others_with_the_same_key_of_the_token_go_on(database: Path, make: Make) -> None:
    blob = _make(database, make())
    with LocalKms.open(database, root_key=make()) as kms, LocalKms.open(database, root_key=make()) as other:
        kms.rotate_root_key(make())

        assert other.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_the_command_takes_its_uri_with_the_pin_in_a_file(database: Path, tmp_path: Path, vault: Vault) -> None:
    pin = tmp_path / "pin"
    pin.write_text(f"{PIN}\n")
    uri = f"pkcs11:token=vault;object=wrapping?module-path={vault.library}&pin-source=file:{pin}"
    command = [
        sys.executable,
        "-c",
        "from envelope_sdk.cli.main import entry; entry()",
        "kms",
        "--kms-store",
        str(database),
    ]

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )

    assert run("--root-key", uri, "create-key").returncode == 0
    assert run("list-keys", ENVELOPE_KMS_ROOT_KEY_FROM=uri).returncode == 0
    refused = run("list-keys")
    assert (refused.returncode, refused.stderr.count("\n")) == (4, 1)
    assert "which was made with the key of a PKCS#11 token" in refused.stderr or "is missing" in refused.stderr
    assert run("--root-key", uri, "rotate-root-key").returncode == 0
    assert run("list-keys").returncode == 0


@pytest.mark.parametrize("uri", ["pkcs11:token=vault", "pkcs11:object=a;type=private", "http://x"])
def test_a_uri_that_names_no_key_for_this_is_refused(vault: Vault, uri: str) -> None:
    with pytest.raises(UsageError):
        Pkcs11RootKey(uri, module_path=vault.library)


def test_it_shows_no_secret_and_is_not_copied(make: Make) -> None:
    root_key = make()

    assert repr(root_key) == "Pkcs11RootKey(token='vault', key='wrapping')"
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            attempt(root_key)
