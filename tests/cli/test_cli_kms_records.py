"""``envelope kms audit`` and ``envelope kms cost``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    with LocalKms.in_memory(audit=path, clock=lambda: datetime(2026, 11, 22, 9, tzinfo=UTC)) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.encrypt(KeyId=key_id, Plaintext=b"p")
        with pytest.raises(KmsServiceError):
            kms.describe_key(KeyId="alias/none")
    return path


def test_a_whole_log_is_told_with_its_head(envelope: Any, log: Path) -> None:
    done = envelope("kms", "audit", "verify", log)

    assert (done.code, done.text.split(":")[0]) == (0, "3 events, head 3")


def test_a_head_that_was_noted_is_proof(envelope: Any, log: Path) -> None:
    head = envelope("kms", "audit", "verify", log).text.split()[-1]

    assert envelope("kms", "audit", "verify", log, "--head", head).code == 0
    assert envelope("kms", "audit", "verify", log, "--head", f"2:{head.partition(':')[2]}").code == 3


def test_tampering_is_told_line_by_line_with_code_3(envelope: Any, log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"Encrypt"', b'"Decrypt"'))
    done = envelope("kms", "audit", "verify", log)

    assert (done.code, done.text) == (3, "")
    assert f"envelope: {log}: line 2: changed: event 3 does not follow from it" in done.err


def test_a_torn_line_is_no_tampering(envelope: Any, log: Path) -> None:
    with log.open("ab") as file:
        file.write(b'{"chain"')
    done = envelope("kms", "audit", "verify", log)

    assert done.code == 0
    assert "hint: the last line is cut off" in done.err


@pytest.mark.parametrize(("arguments", "code"), [(["missing"], 1), (["missing", "--head", "x"], 2), ([], 2)])
def test_what_cannot_be_verified_is_an_error(envelope: Any, arguments: list[str], code: int) -> None:
    done = envelope("kms", "audit", "verify", *arguments)

    assert (done.code, done.text) == (code, "")
    assert done.err.startswith("envelope: ")


def test_events_are_shown_a_line_each(envelope: Any, log: Path) -> None:
    lines = envelope("kms", "audit", "show", log).text.splitlines()

    assert [line.split()[:2] for line in lines] == [
        ["2026-11-22T09:00:00Z", "CreateKey"],
        ["2026-11-22T09:00:00Z", "Encrypt"],
        ["2026-11-22T09:00:00Z", "DescribeKey"],
    ]
    assert lines[2].endswith("NotFoundException")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--event", "Encrypt"], ["Encrypt"]),
        (["--errors"], ["DescribeKey"]),
        (["--key", "alias/none"], ["DescribeKey"]),
        (["--principal", "nobody"], []),
        (["--since", "2026-11-23"], []),
        (["--since", "2026-11-22T09:00", "--until", "2026-11-22T10:00+00:00"], ["CreateKey", "Encrypt", "DescribeKey"]),
    ],
)
def test_events_are_chosen(envelope: Any, log: Path, options: list[str], names: list[str]) -> None:
    shown = envelope("kms", "audit", "show", log, "--json", *options).text.splitlines()

    assert [json.loads(line)["eventName"] for line in shown] == names


def test_a_time_that_is_none_is_a_wrong_use(envelope: Any, log: Path) -> None:
    done = envelope("kms", "audit", "show", log, "--since", "yesterday")

    assert (done.code, "a time looks like" in done.err) == (2, True)


def test_what_a_caller_wrote_cannot_pass_for_a_line(envelope: Any, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with LocalKms.in_memory(audit=path) as kms, pytest.raises(KmsServiceError):
        kms.create_alias(AliasName="alias/a\nforged", TargetKeyId="k")

    assert len(envelope("kms", "audit", "show", path).text.splitlines()) == 1


def test_a_line_that_somebody_made_up_is_an_error(envelope: Any, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"chain":{"sequence":1,"previous":"%s"},"resources":[1]}\n' % (b"0" * 64))
    done = envelope("kms", "audit", "show", path)

    assert (done.code, done.text) == (4, "")
    assert f"line 1 of {path} is none of an audit log" in done.err


@pytest.fixture
def month(tmp_path: Path) -> list[str]:
    """The arguments for a store in which a key was used in November 2026."""
    database = tmp_path / "keys.db"
    with LocalKms.open(database, clock=lambda: datetime(2026, 11, 22, 9, tzinfo=UTC)) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="RSA_2048")
    return ["kms", "--kms-store", str(database), "cost", "--month", "2026-11"]


def test_costs_are_a_table_with_a_total(envelope: Any, month: list[str]) -> None:
    done = envelope(*month, "--by", "operation")
    rows = {line.split()[0]: line.split()[1:] for line in done.text.splitlines()}

    assert rows["GenerateDataKeyPair"] == ["1", "requests", "0.001200", "USD"]
    assert rows["total"][:2] == ["2", "requests"]
    assert "hint: prices from https://aws.amazon.com/kms/pricing/" in done.err


def test_costs_are_json_too(envelope: Any, month: list[str]) -> None:
    found = json.loads(envelope(*month, "--json").text)

    assert (found["Month"], found["Currency"]) == ("2026-11", "USD")
    assert all(line["Name"].startswith("arn:aws:kms:us-east-1:000000000000:key/") for line in found["Charges"])


def test_the_free_tier_is_taken_off_if_asked(envelope: Any, month: list[str]) -> None:
    with_it, without = (
        json.loads(envelope(*month, "--json", "--by", "operation", *more).text) for more in (["--free-tier"], [])
    )
    dollars = [
        {line["Name"]: line["Dollars"] for line in found["Charges"]}["CreateKey"] for found in (with_it, without)
    ]

    assert dollars == ["0.000000", "0.000003"]


def test_a_month_that_is_none_is_a_wrong_use(envelope: Any, month: list[str]) -> None:
    assert envelope(*month[:-1], "November").code == 2
