"""``-w``: keys as aws-encryption-cli names them."""

from __future__ import annotations

from typing import Any

import pytest

from envelope_sdk.cli.wrapping_keys import uris_of_wrapping_keys

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def keys(envelope: Any, kms_server: Any) -> list[str]:
    """Two keys of a KMS that the command reaches over HTTP."""
    envelope.env = dict(kms_server.environment())
    arns = [str(kms_server.region(name).create_key()["KeyMetadata"]["Arn"]) for name in ("eu-west-1", "us-west-2")]
    kms_server.region("eu-west-1").create_alias(AliasName="alias/a", TargetKeyId=arns[0].partition("/")[2])
    return arns


def test_every_key_in_it_wraps_and_any_opens(envelope: Any, keys: list[str]) -> None:
    envelope.write("a", b"hello")

    envelope.ok("encrypt", "-w", f"key={keys[0]}", f"key={keys[1]}", "a")

    for key in keys:
        assert envelope.ok("decrypt", "-w", f"key={key}", "-o", "-", "a.enc").out == b"hello"


ENCRYPTING = {
    "the long name": ["--wrapping-keys", "key=alias/a", "region=eu-west-1", "a"],
    "joined by a sign": ["--wrapping-keys=key=alias/a", "region=eu-west-1", "a"],
    "the short name with its first word": ["-wkey=alias/a", "region=eu-west-1", "a"],
    "behind other short names": ["-qfw", "key=alias/a", "region=eu-west-1", "a"],
    "behind other short names with its first word": ["-fwkey=alias/a", "region=eu-west-1", "a"],
    "after the file": ["a", "-w", "region=eu-west-1", "key=alias/a"],
    "before another option": ["-w", "key=alias/a", "region=eu-west-1", "-c", "key=value", "a"],
    "before the end of options": ["-w", "key=alias/a", "region=eu-west-1", "--", "a"],
    "with a provider": ["-w", "provider=aws-kms", "key=alias/a", "region=eu-west-1", "a"],
    "with the provider's long name": [
        "-w",
        "provider=aws-encryption-sdk-cli::aws-kms",
        "key=alias/a",
        "region=eu-west-1",
        "a",
    ],
    "without discovery": ["-w", "discovery=false", "key=alias/a", "region=eu-west-1", "a"],
}


@pytest.mark.parametrize("arguments", ENCRYPTING.values(), ids=ENCRYPTING)
def test_it_is_followed_by_words(envelope: Any, keys: list[str], arguments: list[str]) -> None:
    envelope.write("a", b"hello")

    envelope.ok("encrypt", *arguments)

    assert envelope.ok("decrypt", "-w", f"key={keys[0]}", "-o", "-", "a.enc").out == b"hello"


def test_it_may_be_repeated_and_goes_with_other_keys(envelope: Any, keys: list[str]) -> None:
    envelope.write("a", b"hello")

    envelope.ok("encrypt", "-w", f"key={keys[0]}", "-w", f"key={keys[1]}", "-k", envelope.key("k"), "a")

    shown = envelope.ok("inspect", "--json", "a.enc").json["encrypted_data_keys"]
    assert [key["provider_id"] for key in shown] == ["envelope", "aws-kms", "aws-kms"]


@pytest.mark.parametrize(
    "words",
    [
        ["discovery=true"],
        ["discovery=TRUE"],
        ["discovery=true", "region=eu-west-1"],
        [
            "discovery=true",
            "discovery-partition=aws",
            "discovery-account=111122223333",
            "discovery-account=000000000000",
        ],
    ],
    ids=" ".join,
)
def test_discovery_opens(envelope: Any, keys: list[str], words: list[str]) -> None:
    envelope.write("a", b"hello")
    envelope.ok("encrypt", "-w", f"key={keys[0]}", "a")

    assert envelope.ok("decrypt", "-w", *words, "-o", "-", "a.enc").out == b"hello"


def test_discovery_is_limited_to_the_accounts_that_are_said(envelope: Any, keys: list[str]) -> None:
    envelope.write("a", b"hello")
    envelope.ok("encrypt", "-w", f"key={keys[0]}", "a")

    limits = ["discovery-partition=aws", "discovery-account=111122223333"]

    assert envelope("decrypt", "-w", "discovery=true", *limits, "-o", "-", "a.enc").code == 4


def test_the_region_is_for_keys_that_do_not_name_theirs() -> None:
    words = "\0".join((f"key={ARN}", "key=alias/a", "region=us-east-1", "profile=work"))

    assert [str(uri) for uri in uris_of_wrapping_keys([words], encrypting=True)] == [
        f"aws-kms://{ARN}?profile=work",
        "aws-kms://alias/a?region=us-east-1&profile=work",
    ]


REFUSED = {
    "no word": (["encrypt", "-w", "x", "a"], "takes words of the form key=ARN, not 'x'"),
    "a key without its word": (["encrypt", "-w", "alias/a", "a"], "for any other kind of key, write --key URI"),
    "no key": (["encrypt", "-w", "region=eu-west-1", "a"], "-w needs key=ARN\n"),
    "no key to decrypt": (["decrypt", "-w", "region=eu-west-1", "a.enc"], "-w needs key=ARN, or discovery=true"),
    "discovery to encrypt": (["encrypt", "-w", "discovery=true", "a"], "to encrypt, name each key with key="),
    "discovery and a key": (["decrypt", "-w", "discovery=true", f"key={ARN}", "a.enc"], "do not go together"),
    "a filter without discovery": (
        ["decrypt", "-w", f"key={ARN}", "discovery-account=1", "a.enc"],
        "goes with discov",
    ),
    "half a filter": (["decrypt", "-w", "discovery=true", "discovery-account=1", "a.enc"], "go together"),
    "discovery of another kind": (
        ["decrypt", "-w", "discovery=yes", "a.enc"],
        "neither discovery=true nor",
    ),
    "an alias to decrypt": (["decrypt", "-w", "key=alias/a", "a.enc"], "to decrypt, key= is the ARN of a key"),
    "an alias's ARN to decrypt": (
        ["decrypt", "-w", "key=arn:aws:kms:eu-west-1:111122223333:alias/a", "a.enc"],
        "to decrypt, key= is the ARN of a key",
    ),
    "an ARN that is none": (["encrypt", "-w", "key=arn:aws:s3:::a", "a"], "key= in -w: an ARN of 's3'"),
    "a plug-in": (
        ["encrypt", "-w", "provider=acme::hsm", "key=x", "a"],
        "write --key SCHEME://... ('envelope key",
    ),
    "two Regions": (["encrypt", "-w", "key=x", "region=a", "region=b", "a"], "region= stands twice in one -w"),
    "nothing after the sign": (["encrypt", "-w", "key=", "a"], "key= has no value"),
}


@pytest.mark.parametrize(("arguments", "why"), REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_mean_is_told_with_what_to_write(envelope: Any, arguments: list[str], why: str) -> None:
    envelope.write("a", b"hello")
    envelope.write("a.enc", b"hello")

    ran = envelope(*arguments)

    assert (ran.code, ran.out) == (2, b"")
    assert why in ran.err


def test_a_file_with_a_name_like_the_option_is_no_option(envelope: Any, keys: list[str]) -> None:
    envelope.write("a", b"hello")

    envelope.ok("encrypt", "-w", f"key={keys[0]}", "-o", "-weird", "a")

    assert "-weird" in envelope.names()


def test_files_with_names_like_words_are_written_with_their_folder(envelope: Any, keys: list[str]) -> None:
    envelope.write("key=a", b"hello")

    envelope.ok("encrypt", "-w", f"key={keys[0]}", "./key=a")

    assert envelope.ok("decrypt", "-w", f"key={keys[0]}", "-o", "-", "--", "key=a.enc").out == b"hello"
