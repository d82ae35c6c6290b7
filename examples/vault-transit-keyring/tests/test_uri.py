"""From URIs to keyrings, through the registry of envelope-sdk: the package has to be installed for that."""

from __future__ import annotations

from pathlib import Path

import pytest
from transit_server import TOKEN, TransitServer
from vault_transit_keyring import VaultTransitKeyring

from envelope_sdk import Client
from envelope_sdk.errors import EnvelopeError, KeyringError, UsageError

registry = pytest.importorskip("envelope_sdk.keyrings.registry", reason="this envelope-sdk opens no keyrings by URI")


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)


def uri_of(transit: TransitServer, key: str, parameters: str = "") -> str:
    return f"vault-transit://{transit.address.removeprefix('http://')}/{key}?tls=no{parameters}"


def test_a_uri_opens_what_the_class_wrapped(transit: TransitServer, key: str) -> None:
    keyring = registry.keyring_from_uri(uri_of(transit, key))
    message = Client(VaultTransitKeyring(transit.address, key, token=TOKEN)).encrypt(b"plaintext").ciphertext

    assert isinstance(keyring, VaultTransitKeyring)
    assert Client(keyring).decrypt(message).plaintext == b"plaintext"


def test_the_token_may_be_in_a_file(
    transit: TransitServer, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    keyring = registry.keyring_from_uri(uri_of(transit, key, f"&token-file={tmp_path / 'token'}"))

    assert Client(keyring).encrypt(b"").ciphertext


def test_without_a_token_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_TOKEN")

    with pytest.raises(KeyringError, match="set VAULT_TOKEN"):
        registry.keyring_from_uri("vault-transit://vault.example/backups")


@pytest.mark.parametrize("name", ["token-file", "ca-file"])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="cannot be read"):
        registry.keyring_from_uri(f"vault-transit://vault.example/backups?{name}={tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "vault.example",
        "vault.example/",
        "/backups",
        "vault.example/backups?region=eu",
        "vault.example/backups?tls=1",
    ],
)
def test_a_uri_of_another_form_is_refused(rest: str) -> None:
    with pytest.raises(UsageError):
        registry.keyring_from_uri(f"vault-transit://{rest}")


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(EnvelopeError, match="once"):
        registry.keyring_from_uri("vault-transit://vault.example/backups?mount=one&mount=two")


def test_plain_http_leads_to_this_machine_only() -> None:
    with pytest.raises(UsageError, match="plain HTTP"):
        registry.keyring_from_uri("vault-transit://vault.example/backups?tls=no")
