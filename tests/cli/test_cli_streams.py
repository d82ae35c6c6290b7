"""Standard input and output, pipes and terminals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import resource
import select
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

BINARY = bytes(range(256)) * 40 + b"\r\n\x00\xff"
MANY_FRAMES = os.urandom(3 * 2**20 + 17)


def read_terminal(master: int, process: subprocess.Popen[bytes]) -> bytes:
    """Return all that a process prints on the terminal behind ``master``."""
    printed = b""
    while process.poll() is None or select.select([master], [], [], 0)[0]:
        if select.select([master], [], [], 0.05)[0]:
            try:
                printed += os.read(master, 2**16)
            except OSError:  # Linux's way to say that nobody has the terminal open any more
                break
    process.wait(timeout=60)
    return printed


def in_a_shell(envelope: Any, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell's command in which ``"$@"`` is envelope."""
    launcher = "import sys; sys.argv[0] = 'envelope'; from envelope_sdk.cli.main import entry; entry()"
    return subprocess.run(
        ["/bin/sh", "-c", command, "sh", sys.executable, "-c", launcher],
        cwd=envelope.home,
        env=envelope.environment(),
        capture_output=True,
        check=False,
    )


@pytest.fixture
def signed(envelope: Any) -> str:
    """A signed message of several frames under the key in ``a.key``."""
    envelope.write("big", MANY_FRAMES)
    envelope.ok("encrypt", "-k", envelope.key(), "--sign", "big")
    return "big.enc"


def alter_last_byte(envelope: Any, name: str) -> None:
    data = bytearray(envelope.read(name))
    data[-1] ^= 1
    envelope.write(name, bytes(data))


# --- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plaintext", [b"", b"x", BINARY, MANY_FRAMES], ids=["empty", "a byte", "binary", "big"])
@pytest.mark.parametrize("options", [(), ("--sign",)], ids=["unsigned", "signed"])
def test_what_goes_in_comes_out(envelope: Any, plaintext: bytes, options: tuple[str, ...]) -> None:
    key = envelope.key()

    message = envelope.ok("encrypt", "-k", key, *options, "-", stdin=plaintext)
    opened = envelope.ok("decrypt", "-k", key, "-", stdin=message.out)

    assert opened.out == plaintext
    assert (message.err, opened.err) == ("", "")


def test_a_process_writes_exact_bytes(envelope: Any) -> None:
    key = envelope.key()

    message = envelope.process("encrypt", "-k", key, "-", stdin=BINARY)
    opened = envelope.process("decrypt", "-k", key, "-", "-o", "-", stdin=message.out)

    assert (opened.code, opened.out, opened.err) == (0, BINARY, "")


def test_streams_are_the_output_where_a_device_or_pipe_is_named(envelope: Any, fifo: str, ended: Any) -> None:
    envelope.write("a", BINARY)
    key = envelope.key()
    writer = envelope.start("encrypt", "-k", key, "a", "-o", fifo)

    message = (envelope.home / fifo).read_bytes()

    assert ended(writer).code == 0
    assert envelope.ok("decrypt", "-k", key, "-", stdin=message).out == BINARY
    assert envelope.ok("encrypt", "-k", key, "a", "-o", "/dev/null").code == 0


# --- release of plaintext --------------------------------------------------------------------------------------------


def test_an_altered_signature_releases_nothing_from_a_file(envelope: Any, signed: str) -> None:
    alter_last_byte(envelope, signed)

    ran = envelope("decrypt", "-k", "a.key", signed, "-o", "-")

    assert (ran.code, ran.out) == (3, b"")
    assert ran.lines[0].startswith("envelope: big.enc: ")


def test_an_altered_signature_releases_nothing_from_a_pipe(envelope: Any, signed: str) -> None:
    alter_last_byte(envelope, signed)

    ran = envelope.process("decrypt", "-k", "a.key", "-", stdin=envelope.read(signed))

    assert (ran.code, ran.out) == (3, b"")


def test_a_truncated_signed_message_releases_nothing(envelope: Any, signed: str) -> None:
    ran = envelope.process("decrypt", "-k", "a.key", "-", stdin=envelope.read(signed)[:-200])

    assert (ran.code, ran.out) == (3, b"")


class Cutting:
    """A KMS during whose second answer a file is cut short."""

    def __init__(self, kms: Any, path: Path) -> None:
        self._kms = kms
        self._path = path
        self.answers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kms, name)

    def decrypt(self, **arguments: Any) -> Any:
        self.answers += 1
        if self.answers == 2:
            os.truncate(self._path, 2 * 2**20)
        return self._kms.decrypt(**arguments)


@pytest.mark.parametrize("through", ["a name", "standard input"])
def test_what_is_released_is_what_was_verified(envelope: Any, kms_server: Any, ended: Any, through: str) -> None:
    envelope.env = dict(kms_server.environment())
    key = f"aws-kms://{kms_server.kms.create_key()['KeyMetadata']['Arn']}"
    path = envelope.write("a.enc", envelope.ok("encrypt", "--sign", "-k", key, "-", stdin=MANY_FRAMES).out)
    kms_server.kms = Cutting(kms_server.kms, path)

    with path.open("rb") as file:
        ran = ended(
            envelope.start("decrypt", "-k", key, "a.enc" if through == "a name" else "-", "-o", "-", stdin=file)
        )

    assert (ran.code, ran.out == MANY_FRAMES) == (0, True)
    assert kms_server.kms.answers == 2


@pytest.mark.parametrize("through", ["a name", "standard input"])
def test_there_is_no_room_for_a_copy_of_a_signed_message(envelope: Any, signed: str, through: str) -> None:
    envelope.env = {"TMPDIR": str(envelope.home)}

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    name = signed if through == "a name" else "-"
    stdin = None if through == "a name" else envelope.read(signed)
    ran = envelope.process("decrypt", "-k", "a.key", name, "-o", "-", stdin=stdin, preexec_fn=limited)

    assert (ran.code, ran.out) == (1, b"")
    assert ran.err == f"envelope: {name}: {envelope.home}: file too large\n"


def test_a_signed_message_comes_through_a_pipe(envelope: Any, signed: str) -> None:
    ran = envelope.process("decrypt", "-k", "a.key", "-", stdin=envelope.read(signed))

    assert (ran.code, ran.out, ran.err) == (0, MANY_FRAMES, "")


def test_a_signed_message_is_read_from_where_standard_input_stands(envelope: Any, signed: str) -> None:
    """A shell's ``{ read line; envelope decrypt -; } < file``."""
    envelope.write("with a line", b"a line\n" + envelope.read(signed))
    with (envelope.home / "with a line").open("rb", buffering=0) as file:
        file.seek(len(b"a line\n"))
        process = envelope.start("decrypt", "-k", "a.key", "-", stdin=file)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out, err) == (0, MANY_FRAMES, b"")


def test_what_an_unsigned_truncated_message_releases_is_a_beginning(envelope: Any) -> None:
    key = envelope.key()
    message = envelope.ok("encrypt", "-k", key, "-", stdin=MANY_FRAMES).out

    ran = envelope.process("decrypt", "-k", key, "-", stdin=message[:-5])

    assert ran.code == 3
    assert MANY_FRAMES.startswith(ran.out)
    assert len(ran.out) < len(MANY_FRAMES)
    assert "Traceback" not in ran.err


# --- somebody leaves -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_a_reader_that_leaves_early_is_no_reason_for_a_traceback(envelope: Any, command: str) -> None:
    key = envelope.key()
    data = MANY_FRAMES if command == "encrypt" else envelope.ok("encrypt", "-k", key, "-", stdin=MANY_FRAMES).out
    envelope.write("in", data)
    process = envelope.start(command, "-k", key, "in", "-o", "-")

    assert len(process.stdout.read(1)) == 1
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(timeout=60) == 1
    assert err == b""


@pytest.mark.parametrize(
    "arguments", [("inspect", "a.enc"), ("kms", "list-keys"), ("--help",)], ids=["inspect", "kms", "help"]
)
def test_nobody_reads_what_is_printed(envelope: Any, arguments: tuple[str, ...]) -> None:
    envelope.ok("encrypt", "-", "-o", "a.enc", stdin=b"x")
    read, write = os.pipe()
    os.close(read)
    process = envelope.start(*arguments, stdout=write)
    os.close(write)

    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 1


def test_a_full_disk_below_standard_output_is_told(envelope: Any) -> None:
    envelope.write("a", BINARY)
    envelope.ok("encrypt", "-k", envelope.key(), "a")
    for arguments in (("encrypt", "a"), ("decrypt", "a.enc")):
        with Path("/dev/full").open("wb") as full:
            process = envelope.start(*arguments, "-k", "a.key", "-o", "-", stdout=full)
            err = process.communicate(timeout=60)[1].decode()

        assert process.returncode == 1
        assert err == f"envelope: {arguments[1]}: no space left on device\n"


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ('exec "$@" encrypt -k a.key - <&-', "envelope: -: standard input: closed\n"),
        ('exec "$@" inspect - <&-', "envelope: -: standard input: closed\n"),
        ('exec "$@" encrypt -k a.key a -o - >&-', "envelope: a: standard output: closed\n"),
        ('exec "$@" encrypt -k a.key nosuch -o b 2>&-', ""),
    ],
    ids=["input", "inspected input", "output", "error"],
)
def test_a_standard_stream_that_is_closed(envelope: Any, shell: str, said: str) -> None:
    envelope.write("a", BINARY)
    envelope.key()

    done = in_a_shell(envelope, shell)

    assert (done.returncode, done.stderr.decode(), done.stdout) == (1, said, b"")


@pytest.mark.parametrize("shell", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("encrypt -k a.key a", 0),
        ("keygen new", 0),
        ("encrypt -k nosuch a", 4),
        ("encrypt -k a.key nosuch -o out", 1),
        ("encrypt", 2),
        ("kms", 2),
        ("inspect a", 3),
    ],
)
def test_nobody_can_be_told_but_the_work_is_done(envelope: Any, command: str, code: int, shell: str) -> None:
    envelope.write("a", BINARY)
    envelope.key()

    done = in_a_shell(envelope, f'exec "$@" {command} {shell}')

    assert (done.returncode, done.stdout) == (code, b"")
    if code == 0:
        assert {"a.enc", "new"} & envelope.names()


@pytest.mark.parametrize("command", ["inspect a.enc", "kms list-keys", "--help", "--version"])
def test_a_full_disk_below_what_is_printed_is_told_once(envelope: Any, command: str) -> None:
    envelope.ok("encrypt", "-", "-o", "a.enc", stdin=b"x")

    done = in_a_shell(envelope, f'exec "$@" {command} >/dev/full')

    assert (done.returncode, done.stderr) == (1, b"envelope: no space left on device\n")


def test_a_closed_standard_stream_is_not_the_next_file(envelope: Any) -> None:
    """Nothing that is meant for standard error gets into a file that took its number."""
    envelope.write("a", BINARY)
    key = envelope.key()
    envelope.env = {"PYTHONFAULTHANDLER": "1"}

    assert in_a_shell(envelope, f'exec "$@" encrypt -k {key} a <&- >&- 2>&-').returncode == 0
    assert envelope.ok("decrypt", "-k", key, "a.enc", "-o", "-").out == BINARY


# --- streams that do not block ---------------------------------------------------------------------------------------


def when_read(read: int) -> None:
    """Wait until somebody has taken all that is in a pipe."""
    while fcntl.ioctl(read, termios.FIONREAD, b"\0" * 4) != b"\0" * 4:
        select.select([], [], [], 0.01)


@pytest.mark.parametrize("command", ["encrypt", "decrypt", "decrypt signed", "inspect"])
def test_standard_input_that_does_not_block_is_read_to_its_end(envelope: Any, command: str) -> None:
    key = envelope.key()
    command, *signed = command.split()
    data = BINARY
    if command != "encrypt":
        data = envelope.ok("encrypt", "-k", key, *(["--sign"] if signed else []), "-", stdin=BINARY).out
    options = {"encrypt": ("-k", key, "-o", "-"), "decrypt": ("-k", key), "inspect": ("--json",)}[command]
    read, write = os.pipe()
    os.set_blocking(read, False)
    process = envelope.start(command, *options, "-", stdin=read)
    for piece in (data[:10], data[10:-1000], data[-1000:]):
        os.write(write, piece)
        when_read(read)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    os.close(write)
    os.close(read)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, b"")
    if command == "encrypt":
        out = envelope.ok("decrypt", "-k", key, "-", stdin=out).out
    assert json.loads(out)["plaintext_length"] == len(BINARY) if command == "inspect" else out == BINARY


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_standard_output_that_does_not_block_takes_everything(envelope: Any, command: str) -> None:
    key = envelope.key()
    envelope.write("big", MANY_FRAMES)
    if command == "decrypt":
        envelope.ok("encrypt", "-k", key, "big")
    read, write = os.pipe()
    os.set_blocking(write, False)
    process = envelope.start(command, "-k", key, "big" if command == "encrypt" else "big.enc", "-o", "-", stdout=write)
    os.close(write)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    with os.fdopen(read, "rb") as pipe:
        out = pipe.read()
    err = process.communicate(timeout=60)[1]

    assert (process.returncode, err) == (0, b"")
    if command == "encrypt":
        out = envelope.ok("decrypt", "-k", key, "-", stdin=out).out
    assert out == MANY_FRAMES


def test_what_is_printed_waits_for_its_reader(envelope: Any) -> None:
    envelope.ok("encrypt", "-", "-o", "a.enc", stdin=b"x")
    read, write = os.pipe()
    os.set_blocking(write, False)
    process = envelope.start("inspect", *["a.enc"] * 500, stdout=write)
    os.close(write)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    with os.fdopen(read, "rb") as pipe:
        out = pipe.read()

    assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")
    assert out.count(b"a.enc\n") == 500


# --- terminals -------------------------------------------------------------------------------------------------------


def test_ciphertext_is_not_written_to_a_terminal(envelope: Any) -> None:
    envelope.write("a", BINARY)
    master, terminal = pty.openpty()
    process = envelope.start("encrypt", "-k", envelope.key(), "a", "-o", "-", stdout=terminal)
    os.close(terminal)
    printed = read_terminal(master, process)
    err = process.stderr.read().decode()

    assert (process.returncode, printed) == (2, b"")
    assert err.startswith("envelope: refusing to write ciphertext to a terminal: ")
    assert "--force" in err


def test_ciphertext_is_not_written_to_a_terminal_by_its_name(envelope: Any) -> None:
    envelope.write("a", BINARY)
    master, terminal = pty.openpty()
    name = os.ttyname(terminal)
    (envelope.home / "link").symlink_to(name)
    key = envelope.key()
    for target in (name, "link"):
        ran = envelope("encrypt", "-k", key, "a", "-o", target)

        assert ran.code == 2
        assert ran.lines[0].startswith("envelope: refusing to write ciphertext to a terminal: ")
    os.set_blocking(master, False)
    with pytest.raises(BlockingIOError):
        os.read(master, 1)
    os.close(terminal)
    os.close(master)


def test_ciphertext_is_written_to_a_terminal_by_force(envelope: Any) -> None:
    envelope.write("a", BINARY)
    master, terminal = pty.openpty()
    process = envelope.start("encrypt", "-k", envelope.key(), "a", "-o", "-", "--force", stdout=terminal)
    os.close(terminal)

    assert len(read_terminal(master, process)) > len(BINARY)
    assert process.returncode == 0


def test_plaintext_is_written_to_a_terminal(envelope: Any) -> None:
    envelope.ok("encrypt", "-k", envelope.key(), "-", "-o", "a.enc", stdin=b"for your eyes")
    master, terminal = pty.openpty()
    process = envelope.start("decrypt", "-k", "a.key", "a.enc", "-o", "-", stdout=terminal)
    os.close(terminal)

    assert read_terminal(master, process) == b"for your eyes"


def test_a_bar_is_drawn_for_somebody_who_watches_and_leaves_the_bytes_alone(envelope: Any) -> None:
    envelope.write("a\x1b[2J[red]\n", MANY_FRAMES)
    envelope.env = {"TERM": "xterm"}
    master, terminal = pty.openpty()
    process = envelope.start("encrypt", "-k", envelope.key(), "a\x1b[2J[red]\n", "-o", "-", stderr=terminal)
    os.close(terminal)
    with (envelope.home / "out").open("wb") as out:
        out.write(process.stdout.read())
    printed = read_terminal(master, process)

    assert process.returncode == 0
    assert rb"a\x1b[2J[red]\n" in printed
    assert b"a\x1b[2J" not in printed
    assert printed.endswith(b"\x1b[?25h") or b"\x1b[?25h" in printed  # the cursor is back
    assert envelope.ok("decrypt", "-k", "a.key", "out", "-o", "-").out == MANY_FRAMES


def test_no_bar_is_drawn_where_nobody_watches(envelope: Any) -> None:
    envelope.write("big", MANY_FRAMES)

    ran = envelope.process("encrypt", "-k", envelope.key(), "big")

    assert (ran.code, ran.err) == (0, "encrypted big to big.enc\n")


def test_no_bar_is_drawn_for_somebody_who_wants_quiet(envelope: Any) -> None:
    envelope.write("big", MANY_FRAMES)
    master, terminal = pty.openpty()
    process = envelope.start("encrypt", "-k", envelope.key(), "big", "-q", stderr=terminal)
    os.close(terminal)

    assert read_terminal(master, process) == b""
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [("keyrings",), ("--help",), ("inspect", "a.enc")], ids=" ".join)
def test_nothing_is_said_where_whoever_reads_the_output_has_gone(envelope: Any, ended: Any, arguments: Any) -> None:
    envelope.write("a", b"hello")
    envelope.ok("encrypt", "a")
    read, write = os.pipe()
    os.close(read)

    ran = ended(envelope.start(*arguments, stdout=write))
    os.close(write)

    assert (ran.code, ran.err) == (1, "")
