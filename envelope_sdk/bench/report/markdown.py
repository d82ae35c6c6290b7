"""A run as Markdown that a terminal shows as well."""

from __future__ import annotations

import re
from typing import Final

from envelope_sdk.bench.report.columns import EXPLAINED, Column, columns
from envelope_sdk.bench.report.rows import Group, groups, rows
from envelope_sdk.bench.report.story import environment, findings, headline, slips
from envelope_sdk.bench.report.wording import plain
from envelope_sdk.bench.result import Run

__all__ = ["as_markdown"]

_MARKS: Final = re.compile(r"[\\`*_<>\[\]|&~]")


def as_markdown(run: Run, *, picture: str | None = None, instead: str = "") -> str:
    """Return a run as Markdown: a headline, one table for each key service, and how it was measured.

    Args:
        run: what was measured.
        picture: the address of the picture to show, as seen from where the text will be.
        instead: what is said in its place.
    """
    said = _marked(headline(run))
    blocks = [["# What caching data keys saves"], [f"**{said}**"], [f"- {_marked(one)}" for one in findings(run)]]
    if picture is not None:
        blocks.append([f"![{said}]({picture})"])
    elif instead:
        blocks.append([_marked(instead)])
    blocks.append([f"Measured {_marked(environment(run))}."])
    for group in groups(rows(run)):
        blocks += _section(group)
    blocks += [["## What the columns say"]]
    blocks += [[f"- {one.title}: {one.explained}." for one in EXPLAINED]]
    if run.absent:
        blocks += [["## Left out"], [f"- {_marked(name)}: {_marked(why)}" for name, why in run.absent.items()]]
    # Indented, so that nothing in it is markup.
    blocks += [["## To repeat it"], [f"    {plain(run.command)}"]]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _section(group: Group) -> list[list[str]]:
    """Return a group's heading, what its rows share, their table, and what it hides."""
    shared = "; ".join(_marked(fact) for fact in group.shared())
    notes = [f"- {_marked(one)}" for one in slips(group)]
    return [[f"## {_marked(group.condition.words())}"], [f"{shared}."], _table(group), notes]


def _table(group: Group) -> list[str]:
    """Return a table whose columns are as wide as what is in them."""
    these = [_column(one, group) for one in columns(group)]
    return [f"| {' | '.join(line)} |" for line in zip(*these, strict=True)]


def _column(column: Column, group: Group) -> list[str]:
    cells = [column.title, *(_marked(column.of(row)) for row in group.rows)]
    width = max(map(len, cells))
    padded = [cell.ljust(width) if column.label else cell.rjust(width) for cell in cells]
    return [padded[0], "-" * width if column.label else "-" * (width - 1) + ":", *padded[1:]]


def _marked(text: str) -> str:
    """Return words of others so that Markdown shows them as they are."""
    return _MARKS.sub(r"\\\g<0>", plain(text))
