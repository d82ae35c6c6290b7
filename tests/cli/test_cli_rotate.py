"""``envelope rotate``: every file is the old message or the new one, whole, whatever happens."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.formats.header import parse_header

BIG = os.urandom(3 * 2**20)
OPTIONS = ("-k", "old.key", "--new-key", "new.key")

AT_PROGRESS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "envelope"
number = int(sys.argv.pop(1))
from envelope_sdk.cli.main import entry
from envelope_sdk.cli import rotating
def told_to(progress):
    told = real(progress)
    def killing(count):
        os.kill(os.getpid(), number)
        told(count)
    return killing
real, rotating.told_to = rotating.told_to, told_to
entry()
"""
"""Gets a signal in the middle of the first message."""

AT_AN_EVENT = """
import os, signal, sys
sys.argv[0] = "envelope"
left = int(sys.argv.pop(1))
from envelope_sdk.cli.main import entry
from envelope_sdk.cli.commands import rotate
def count(event, arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
try:
    entry()
finally:
    print(-left)
"""
"""Is killed at the audit event of that number: at some opening, linking or renaming of a file. Tells how many came."""


@pytest.fixture
def message(envelope: Any) -> bytes:
    """A message under ``old.key`` in ``t/a.enc``, which it returns."""
    for name in ("old", "new"):
        envelope.key(f"{name}.key", "--name", name)
    data = bytes(envelope.ok("encrypt", "-k", "old.key", "-c", "team=blue", "-", stdin=BIG).out)
    envelope.write("t/a.enc", data)
    return data


def opens(envelope: Any, name: str, key: str = "new.key") -> bytes:
    return bytes(envelope.ok("decrypt", "-k", key, name, "-o", "-").out)


def altered(data: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1
    return bytes(changed)


# --- what goes wrong -------------------------------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no message": lambda _: b"hello, world",
    "empty": lambda _: b"",
    "altered at the start": lambda data: altered(data, 40),
    "altered in the middle": lambda data: altered(data, len(data) // 2),
    "altered at the end": lambda data: altered(data, -1),
    "cut in the header": lambda data: data[:100],
    "cut in the last frame": lambda data: data[:-1],
    "something behind it": lambda data: data + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_message_stays_as_it_is(envelope: Any, message: bytes, damage: Callable[[bytes], bytes]) -> None:
    path = envelope.write("t/a.enc", damage(message))
    before, status = envelope.names(), path.stat()

    ran = envelope("rotate", *OPTIONS, "t/a.enc")

    assert ran.code == 3
    assert ran.lines[0].startswith("envelope: t/a.enc: ")
    assert envelope.read("t/a.enc") == damage(message)
    assert path.stat().st_ino == status.st_ino
    assert envelope.names() == before


REFUSED = {
    "another key": (["-k", "new.key", "--new-key", "new.key"], 4),
    "another context": ([*OPTIONS, "-c", "team=red"], 3),
    "a key of the context is missing": ([*OPTIONS, "-c", "owner"], 3),
    "frames are longer than allowed": ([*OPTIONS, "--max-body-length", "65535"], 3),
    "a key of the format": ([*OPTIONS, "--new-context", "aws-crypto-public-key=x"], 2),
}


@pytest.mark.parametrize(("options", "code"), REFUSED.values(), ids=REFUSED)
def test_a_rotation_that_is_refused(envelope: Any, message: bytes, options: list[str], code: int) -> None:
    before = envelope.names()

    assert envelope("rotate", *options, "t/a.enc", "--all").code == code
    assert envelope.read("t/a.enc") == message
    assert envelope.names() == before


def test_a_disk_that_is_full(envelope: Any, message: bytes) -> None:
    before = envelope.names()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    ran = envelope.process("rotate", *OPTIONS, "t/a.enc", preexec_fn=limited)

    assert (ran.code, ran.err) == (1, "envelope: t/a.enc: file too large\n")
    assert envelope.read("t/a.enc") == message
    assert envelope.names() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_a_folder_that_is_read_only(envelope: Any, message: bytes) -> None:
    (envelope.home / "t").chmod(0o500)

    ran = envelope("rotate", *OPTIONS, "t/a.enc")

    (envelope.home / "t").chmod(0o700)
    assert (ran.code, ran.lines) == (1, ["envelope: t/a.enc: t/a.enc: permission denied"])
    assert envelope.read("t/a.enc") == message


def test_a_new_key_that_is_disabled(envelope: Any, message: bytes) -> None:
    envelope.write("b", b"hello")
    envelope.ok("encrypt", "b")
    key_id = envelope.ok("kms", "list-keys", "--json").json["Keys"][0]["KeyId"]
    envelope.ok("kms", "disable-key", key_id)

    ran = envelope("rotate", "-k", "old.key", "--new-key", f"local-kms://{key_id}", "t/a.enc")

    assert ran.code == 4
    assert "DisabledException" in ran.err
    assert envelope.read("t/a.enc") == message


def test_new_keys_that_open_nothing(envelope: Any, message: bytes) -> None:
    """A public key alone: whoever has it cannot see that the new message opens."""
    envelope.ok("keygen", "r", "--type", "rsa-2048")

    ran = envelope("rotate", "-k", "old.key", "--new-key", "r.pub", "t/a.enc")

    assert ran.code == 4
    assert "the new keys do not open the new message, so the old one was kept" in ran.lines[0]
    assert (
        ran.lines[1] == "hint: keys that only encrypt cannot show that it opens: --no-verify (verify=False) trusts them"
    )
    assert envelope.read("t/a.enc") == message
    envelope.ok("rotate", "-k", "old.key", "--new-key", "r.pub", "t/a.enc", "--no-verify")
    assert opens(envelope, "t/a.enc", "r") == BIG


# --- the process is stopped ------------------------------------------------------------------------------------------


def has_unnamed_files(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_RDWR | os.O_TMPFILE))
    except (AttributeError, OSError):
        return False
    return True


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "envelope: interrupted\n"),
        (signal.SIGTERM, 143, ""),
        (signal.SIGHUP, 129, ""),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_a_signal_in_the_middle(envelope: Any, message: bytes, number: int, code: int, said: str) -> None:
    if number == signal.SIGKILL and not has_unnamed_files(envelope.home):
        pytest.skip("a killed process leaves its hidden file behind on this file system")
    before = envelope.names()

    ran = envelope.process(str(int(number)), "rotate", *OPTIONS, "t/a.enc", launcher=AT_PROGRESS)

    assert (ran.code, ran.err) == (code, said)
    assert envelope.read("t/a.enc") == message
    assert envelope.names() == before


def both_kinds(envelope: Any, contents: dict[str, bytes]) -> bool:
    """Whether messages under either key are there; each has to open under one and be what it was."""
    kinds = set()
    for name, plaintext in contents.items():
        (wrapped,) = parse_header(envelope.read(name)).body.encrypted_data_keys
        key = "new.key" if wrapped.provider_info.startswith(b"new") else "old.key"
        kinds.add(key)
        assert opens(envelope, name, key) == plaintext
    return len(kinds) == 2


@pytest.mark.slow
def test_runs_that_are_killed_lose_nothing_and_are_gone_on_with(envelope: Any, message: bytes) -> None:
    """At every 37th thing that the process does with files, once it has begun; back and forth between two keys."""
    (envelope.home / "t/a.enc").unlink()
    contents = {f"t/{number:02}.enc": bytes([number]) * 70_000 for number in range(12)}
    for name, plaintext in contents.items():
        envelope.write(name, envelope.ok("encrypt", "-k", "old.key", "-", stdin=plaintext).out)

    def run(at: int, old: str, new: str, *more: str) -> Any:
        arguments = ("rotate", "-q", "-k", old, "--new-key", new, "-r", "t", *more)
        return envelope.process(str(at), *arguments, launcher=AT_AN_EVENT)

    begun = int(run(0, "old.key", "new.key", "--dry-run").text.splitlines()[-1])
    ended = int(run(0, "old.key", "new.key").text)
    keys = ["new.key", "old.key"]
    between = 0
    for at in range(begun - 100, ended, 37):
        if run(at, *keys).code == 0:
            keys.reverse()
        between += both_kinds(envelope, contents)
        assert {name for name in envelope.names() if name.endswith(".enc")} == set(contents)

    assert between >= 3
    envelope.ok("rotate", "-k", keys[0], "--new-key", keys[1], "-r", "t")
    assert {name: opens(envelope, name, keys[1]) for name in contents} == contents


# --- files -----------------------------------------------------------------------------------------------------------


def test_what_a_file_may_be_read_by_stays(envelope: Any, message: bytes) -> None:
    (envelope.home / "t/a.enc").chmod(0o440)

    envelope.ok("rotate", *OPTIONS, "t/a.enc")

    assert stat.S_IMODE((envelope.home / "t/a.enc").stat().st_mode) == 0o440
    assert opens(envelope, "t/a.enc") == BIG


def test_a_link_that_is_named_is_followed_and_one_in_a_folder_is_not(envelope: Any, message: bytes) -> None:
    envelope.write("elsewhere.enc", message)
    (envelope.home / "t/link.enc").symlink_to("../elsewhere.enc")

    ran = envelope.ok("rotate", *OPTIONS, "-r", "t")

    assert ran.lines == ["warning: left out t/link.enc: it is a link", "rotated t/a.enc"]
    assert envelope.read("elsewhere.enc") == message
    envelope.ok("rotate", *OPTIONS, "t/link.enc")
    assert (envelope.home / "t/link.enc").is_symlink()
    assert opens(envelope, "elsewhere.enc") == BIG


def test_who_has_other_names_for_a_file_is_warned(envelope: Any, message: bytes) -> None:
    (envelope.home / "b.enc").hardlink_to(envelope.home / "t/a.enc")

    ran = envelope.ok("rotate", *OPTIONS, "t/a.enc")

    assert ran.lines == [
        "warning: t/a.enc: other names of this file (hard links) keep the old message",
        "rotated t/a.enc",
    ]
    assert envelope.read("b.enc") == message


def test_names_of_one_file_are_all_rotated_without_a_warning(envelope: Any, message: bytes) -> None:
    (envelope.home / "t/b.enc").hardlink_to(envelope.home / "t/a.enc")

    assert envelope.ok("rotate", *OPTIONS, "-r", "t").lines == ["rotated 2 of 2 files"]
    assert opens(envelope, "t/a.enc") == opens(envelope, "t/b.enc") == BIG


def test_a_file_that_is_named_twice_is_rotated_once(envelope: Any, message: bytes) -> None:
    assert envelope.ok("rotate", *OPTIONS, "t/a.enc", "./t/a.enc").lines == ["rotated t/a.enc"]


def test_the_files_of_the_local_kms_are_left_out(envelope: Any, message: bytes) -> None:
    envelope.write("b", b"hello")
    envelope.ok("encrypt", "-q", "b", "--kms-store", "t/kms.enc")
    before = envelope.read("t/kms.enc")

    ran = envelope.ok("rotate", *OPTIONS, "-r", "t", "--kms-store", "t/kms.enc", "-q")

    assert ran.lines == ["warning: left out t/kms.enc: it is part of the local KMS"]
    assert envelope.read("t/kms.enc") == before


@pytest.mark.parametrize("option", ["--dry-run", "-n"])
def test_a_dry_run_changes_nothing_and_prints_what_it_would_rotate(envelope: Any, message: bytes, option: str) -> None:
    envelope.ok("rotate", *OPTIONS, "t/a.enc", "-o", "t/b.enc")
    before = {name: envelope.read(name) for name in ("t/a.enc", "t/b.enc")}

    ran = envelope.ok("rotate", *OPTIONS, "-r", "t", option, "--metadata", "log")

    assert ran.text == "t/a.enc\n"
    assert ran.lines == ["would rotate 1 of 2 files, 1 is as wanted already"]
    assert [line["status"] for line in map(json.loads, envelope.read("log").splitlines())] == [
        "due",
        "kept",
    ]
    assert {name: envelope.read(name) for name in before} == before


# --- AWS KMS ---------------------------------------------------------------------------------------------------------


def test_a_key_that_is_named_by_its_alias_is_found_again_to_verify(
    envelope: Any, message: bytes, kms_server: Any
) -> None:
    key = kms_server.kms.create_key()["KeyMetadata"]["Arn"]
    kms_server.kms.create_alias(AliasName="alias/next", TargetKeyId=key)
    envelope.env = dict(kms_server.environment())
    uri = "aws-kms://alias/next"

    assert envelope.ok("rotate", "-k", "old.key", "--new-key", uri, "t/a.enc").lines == ["rotated t/a.enc"]
    assert envelope.ok("rotate", "-k", "old.key", "--new-key", uri, "t/a.enc").lines == ["t/a.enc is as wanted already"]

    (wrapped,) = parse_header(envelope.read("t/a.enc")).body.encrypted_data_keys
    assert wrapped.provider_info.decode() == key
    assert opens(envelope, "t/a.enc", f"aws-kms://{key}") == BIG
