"""Figures for Prometheus: names, labels, and events counted once."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import threading
from weakref import ref

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest

from envelope_sdk.cache.usage import CacheEvent, CacheEventKind
from envelope_sdk.integrations.prometheus import PrometheusFigures
from envelope_sdk.managers.usage import MaterialsEvent, MaterialsEventKind

SECRET = b"an identifier nobody is to see"


def message(
    kind: MaterialsEventKind, scope: str = "encrypt", seconds: float = 0.004, made: int = 0, saved: int = 0
) -> MaterialsEvent:
    operation = "GenerateDataKey" if scope == "encrypt" else "Decrypt"
    return MaterialsEvent(kind, scope, seconds, {operation: made} if made else {}, {operation: saved} if saved else {})


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_messages_are_counted_by_scope_and_outcome(registry: CollectorRegistry) -> None:
    figures = PrometheusFigures(registry=registry)
    for kind in (MaterialsEventKind.LOADED, MaterialsEventKind.REUSED, MaterialsEventKind.REUSED):
        figures(message(kind))
    figures(message(MaterialsEventKind.FAILED, "decrypt"))

    def count(scope: str, outcome: str) -> float | None:
        labels = {"name": "", "scope": scope, "outcome": outcome}
        return registry.get_sample_value("envelope_materials_requests_total", labels)

    assert (count("encrypt", "loaded"), count("encrypt", "reused"), count("decrypt", "failed")) == (1, 2, 1)
    assert count("encrypt", "failed") is None


def test_calls_of_kms_are_counted_by_operation_made_and_saved(registry: CollectorRegistry) -> None:
    figures = PrometheusFigures(registry=registry)
    figures(message(MaterialsEventKind.LOADED, made=2))
    figures(message(MaterialsEventKind.REUSED, saved=2))
    figures(message(MaterialsEventKind.REUSED, "decrypt", saved=1))

    def count(metric: str, operation: str) -> float | None:
        return registry.get_sample_value(metric, {"name": "", "operation": operation})

    assert count("envelope_kms_calls_total", "GenerateDataKey") == 2
    assert count("envelope_kms_calls_saved_total", "GenerateDataKey") == 2
    assert count("envelope_kms_calls_saved_total", "Decrypt") == 1
    assert count("envelope_kms_calls_total", "Decrypt") is None


def test_a_load_ahead_of_need_counts_its_calls_but_is_no_message(registry: CollectorRegistry) -> None:
    figures = PrometheusFigures(registry=registry)
    figures(message(MaterialsEventKind.REFRESHED, made=1))

    text = generate_latest(registry).decode()
    assert 'envelope_kms_calls_total{name="",operation="GenerateDataKey"} 1.0' in text
    assert "refreshed" not in text


def test_the_time_that_messages_waited_is_a_histogram(registry: CollectorRegistry) -> None:
    figures = PrometheusFigures(registry=registry)
    figures(message(MaterialsEventKind.LOADED, seconds=0.004))
    figures(message(MaterialsEventKind.LOADED, seconds=30.0))

    labels = {"name": "", "scope": "encrypt", "outcome": "loaded"}
    metric = "envelope_materials_request_seconds"
    assert registry.get_sample_value(f"{metric}_sum", labels) == pytest.approx(30.004)
    assert registry.get_sample_value(f"{metric}_bucket", labels | {"le": "0.0025"}) == 0
    assert registry.get_sample_value(f"{metric}_bucket", labels | {"le": "0.005"}) == 1
    assert registry.get_sample_value(f"{metric}_bucket", labels | {"le": "+Inf"}) == 2


@pytest.mark.parametrize("kind", CacheEventKind)
def test_every_event_of_a_cache_is_counted(kind: CacheEventKind, registry: CollectorRegistry) -> None:
    PrometheusFigures(registry=registry)(CacheEvent(kind, SECRET))

    labels = {"name": "", "event": kind.value}
    assert registry.get_sample_value("envelope_cache_events_total", labels) == 1


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        (CacheEventKind.LOAD, "envelope_cache_load_seconds"),
        (CacheEventKind.FAILURE, "envelope_cache_load_seconds"),
        (CacheEventKind.REFRESH, "envelope_cache_load_seconds"),
        (CacheEventKind.WAIT, "envelope_cache_wait_seconds"),
        (CacheEventKind.HIT, None),
        (CacheEventKind.EVICTION, None),
    ],
)
def test_loads_and_waits_are_timed(kind: CacheEventKind, metric: str | None, registry: CollectorRegistry) -> None:
    PrometheusFigures(registry=registry)(CacheEvent(kind, SECRET, 0.25))

    sums = re.findall(r'^(\w+)_sum\{event="(\w+)",name=""\} (\S+)$', generate_latest(registry).decode(), re.MULTILINE)
    assert sums == ([] if metric is None else [(metric, kind.value, "0.25")])


def test_nothing_of_a_message_or_key_becomes_a_label(registry: CollectorRegistry) -> None:
    figures = PrometheusFigures(name="orders", registry=registry)
    for kind in CacheEventKind:
        figures(CacheEvent(kind, SECRET, 1.0))
    for outcome in MaterialsEventKind:
        figures(message(outcome, made=1, saved=1))

    text = generate_latest(registry).decode()
    names = set(re.findall(r'(\w+)="', text))
    assert names == {"name", "scope", "outcome", "operation", "event", "le"}
    assert SECRET.decode() not in text
    assert SECRET.hex() not in text


def test_several_count_in_one_registry_each_under_its_name(registry: CollectorRegistry) -> None:
    orders, also_orders = (PrometheusFigures(name="orders", registry=registry) for _ in range(2))
    people = PrometheusFigures(name="people", registry=registry)
    for figures in (orders, also_orders, people):
        figures(CacheEvent(CacheEventKind.HIT, SECRET))

    def hits(name: str) -> float | None:
        return registry.get_sample_value("envelope_cache_events_total", {"name": name, "event": "hit"})

    assert (hits("orders"), hits("people")) == (2, 1)


def test_registries_do_not_mix(registry: CollectorRegistry) -> None:
    other = CollectorRegistry()
    PrometheusFigures(registry=registry)(CacheEvent(CacheEventKind.HIT, SECRET))
    PrometheusFigures(registry=other)

    assert b'event="hit"' in generate_latest(registry)
    assert b'event="hit"' not in generate_latest(other)


def test_without_a_registry_it_is_the_program_s_own() -> None:
    PrometheusFigures(name="of the program's own")(CacheEvent(CacheEventKind.HIT, SECRET))

    labels = {"name": "of the program's own", "event": "hit"}
    assert REGISTRY.get_sample_value("envelope_cache_events_total", labels) == 1


def test_a_registry_is_not_kept_alive() -> None:
    registry = CollectorRegistry()
    kept = ref(registry)
    PrometheusFigures(registry=registry)
    del registry
    gc.collect()

    assert kept() is None


def test_names_that_others_have_taken_are_refused(registry: CollectorRegistry) -> None:
    Counter("envelope_kms_calls", "Somebody else's.", registry=registry)

    with pytest.raises(ValueError, match="envelope_kms_calls"):
        PrometheusFigures(registry=registry)


def test_threads_lose_no_event(registry: CollectorRegistry) -> None:
    figures = PrometheusFigures(registry=registry)

    def count() -> None:
        for _ in range(500):
            figures(message(MaterialsEventKind.REUSED, saved=1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    labels = {"name": "", "operation": "GenerateDataKey"}
    assert registry.get_sample_value("envelope_kms_calls_saved_total", labels) == 4000


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [("prometheus", "prometheus_client", "prometheus"), ("opentelemetry", "opentelemetry", "opentelemetry")],
)
def test_without_the_extra_its_name_is_told(module: str, missing: str, extra: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import envelope_sdk.integrations.{module}"

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("ImportError: ")
    assert f"'envelope-sdk[{extra}]'" in ran.stderr.splitlines()[-1]
