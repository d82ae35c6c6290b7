"""Signals, whenever they come."""

from __future__ import annotations

import os
import pty
import signal
from typing import Any

import pytest

AT_AN_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "envelope"
number, left = int(sys.argv.pop(1)), int(sys.argv.pop(1))
from envelope_sdk.cli.main import entry
def count(event, arguments):
    global left
    if event == "import":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)
sys.addaudithook(count)
entry()
"""
"""Gets a signal at the import of that number."""

IMPORTS = """
import sys
sys.argv[0] = "envelope"
from envelope_sdk.cli.main import entry
imports = 0
def count(event, arguments):
    global imports
    imports += event == "import"
sys.addaudithook(count)
try:
    entry()
finally:
    print(imports)
"""
"""Tells how many imports there are."""

LOST = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "envelope"
from envelope_sdk.cli.main import entry
from envelope_sdk.cli import running
class Bad:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
def opened(*arguments):
    Bad()
    return real(*arguments)
real, running.opened_metadata = running.opened_metadata, opened
entry()
"""
"""Gets a signal where an exception goes nowhere: in a destructor."""

SAID = {signal.SIGINT: "envelope: interrupted\n", signal.SIGTERM: "", signal.SIGHUP: ""}


@pytest.mark.parametrize("number", SAID, ids=lambda number: number.name)
@pytest.mark.parametrize("share", [0, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9])
def test_a_signal_while_it_starts(envelope: Any, number: signal.Signals, share: float) -> None:
    envelope.write("a", b"hello")
    key = envelope.key()
    at = 1 + int(share * int(envelope.process("encrypt", "-q", "-k", key, "a", "-o", "b", launcher=IMPORTS).out))
    (envelope.home / "b").unlink()

    ran = envelope.process(str(int(number)), str(at), "encrypt", "-k", key, "a", launcher=AT_AN_IMPORT)

    assert (ran.code, ran.out, ran.err) == (128 + number, b"", SAID[number])
    assert envelope.names() == {"a", key}


@pytest.mark.parametrize("number", SAID, ids=lambda number: number.name)
def test_a_signal_while_it_waits(envelope: Any, fifo: str, waiting: Any, ended: Any, number: signal.Signals) -> None:
    process = envelope.start("encrypt", "-k", envelope.key(), fifo, "-o", "out")
    with (envelope.home / fifo).open("wb", buffering=0) as pipe:
        pipe.write(b"x" * 2**20)
        waiting(process, pipe)
        process.send_signal(number)
        ran = ended(process)

    assert (ran.code, ran.out, ran.err) == (128 + number, b"", SAID[number])
    assert "out" not in envelope.names()


def test_a_signal_whose_exception_is_lost_is_remembered(envelope: Any) -> None:
    envelope.write("a", b"hello")
    key = envelope.key()

    ran = envelope.process("encrypt", "-k", key, "a", launcher=LOST)

    assert (ran.code, ran.out, ran.err) == (130, b"", "envelope: interrupted\n")
    assert envelope.names() == {"a", key}


def test_the_message_has_a_line_of_its_own(envelope: Any, fifo: str, waiting: Any) -> None:
    """A terminal has shown ^C before."""
    master, terminal = pty.openpty()
    process = envelope.start("encrypt", "-q", "-k", envelope.key(), fifo, "-o", "out", stderr=terminal)
    os.close(terminal)
    with (envelope.home / fifo).open("wb", buffering=0) as pipe:
        pipe.write(b"x" * 2**20)
        waiting(process, pipe)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)

    assert (code, os.read(master, 1000)) == (130, b"\r\nenvelope: interrupted\r\n")
