"""What the contract does not know of: Vault's versions, its refusals, and what goes over the wire."""

from __future__ import annotations

import base64

import pytest
from transit_server import TOKEN, TransitServer
from vault_transit_keyring import VaultTransitKeyring

from envelope_sdk import Client
from envelope_sdk.errors import (
    KmsAccessError,
    KmsError,
    KmsUnavailableError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring

CONTEXT = {"purpose": "test"}


@pytest.fixture
def client(transit: TransitServer, key: str) -> Client:
    return Client(VaultTransitKeyring(transit.address, key, token=TOKEN))


def test_vault_is_sent_the_context_as_associated_data(transit: TransitServer, client: Client) -> None:
    message = client.encrypt(b"plaintext", encryption_context=CONTEXT)

    operation, asked = transit.requests[-1]
    assert operation == "encrypt"
    assert base64.b64decode(asked["associated_data"]) == message.header.encryption_context.canonical


def test_a_message_opens_after_its_key_was_rotated(transit: TransitServer, key: str, client: Client) -> None:
    before = client.encrypt(b"before").ciphertext
    transit.rotate(key)
    after = client.encrypt(b"after")

    assert client.decrypt(before).plaintext == b"before"
    assert client.decrypt(after.ciphertext).plaintext == b"after"
    assert after.header.encrypted_data_keys[0].ciphertext[:4] == (2).to_bytes(4, "big")


def test_another_key_opens_a_message_that_was_wrapped_for_both(transit: TransitServer, key: str) -> None:
    vault, raw = VaultTransitKeyring(transit.address, key, token=TOKEN), RawAesKeyring("raw", "key", bytes(32))
    message = Client(MultiKeyring(raw, [vault])).encrypt(b"plaintext").ciphertext

    for keyring in (raw, vault):
        assert Client(keyring).decrypt(message).plaintext == b"plaintext"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, KmsError),
        (403, KmsAccessError),
        (404, KmsAccessError),
        (429, KmsUnavailableError),
        (503, KmsUnavailableError),
    ],
)
def test_a_refusal_is_of_the_kind_that_says_what_to_do(
    status: int, kind: type[KmsError], transit: TransitServer, client: Client
) -> None:
    transit.answers.append((status, b'{"errors": ["why it is so"]}'))

    with pytest.raises(kind, match=f"Vault encrypt answered {status}: why it is so") as found:
        client.encrypt(b"")

    assert (found.value.operation, found.value.code) == ("encrypt", str(status))


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"data": 1}', b'{"data": {"ciphertext": "vault:v0:AA=="}}'])
def test_an_answer_that_is_none_is_an_error(answer: bytes, transit: TransitServer, client: Client) -> None:
    transit.answers.append((200, answer))

    with pytest.raises(KmsError) as found:
        client.encrypt(b"")

    assert found.value.code == "UnexpectedAnswer"


def test_a_server_that_is_away_is_worth_another_try(transit: TransitServer, client: Client) -> None:
    message = client.encrypt(b"plaintext").ciphertext
    transit.answers.append((503, b'{"errors": ["Vault is sealed"]}'))

    with pytest.raises(KmsUnavailableError, match="Vault is sealed"):
        client.decrypt(message)

    assert client.decrypt(message).plaintext == b"plaintext"


def test_an_address_where_nobody_answers_is_one_too(key: str) -> None:
    with pytest.raises(KmsUnavailableError, match="ConnectionRefusedError"):
        Client(VaultTransitKeyring("http://127.0.0.1:9", key, token=TOKEN)).encrypt(b"")


def test_a_wrong_token_is_refused_and_not_repeated(transit: TransitServer, key: str, client: Client) -> None:
    message = client.encrypt(b"plaintext").ciphertext
    stranger = Client(VaultTransitKeyring(transit.address, key, token="hvs.another-token"))

    with pytest.raises(NoMatchingKeyError, match="permission denied") as found:
        stranger.decrypt(message)

    assert "hvs.another-token" not in str(found.value)


@pytest.mark.parametrize(
    ("address", "changes"),
    [
        ("http://vault.example:8200", {}),
        ("vault.example:8200", {}),
        ("https://", {}),
        ("https://vault.example:port", {}),
        ("https://[vault.example", {}),
        ("https://vault.example/v1", {}),
        ("https://vault.example", {"key": ""}),
        ("https://vault.example", {"mount": ""}),
        ("https://vault.example", {"token": ""}),
        ("https://vault.example", {"token": "line\nbreak"}),
    ],
)
def test_arguments_that_cannot_work_are_refused(address: str, changes: dict[str, str]) -> None:
    arguments = {"key": "backups", "token": TOKEN} | changes
    with pytest.raises(UsageError):
        VaultTransitKeyring(address, **arguments)


def test_its_repr_says_which_key_it_is() -> None:
    keyring = VaultTransitKeyring("https://vault.example:8200", "backups", token=TOKEN, mount="team/transit")

    assert repr(keyring) == "VaultTransitKeyring('https://vault.example:8200', 'team/transit/backups')"
