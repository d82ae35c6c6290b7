"""What docs/usage-figures.md shows its reader does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from envelope_sdk.cache.usage import CacheEvent, CacheEventKind
from envelope_sdk.integrations.opentelemetry import OpenTelemetryFigures
from envelope_sdk.integrations.prometheus import PrometheusFigures
from envelope_sdk.managers.usage import MaterialsEvent, MaterialsEventKind

PAGE = Path(__file__).parents[2] / "docs" / "usage-figures.md"
EVENTS = [
    *(MaterialsEvent(kind, "encrypt", 1.0, {"Encrypt": 1}, {"Encrypt": 1}) for kind in MaterialsEventKind),
    *(CacheEvent(kind, b"", 1.0) for kind in CacheEventKind),
]


def marked(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- /{name} -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert found, f"the page has no block marked {name}"
    return found[1]


def table() -> list[tuple[str, str]]:
    """Return the metrics that the page lists, Prometheus's and OpenTelemetry's names of each."""
    return re.findall(r"^\| `(envelope_\w+)` \| `([a-z_.]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", ["snapshot", "prometheus"])
def test_an_example_prints_what_the_page_says(name: str, tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", marked(name)], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert run.stdout == marked(f"{name}-prints")
    assert list(tmp_path.iterdir()) == []


def test_the_page_lists_the_metrics_of_prometheus() -> None:
    registry = CollectorRegistry()
    figures = PrometheusFigures(registry=registry)
    for event in EVENTS:
        figures(event)

    found = {
        metric.name + ("_total" if metric.type == "counter" else "") for metric in registry.collect() if metric.samples
    }
    assert found == {prometheus for prometheus, _ in table()}


def test_the_page_lists_the_metrics_of_opentelemetry() -> None:
    reader = InMemoryMetricReader()
    figures = OpenTelemetryFigures(meter=MeterProvider([reader], shutdown_on_exit=False).get_meter("tests"))
    for event in EVENTS:
        figures(event)

    data = reader.get_metrics_data()
    assert data is not None
    ((scope,),) = [resource.scope_metrics for resource in data.resource_metrics]
    assert {metric.name for metric in scope.metrics} == {name for _, name in table()}


def test_the_command_s_figures_are_those_that_its_own_test_holds() -> None:
    """So that the page follows when they change."""
    script = (Path(__file__).parents[1] / "cli" / "scripts" / "caching.txt").read_text("utf-8")
    shown = PAGE.read_text("utf-8").partition("```console\n")[2].partition("```")[0].splitlines()[1:]

    assert len(shown) > 5
    assert "\n".join(f"! {line}" for line in shown) in script
