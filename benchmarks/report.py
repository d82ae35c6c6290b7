"""What every comparison has in common: its options, what it prints in which order, and how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interleaved import environment
from tables import Table, Times


@dataclass
class Report:
    """What one run prints, and whether it ends well."""

    check: bool
    missed: list[str] = field(default_factory=list)

    def begin(self, what: str) -> None:
        """Say what was measured, where, and how to read it."""
        print(f"{environment()}\n{what}")
        print("Figures are medians; '/ x' says how many times as much as x, 'vs x' how many times as fast as x.")

    def add(self, times: Times, *tables: Table) -> None:
        """Print tables, those without any measured row left out, and take note of missed targets."""
        for table in tables:
            lines = table.lines(times)
            if len(lines) > 2:
                self.add_lines(lines, table.missed(times))

    def add_lines(self, lines: Sequence[str], missed: Sequence[str] = ()) -> None:
        """Print a table that was made elsewhere."""
        print("", *lines, sep="\n")
        self.missed += missed

    def absent(self, reasons: Mapping[str, str]) -> None:
        """Say which peers are left out, and why."""
        if reasons:
            print("\nLeft out: " + "; ".join(f"{name} ({reason})" for name, reason in reasons.items()) + ".")

    def end(self) -> None:
        """End the process: with 1 where a target was missed and ``--check`` was given."""
        if self.missed and self.check:
            sys.exit("\n".join(["", "missed:", *self.missed]))


def arguments(documentation: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of the options that every comparison has."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="measured rounds, after one that is not counted")
    parser.add_argument("--small", action="store_true", help="little work, a few seconds: shows that it runs")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed")
    return parser
