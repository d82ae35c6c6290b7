"""What is found in figures that contradict each other: each check, on figures that were doctored for it."""

from __future__ import annotations

from typing import Any

import pytest
from testkit.bench_rows import CACHED, UNCACHED, made_run, row

from envelope_sdk.bench.consistency import check
from envelope_sdk.bench.engine import in_words
from envelope_sdk.bench.result import DECRYPT, HIERARCHICAL, LEGACY, MOTO, Measurement, Spread

CALLS: dict[str, Any] = {"attempts": 500, "messages": 500}


def counted(calls: int, **more: Any) -> dict[str, Any]:
    """Return figures of so many calls, of which all tell the same."""
    named = {"GenerateDataKey": calls}
    return {"kms_calls": named, "reported_calls": named, "sent_calls": named} | more


def priced(row: Measurement) -> float:
    return (sum(row.kms_calls.values()) - row.throttles) * 3 / row.messages


def cost(measurement: Measurement, **changed: Any) -> Measurement:
    """Return a row with other figures, and the price that goes with them."""
    made = row(measurement, **changed)
    return row(made, dollars_per_million=priced(made))


AGREE = {
    "uncached": UNCACHED,
    "cached": CACHED,
    "a data key that is full": cost(CACHED, **counted(2), messages=2000, attempts=2000),
    "in process": row(UNCACHED, kms="in process", sent_calls=None, retries=None),
    "repeated": cost(
        UNCACHED,
        quota=50.0,
        throttles=3,
        kms_calls={"GenerateDataKey": 503},
        sent_calls={"GenerateDataKey": 503},
        retries={"GenerateDataKey": 3},
    ),
    "failed": cost(
        UNCACHED, quota=50.0, throttles=2, messages=498, failures={"KmsUnavailableError": 2}, latency=UNCACHED.latency
    ),
    "all failed": row(
        UNCACHED,
        quota=50.0,
        throttles=500,
        messages=0,
        failures={"KmsUnavailableError": 500},
        latency=None,
        dollars_per_million=None,
    ),
    "grown old": cost(CACHED, **counted(5), max_age_seconds=1.0),
    "replaced ahead of time": cost(CACHED, **counted(4), max_age_seconds=2.75),
    "decrypted": cost(CACHED, **counted(7), operation=DECRYPT, data_keys=7),
    "decrypted, grown old": cost(CACHED, **counted(21), operation=DECRYPT, data_keys=7, max_age_seconds=1.0),
    "hierarchical": cost(CACHED, **counted(1), subject=HIERARCHICAL, max_messages=None),
    "a peer that does not say": row(UNCACHED, subject=LEGACY, reported_calls=None),
    "a peer whose threads ask each for itself": cost(CACHED, **counted(24, reported_calls=None), subject=LEGACY),
    "nobody counted": row(UNCACHED, attempts=None, span_seconds=None, sent_calls=None, reported_calls=None),
}


@pytest.mark.parametrize("measured", AGREE.values(), ids=AGREE)
def test_figures_that_agree(measured: Measurement) -> None:
    assert check(made_run(measured)) == []


CONTRADICT = {
    "a message is lost": (row(UNCACHED, attempts=501), "500 messages and 0 failures are not 501 attempts"),
    "a failure is forgotten": (cost(UNCACHED, messages=499), "499 messages and 0 failures are not 500 attempts"),
    "messages without times": (row(UNCACHED, latency=None), "500 messages have no times"),
    "times out of order": (
        row(UNCACHED, latency=Spread(p50=0.03, p99=0.02, most=0.05)),
        "the times 0.03, 0.02 and 0.05 s do not fit in 1.0 s",
    ),
    "a message longer than all": (
        row(UNCACHED, latency=Spread(p50=0.01, p99=0.02, most=1.5)),
        "the times 0.01, 0.02 and 1.5 s do not fit in 1.0 s",
    ),
    "pauses of less than no time": (
        row(UNCACHED, span_seconds=0.5),
        "1.0 s of measuring are more than the 0.5 s from its start to its end",
    ),
    "a call that KMS did not get": (
        row(UNCACHED, sent_calls={"GenerateDataKey": 501}),
        "the KMS counted {'GenerateDataKey': 500} calls, and {'GenerateDataKey': 501} were sent",
    ),
    "a call that nobody reports": (
        row(UNCACHED, reported_calls={"GenerateDataKey": 499}),
        "the KMS counted {'GenerateDataKey': 500} calls, and {'GenerateDataKey': 499} were reported",
    ),
    "a call by another name": (
        row(UNCACHED, reported_calls={"Encrypt": 500}),
        "the KMS counted {'GenerateDataKey': 500} calls, and {'Encrypt': 500} were reported",
    ),
    "a repetition that nobody counts": (
        row(UNCACHED, retries={"GenerateDataKey": 1}),
        "the KMS counted {'GenerateDataKey': 500} calls, and {'GenerateDataKey': 500} were reported"
        " and {'GenerateDataKey': 1} repetitions",
    ),
    "throttled without a quota": (
        cost(UNCACHED, **counted(503), retries={}, throttles=3),
        "3 calls were throttled where there is no quota",
    ),
    "more throttled than called": (
        row(UNCACHED, quota=50.0, throttles=501),
        "501 calls were throttled of 500",
    ),
    "a message for nothing": (cost(UNCACHED, **counted(499)), "500 messages without a cache took 499 calls"),
    "a call for nothing": (cost(UNCACHED, **counted(501)), "500 messages without a cache took 501 calls"),
    "a peer's message for nothing": (
        cost(UNCACHED, **counted(499, reported_calls=None), subject=LEGACY, kms=MOTO),
        "500 messages without a cache took 499 calls",
    ),
    "a limit overrun": (cost(CACHED, **counted(2)), "2500 messages took 2 calls, and the limits imply 3"),
    "a call too many": (cost(CACHED, **counted(4)), "2500 messages took 4 calls, and the limits imply 3"),
    "a call too many, grown old": (
        cost(CACHED, **counted(6), max_age_seconds=1.0),
        "2500 messages took 6 calls, and the limits allow 5",
    ),
    "a call too many, decrypting": (
        cost(CACHED, **counted(8), operation=DECRYPT, data_keys=7),
        "2500 messages took 8 calls, and the limits imply 7",
    ),
    "a branch key too many": (
        cost(CACHED, **counted(2), subject=HIERARCHICAL, max_messages=None),
        "2500 messages took 2 calls, and the limits imply 1",
    ),
    "another price": (
        row(UNCACHED, dollars_per_million=2.9),
        "500 calls for 500 messages do not cost 2.9 dollars a million, but 3.0",
    ),
    "a price for nothing": (
        row(UNCACHED, dollars_per_million=None),
        "500 calls for 500 messages do not cost None dollars a million, but 3.0",
    ),
    "calls for nothing": (
        row(UNCACHED, dollars_per_million=0.0),
        "500 calls for 500 messages do not cost 0.0 dollars a million, but 3.0",
    ),
}


@pytest.mark.parametrize(("measured", "problem"), CONTRADICT.values(), ids=CONTRADICT)
def test_figures_that_contradict_each_other(measured: Measurement, problem: str) -> None:
    found = check(made_run(UNCACHED, measured, CACHED))

    # One contradiction may be several: fewer calls than none are too few for the messages, too.
    assert found[0].endswith(f": {problem}")
    assert all(line.startswith(in_words(measured.scenario)) for line in found)


def test_a_contradiction_names_its_row() -> None:
    (found,) = check(made_run(row(CACHED, attempts=1, quota=50.0)))

    assert found.startswith(
        "envelope-sdk cached, encrypt, 1,024 B, 8 threads, served, 10 ms, 50 calls/s: 2500 messages"
    )
