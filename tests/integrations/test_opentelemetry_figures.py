"""Figures for OpenTelemetry, read back from the real SDK."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from envelope_sdk.cache.usage import CacheEvent, CacheEventKind
from envelope_sdk.integrations.opentelemetry import OpenTelemetryFigures
from envelope_sdk.managers.usage import MaterialsEvent, MaterialsEventKind

SECRET = b"an identifier nobody is to see"
Point = tuple[Mapping[str, Any], Any]


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def meter(reader: InMemoryMetricReader) -> Meter:
    return MeterProvider(metric_readers=[reader], shutdown_on_exit=False).get_meter("tests")


def metrics(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Return the metrics that have points, by name."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def points(reader: InMemoryMetricReader, name: str) -> list[Point]:
    """Return attributes and values of a counter, or attributes, counts and sums of a histogram."""
    metric = metrics(reader).get(name)
    if metric is None:
        return []
    found = metric.data.data_points
    return [
        (dict(point.attributes), point.value if hasattr(point, "value") else (point.count, point.sum))
        for point in found
    ]


def message(
    kind: MaterialsEventKind, scope: str = "encrypt", seconds: float = 0.5, made: int = 0, saved: int = 0
) -> MaterialsEvent:
    operation = "GenerateDataKey" if scope == "encrypt" else "Decrypt"
    return MaterialsEvent(kind, scope, seconds, {operation: made} if made else {}, {operation: saved} if saved else {})


def test_messages_are_counted_by_scope_and_outcome(reader: InMemoryMetricReader, meter: Meter) -> None:
    figures = OpenTelemetryFigures(meter=meter)
    figures(message(MaterialsEventKind.LOADED))
    figures(message(MaterialsEventKind.REUSED, "decrypt"))
    figures(message(MaterialsEventKind.REUSED, "decrypt"))

    assert points(reader, "envelope.materials.requests") == [
        ({"envelope.scope": "encrypt", "envelope.outcome": "loaded"}, 1),
        ({"envelope.scope": "decrypt", "envelope.outcome": "reused"}, 2),
    ]
    assert points(reader, "envelope.materials.request.duration") == [
        ({"envelope.scope": "encrypt", "envelope.outcome": "loaded"}, (1, 0.5)),
        ({"envelope.scope": "decrypt", "envelope.outcome": "reused"}, (2, 1.0)),
    ]


def test_calls_of_kms_are_counted_by_operation_made_and_saved(reader: InMemoryMetricReader, meter: Meter) -> None:
    figures = OpenTelemetryFigures(meter=meter)
    figures(message(MaterialsEventKind.LOADED, made=2))
    figures(message(MaterialsEventKind.REUSED, "decrypt", saved=3))

    assert points(reader, "envelope.kms.calls") == [({"envelope.kms.operation": "GenerateDataKey"}, 2)]
    assert points(reader, "envelope.kms.calls_saved") == [({"envelope.kms.operation": "Decrypt"}, 3)]


def test_a_load_ahead_of_need_counts_its_calls_but_is_no_message(reader: InMemoryMetricReader, meter: Meter) -> None:
    OpenTelemetryFigures(meter=meter)(message(MaterialsEventKind.REFRESHED, made=1))

    assert set(metrics(reader)) == {"envelope.kms.calls"}


@pytest.mark.parametrize("kind", CacheEventKind)
def test_every_event_of_a_cache_is_counted(kind: CacheEventKind, reader: InMemoryMetricReader, meter: Meter) -> None:
    OpenTelemetryFigures(meter=meter)(CacheEvent(kind, SECRET))

    assert points(reader, "envelope.cache.events") == [({"envelope.cache.event": kind.value}, 1)]


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        (CacheEventKind.LOAD, "envelope.cache.load.duration"),
        (CacheEventKind.FAILURE, "envelope.cache.load.duration"),
        (CacheEventKind.REFRESH, "envelope.cache.load.duration"),
        (CacheEventKind.WAIT, "envelope.cache.wait.duration"),
    ],
)
def test_loads_and_waits_are_timed(
    kind: CacheEventKind, metric: str, reader: InMemoryMetricReader, meter: Meter
) -> None:
    OpenTelemetryFigures(meter=meter)(CacheEvent(kind, SECRET, 0.25))

    assert points(reader, metric) == [({"envelope.cache.event": kind.value}, (1, 0.25))]


def test_what_takes_no_time_is_not_timed(reader: InMemoryMetricReader, meter: Meter) -> None:
    OpenTelemetryFigures(meter=meter)(CacheEvent(CacheEventKind.HIT, SECRET))

    assert set(metrics(reader)) == {"envelope.cache.events"}


def test_durations_are_in_seconds_with_bounds_that_fit(reader: InMemoryMetricReader, meter: Meter) -> None:
    figures = OpenTelemetryFigures(meter=meter)
    figures(CacheEvent(CacheEventKind.LOAD, SECRET, 0.25))
    figures(message(MaterialsEventKind.LOADED, made=1, saved=1))

    found = metrics(reader)
    assert {name: metric.unit for name, metric in found.items()} == {
        "envelope.materials.requests": "{request}",
        "envelope.materials.request.duration": "s",
        "envelope.kms.calls": "{call}",
        "envelope.kms.calls_saved": "{call}",
        "envelope.cache.events": "{event}",
        "envelope.cache.load.duration": "s",
    }
    (point,) = found["envelope.cache.load.duration"].data.data_points
    assert point.explicit_bounds[0] == 0.0001
    assert point.explicit_bounds[-1] == 10.0


def test_several_use_one_meter_each_under_its_name(
    reader: InMemoryMetricReader, meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        hooks = [OpenTelemetryFigures(name=name, meter=meter) for name in ("orders", "orders", "people")]
    for figures in hooks:
        figures(CacheEvent(CacheEventKind.HIT, SECRET))

    assert points(reader, "envelope.cache.events") == [
        ({"envelope.name": "orders", "envelope.cache.event": "hit"}, 2),
        ({"envelope.name": "people", "envelope.cache.event": "hit"}, 1),
    ]
    assert caplog.records == []


def test_nothing_of_a_message_or_key_becomes_an_attribute(reader: InMemoryMetricReader, meter: Meter) -> None:
    figures = OpenTelemetryFigures(name="orders", meter=meter)
    for kind in CacheEventKind:
        figures(CacheEvent(kind, SECRET, 1.0))
    for outcome in MaterialsEventKind:
        figures(message(outcome, made=1, saved=1))

    found = [point for metric in metrics(reader).values() for point in metric.data.data_points]
    assert {key for point in found for key in point.attributes} == {
        "envelope.name",
        "envelope.scope",
        "envelope.outcome",
        "envelope.kms.operation",
        "envelope.cache.event",
    }
    assert SECRET.decode() not in repr(found)
    assert SECRET.hex() not in repr(found)


GLOBAL = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from envelope_sdk.cache.usage import CacheEvent, CacheEventKind
from envelope_sdk.integrations.opentelemetry import OpenTelemetryFigures

early = OpenTelemetryFigures()
reader = InMemoryMetricReader()
set_meter_provider(MeterProvider(metric_readers=[reader]))
late = OpenTelemetryFigures()
for figures in (early, late):
    figures(CacheEvent(CacheEventKind.HIT, b""))
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = resource.scope_metrics
(metric,) = scope.metrics
print(scope.scope.name, metric.name, [point.value for point in metric.data.data_points])
"""


def test_without_a_meter_it_is_the_global_provider_s_even_where_that_is_set_later() -> None:
    ran = subprocess.run([sys.executable, "-c", GLOBAL], capture_output=True, text=True, check=True)

    assert ran.stdout == "envelope_sdk envelope.cache.events [2]\n"
