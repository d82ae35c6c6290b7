"""The result that is committed beside the benchmarks: readable, consistent, and shown as it was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from envelope_sdk.bench.consistency import check
from envelope_sdk.bench.report import as_markdown
from envelope_sdk.bench.result import (
    HIERARCHICAL,
    IN_PROCESS,
    LEGACY,
    MOTO,
    MPL,
    MPL_HIERARCHICAL,
    OWN,
    SERVED,
    from_json,
)

FOLDER = Path(__file__).parents[2] / "benchmarks" / "results" / "data-key-caching"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="an sdist has no results of benchmarks")


def test_it_is_read_and_its_figures_agree() -> None:
    run = from_json((FOLDER / "result.json").read_text("utf-8"))

    assert check(run) == []
    assert run.absent == {}
    assert {row.scenario.kms for row in run.measurements} == {IN_PROCESS, SERVED, MOTO}
    subjects = {row.scenario.subject for row in run.measurements}
    assert subjects == {OWN, HIERARCHICAL, LEGACY, MPL, MPL_HIERARCHICAL}


def test_the_table_beside_it_shows_its_figures() -> None:
    run = from_json((FOLDER / "result.json").read_text("utf-8"))

    assert (FOLDER / "report.md").read_text("utf-8") == as_markdown(run, picture="caching.svg")


@pytest.mark.parametrize("name", ["result.json", "report.md", "caching.svg", "report.html"])
def test_nothing_in_it_says_whose_machine_it_was(name: str) -> None:
    # A slash that begins a path, not those of a unit, an address or a closing element.
    found = re.findall(r"(?<![\w.<:/])/(?:home|root|tmp|work|Users|opt|usr)/\S*", (FOLDER / name).read_text("utf-8"))

    assert found == []
