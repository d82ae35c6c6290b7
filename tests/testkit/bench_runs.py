"""Runs of the bench that nobody measured: one that reads like a real one, and arbitrary ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from envelope_sdk.bench.result import LEGACY, MPL, OWN, SCHEMA, Measurement, Run, Scenario, Spread

# --- by hand ---------------------------------------------------------------------------------------------------------


def scenario(*, cached: bool = False, **other: Any) -> Scenario:
    """Return what a message of 1 KiB is encrypted under, by eight threads and a KMS 20 ms away."""
    usual: dict[str, Any] = {
        "subject": OWN,
        "kms": "served",
        "operation": "encrypt",
        "message_bytes": 1024,
        "threads": 8,
        "quota": None,
        "latency_seconds": 0.02,
        "retry_mode": "standard",
        "max_attempts": 3,
        "max_age_seconds": 300.0 if cached else None,
        "max_messages": 10_000 if cached else None,
    }
    return Scenario(cached=cached, **(usual | other))


def measurement(
    of: Scenario, messages: int, seconds: float, *, calls: int, p99: float = 0.03, **other: Any
) -> Measurement:
    """Return a row whose remaining figures follow from these."""
    usual: dict[str, Any] = {
        "failures": {},
        "throttles": 0,
        "reported_calls": None,
        "server_cpu_seconds": None,
        "latency": Spread(p50=p99 / 2, p99=p99, most=p99 * 2) if messages else None,
        "cpu_seconds": messages * 0.0001,
        "peak_bytes": 80 << 20,
        "dollars_per_million": calls / messages * 3 if messages else None,
    }
    counted = {"GenerateDataKey": calls}
    return Measurement(scenario=of, seconds=seconds, messages=messages, kms_calls=counted, **(usual | other))


def run(*measurements: Measurement, **other: Any) -> Run:
    """Return a run of these rows."""
    usual: dict[str, Any] = {
        "schema": SCHEMA,
        "began": "2026-11-22T15:40:00+00:00",
        "machine": "a machine with 2 processors",
        "software": {"Python": "3.11.7", "cryptography": "50.0.2"},
        "command": "envelope bench --threads 8",
        "absent": {},
    }
    return Run(measurements=list(measurements), **(usual | other))


def pair(**conditions: Any) -> list[Measurement]:
    """Return a row without a cache and one with: 60 times as fast, and 3 calls instead of 12,000."""
    return [
        measurement(scenario(**conditions), 12_000, 40.0, calls=12_000, p99=0.026),
        measurement(scenario(cached=True, **conditions), 12_000, 2 / 3, calls=3, p99=0.0011),
    ]


def realistic() -> Run:
    """Return a run with peers, and a KMS that throttles."""
    limited = scenario(quota=200.0)
    throttled = measurement(
        *(limited, 4200, 60.0), calls=9800, p99=2.4, throttles=4600, failures={"KmsUnavailableError": 811}
    )
    return run(
        *pair(),
        measurement(scenario(subject=LEGACY), 12_000, 50.0, calls=12_000, p99=0.045),
        measurement(scenario(subject=LEGACY, cached=True), 11_986, 6.3, calls=31, p99=0.019, failures={"KeyError": 14}),
        measurement(scenario(subject=MPL), 6000, 60.0, calls=6000, p99=0.21, peak_bytes=None),
        throttled,
        replace(pair(quota=200.0)[1], reported_calls={"GenerateDataKey": 3}),
        absent={"aws-encryption-sdk (MPL), cached": "it has no cache for its keyrings"},
    )


# --- arbitrary -------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["<script>alert(1)</script>", "a|b", "`x`", "$x^2$", "]]>", "&amp;", "\x1b[31m", "-->", "\ud800", "\u202e"]
)
AMOUNTS = st.floats(0, 1e12) | st.sampled_from([0.0, 1e-12, 0.009999, 99.96, float("inf"), float("nan")])
COUNTS = st.integers(0, 10**12) | st.integers(0, 3)
CALLS = st.dictionaries(st.sampled_from(["GenerateDataKey", "Decrypt", "Encrypt"]), COUNTS, max_size=2)

SCENARIOS = st.builds(
    Scenario,
    subject=st.sampled_from([OWN, LEGACY, MPL]) | WORDS,
    cached=st.booleans(),
    kms=st.sampled_from(["in process", "served", "moto server"]) | WORDS,
    operation=st.sampled_from(["encrypt", "decrypt"]) | WORDS,
    message_bytes=COUNTS,
    threads=st.integers(1, 64),
    quota=st.none() | AMOUNTS,
    latency_seconds=st.just(0.0) | AMOUNTS,
    max_age_seconds=st.none() | AMOUNTS,
    max_messages=st.none() | COUNTS,
    retry_mode=st.none() | WORDS,
)
MEASUREMENTS = st.builds(
    Measurement,
    scenario=SCENARIOS,
    seconds=AMOUNTS,
    messages=COUNTS,
    failures=st.dictionaries(WORDS, COUNTS, max_size=2),
    latency=st.none() | st.builds(Spread, p50=AMOUNTS, p99=AMOUNTS, most=AMOUNTS),
    kms_calls=CALLS,
    throttles=COUNTS,
    reported_calls=st.none() | CALLS,
    cpu_seconds=AMOUNTS,
    server_cpu_seconds=st.none() | AMOUNTS,
    peak_bytes=st.none() | COUNTS,
    dollars_per_million=st.none() | AMOUNTS,
    attempts=st.none() | COUNTS,
    sent_calls=st.none() | CALLS,
    data_keys=st.none() | COUNTS,
)


@st.composite
def _beside_each_other(draw: st.DrawFn) -> list[Measurement]:
    """Return rows of which some differ in nothing but the cache."""
    found = draw(st.lists(MEASUREMENTS, max_size=4))
    twins = draw(st.lists(MEASUREMENTS, max_size=len(found)))
    flipped = [replace(one.scenario, cached=not one.scenario.cached) for one in found]
    return found + [replace(twin, scenario=of) for twin, of in zip(twins, flipped, strict=False)]


RUNS = st.builds(
    Run,
    schema=st.just(SCHEMA),
    began=WORDS,
    machine=WORDS,
    software=st.dictionaries(WORDS, WORDS, max_size=2),
    command=WORDS,
    absent=st.dictionaries(WORDS, WORDS, max_size=2),
    measurements=_beside_each_other(),
)
"""Whatever a run can say, and more: its words and figures need not make sense."""
