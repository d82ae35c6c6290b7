"""Data keys for many files, and the figures, over a KMS that counts for itself."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def key(envelope: Any, kms_server: Any) -> str:
    """A key of a KMS that the command reaches over HTTP, with five files to encrypt."""
    envelope.env = dict(kms_server.environment())
    for name in "abcde":
        envelope.write(f"in/{name}", name.encode() * 1000)
    return str(kms_server.kms.create_key()["KeyMetadata"]["Arn"])


def figures(ran: Any) -> Any:
    return json.loads(ran.lines[-1])


@pytest.mark.parametrize(("options", "calls"), [((), 5), (("--cache-seconds", "60"), 1)])
def test_the_calls_it_tells_are_those_that_the_kms_has_seen(
    envelope: Any, kms_server: Any, key: str, options: tuple[str, ...], calls: int
) -> None:
    sealed = envelope.ok("encrypt", "-k", f"aws-kms://{key}", "-r", "in", "-o", "out", "--stats-json", *options)
    assert len(kms_server.asked) == calls
    assert figures(sealed)["kms_calls"] == {"GenerateDataKey": calls}
    assert figures(sealed)["messages"] == 5

    kms_server.asked.clear()
    opened = envelope.ok("decrypt", "-k", f"aws-kms://{key}", "-r", "out", "-o", "back", "--stats-json", *options)
    assert len(kms_server.asked) == calls
    assert figures(opened)["kms_calls"] == {"Decrypt": calls}
    assert envelope.read("back/e") == b"e" * 1000


def test_the_call_for_a_public_key_is_among_those_it_tells(envelope: Any, kms_server: Any) -> None:
    envelope.env = dict(kms_server.environment())
    envelope.write("in", b"text")
    key = kms_server.kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    envelope.write("public", kms_server.kms.get_public_key(KeyId=key)["PublicKey"])
    kms_server.asked.clear()

    ran = envelope.ok("encrypt", "-k", f"aws-kms-ecdh://{key}?recipient=public", "in", "-o", "out", "--stats-json")

    assert figures(ran)["kms_calls"] == {"DeriveSharedSecret": 1, "GetPublicKey": 1}
    assert len(kms_server.asked) == 2
    assert figures(ran)["dollars"] == "0.000030"


def test_a_kms_that_throttles_ends_the_command_as_without_figures(envelope: Any, kms_server: Any, key: str) -> None:
    kms_server.refusal = (400, "ThrottlingException")
    arguments = ("encrypt", "-k", f"aws-kms://{key}", "in/a", "-q")

    plain = envelope(*arguments)
    counted = envelope(*arguments, "--stats-json")
    cached = envelope(*arguments, "--stats-json", "--cache-seconds", "60")

    assert plain.code == counted.code == cached.code == 5
    assert counted.lines[:-1] == cached.lines[:-1] == plain.lines
    assert figures(counted) == figures(cached)
    assert figures(counted)["without_data_key"] == 1
    assert figures(counted)["kms_calls"] == {"GenerateDataKey": 1}
    assert len(kms_server.asked) == 3
    assert envelope.names() == {"in", *(f"in/{name}" for name in "abcde")}


def test_nothing_is_told_unasked(envelope: Any, key: str) -> None:
    ran = envelope.ok("encrypt", "-k", f"aws-kms://{key}", "in/a", "--cache-seconds", "60")

    assert ran.lines == ["encrypted in/a to in/a.enc"]


def test_a_message_stays_alone_on_standard_output(envelope: Any, key: str) -> None:
    ran = envelope.ok("encrypt", "-k", f"aws-kms://{key}", "in/a", "-o", "-", "--stats")
    envelope.write("piped", ran.out)

    assert envelope.ok("decrypt", "-k", f"aws-kms://{key}", "piped", "-o", "-", "--stats").out == b"a" * 1000


def test_a_signed_message_that_goes_to_a_pipe_asks_twice_but_a_cache_asks_once(
    envelope: Any, kms_server: Any, key: str
) -> None:
    envelope.ok("encrypt", "-k", f"aws-kms://{key}", "--sign", "in/a", "-o", "signed")
    arguments = ("decrypt", "-k", f"aws-kms://{key}", "signed", "-o", "-", "--stats-json")

    kms_server.asked.clear()
    twice = envelope.ok(*arguments)
    assert (figures(twice)["messages"], len(kms_server.asked)) == (2, 2)

    kms_server.asked.clear()
    once = envelope.ok(*arguments, "--cache-seconds", "60")
    assert (figures(once)["reused"], len(kms_server.asked)) == (1, 1)
    assert once.out == twice.out == b"a" * 1000


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_the_help_fits_80_columns_and_says_that_it_is_off(envelope: Any, command: str) -> None:
    text = envelope.ok(command, "--help").text

    assert max(map(len, text.partition("Options:")[0].splitlines())) <= 80
    for option in ("--cache-seconds N", "--caching WORD=VALUE...", "--stats ", "--stats-json "):
        assert option in text
    assert ("--cache-messages N" in text) == (command == "encrypt")
    if command == "encrypt":
        assert "Each has its own without" in " ".join(text.split())
