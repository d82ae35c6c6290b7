"""Starting: what is imported, help, and errors that nobody foresaw."""

from __future__ import annotations

import re
import sys
from typing import Any

import click
import pytest

from envelope_sdk.cli.group import cli

REPORTING = """
import atexit, sys
sys.argv[0] = "envelope"
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
from envelope_sdk.cli.main import entry
entry()
"""
SLOW_TO_IMPORT = {
    "boto3",
    "botocore",
    "rich",
    "sqlite3",
    "asyncio",
    "importlib.metadata",
    "tomllib",
    "uvicorn",
    "psycopg",
    "redis",
    "prometheus_client",
    "matplotlib",
    "envelope_sdk.bench",
    "envelope_sdk.local_kms",
    "envelope_sdk.keyrings.plugins",
    "envelope_sdk.managers.caching",
    "envelope_sdk.managers.recording",
    "cachetools",
}


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (("--version",), {"importlib.metadata"}),
        (("--help",), set()),
        (("encrypt", "-k", "a.key", "-"), set()),
        (("encrypt", "-k", "a.key", "a", "-o", "b"), set()),
        (("encrypt", "-k", "a.key", "a", "-o", "b", "--stats"), {"envelope_sdk.managers.recording"}),
        (
            ("encrypt", "-k", "a.key", "a", "-o", "b", "--cache-seconds", "1"),
            {"cachetools", "envelope_sdk.managers.caching", "envelope_sdk.managers.recording"},
        ),
        (("decrypt", "-k", "a.key", "a.enc", "-o", "b"), set()),
        (("inspect", "a.enc"), set()),
        (("encrypt", "a", "-o", "b"), {"sqlite3", "envelope_sdk.local_kms"}),
        (("kms", "--help"), set()),
        (("bench", "--help"), set()),
        (("kms", "create-key"), {"sqlite3", "envelope_sdk.local_kms"}),
    ],
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value),
)
def test_only_what_is_needed_is_imported(envelope: Any, arguments: tuple[str, ...], needed: set[str]) -> None:
    envelope.write("a", b"hello")
    envelope.ok("encrypt", "-k", envelope.key(), "a")

    ran = envelope.process(*arguments, stdin=b"x", launcher=REPORTING)

    assert ran.code == 0
    # Measuring coverage imports things of its own.
    measured = "coverage" in ran.lines[-1].split()
    measuring = {"sqlite3", "asyncio", "importlib.metadata", "tomllib"} if measured else set()
    assert (set(ran.lines[-1].split()) & SLOW_TO_IMPORT) - measuring == needed - measuring


def test_the_command_is_installed_under_its_name() -> None:
    from importlib.metadata import entry_points

    (command,) = entry_points(group="console_scripts", name="envelope")

    assert command.value == "envelope_sdk.cli.main:entry"


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("encrypt",),
        ("decrypt",),
        ("inspect",),
        ("keygen",),
        ("keyrings",),
        ("kms",),
        ("kms", "create-key"),
        ("branch-keys",),
        ("branch-keys", "create"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_helps(envelope: Any, command: tuple[str, ...], option: str) -> None:
    ran = envelope.ok(*command, option)

    assert ran.text.startswith(f"Usage: {' '.join(('envelope', *command))} ")
    assert ran.err == ""
    assert envelope.names() == set()


@pytest.mark.parametrize("command", [(), ("kms",), ("branch-keys",)])
def test_no_command_is_a_request_for_help(envelope: Any, command: tuple[str, ...]) -> None:
    ran = envelope(*command)

    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith("Usage: envelope ")


def test_the_version(envelope: Any) -> None:
    assert re.fullmatch(r"envelope \d+\.\d+\.\d+\S*\n", envelope.ok("--version").text)


UNFORESEEN = """
import sys
sys.argv[0] = "envelope"
from envelope_sdk.cli.group import cli
from envelope_sdk.cli.main import entry
@cli.result_callback()
def fail(*arguments):
    raise RuntimeError("holds a secret")
entry()
"""


def test_an_error_nobody_foresaw_is_one_line_without_its_text(envelope: Any) -> None:
    ran = envelope.process("keygen", "k", launcher=UNFORESEEN)

    assert ran.code == 1
    assert ran.lines == [
        "wrote k",
        "envelope: internal error (RuntimeError); set ENVELOPE_DEBUG=1 for details and please report it",
    ]


def test_the_details_are_there_for_who_asks(envelope: Any) -> None:
    envelope.env = {"ENVELOPE_DEBUG": "1"}

    ran = envelope.process("keygen", "k", launcher=UNFORESEEN)

    assert ran.code == 1
    assert "Traceback" in ran.err
    assert ran.lines[-1] == "RuntimeError: holds a secret"


def test_an_encoding_that_has_not_every_character(envelope: Any) -> None:
    envelope.env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    envelope.write("mañana", b"x")
    key = envelope.key()

    made = envelope.process("encrypt", "-k", key, "mañana", "-c", "ciudad=Málaga")
    shown = envelope.process("inspect", "mañana.enc")

    assert (made.code, shown.code) == (0, 0), shown.err
    assert made.err.isascii()
    assert "internal error" not in shown.err


def test_python_is_the_one_that_runs_the_tests(envelope: Any) -> None:
    """And the package is the one they import."""
    import envelope_sdk

    code = "import envelope_sdk, sys; print(sys.executable, envelope_sdk.__file__, sep='\\n')"

    assert envelope.process(launcher=code).text.splitlines() == [sys.executable, envelope_sdk.__file__]


def _groups(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return []
    context = click.Context(command)
    below = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return [path, *(group for name, child in below.items() if child for group in _groups(child, (*path, name)))]


@pytest.mark.parametrize("group", _groups(cli), ids=lambda path: " ".join(("envelope", *path)))
def test_lists_of_commands_say_whole_sentences(envelope: Any, group: tuple[str, ...]) -> None:
    # Where the width of the terminal is not known it is 80, as it is for this.
    listed = envelope.ok(*group, "--help").text.partition("\nCommands:\n")[2].splitlines()

    assert listed
    assert [line for line in listed if not line.endswith(".")] == []
    assert [line for line in listed if line.endswith("...")] == []


def test_commands_for_the_local_kms_are_listed_in_the_order_of_need(envelope: Any) -> None:
    listed = [line.split()[0] for line in envelope.ok("kms", "--help").text.partition("Commands:\n")[2].splitlines()]

    assert listed[:2] == ["create-key", "list-keys"]
    assert listed.index("create-alias") < listed.index("serve") < listed.index("users") < listed.index("backup")
