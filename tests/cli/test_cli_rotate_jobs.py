"""``envelope rotate -j``: several processes say, write and end as one does, and lose nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.formats.header import parse_header

pytestmark = pytest.mark.slow

NAMES = [f"{number:03}.enc" for number in range(12)]
OPTIONS = ("-k", "old.key", "--new-key", "new.key", "-r", "t")


def make(envelope: Any, names: list[str]) -> None:
    for key in ("old", "new"):
        envelope.key(f"{key}.key", "--name", key)
    for name in names:
        envelope.write(f"in/{name.removesuffix('.enc')}", name.encode() * 500)
    envelope.ok("encrypt", "-q", "-k", "old.key", "-r", "in", "-o", "t", "-c", "team=blue")


@pytest.fixture
def tree(envelope: Any) -> None:
    """A folder of messages under ``old.key``."""
    make(envelope, NAMES)


def keys_of(envelope: Any, folder: str = "t") -> dict[str, str]:
    """Return the name of the key of each message."""
    found = {}
    for path in sorted((envelope.home / folder).iterdir()):
        (wrapped,) = parse_header(path.read_bytes()).body.encrypted_data_keys
        found[path.name] = "new" if wrapped.provider_info.startswith(b"new") else "old"
    return found


def whole(envelope: Any, names: list[str]) -> bool:
    """Tell whether all messages open, under either key, and are what they were, and nothing else is there."""
    envelope.ok("decrypt", "-q", "-f", "-k", "old.key", "-k", "new.key", "-r", "t", "-o", "back")
    found = {path.name: path.read_bytes() for path in (envelope.home / "back").iterdir()}
    return found == {name.removesuffix(".enc"): name.encode() * 500 for name in names}


def test_messages_are_rotated_and_then_as_wanted(envelope: Any, tree: None) -> None:
    assert envelope.ok("rotate", *OPTIONS, "-j", "2").lines == ["rotated 12 of 12 files"]
    assert set(keys_of(envelope).values()) == {"new"}
    assert whole(envelope, NAMES)

    again = envelope.ok("rotate", *OPTIONS, "-j", "2", "--metadata", "-")
    assert again.lines == ["rotated 0 of 12 files, 12 are as wanted already"]
    assert {json.loads(line)["status"] for line in again.text.splitlines()} == {"kept"}


def test_what_is_told_is_what_one_process_tells(envelope: Any, tree: None) -> None:
    """Of what is rotated, what is as wanted, what has other names, and what fails."""
    envelope.ok("rotate", "-q", *OPTIONS[:4], "t/001.enc")
    (envelope.home / "elsewhere").hardlink_to(envelope.home / "t/002.enc")
    envelope.write("t/003.enc", b"not a message")
    envelope.write("t/004.enc", envelope.read("t/004.enc")[:-1])
    told = []
    for options in ((), ("-j", "2")):
        envelope.ok("decrypt", "-q", "-r", "-f", "-k", "old.key", "-k", "new.key", "t/002.enc", "-o", "plain")
        before = {path.name: path.read_bytes() for path in (envelope.home / "t").iterdir()}
        ran = envelope("rotate", *OPTIONS, *options, "--metadata", "-")
        log = [json.loads(line) for line in ran.text.splitlines()]
        for line in log:
            line.get("header", {}).pop("message_id", None)
            for key in line.get("header", {}).get("encrypted_data_keys", ()):
                key.pop("provider_info_base64")
        told.append((ran.code, sorted(ran.lines), sorted(log, key=lambda line: str(line["input"]))))
        (envelope.home / "t/002.enc").unlink()
        for name, data in before.items():
            envelope.write(f"t/{name}", data)
        (envelope.home / "elsewhere").unlink()
        (envelope.home / "elsewhere").hardlink_to(envelope.home / "t/002.enc")

    assert told[0] == told[1]
    assert told[0][0] == 1
    assert any("hard links" in line for line in told[0][1])
    assert "rotated 9 of 12 files, 1 is as wanted already, 2 failed" in told[0][1]


def test_calls_of_kms_are_added_up(envelope: Any, kms_server: Any, tree: None) -> None:
    envelope.env = dict(kms_server.environment())
    arns = [kms_server.kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    kms_server.kms.create_alias(AliasName="alias/next", TargetKeyId=arns[1])
    envelope.ok("rotate", "-q", "-k", "old.key", "--new-key", f"aws-kms://{arns[0]}", "-r", "t")
    kms_server.asked.clear()

    # By its alias the key opens nothing: what was wrapped is found by its ARN.
    ran = envelope.ok(
        *("rotate", "-k", f"aws-kms://{arns[0]}", "--new-key", "aws-kms://alias/next"),
        *("-r", "t", "--stats-json", "-j", "2"),
    )

    calls = json.loads(ran.lines[-1])["kms_calls"]
    assert calls["Decrypt"] == 24
    # A worker may ask once more which keys are wanted.
    assert 12 <= calls["GenerateDataKey"] <= 14
    assert len(kms_server.asked) == sum(calls.values())


def test_calls_that_keyrings_take_are_among_them(envelope: Any, kms_server: Any, tree: None) -> None:
    envelope.env = dict(kms_server.environment())
    key = kms_server.kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    envelope.write("public", kms_server.kms.get_public_key(KeyId=key)["PublicKey"])
    kms_server.asked.clear()
    new = f"aws-kms-ecdh://{key}?recipient=public"

    for options in (("-j", "2"), ("--journal", "journal")):
        ran = envelope.ok("rotate", "-k", "old.key", "-k", new, "--new-key", new, "-r", "t", "--stats-json", *options)

        assert sum(json.loads(ran.lines[-1])["kms_calls"].values()) == len(kms_server.asked) > 0
        kms_server.asked.clear()


@pytest.mark.parametrize("options", [["-j", "2"], ["--journal", "journal"]], ids=lambda options: options[0])
@pytest.mark.parametrize("keys", ["pipe new.key", "old.key pipe"])
def test_keys_that_workers_could_not_read_again_are_refused(
    envelope: Any, tree: None, keys: str, options: list[str]
) -> None:
    os.mkfifo(envelope.home / "pipe")
    old, new = keys.split()

    ran = envelope("rotate", "-k", old, "--new-key", new, "-r", "t", *options)

    assert ran.code == 2
    assert "can be read by this process alone, or once" in ran.lines[0]
    assert set(keys_of(envelope).values()) == {"old"}


def test_a_disk_that_is_full(envelope: Any, tree: None) -> None:
    before = {name: envelope.read(f"t/{name}") for name in NAMES}

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    ran = envelope.process("rotate", *OPTIONS, "-j", "2", preexec_fn=limited)

    assert ran.code == 1
    assert ran.lines[-1] == "rotated 0 of 12 files, 12 failed"
    assert {line.partition(": t/")[2][9:] for line in ran.lines[:-1]} == {"file too large"}
    assert {name: envelope.read(f"t/{name}") for name in NAMES} == before
    assert {path.name for path in (envelope.home / "t").iterdir()} == set(NAMES)


def test_a_key_that_cannot_be_had_ends_it_at_once(envelope: Any, tree: None) -> None:
    for keys in (("-k", "no.key", "--new-key", "new.key"), ("-k", "old.key", "--new-key", "no.key")):
        alone = envelope("rotate", *keys, "-r", "t")
        shared = envelope("rotate", *keys, "-r", "t", "-j", "2")

        assert (shared.code, shared.err) == (alone.code, alone.err)
        assert shared.code == 4
    assert set(keys_of(envelope).values()) == {"old"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_run_that_is_stopped_in_the_middle_is_gone_on_with(envelope: Any, ended: Any, number: signal.Signals) -> None:
    names = [f"{number:03}.enc" for number in range(600)]
    make(envelope, names)
    before = {name: (envelope.home / "t" / name).stat().st_ino for name in names}
    process = envelope.start("rotate", *OPTIONS, "-j", "2", start_new_session=True)
    wait_for_the_first(envelope.home / "t", before, process)

    if number == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, number)
    code = ended(process).code
    wait_for_the_last(process.pid)

    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 128 + number)
    kinds = keys_of(envelope)
    assert {*kinds} == {*names}
    assert {*kinds.values()} == {"old", "new"}
    assert whole(envelope, names)

    assert envelope.ok("rotate", *OPTIONS).lines[0].startswith("rotated ")
    assert {*keys_of(envelope).values()} == {"new"}
    assert whole(envelope, names)


def wait_for_the_first(folder: Path, before: dict[str, int], process: Any) -> None:
    """Wait until a message has been replaced."""
    while process.poll() is None:
        if any((folder / name).stat().st_ino != number for name, number in before.items()):
            return
        threading.Event().wait(0.001)
    raise AssertionError("it ended before it was stopped")


def wait_for_the_last(group: int) -> None:
    """Wait until nobody is left of a group of processes."""
    for _ in range(6000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        threading.Event().wait(0.01)
    raise AssertionError("workers stay")
