"""Whether an audit log is as it was written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from envelope_sdk.local_kms.audit.chain import MAX_LINE, START, Head, parse_line
from envelope_sdk.local_kms.audit.parts import is_part, last_number, open_parts, read_head

__all__ = ["Problem", "Verification", "verify"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written.

    Attributes:
        path: the file.
        line: its line, from 1; ``None`` for the log as a whole.
        text: what is wrong.
    """

    path: Path
    line: int | None
    text: str

    def __str__(self) -> str:
        where = f"{self.path}" if self.line is None else f"{self.path}: line {self.line}"
        return f"{where}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What :func:`verify` has found.

    Attributes:
        events: how many there are.
        head: the end of the chain, to be kept elsewhere; ``None`` where there is no event.
        torn: whether the last line is cut off: it is being written, or its writer was killed. The next to write
            removes it; nobody was given an answer that it records.
        problems: what is wrong, in order; nothing where all is as it was written.
    """

    events: int
    head: Head | None
    torn: bool
    problems: Sequence[Problem]


def verify(paths: Iterable[str | os.PathLike[str]], *, heads: Iterable[Head] = (), first: int = 1) -> Verification:
    """Follow the chain through a log.

    It proves that nothing was changed, removed, inserted or reordered by anybody who did not make the rest of the chain
    anew, which whoever may write the files can. Heads that were kept elsewhere prove it without that condition, for
    all up to them.

    Args:
        paths: the log; the parts that were rotated beside it count as given. Or parts that were moved elsewhere.
        heads: known from earlier.
        first: the number of the event that the log begins with, where older files were removed on purpose.

    Raises:
        OSError: a file cannot be read.
    """
    given = [Path(path) for path in paths]
    kept = [head for head in map(read_head, given) if head is not None]
    chain = _Chain(first, [*kept, *heads], max(map(last_number, given), default=0))
    with ExitStack() as files:
        for path, file in open_parts(given, files):
            for number, line in enumerate(_lines(file), 1):
                chain.follow(path, number, line)
    chain.end(given)
    return Verification(chain.events, chain.head if chain.events else None, chain.torn, tuple(chain.problems))


class _Chain:
    def __init__(self, first: int, known: Iterable[Head], least: int) -> None:
        self.events = 0
        self.torn = False
        self.problems: list[Problem] = []
        self.head = START if first == 1 else Head(first - 1, "")
        self._known: dict[int, set[str]] = {}
        for head in known:
            self._known.setdefault(head.sequence, set()).add(head.digest)
        self._least = least
        self._last: tuple[Path, int] | None = None

    def follow(self, path: Path, number: int, line: bytes) -> None:
        """Take the next line."""
        where = (path, number)
        if self.torn:
            # Lines follow it: that was not the end.
            self._add(where, "the line before it is cut off")
            self.torn = False
        if not line.endswith(b"\n") and len(line) < MAX_LINE:
            self.torn = True
            return
        parsed = parse_line(line)
        if parsed is None:
            self._add(where, "no line of an audit log: it was changed or inserted")
            self.head, self._last = Head(self.head.sequence + 1, ""), where
            return
        before, head, _ = parsed
        self._compare(where, before)
        self._recall(where, head)
        self.events += 1
        self.head, self._last = head, where

    def end(self, given: Sequence[Path]) -> None:
        """Compare the end with what is known of it."""
        last = self._last[0] if self._last else given[0]
        known = max(self._least, *self._known) if self._known else self._least
        if known > self.head.sequence:
            self.problems.append(Problem(last, None, f"{_events(self.head.sequence + 1, known)} at the end"))
        elif not self._known and not all(is_part(path) for path in given):
            text = "no head is kept beside it: whether events are missing at the end cannot be told"
            self.problems.append(Problem(last, None, text))

    def _compare(self, where: tuple[Path, int], before: Head) -> None:
        due = self.head.sequence + 1
        found = before.sequence + 1
        if found > due:
            self._add(where, f"{_events(due, found - 1)} before it")
        elif found < due:
            self._add(where, f"event {found} stands where event {due} is due: out of order, or twice")
        elif self.head.digest and before.digest != self.head.digest:
            changed = self._last or where
            self._add(changed, f"changed: event {found} does not follow from it")

    def _recall(self, where: tuple[Path, int], head: Head) -> None:
        known = self._known.get(head.sequence)
        if known is not None and known != {head.digest}:
            self._add(where, f"event {head.sequence} is not the one that was noted elsewhere")

    def _add(self, where: tuple[Path, int], text: str) -> None:
        self.problems.append(Problem(where[0], where[1] or None, text))


def _events(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines, none of them longer than a line can be."""
    while line := file.readline(MAX_LINE):
        yield line
