"""The Markdown of a report: a golden text, and what holds of every run."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from testkit.bench_runs import RUNS, pair, realistic, run

from envelope_sdk.bench.report import as_markdown
from envelope_sdk.bench.report.columns import columns
from envelope_sdk.bench.report.rows import groups, rows
from envelope_sdk.bench.result import Run

GOLDEN = Path(__file__).with_name("golden") / "report.md"
CELL = re.compile(r"(?<!\\)\|")
ESCAPE = re.compile(r"\\(.)")


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of all tables, below their headings, as a reader of Markdown sees them."""
    lines = [line for line in text.split("\n") if line.startswith("|")]
    cells = [[ESCAPE.sub(r"\1", cell.strip()) for cell in CELL.split(line)[1:-1]] for line in lines]
    rules = [place for place, line in enumerate(lines) if set(line) <= set("|-: ")]
    headings = {place + offset for place in rules for offset in (-1, 0)}
    return [line for place, line in enumerate(cells) if place not in headings]


def expected_rows(of: Run) -> list[list[str]]:
    return [[one.of(row).strip() for one in columns(group)] for group in groups(rows(of)) for row in group.rows]


def test_the_report_of_a_run_reads_like_this() -> None:
    assert as_markdown(realistic(), picture="caching.svg") == GOLDEN.read_text("utf-8")


@given(RUNS)
def test_every_row_is_in_a_table_with_its_figures(of: Run) -> None:
    """Whatever words are in it: they neither end a cell nor begin a row."""
    found = table_rows(as_markdown(of))

    assert found == expected_rows(of)
    assert len(found) == len(of.measurements)


@given(RUNS)
def test_lines_are_ones_that_a_terminal_can_show(of: Run) -> None:
    """And the columns of a table stand below each other."""
    lines = as_markdown(of).split("\n")

    assert all(line.isprintable() for line in lines)
    for before, line in itertools.pairwise(lines):
        if before.startswith("| ") and line.startswith("| "):
            assert len(before) == len(line)


def test_what_others_say_is_no_markup() -> None:
    words = "<b>`x`</b> [y](z) *a* _b_ &lt; ~~c~~\n# heading"
    said = as_markdown(run(*pair(subject=words), machine=words, absent={words: words}, software={words: "1"}))

    assert not re.search(r"(?<!\\)[<>`\[\]*_&~]", said.replace("**", "").replace("aws_", ""))
    assert "\n# heading" not in said


def test_what_is_the_same_for_all_rows_is_said_once() -> None:
    same, other = as_markdown(run(*pair())), as_markdown(run(*pair(), *pair(threads=1)))

    assert "; threads: 8; " in same
    assert "| threads |" not in same
    assert "; threads: 8; " not in other
    assert "| threads |" in other


def test_the_limits_of_a_cache_are_told_of_those_that_have_one() -> None:
    assert "data keys kept for 300 s at most; 10,000 messages a data key at most" in as_markdown(run(*pair()))
    assert "data key at most" not in as_markdown(run(pair()[0]))


def test_failures_have_a_column_where_there_are_any() -> None:
    failed = replace(pair()[0], failures={"KmsError": 1})

    assert "| failed |" in as_markdown(run(failed))
    assert "| failed |" not in as_markdown(run(*pair()))


def test_there_is_something_to_say_of_nothing() -> None:
    said = as_markdown(run(absent={"moto server": "moto is not installed"}), instead="There is no picture.")

    assert "**Nothing was measured.**" in said
    assert "There is no picture." in said
    assert "- moto server: moto is not installed" in said
