"""A served KMS that throttles, as boto3 and the caching manager meet it: URIs, retries, and what the caller is told."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

import pytest
from testkit.kms_http import client as boto3_client
from testkit.throttling import Switch, together

from envelope_sdk import Client
from envelope_sdk.errors import KmsUnavailableError
from envelope_sdk.keyrings import keyring_from_uri
from envelope_sdk.local_kms.server.background import BackgroundServer
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.managers import CachingMaterialsManager


@pytest.fixture
def throttle() -> Switch:
    return Switch()


@pytest.fixture
def uri(throttle: Switch, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The URI of a key of the server, with boto3's parameters to be added."""
    for name, value in (("AWS_ACCESS_KEY_ID", "000000000000"), ("AWS_SECRET_ACCESS_KEY", "local")):
        monkeypatch.setenv(name, value)
    with BackgroundServer(Settings(port=0, log_format="off", quota_scale=1), buckets=throttle) as server:
        arn = boto3_client(server.url).create_key()["KeyMetadata"]["Arn"]
        yield f"aws-kms://{arn}?endpoint-url={server.url}"


def encrypt(client: Client, team: str) -> bytes:
    return client.encrypt(b"text", encryption_context={"team": team}).ciphertext


def opened_by(client: Client, message: bytes | Exception) -> bytes:
    assert isinstance(message, bytes)
    return client.decrypt(message).plaintext


@pytest.mark.parametrize("mode", ["standard", "legacy"])
def test_a_call_fails_after_boto3_s_own_retries(mode: str, uri: str, throttle: Switch) -> None:
    client = Client(keyring_from_uri(f"{uri}&retry-mode={mode}&max-attempts=2"))
    message = encrypt(client, "red")
    throttle.on = True
    for operation, work in (
        ("GenerateDataKey", lambda: encrypt(client, "red")),
        ("Decrypt", lambda: client.decrypt(message)),
    ):
        before = throttle.asked
        with pytest.raises(KmsUnavailableError, match=r"ThrottlingException: .*, after 2 attempts\)") as caught:
            work()

        assert (caught.value.operation, caught.value.code, caught.value.retryable) == (
            operation,
            "ThrottlingException",
            True,
        )
        assert throttle.asked - before == 2
    throttle.on = False
    assert client.decrypt(message).plaintext == b"text"


def test_a_retry_of_boto3_s_that_is_let_through_is_not_seen(uri: str, throttle: Switch) -> None:
    client = Client(keyring_from_uri(f"{uri}&retry-mode=standard&max-attempts=2"))
    answers = iter([False, True])
    throttle.lets_pass = lambda: next(answers)
    throttle.on = True

    encrypt(client, "red")
    assert throttle.asked == 1 + 2


def test_cached_messages_go_on_and_threads_that_want_others_do_not_stampede(uri: str, throttle: Switch) -> None:
    keyring = keyring_from_uri(f"{uri}&retry-mode=standard&max-attempts=1")
    with CachingMaterialsManager(keyring, max_age_seconds=600) as manager:
        client = Client(materials_manager=manager)
        client.decrypt(encrypt(client, "red"))
        throttle.on = True
        before = throttle.asked
        messages = together([lambda: encrypt(client, "red")] * 16)
        opened = together([partial(opened_by, client, message) for message in messages])

        assert opened == [b"text"] * 16
        assert throttle.asked == before
        failures = together([lambda: encrypt(client, "green")] * 16)
        calls = throttle.asked - before

        assert {type(failure) for failure in failures} == {KmsUnavailableError}
        assert len({id(failure.__cause__) for failure in failures if isinstance(failure, Exception)}) == calls
        throttle.on = False
        before = throttle.asked
        assert not any(isinstance(message, Exception) for message in together([lambda: encrypt(client, "green")] * 16))
        assert throttle.asked - before == 1
