"""Dialogues at the command line, word for word: each file in ``scripts/`` is one.

::

    # a comment
    $ envelope encrypt report.txt           a command
    standard output, line by line
    ! standard error, line by line
    [exit 3]                                where it is not 0

In what is expected, ``<key-id>``, ``<n>`` (a number), ``<date>``, ``<hex>``, ``<base64>``, ``<home>`` and ``<any>``
stand for what differs from run to run; ``<key-id 1>`` is the same one everywhere. Besides ``envelope`` there are
``write FILE TEXT``, ``cat FILE``, ``ls``, ``cut FILE BYTES``, ``flip FILE OFFSET`` (one bit; negative from the end)
and ``base64 FILE``. ``< FILE`` and ``> FILE`` redirect, ``NAME=VALUE`` in front sets a variable.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))

KINDS = {
    "key-id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "n": r"[0-9][0-9,]*",
    "date": r"\d{4}-\d\d-\d\d(?:T[0-9:.+]+)?",
    "hex": r"[0-9a-f]+",
    "base64": r"[A-Za-z0-9+/]+={0,2}",
    "any": r".+",
}
PLACEHOLDER = re.compile(rf"<({'|'.join(KINDS)})(?: (\d+))?>")


@dataclass
class Step:
    """One command and what it has to print."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)


def steps(text: str) -> Iterator[Step]:
    """Yield the steps of a script."""
    step: Step | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(number, line[2:])
        elif step is not None and line and not line.startswith("#"):
            step.expected.append(line)
    if step is not None:
        yield step


def matches(expected: str, printed: str, home: Path, known: dict[str, str]) -> bool:
    """Whether a printed line is the expected one; what placeholders with a number stand for is kept in ``known``."""
    pattern, names, end = "", [], 0
    for found in PLACEHOLDER.finditer(expected):
        pattern += re.escape(expected[end : found.start()].replace("<home>", str(home)))
        name, end = found.group(), found.end()
        if found.group(2) is None:
            pattern += KINDS[found.group(1)]
        elif name in known:
            pattern += re.escape(known[name])
        else:
            names.append(name)
            pattern += f"({KINDS[found.group(1)]})"
    result = re.fullmatch(pattern + re.escape(expected[end:].replace("<home>", str(home))), printed)
    if result is not None:
        known.update(zip(names, result.groups(), strict=True))
    return result is not None


class Player:
    """Runs the commands of a script."""

    def __init__(self, envelope: Any) -> None:
        self.envelope = envelope

    def run(self, command: str) -> list[str]:
        """Return what a command prints, in the form of a script."""
        words = shlex.split(command)
        source, target = self._taken(words, "<"), self._taken(words, ">")
        self.envelope.env = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            self.envelope.env[name] = value
        verb, *arguments = words
        if verb != "envelope":
            return str(getattr(self, f"_{verb}")(*arguments) or "").splitlines()
        ran = self.envelope(*arguments, stdin=self.envelope.read(source) if source else b"")
        out = [] if target else ran.text.splitlines()
        if target:
            self.envelope.write(target, ran.out)
        return out + [f"! {line}" for line in ran.lines] + ([f"[exit {ran.code}]"] if ran.code else [])

    @staticmethod
    def _taken(words: list[str], sign: str) -> str | None:
        if sign not in words:
            return None
        at = words.index(sign)
        name = words[at + 1]
        del words[at : at + 2]
        return name

    def _write(self, name: str, text: str) -> None:
        self.envelope.write(name, text.encode() + b"\n")

    def _cat(self, name: str) -> str:
        return str(self.envelope.read(name).decode())

    def _ls(self) -> str:
        return "\n".join(sorted(name for name in self.envelope.names() if (self.envelope.home / name).is_file()))

    def _cut(self, name: str, length: str) -> None:
        self.envelope.write(name, self.envelope.read(name)[: int(length)])

    def _flip(self, name: str, offset: str) -> None:
        data = bytearray(self.envelope.read(name))
        data[int(offset)] ^= 1
        self.envelope.write(name, bytes(data))

    def _base64(self, name: str) -> None:
        self.envelope.write(name, base64.encodebytes(self.envelope.read(name)))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, envelope: Any) -> None:
    player, known = Player(envelope), dict[str, str]()
    for step in steps(path.read_text("utf-8")):
        printed = player.run(step.command)
        fits = len(printed) == len(step.expected) and all(
            matches(expected, line, envelope.home, known) for expected, line in zip(step.expected, printed, strict=True)
        )
        assert fits, f"{path.name}:{step.line}: $ {step.command}\n" + "\n".join(printed)


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 8


def test_a_script_fails_where_a_line_differs(tmp_path: Path) -> None:
    known: dict[str, str] = {}

    assert matches("made <n> in <home>/x", f"made 1,024 in {tmp_path}/x", tmp_path, known)
    assert not matches("made <n>", "made some", tmp_path, known)
    assert matches("<hex 1>", "ab", tmp_path, known)
    assert not matches("<hex 1>", "cd", tmp_path, known)
