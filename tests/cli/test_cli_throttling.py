"""The command while KMS throttles, or its own pacer does."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def arn(envelope: Any, kms_server: Any) -> str:
    envelope.env = kms_server.environment()
    return str(kms_server.kms.create_key()["KeyMetadata"]["Arn"])


def test_who_is_throttled_is_told_which_key_and_what_helps(envelope: Any, arn: str, kms_server: Any) -> None:
    message = envelope.ok("encrypt", "-k", f"aws-kms://{arn}", "-", stdin=b"hello").out
    kms_server.refusal = (400, "ThrottlingException")

    closed = envelope("encrypt", "-k", f"aws-kms://{arn}", "-", stdin=b"x")
    opened = envelope("decrypt", "-k", f"aws-kms://{arn}", "-", stdin=message)

    for ran, operation in ((closed, "GenerateDataKey"), (opened, "Decrypt")):
        assert (ran.code, ran.out) == (5, b"")
        assert f"KMS {operation} answered ThrottlingException" in ran.lines[0]
        assert arn in ran.lines[0]
        assert ran.lines[1] == "hint: nothing was changed: try again later"
        assert "max-calls-per-second=" in ran.lines[2]
        assert len(ran.lines) == 3
    kms_server.refusal = None
    assert envelope.ok("decrypt", "-k", f"aws-kms://{arn}", "-", stdin=message).out == b"hello"


def test_a_pace_in_the_key_s_uri_holds(envelope: Any, arn: str, kms_server: Any) -> None:
    key = f"aws-kms://{arn}?max-calls-per-second=0.001&max-wait=0&retry-mode=standard&max-attempts=1"
    envelope.ok("encrypt", "-k", key, "-", stdin=b"hello")
    asked = len(kms_server.asked)
    # In this process, which both have in common.
    ran = envelope("encrypt", "-k", key, "-", stdin=b"hello")

    assert (ran.code, ran.out) == (5, b"")
    assert ran.lines[0].startswith("envelope: -: KMS GenerateDataKey was not sent: at 0.001 calls a second, ")
    assert [line.partition(":")[0] for line in ran.lines[1:]] == ["hint", "hint"]
    assert "the pacer of this program is at its limit" in ran.lines[2]
    assert len(kms_server.asked) == asked


@pytest.mark.parametrize(
    ("parameters", "said"),
    [("retry-mode=never", "retry-mode= is adaptive, legacy or standard"), ("max-calls-per-second=x", "is a number")],
)
def test_a_pace_that_can_be_none_is_a_matter_of_usage(envelope: Any, arn: str, parameters: str, said: str) -> None:
    ran = envelope("encrypt", "-k", f"aws-kms://{arn}?{parameters}", "-", stdin=b"hello")

    assert (ran.code, ran.out) == (2, b"")
    assert said in ran.lines[0]
