"""Runs as JSON: what is written is read again, and what was never written is refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.bench_rows import CACHED, UNCACHED, made_run

from envelope_sdk.bench.result import SCHEMA, Measurement, Run, Scenario, Spread, from_json, to_json
from envelope_sdk.errors import UsageError

_counts = st.integers(0, 2**53)
_numbers = st.floats(0, 1e12)
_words = st.text(max_size=20)
_by_name = st.dictionaries(_words, _counts, max_size=3)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


_scenarios = st.builds(
    Scenario,
    subject=_words,
    cached=st.booleans(),
    kms=_words,
    operation=_words,
    message_bytes=_counts,
    threads=_counts,
    quota=_maybe(_numbers),
    latency_seconds=_numbers,
    max_age_seconds=_maybe(_numbers),
    max_messages=_maybe(_counts),
    retry_mode=_maybe(_words),
    max_attempts=_maybe(_counts),
    timeout_seconds=_maybe(_numbers),
)
_measurements = st.builds(
    Measurement,
    scenario=_scenarios,
    seconds=_numbers,
    messages=_counts,
    failures=_by_name,
    latency=_maybe(st.builds(Spread, p50=_numbers, p99=_numbers, most=_numbers)),
    kms_calls=_by_name,
    throttles=_counts,
    reported_calls=_maybe(_by_name),
    cpu_seconds=_numbers,
    server_cpu_seconds=_maybe(_numbers),
    peak_bytes=_maybe(_counts),
    dollars_per_million=_maybe(_numbers),
    attempts=_maybe(_counts),
    span_seconds=_maybe(_numbers),
    sent_calls=_maybe(_by_name),
    retries=_maybe(_by_name),
    data_keys=_maybe(_counts),
)
_runs = st.builds(
    Run,
    schema=st.just(SCHEMA),
    began=_words,
    machine=_words,
    software=st.dictionaries(_words, _words, max_size=3),
    command=_words,
    absent=st.dictionaries(_words, _words, max_size=3),
    measurements=st.lists(_measurements, max_size=3),
)


@given(_runs)
def test_what_is_written_is_read_again(run: Run) -> None:
    assert run == from_json(to_json(run))


def test_whole_numbers_are_times_too() -> None:
    written = json.loads(to_json(made_run(UNCACHED)))
    written["measurements"][0]["seconds"] = 1

    assert from_json(json.dumps(written)).measurements[0].seconds == 1.0


def test_figures_that_later_rows_have_may_be_missing_in_earlier_ones() -> None:
    written = json.loads(to_json(made_run(UNCACHED)))
    del written["measurements"][0]["span_seconds"]

    assert from_json(json.dumps(written)).measurements[0].span_seconds is None


FOREIGN = {
    "nothing": "",
    "no JSON": "# What caching saves",
    "a list": "[]",
    "a number": "1",
    "other JSON": '{"name": "x"}',
    "too deep": "[" * 100_000,
    "no number": '{"schema": NaN, "measurements": []}',
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="this is no result of 'envelope bench'"):
        from_json(text)


def test_the_result_of_a_later_version_is_refused_as_such() -> None:
    later = to_json(made_run(UNCACHED, schema=SCHEMA + 1))

    with pytest.raises(UsageError, match=r"was written by a later version \(schema 2; this one reads 1\)"):
        from_json(later)


def _set(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found["measurements"][0].update(values)


def _set_scenario(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found["measurements"][0]["scenario"].update(values)


DAMAGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an older schema": (lambda found: found.update(schema=0), "schema"),
    "a schema that is none": (lambda found: found.update(schema="1"), "schema"),
    "a schema that is true": (lambda found: found.update(schema=True), "schema"),
    "rows that are none": (lambda found: found.update(measurements={}), "result.measurements"),
    "a row that is none": (lambda found: found.update(measurements=[1]), r"result.measurements\[0\]"),
    "a field is missing": (lambda found: found.pop("machine"), "result.machine"),
    "a field too many": (lambda found: found.update(more=1), "result.more"),
    "words for a count": (_set(messages="500"), r"result.measurements\[0\].messages"),
    "a truth for a count": (_set(messages=True), r"result.measurements\[0\].messages"),
    "part of a message": (_set(messages=0.5), r"result.measurements\[0\].messages"),
    "less than none": (_set(throttles=-1), r"result.measurements\[0\].throttles"),
    "a time that is none": (_set(seconds=None), r"result.measurements\[0\].seconds"),
    "a count of calls that is none": (_set(kms_calls={"Decrypt": "1"}), r"result.measurements\[0\].kms_calls.Decrypt"),
    "times that are none": (_set(latency={"p50": 1.0}), r"result.measurements\[0\].latency.p99"),
    "a number for a truth": (_set_scenario(cached=1), r"result.measurements\[0\].scenario.cached"),
    "a number for a word": (_set_scenario(kms=1), r"result.measurements\[0\].scenario.kms"),
}


@pytest.mark.parametrize(("damage", "where"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_result_is_refused_with_the_place(damage: Callable[[dict[str, Any]], object], where: str) -> None:
    found = json.loads(to_json(made_run(CACHED)))
    damage(found)

    with pytest.raises(UsageError, match=f"the result is damaged at {where}$"):
        from_json(json.dumps(found))


def test_what_is_no_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(made_run(Measurement(**(UNCACHED_FIELDS | {"seconds": float("inf")}))))


UNCACHED_FIELDS = {name: getattr(UNCACHED, name) for name in Measurement.__dataclass_fields__}
