"""Rounds that are added up to one row."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.bench_rows import UNCACHED

from envelope_sdk.bench.latencies import spread
from envelope_sdk.bench.tally import Calls, Round, Tally, dollars


def made_round(began: float = 0.0, ended: float = 1.0, times: tuple[float, ...] = (0.5,), **more: Any) -> Round:
    """Return a round whose messages all succeeded."""
    usual: dict[str, Any] = {
        "failures": Counter(),
        "attempts": len(times),
        "cpu_seconds": 0.25,
        "reported": Counter(GenerateDataKey=len(times)),
    }
    return Round(began=began, ended=ended, latencies=array("d", times), **(usual | more))


def calls(made: int, throttled: int = 0) -> Calls:
    return Calls(Counter(GenerateDataKey=made), Counter(GenerateDataKey=throttled))


@given(st.lists(st.lists(st.floats(0, 10), max_size=20), min_size=1, max_size=4))
def test_the_times_of_all_rounds_are_one_spread(rounds: list[list[float]]) -> None:
    tally = Tally(UNCACHED.scenario)
    for times in rounds:
        tally.add(made_round(times=tuple(times)), calls(len(times)), None)

    row = tally.measurement(peak_bytes=None, data_keys=None)

    everything = [each for times in rounds for each in times]
    assert (len(everything), spread(everything)) == (row.messages, row.latency)


def test_figures_add_up() -> None:
    tally = Tally(UNCACHED.scenario)
    first = {"failures": Counter(KmsUnavailableError=1), "attempts": 3, "reported": Counter(GenerateDataKey=3)}
    again = {"sent": Counter(GenerateDataKey=4), "retries": Counter(GenerateDataKey=1)}
    tally.add(made_round(10.0, 11.0, (0.1, 0.2), **first, **again), calls(4, 2), 0.5)
    tally.add(made_round(20.0, 20.5, (0.3,), sent=Counter(GenerateDataKey=1), retries=Counter()), calls(1), 0.25)

    row = tally.measurement(peak_bytes=7, data_keys=2)

    assert (row.messages, row.failures, row.attempts) == (3, {"KmsUnavailableError": 1}, 4)
    assert (row.seconds, row.span_seconds) == (1.5, 10.5)
    assert (row.kms_calls, row.throttles) == ({"GenerateDataKey": 5}, 2)
    assert (row.reported_calls, row.sent_calls) == ({"GenerateDataKey": 4}, {"GenerateDataKey": 5})
    assert row.retries == {"GenerateDataKey": 1}
    assert (row.cpu_seconds, row.server_cpu_seconds) == (0.5, 0.75)
    assert (row.peak_bytes, row.data_keys) == (7, 2)


def test_what_one_round_does_not_tell_nobody_knows_of_all() -> None:
    tally = Tally(UNCACHED.scenario)
    tally.add(made_round(reported=None), calls(1), 0.5)
    tally.add(made_round(), calls(1), None)

    row = tally.measurement(peak_bytes=None, data_keys=None)

    assert (row.reported_calls, row.sent_calls, row.retries, row.server_cpu_seconds) == (None, None, None, None)


def test_without_a_message_there_are_no_times_and_no_price() -> None:
    tally = Tally(UNCACHED.scenario)
    tally.add(made_round(times=(), failures=Counter(KmsUnavailableError=1), attempts=1), calls(3, 3), None)

    row = tally.measurement(peak_bytes=None, data_keys=None)

    assert (row.messages, row.latency, row.dollars_per_million, row.messages_per_second) == (0, None, None, 0.0)


def test_throttled_calls_are_free() -> None:
    tally = Tally(UNCACHED.scenario)
    tally.add(made_round(times=(0.1, 0.1)), calls(5, 3), None)

    assert tally.measurement(peak_bytes=None, data_keys=None).dollars_per_million == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("made", "messages", "price"),
    [(1, 1, 3.0), (1, 1000, 0.003), (0, 5, 0.0), (2, 1, 6.0), (10_000, 10_000, 3.0)],
)
def test_a_million_messages_cost_what_aws_charges(made: int, messages: int, price: float) -> None:
    assert dollars({"GenerateDataKey": made}, messages) == pytest.approx(price)


def test_a_round_goes_from_process_to_process_as_it_is() -> None:
    sent = made_round(1.5, 2.5, (0.1, 1 / 3), failures=Counter(A=1), sent=Counter(Decrypt=2))

    assert sent == Round.from_json(sent.to_json())


def test_calls_since_a_count() -> None:
    now = Calls(Counter(Decrypt=5, GenerateDataKey=2), Counter(Decrypt=1))

    new = now.since(Calls(Counter(Decrypt=5, GenerateDataKey=1), Counter()))

    assert new == Calls(Counter(GenerateDataKey=1), Counter(Decrypt=1))
