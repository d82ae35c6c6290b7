"""Measuring, from plan to rows: that all figures are there and agree. How fast anything is, no test asks."""

from __future__ import annotations

from typing import Any

import pytest
from testkit.bench_rows import CACHED, UNCACHED, row

from envelope_sdk.bench.consistency import check
from envelope_sdk.bench.engine import Budget, Outcome, in_words, measure
from envelope_sdk.bench.plan import Choice, Plan, plan
from envelope_sdk.bench.result import (
    DECRYPT,
    ENCRYPT,
    HIERARCHICAL,
    IN_PROCESS,
    OWN,
    SERVED,
    Measurement,
    Scenario,
    from_json,
    to_json,
)
from envelope_sdk.errors import UsageError

SMALL = Choice(sizes=(64,), threads=(3,), kms=(IN_PROCESS,), max_messages=7, peers=False, thorough=True)


def measured(choice: Choice, **budget: Any) -> dict[tuple[str, bool, str, float | None], Measurement]:
    """Return the rows by subject, cache, operation and quota, once they agree."""
    outcome = measure(plan(choice, {}), Budget(**budget), command="envelope bench")
    assert outcome.broken == {}
    assert check(outcome.run) == []
    assert from_json(to_json(outcome.run)) == outcome.run
    rows = outcome.run.measurements
    return {(r.scenario.subject, r.scenario.cached, r.scenario.operation, r.scenario.quota): r for r in rows}


@pytest.mark.slow
def test_calls_are_exactly_those_that_the_limits_imply() -> None:
    rows = measured(SMALL, seconds=None, messages=100, rounds=3)

    assert {each: (r.messages, r.kms_calls) for each, r in rows.items()} == {
        (OWN, False, ENCRYPT, None): (100, {"GenerateDataKey": 100}),
        (OWN, True, ENCRYPT, None): (100, {"GenerateDataKey": 15}),
        (HIERARCHICAL, True, ENCRYPT, None): (100, {"Decrypt": 1}),
        (OWN, False, DECRYPT, None): (100, {"Decrypt": 100}),
        # 34 messages in the longest round, seven to each data key.
        (OWN, True, DECRYPT, None): (100, {"Decrypt": 5}),
        (HIERARCHICAL, True, DECRYPT, None): (100, {"Decrypt": 1}),
    }
    for r in rows.values():
        assert (r.failures, r.throttles, r.server_cpu_seconds, r.attempts) == ({}, 0, None, 100)
        assert r.latency is not None
        assert r.cpu_seconds > 0
        assert r.peak_bytes is None or r.peak_bytes > 2**20


@pytest.mark.slow
def test_a_quota_throttles_whoever_does_not_cache() -> None:
    choice = Choice(sizes=(64,), threads=(2,), kms=(IN_PROCESS,), quotas=(20.0,), peers=False)

    rows = measured(choice, seconds=None, messages=60, rounds=2)

    uncached = rows[OWN, False, ENCRYPT, 20.0]
    assert uncached.throttles == uncached.failures["KmsUnavailableError (ThrottlingException)"] > 0
    assert uncached.messages + uncached.throttles == 60


@pytest.mark.slow
def test_served_every_call_is_counted_by_three() -> None:
    choice = Choice(sizes=(64,), threads=(4,), kms=(SERVED,), latencies=(0.001,), quotas=(None, 20.0), peers=False)

    rows = measured(choice, seconds=None, messages=40, rounds=2)

    for (_, cached, operation, quota), r in rows.items():
        assert r.sent_calls == r.kms_calls
        assert r.reported_calls is not None
        assert r.retries is not None
        assert r.server_cpu_seconds is None or r.server_cpu_seconds >= 0
        if not cached and quota is None:
            assert r.kms_calls == {("GenerateDataKey" if operation == ENCRYPT else "Decrypt"): 40}
        if not cached and quota is not None:
            assert sum(r.retries.values()) > 0
            assert r.throttles >= sum(r.retries.values())


@pytest.mark.slow
def test_a_scenario_that_cannot_be_measured_leaves_the_others_be() -> None:
    good, odd = row(UNCACHED, kms=IN_PROCESS, latency_seconds=0.0), row(UNCACHED, kms=IN_PROCESS, latency_seconds=-1.0)
    broken = row(CACHED, kms=IN_PROCESS, latency_seconds=0.0, max_messages=-1)

    outcome = measured_plan([good.scenario, broken.scenario], [odd.scenario])

    assert [each.scenario for each in outcome.run.measurements] == [good.scenario]
    assert set(outcome.broken) == {in_words(broken.scenario), in_words(odd.scenario)}
    assert "max_messages is 1 to 4294967296" in outcome.broken[in_words(broken.scenario)]
    assert outcome.run.absent == outcome.broken


def measured_plan(*groups: list[Scenario]) -> Outcome:
    planned = Plan(tuple(tuple(group) for group in groups), {})
    return measure(planned, Budget(seconds=None, messages=4, rounds=1), command="envelope bench")


@pytest.mark.slow
def test_a_run_says_where_it_was_and_what_was_left_out() -> None:
    told: list[tuple[int, int, int]] = []
    planned = plan(Choice(sizes=(1,), threads=(1,), peers=False), {"served": "not here", "moto server": "nor this"})

    run = measure(
        planned,
        Budget(seconds=None, messages=2, rounds=1),
        command="envelope bench --messages 2",
        on_group=lambda number, of, group: told.append((number, of, len(group))),
    ).run

    assert run.absent == {"served": "not here", "moto server": "nor this"}
    assert run.command == "envelope bench --messages 2"
    assert {"Python", "cryptography", "boto3"} <= set(run.software)
    assert "processor" in run.machine
    assert told == [(1, 2, 2), (2, 2, 2)]


def test_rounds_share_messages_and_time() -> None:
    budget = Budget(seconds=3.0, messages=10, rounds=4)

    parts = [budget.of_round(number) for number in range(4)]

    assert [part["seconds"] for part in parts] == [0.75] * 4
    assert [part["messages"] for part in parts] == [2, 3, 2, 3]


def test_a_quota_is_measured_in_one_long_round() -> None:
    assert Budget(seconds=1.0, messages=9, rounds=3).with_quota() == Budget(seconds=3.0, messages=9, rounds=1)
    assert Budget(seconds=None, messages=9, rounds=3).with_quota() == Budget(seconds=None, messages=9, rounds=1)


@pytest.mark.parametrize(
    "given",
    [
        {"seconds": None},
        {"seconds": 0.0},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"rounds": 0},
        {"messages": 2, "rounds": 3},
    ],
    ids=str,
)
def test_a_budget_that_is_none_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Budget(**given)


def test_a_scenario_in_words() -> None:
    assert in_words(row(CACHED, quota=50.0).scenario) == (
        "envelope-sdk cached, encrypt, 1,024 B, 8 threads, served, 10 ms, 50 calls/s"
    )
    assert in_words(row(UNCACHED, threads=1, latency_seconds=0.0).scenario) == (
        "envelope-sdk uncached, encrypt, 1,024 B, 1 thread, served"
    )
