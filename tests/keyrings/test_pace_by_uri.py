"""How often, and how stubbornly, a KMS is called, said in a keyring's URI."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from testkit.kms_regions import World

from envelope_sdk import Client
from envelope_sdk.errors import KmsPacingError, UsageError
from envelope_sdk.keyrings import KeyringUri, keyring_from_uri
from envelope_sdk.keyrings.schemes.aws_kms import client_of
from envelope_sdk.keyrings.schemes.hierarchical import branch_key_store
from envelope_sdk.keyrings.schemes.pace import (
    _PACERS,  # pyright: ignore[reportPrivateUsage]
    paced_supplier,
)
from envelope_sdk.local_kms import LocalKms

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = "arn:aws:kms:eu-west-1:111122223333:key/00000000-12ab-34cd-56ef-1234567890ab"
AMERICAN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
RARELY = "max-calls-per-second=0.001&max-wait=0"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account, no network and no home of anybody's."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    for name in ("AWS_REGION", "AWS_PROFILE", "AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


class Door:
    """Opens one KMS in memory under any name."""

    def __init__(self, kms: LocalKms) -> None:
        self._kms = kms

    def path(self, store: str | None) -> str:
        return f"memory {store}"

    def kms(self, store: str | None) -> Any:
        return self._kms


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "retries"),
    [
        ("retry-mode=adaptive", {"mode": "adaptive"}),
        ("retry-mode=standard&max-attempts=7", {"mode": "standard", "total_max_attempts": 7}),
        ("retry-mode=legacy&max-attempts=1", {"mode": "legacy", "total_max_attempts": 1}),
    ],
)
def test_retries_reach_boto3(parameters: str, retries: dict[str, Any]) -> None:
    client = client_of(KeyringUri.parse(f"aws-kms://{ARN}?{parameters}"))

    assert retries.items() <= client.meta.config.retries.items()


def test_without_them_boto3_s_own_configuration_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
    retries = client_of(KeyringUri.parse(f"aws-kms://{ARN}")).meta.config.retries

    assert (retries["mode"], retries["total_max_attempts"]) == ("standard", 4)
    mode_alone = client_of(KeyringUri.parse(f"aws-kms://{ARN}?retry-mode=adaptive")).meta.config.retries
    assert (mode_alone["mode"], mode_alone["total_max_attempts"]) == ("adaptive", 4)


# --- pace -------------------------------------------------------------------------------------------------------------


def pacer_of(uri: str, kind: str = "symmetric") -> Any:
    client: Any = client_of(KeyringUri.parse(uri), kind)
    return client._pacer


def test_keys_of_one_region_kind_and_pace_share_a_quota() -> None:
    pace = "max-calls-per-second=50&max-wait=3"
    shared = pacer_of(f"aws-kms://{ARN}?{pace}")

    assert repr(shared) == "Pacer(50.0, burst=5, max_wait_seconds=3.0)"
    assert pacer_of(f"aws-kms-mrk://{OTHER}?{pace}") is shared
    assert pacer_of(f"aws-kms://alias/a?{pace}") is shared, "the default Region is that one"
    for other in (
        pacer_of(f"aws-kms://{AMERICAN}?{pace}"),
        pacer_of(f"aws-kms://{ARN}?{pace}&endpoint-url=http://localhost:1"),
        pacer_of(f"aws-kms://{ARN}?max-calls-per-second=50"),
        pacer_of(f"aws-kms-rsa://{ARN}?{pace}", "RSA"),
    ):
        assert other is not shared


def test_a_keyring_for_each_message_does_not_make_it_quicker() -> None:
    with LocalKms.in_memory() as kms:
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        uri = f"local-kms://{key}?store=each&{RARELY}"
        Client(keyring_from_uri(uri, local_kms=Door(kms))).encrypt(b"text")
        gc.collect()

        with pytest.raises(KmsPacingError):
            Client(keyring_from_uri(uri, local_kms=Door(kms))).encrypt(b"text")


def test_messages_that_name_any_number_of_regions_leave_no_more_than_a_few_pacers() -> None:
    gc.collect()
    before = len(_PACERS)
    world = World()
    supplier = paced_supplier(KeyringUri.parse("aws-kms-discovery://?max-calls-per-second=77"), world.client)
    kept: Any = supplier("eu-west-1")
    for number in range(1000):
        supplier(f"eu-west-{number}")
    gc.collect()

    assert len(_PACERS) <= before + 64 + 1
    again: Any = supplier("eu-west-1")
    assert again._pacer is kept._pacer


def test_who_says_no_pace_has_none() -> None:
    assert not hasattr(client_of(KeyringUri.parse(f"aws-kms://{ARN}")), "_pacer")


@pytest.mark.parametrize("scheme", ["aws-kms-rsa", "aws-kms-mrk", "aws-kms-ecdh", "aws-kms-mrk-discovery"])
def test_each_scheme_of_aws_kms_takes_the_parameters(scheme: str) -> None:
    rest = "eu-west-1" if scheme.endswith("discovery") else ARN
    with pytest.raises(UsageError, match="retry-mode= is"):
        keyring_from_uri(f"{scheme}://{rest}?max-calls-per-second=5&retry-mode=nosuch")
    with pytest.raises(UsageError, match="max-wait= is"):
        keyring_from_uri(f"{scheme}://{rest}?max-calls-per-second=5&max-attempts=2&max-wait=nosuch")


def test_a_key_of_the_local_kms_is_paced_too() -> None:
    with LocalKms.in_memory() as kms:
        door = Door(kms)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        client = Client(keyring_from_uri(f"local-kms://{key}?store=a&{RARELY}", local_kms=door))
        message = client.encrypt(b"text").ciphertext

        with pytest.raises(KmsPacingError):
            client.decrypt(message)
        discovering = keyring_from_uri(f"local-kms-discovery://?store=b&{RARELY}", local_kms=door)
        assert Client(discovering).decrypt(message).plaintext == b"text"
        with pytest.raises(KmsPacingError):
            Client(discovering).decrypt(message)


def test_branch_keys_are_fetched_at_the_pace_of_their_kms_key(tmp_path: Path) -> None:
    with LocalKms.in_memory() as kms:
        door = Door(kms)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        file = tmp_path / "branch.db"
        unpaced = KeyringUri.parse(f"hierarchical://x?file={file}&kms-key=local-kms://{key}")
        name = branch_key_store(unpaced, door).create_key()
        pace = RARELY.replace("&", "%26").replace("=", "%3D")
        uri = f"hierarchical://{name}?file={file}&kms-key=local-kms://{key}%3Fstore%3Dc%26{pace}"
        message = Client(keyring_from_uri(uri, local_kms=door)).encrypt(b"text").ciphertext

        with pytest.raises(KmsPacingError):
            Client(keyring_from_uri(uri, local_kms=door)).decrypt(message)
    with pytest.raises(UsageError, match="retry-mode= is adaptive, legacy or standard, not 'none'"):
        keyring_from_uri(f"hierarchical://{name}?file={file}&kms-key=aws-kms://{ARN}%3Fretry-mode%3Dnone")


WRONG = {
    "an unknown mode": ("retry-mode=fast", "retry-mode= is adaptive, legacy or standard, not 'fast'"),
    "no attempts": ("max-attempts=0", "max-attempts= is a whole number of 1 to 100, not '0'"),
    "too many attempts": ("max-attempts=101", "not '101'"),
    "attempts that are no number": ("max-attempts=a", "not 'a'"),
    "attempts in other digits": ("max-attempts=٣", "not '٣'"),
    "more attempts than can be read": (f"max-attempts={'9' * 5000}", "max-attempts= is a whole number"),
    "no calls at all": ("max-calls-per-second=0", "max-calls-per-second= is a number above 0"),
    "next to no calls": ("max-calls-per-second=5e-324", "calls_per_second is a number above 0, not 5e-324"),
    "infinitely many calls": ("max-calls-per-second=inf", "max-calls-per-second= is a number, 0 or more, not 'inf'"),
    "calls that are no number": ("max-calls-per-second=many", "not 'many'"),
    "a negative wait": ("max-calls-per-second=1&max-wait=-1", "max-wait= is a number, 0 or more, not '-1'"),
    "a wait for nothing": ("max-wait=1", r"max-wait= of aws-kms(-discovery)?:// goes with max-calls-per-second="),
}


@pytest.mark.parametrize("start", [f"aws-kms://{ARN}?", "aws-kms-discovery://?", "aws-kms-discovery://?region=a-b-1&"])
@pytest.mark.parametrize(("parameters", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_told_before_anything_is_asked(start: str, parameters: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        keyring_from_uri(start + parameters)
