"""Running the programs of ``benchmarks/`` and reading what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BENCHMARKS", "Printed", "figures_missing", "run_small", "tables"]

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"

BENCHMARKS = sorted(path.name for path in FOLDER.glob("*.py") if "\ndef main(" in path.read_text("utf-8"))
"""The files that are programs."""

_SMALL: Mapping[str, Sequence[str]] = {"frame_length.py": ("--mib", "8", "--rounds", "1")}
_FIGURE = re.compile(r"\d[\d,]*(\.\d+)?%?")


@dataclass(frozen=True)
class Printed:
    """A Markdown table.

    Attributes:
        heads: of its columns.
        body: its lines, cell by cell.
    """

    heads: Sequence[str]
    body: Sequence[Sequence[str]]


def run_small(name: str) -> str:
    """Run a program in its small form and return what it prints."""
    # The folder of the program is to be on sys.path, and that of the checkout is not: what is installed is measured.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    unmeasured = {key: value for key, value in environment.items() if not key.startswith("COVERAGE_")}
    command = [sys.executable, str(FOLDER / name), *_SMALL.get(name, ("--small",))]
    done = subprocess.run(command, capture_output=True, text=True, env=unmeasured, cwd=FOLDER, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def tables(printed: str) -> list[Printed]:
    """Return the tables in what a program printed."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in _blocks(printed)]
    starts = [place - 1 for place, cells in enumerate(lines) if all(set(cell) <= set("-:") and cell for cell in cells)]
    ends = [*starts[1:], len(lines)]
    return [Printed(lines[start], lines[start + 2 : end]) for start, end in zip(starts, ends, strict=True)]


def _blocks(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("|")]


def figures_missing(found: Sequence[Printed]) -> list[str]:
    """Return the rows whose first figures are not numbers, and the tables without any row.

    The first figure of a row has to be there; the second may be left open.
    """
    wrong = [f"no row: {table.heads}" for table in found if not table.body]
    for table in found:
        for row in table.body:
            _, first, second, *_ = (*row, "")
            whole = len(row) == len(table.heads)
            if not (whole and _FIGURE.fullmatch(first) and (not second or _FIGURE.fullmatch(second))):
                wrong.append(" | ".join(row))
    return wrong
