"""``envelope bench``: what it measures, prints, writes and refuses, and that nothing is left when it is stopped."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from testkit.bench_rows import CACHED, UNCACHED, made_run, row
from testkit.processes import wait_until_gone

from envelope_sdk.bench.result import from_json, to_json
from envelope_sdk.cli.commands.bench import command

QUICK = ("bench", "--size", "64", "--threads", "2", "--kms", "in-process", "--messages", "20", "--rounds", "2")

HELP = """\
Usage: envelope bench [OPTIONS]

  Measure what caching data keys saves.

  Messages are encrypted and decrypted with data keys cached and not, by a
  local KMS in this process, by one that is served with a latency and a quota,
  and by moto's server, side by side with other libraries where they are
  installed: messages a second, how long they take, calls of KMS, throttles,
  cost, processor and memory. It takes a minute or two.

  The exit code is 1 where something could not be measured, or figures
  contradict each other.
"""


def test_help_fits_and_names_every_option(envelope: Any) -> None:
    printed = envelope.ok("bench", "--help").text

    assert printed.startswith(HELP)
    assert max(map(len, printed.splitlines())) <= 80
    for option in command.params:
        assert option.opts[0] in printed


# --- earlier runs ----------------------------------------------------------------------------------------------------


def test_an_earlier_run_is_shown_again(envelope: Any) -> None:
    run = made_run(UNCACHED, CACHED)
    envelope.write("result.json", to_json(run).encode())

    shown = envelope.ok("bench", "--from", "result.json", "--output", "again")

    assert shown.text.startswith("# ")
    assert "envelope-sdk" in shown.text
    assert {"again/result.json", "again/report.md", "again/report.html"} <= envelope.names()
    assert run == from_json(envelope.read("again/result.json").decode())
    assert f"wrote {Path('again/result.json')}" in shown.lines


def test_without_matplotlib_it_says_that_there_is_no_picture_and_how_to_get_one(envelope: Any) -> None:
    envelope.write("result.json", to_json(made_run(UNCACHED, CACHED)).encode())
    launcher = """
import sys
sys.modules["matplotlib"] = None
sys.argv[0] = "envelope"
from envelope_sdk.cli.main import entry
entry()
"""

    ran = envelope.process("bench", "--from", "result.json", "--output", "out", "--quiet", launcher=launcher)

    assert ran.code == 0
    assert ran.lines == [
        "envelope: no picture was made: matplotlib is not installed",
        "hint: pip install 'envelope-sdk[bench]', and --from result.json draws this run",
    ]


def test_json_is_printed_as_it_is_written(envelope: Any) -> None:
    written = to_json(made_run(UNCACHED, CACHED))
    envelope.write("result.json", written.encode())

    assert written == envelope.ok("bench", "--from", "result.json", "--json").text


def test_figures_that_contradict_each_other_are_told_of(envelope: Any) -> None:
    envelope.write("result.json", to_json(made_run(UNCACHED, row(CACHED, attempts=1))).encode())

    ran = envelope("bench", "--from", "result.json", "--json", "--quiet")

    assert ran.code == 1
    assert ran.lines == [
        "envelope: contradiction: envelope-sdk cached, encrypt, 1,024 B, 8 threads, served, 10 ms: "
        "2500 messages and 0 failures are not 1 attempts"
    ]


REFUSED = {
    "no result": (b"{}", "this is no result of 'envelope bench': it has no schema, or no measurements"),
    "no text": (b"\xff\xfe", "result.json is no result of 'envelope bench': it is not text"),
    "later": (to_json(made_run(schema=9)).encode(), "the result was written by a later version (schema 9; this one"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_result_is_refused(envelope: Any, data: bytes, said: str) -> None:
    envelope.write("result.json", data)

    ran = envelope("bench", "--from", "result.json")

    assert ran.code == 2
    assert ran.lines[0].startswith(f"envelope: {said}")


@pytest.mark.parametrize(
    "options", [("--small",), ("--size", "1"), ("--no-peers",), ("--seconds", "1")], ids=lambda words: words[0]
)
def test_what_is_shown_again_is_not_measured_otherwise(envelope: Any, options: tuple[str, ...]) -> None:
    envelope.write("result.json", to_json(made_run(UNCACHED)).encode())

    ran = envelope("bench", "--from", "result.json", *options)

    assert ran.code == 2
    assert ran.lines[0].startswith("envelope: --from measures nothing")


# --- measuring -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_measures_prints_and_writes(envelope: Any) -> None:
    ran = envelope.ok(*QUICK, "--max-messages", "5", "--output", "out", "--json")

    run = from_json(ran.text)
    assert run == from_json(envelope.read("out/result.json").decode())
    assert {"out/report.md", "out/report.html"} <= envelope.names()
    assert [
        (r.scenario.cached, r.scenario.operation, r.messages, sum(r.kms_calls.values())) for r in run.measurements
    ] == [
        (False, "encrypt", 20, 20),
        (True, "encrypt", 20, 4),
        (False, "decrypt", 20, 20),
        # Ten messages a round, five to a data key.
        (True, "decrypt", 20, 2),
    ]
    assert ran.lines[:2] == [
        "1 of 2: encrypt, 64 B, 2 threads, in process, 2 side by side",
        "2 of 2: decrypt, 64 B, 2 threads, in process, 2 side by side",
    ]


@pytest.mark.slow
def test_the_command_that_repeats_it_is_kept(envelope: Any) -> None:
    ran = envelope.ok(*QUICK, "--latency", "0.5", "--no-peers", "--json", "--quiet")

    assert from_json(ran.text).command == (
        "envelope bench --size 64 --threads 2 --kms in-process --latency 0.5 --messages 20 --rounds 2 --no-peers"
    )
    assert ran.lines == []


@pytest.mark.slow
def test_small_shows_that_all_of_it_works(envelope: Any) -> None:
    ran = envelope.ok("bench", "--small", "--no-peers", "--json")

    run = from_json(ran.text)
    places = {(r.scenario.kms, r.scenario.quota) for r in run.measurements}
    assert {("in process", None), ("served", None), ("served", 50.0)} <= places
    assert all(r.attempts for r in run.measurements)


@pytest.mark.slow
def test_without_the_server_only_what_needs_none_is_measured(envelope: Any) -> None:
    launcher = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("uvicorn", "flask") else found(name)
sys.argv[0] = "envelope"
from envelope_sdk.cli.main import entry
entry()
"""
    words = ("bench", "--size", "1", "--threads", "1", "--messages", "3", "--json")

    ran = envelope.process(*words, launcher=launcher)

    assert ran.code == 0
    assert "left out: served: not installed: pip install 'envelope-sdk[server]'" in ran.lines
    assert "left out: moto server: moto[server] is not installed" in ran.lines
    assert {each["scenario"]["kms"] for each in ran.json["measurements"]} == {"in process"}


def test_what_cannot_be_measured_is_refused_before_anything_is(envelope: Any) -> None:
    envelope.write("file", b"")
    for words in (
        ("--rounds", "5", "--messages", "2"),
        ("--size", "-1"),
        ("--threads", "0"),
        ("--kms", "aws"),
        ("--output", "file"),
        ("--seconds", "0"),
    ):
        ran = envelope("bench", *words)

        assert ran.code == 2, words
    assert envelope.names() == {"file"}


# --- being stopped ---------------------------------------------------------------------------------------------------


def _descendants(pid: int) -> set[int]:
    """Return the processes below one, however deep."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text("ascii").split():
            found |= {int(child), *_descendants(int(child))}
    return found


def _measuring(envelope: Any) -> Any:
    """Start a long run; return its process once servers and workers are at work."""
    process = envelope.start(
        "bench", "--size", "1", "--threads", "2", "--kms", "served", "--seconds", "600", "--no-peers"
    )
    assert process.stderr.readline().startswith(b"1 of ")
    while len(_descendants(process.pid)) < 3:
        assert process.poll() is None
    return process


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="processes are waited for as Linux does")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_when_it_is_stopped(envelope: Any, number: signal.Signals, tmp_path: Path) -> None:
    envelope.env["TMPDIR"] = str(tmp_path)
    process = _measuring(envelope)
    below = _descendants(process.pid)

    process.send_signal(number)
    code = process.wait(60)

    wait_until_gone(below)
    if number != signal.SIGKILL:
        assert code == 128 + number
        assert b"Traceback" not in process.stderr.read()
        assert not list(tmp_path.glob("envelope-bench-*"))
    process.stdout.close()
    process.stderr.close()


def test_the_result_is_json_for_others_too(envelope: Any) -> None:
    envelope.write("result.json", to_json(made_run(UNCACHED)).encode())

    shown = json.loads(envelope.ok("bench", "--from", "result.json", "--json").out)

    assert shown["measurements"][0]["kms_calls"] == {"GenerateDataKey": 500}
