"""What a comparison prints: Markdown tables of medians, of ratios to baselines and peers, and of targets met or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from interleaved import median, ratio

Times = Mapping[str, Sequence[float]]

UNITS: Final[Mapping[str, float]] = {"s": 1, "ms": 1e3, "us": 1e6}


@dataclass(frozen=True)
class AtMost:
    """The row takes at most so many times as long as another, and at most so much longer."""

    times: float
    than: str
    plus_us: float = 0

    def met(self, times: Times, subject: str) -> bool:
        return median(times[subject]) <= self.times * median(times[self.than]) + self.plus_us / 1e6

    @property
    def pattern(self) -> str:
        return f"<= {{}} + {self.plus_us:g} us" if self.plus_us else f"<= {self.times:g} x {{}}"


@dataclass(frozen=True)
class Faster:
    """The row is at least so many times as fast as another."""

    times: float
    than: str

    def met(self, times: Times, subject: str) -> bool:
        return ratio(times[self.than], times[subject]) >= self.times

    @property
    def pattern(self) -> str:
        return "ahead of {}" if self.times == 1 else f"{self.times:g} x as fast as {{}}"


Target = AtMost | Faster


@dataclass(frozen=True)
class Row:
    """One line: what was measured under the name ``subject``, and what is asked of it."""

    subject: str
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows that share their baselines and peers.

    Attributes:
        title: the heading above.
        rows: from top to bottom; those that were not measured are left out.
        baselines: what the work cannot do without; a column each says how many times that a row takes.
        peers: what others take; a column each says how many times as fast as that a row is.
        unit: of the medians.
        difference: whether a column says by how much a row is over the first baseline.
    """

    title: str
    rows: Sequence[Row]
    baselines: Sequence[str]
    peers: Sequence[str] = ()
    unit: str = "ms"
    difference: bool = False

    def lines(self, times: Times) -> list[str]:
        """Return the table as Markdown; what was not measured has no column and no line."""
        baselines = [name for name in self.baselines if name in times]
        peers = [name for name in self.peers if name in times]
        heads = [self.title, f"median, {self.unit}", *(f"/ {name}" for name in baselines)]
        if self.difference and baselines:
            heads.append(f"over {baselines[0]}, us")
        heads += [*(f"vs {name}" for name in peers), "target", "met"]
        body = [self._cells(row, times, baselines, peers) for row in self.rows if row.subject in times]
        return markdown(heads, body)

    def _cells(self, row: Row, times: Times, baselines: Sequence[str], peers: Sequence[str]) -> list[str]:
        own = times[row.subject]
        cells = [row.subject, figure(median(own) * UNITS[self.unit])]
        cells += [f"{ratio(own, times[name]):.2f}" for name in baselines]
        if self.difference and baselines:
            cells.append(f"{(median(own) - median(times[baselines[0]])) * 1e6:.1f}")
        others = {*peers, *baselines}
        cells += ["" if row.subject in others else f"{ratio(times[name], own):.2f}" for name in peers]
        return [*cells, *judged(row, times)]

    def missed(self, times: Times) -> list[str]:
        """Return the targets that were not met."""
        return [
            f"{row.subject}: {joined([target])}"
            for row in self.rows
            if row.subject in times
            for target in row.targets
            if target.than in times and not target.met(times, row.subject)
        ]


def judged(row: Row, times: Times) -> tuple[str, str]:
    """Return the last two cells of a line: its targets, and whether they were met or which were not."""
    targets = [target for target in row.targets if target.than in times]
    if not targets:
        return "", ""
    missed = [target for target in targets if not target.met(times, row.subject)]
    if missed == targets:
        return joined(targets), "no"
    return joined(targets), f"no: {joined(missed)}" if missed else "yes"


def joined(targets: Sequence[Target]) -> str:
    """Return targets in words, those that ask the same of several others in one."""
    words = []
    for pattern, group in groupby(targets, key=lambda target: target.pattern):
        *names, last = (target.than for target in group)
        words.append(pattern.format(f"{', '.join(names)} and {last}" if names else last))
    return "; ".join(words)


def figure(value: float) -> str:
    """Return a number with three or four digits that count."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table; all columns but the first and those of words are flush right."""
    rule = ["---" if place == 0 or head in ("target", "met") else "---:" for place, head in enumerate(heads)]
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(rule)}|"]
    return lines + [f"| {' | '.join(cells)} |" for cells in body]
