"""A file appears whole or not at all, and an older one of its name stays until then, whatever goes wrong."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OLD = b"what was there before"
BIG = os.urandom(3 * 2**20)


def altered(data: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1
    return bytes(changed)


@pytest.fixture
def message(envelope: Any) -> bytes:
    """A message under ``a.key``, with a context."""
    key = envelope.key("a.key", "--name", "same")
    return bytes(envelope.ok("encrypt", "-k", key, "-c", "team=blue", "-", stdin=BIG).out)


@pytest.fixture
def untouched(envelope: Any) -> Callable[[set[str]], bool]:
    """Whether the old file is as it was and nothing has been left beside what there was."""
    envelope.write("old", OLD)
    return lambda before: envelope.read("old") == OLD and envelope.names() == before


# --- what goes wrong with a message ----------------------------------------------------------------------------------

DAMAGE = {
    "no message": (lambda _: b"hello, world", 3),
    "empty": (lambda _: b"", 3),
    "altered at the start": (lambda data: altered(data, 40), 3),
    "altered in the middle": (lambda data: altered(data, len(data) // 2), 3),
    "altered at the end": (lambda data: altered(data, -1), 3),
    "cut in the header": (lambda data: data[:100], 3),
    "cut in the last frame": (lambda data: data[:-1], 3),
    "something behind it": (lambda data: data + b"\n", 3),
    "twice": (lambda data: data + data, 3),
}


@pytest.mark.parametrize(("damage", "code"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_message(
    envelope: Any, message: bytes, untouched: Any, damage: Callable[[bytes], bytes], code: int
) -> None:
    envelope.write("in", damage(message))
    before = envelope.names()

    ran = envelope("decrypt", "-k", "a.key", "in", "-o", "old", "--force")

    assert ran.code == code
    assert ran.lines[0].startswith("envelope: in: ")
    assert untouched(before)


REFUSED = {
    "another key": (["-k", "b.key"], 4),
    "another context": (["-k", "a.key", "-c", "team=red"], 3),
    "a key of the context is missing": (["-k", "a.key", "-c", "owner"], 3),
    "frames are longer than allowed": (["-k", "a.key", "--max-body-length", "65535"], 3),
    "no local KMS": ([], 4),
    "nothing to write over": (["-k", "a.key", "--no-such-option"], 2),
}


@pytest.mark.parametrize(("options", "code"), REFUSED.values(), ids=REFUSED)
def test_a_message_that_is_refused(
    envelope: Any, message: bytes, untouched: Any, options: list[str], code: int
) -> None:
    envelope.key("b.key", "--name", "same")
    envelope.write("in", message)
    before = envelope.names()

    assert envelope("decrypt", *options, "in", "-o", "old", "--force").code == code
    assert untouched(before)


def test_a_key_that_is_disabled(envelope: Any, untouched: Any) -> None:
    envelope.write("a", BIG)
    envelope.ok("encrypt", "a")
    key_id = envelope.ok("kms", "list-keys", "--json").json["Keys"][0]["KeyId"]
    envelope.ok("kms", "disable-key", key_id)
    before = envelope.names()

    for arguments in (("encrypt", "a"), ("decrypt", "a.enc")):
        ran = envelope(*arguments, "-o", "old", "--force")

        assert ran.code == 4
        assert "DisabledException" in ran.err
        assert untouched(before)


@pytest.mark.parametrize("source", ["nosuch", "folder/", "/proc/self/mem"])
@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_a_source_that_cannot_be_read(envelope: Any, untouched: Any, command: str, source: str) -> None:
    (envelope.home / "folder").mkdir()
    key = envelope.key()
    before = envelope.names()

    assert envelope(command, "-k", key, source, "-o", "old", "--force").code in (1, 2)
    assert untouched(before)


# --- what goes wrong with the target ---------------------------------------------------------------------------------


def test_without_force_nothing_is_replaced(envelope: Any, message: bytes, untouched: Any) -> None:
    envelope.write("in", message)
    before = envelope.names()

    for command in ("encrypt", "decrypt"):
        ran = envelope(command, "-k", "a.key", "in", "-o", "old")

        assert ran.code == 1
        assert ran.lines[1] == "hint: --force replaces existing files"
        assert untouched(before)


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_the_disk_is_full(envelope: Any, message: bytes, untouched: Any, command: str) -> None:
    envelope.write("in", message)
    before = envelope.names()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    ran = envelope.process(command, "-k", "a.key", "in", "-o", "old", "--force", preexec_fn=limited)

    assert (ran.code, ran.err) == (1, "envelope: in: file too large\n")
    assert untouched(before)


def test_a_target_that_is_a_folder_of_another_name(envelope: Any, message: bytes) -> None:
    envelope.write("in.enc", message)
    (envelope.home / "in").mkdir()

    ran = envelope("decrypt", "-k", "a.key", "in.enc", "--force")

    assert ran.code == 1
    assert ran.lines == ["envelope: in.enc: in: not a regular file, so it cannot be replaced"]


# --- the process is stopped ------------------------------------------------------------------------------------------


def has_unnamed_files(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_RDWR | os.O_TMPFILE))
    except (AttributeError, OSError):
        return False
    return True


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_signal_in_the_middle(
    envelope: Any,
    message: bytes,
    untouched: Any,
    fifo: str,
    waiting: Any,
    ended: Any,
    command: str,
    number: int,
    code: int,
) -> None:
    if number == signal.SIGKILL and not has_unnamed_files(envelope.home):
        pytest.skip("a killed process leaves its hidden file behind on this file system")
    before = envelope.names()
    process = envelope.start(command, "-k", "a.key", fifo, "-o", "old", "--force")
    with (envelope.home / fifo).open("wb", buffering=0) as pipe:
        pipe.write(message[: 2 * 2**20])
        waiting(process, pipe)
        process.send_signal(number)
        ran = ended(process)

    assert ran.code == code
    assert "Traceback" not in ran.err
    assert untouched(before)


def test_who_ignores_hangups_is_let_to(envelope: Any, fifo: str, ended: Any) -> None:
    """As ``nohup`` does."""

    def ignoring() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = envelope.start("encrypt", "-k", envelope.key(), fifo, "-o", "out", preexec_fn=ignoring)
    with (envelope.home / fifo).open("wb", buffering=0) as pipe:
        pipe.write(b"x" * 2**20)
        process.send_signal(signal.SIGHUP)
        pipe.write(b"x" * 2**20)

    assert ended(process).code == 0


def test_an_interrupt_while_a_folder_is_done_keeps_what_was_finished(
    envelope: Any, fifo: str, waiting: Any, ended: Any
) -> None:
    envelope.write("a", BIG)
    process = envelope.start("encrypt", "-k", envelope.key(), "a", fifo, "-o", "out")
    with (envelope.home / fifo).open("wb", buffering=0) as pipe:
        pipe.write(b"x" * 2**20)
        waiting(process, pipe)
        process.send_signal(signal.SIGINT)
        ran = ended(process)

    assert ran.code == 130
    assert {name for name in envelope.names() if name.startswith("out")} == {"out", "out/a.enc"}
    assert envelope.ok("decrypt", "-k", "a.key", "out/a.enc", "-o", "-").out == BIG


# --- what appears ----------------------------------------------------------------------------------------------------


def test_files_are_their_owners_alone(envelope: Any) -> None:
    """Whatever the umask."""
    envelope.write("a", b"hello")
    for arguments in (
        ("keygen", "k"),
        ("keygen", "r", "--type", "rsa-2048"),
        ("keygen", "e", "--type", "ecdh-p384"),
        ("encrypt", "-k", "k", "a", "-o", "new/", "--metadata", "log"),
        ("decrypt", "-k", "k", "new/a.enc", "-o", "b"),
        ("encrypt", "a"),
    ):
        assert envelope.process(*arguments, umask=0).code == 0

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    made = [envelope.home / name for name in ("k", "r", "r.pub", "e", "e.pub", "log", "new/a.enc", "b", "a.enc")]
    made += [path for path in envelope.store.parent.iterdir() if path.is_file()]
    assert {path.name: mode(path) for path in made} == dict.fromkeys((path.name for path in made), 0o600)
    assert [mode(path) for path in (envelope.home / "new", envelope.store.parent)] == [0o700, 0o700]


def test_a_replaced_file_is_its_owners_alone_too(envelope: Any) -> None:
    envelope.write("a", b"hello")
    envelope.write("b", OLD).chmod(0o644)

    envelope.ok("encrypt", "-k", envelope.key(), "a", "-o", "b", "--force")

    assert stat.S_IMODE((envelope.home / "b").stat().st_mode) == 0o600
