"""Rows of a run whose figures agree, to be shown, and to be doctored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from envelope_sdk.bench.result import ENCRYPT, OWN, SCHEMA, SERVED, Measurement, Run, Scenario, Spread

__all__ = ["CACHED", "UNCACHED", "made_run", "row"]

_SCENARIO = Scenario(
    subject=OWN,
    cached=False,
    kms=SERVED,
    operation=ENCRYPT,
    message_bytes=1024,
    threads=8,
    quota=None,
    latency_seconds=0.01,
    max_age_seconds=None,
    max_messages=None,
    retry_mode="standard",
    max_attempts=3,
    timeout_seconds=10.0,
)

UNCACHED = Measurement(
    scenario=_SCENARIO,
    seconds=1.0,
    messages=500,
    failures={},
    latency=Spread(p50=0.01, p99=0.02, most=0.05),
    kms_calls={"GenerateDataKey": 500},
    throttles=0,
    reported_calls={"GenerateDataKey": 500},
    cpu_seconds=0.5,
    server_cpu_seconds=0.25,
    peak_bytes=2**26,
    dollars_per_million=3.0,
    attempts=500,
    span_seconds=2.5,
    sent_calls={"GenerateDataKey": 500},
    retries={},
)
"""A call for each message."""

CACHED = replace(
    UNCACHED,
    scenario=replace(_SCENARIO, cached=True, max_age_seconds=300.0, max_messages=1000),
    messages=2500,
    attempts=2500,
    kms_calls={"GenerateDataKey": 3},
    reported_calls={"GenerateDataKey": 3},
    sent_calls={"GenerateDataKey": 3},
    dollars_per_million=0.0036,
)
"""A call for each thousand messages, begun or full."""


def row(measurement: Measurement, **changed: Any) -> Measurement:
    """Return a row with other figures; names of a scenario's fields change the scenario."""
    of_scenario = {name: value for name, value in changed.items() if name in Scenario.__dataclass_fields__}
    rest = {name: value for name, value in changed.items() if name not in of_scenario}
    return replace(measurement, scenario=replace(measurement.scenario, **of_scenario), **rest)


def made_run(*rows: Measurement, **changed: Any) -> Run:
    """Return a run of some rows."""
    run = Run(
        schema=SCHEMA,
        began="2026-11-22T10:00:00+00:00",
        machine="a processor, 2 processors, 24 GiB, Linux",
        software={"Python": "3.11.7"},
        command="envelope bench",
        absent={},
        measurements=list(rows),
    )
    return replace(run, **changed)
