"""The sentences of a report: what they say of ordinary runs, and of those that compare little or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from testkit.bench_runs import LEGACY, MPL, OWN, RUNS, measurement, pair, realistic, run, scenario

from envelope_sdk.bench.report.rows import groups, rows
from envelope_sdk.bench.report.story import findings, headline, shown, slips
from envelope_sdk.bench.result import Measurement, Run

UNCACHED, CACHED = pair()

# --- the headline ----------------------------------------------------------------------------------------------------


def test_the_headline_compares_what_was_measured() -> None:
    assert headline(run(UNCACHED, CACHED)) == (
        "With cached data keys, 8 threads encrypted 60 times as many messages a second, with one KMS call for 4,000 "
        "messages instead of one for each: $0.00075 instead of $3.00 a million messages."
    )


@pytest.mark.parametrize(
    ("measurements", "text"),
    [
        ([], "Nothing was measured."),
        ([UNCACHED], "Nothing was measured with cached data keys, so there is nothing to compare."),
        ([CACHED], "No message succeeded both with cached data keys and without, so there is nothing to compare."),
        (
            [UNCACHED, replace(CACHED, messages=0, latency=None, dollars_per_million=None)],
            "No message succeeded both with cached data keys and without, so there is nothing to compare.",
        ),
        (
            [replace(UNCACHED, messages=0, failures={"KmsUnavailableError": 9}), CACHED],
            "No message succeeded both with cached data keys and without, so there is nothing to compare.",
        ),
        (
            [replace(one, messages=0, latency=None, failures={"KmsError": 5}) for one in (UNCACHED, CACHED)],
            "No message succeeded, so there is nothing to compare.",
        ),
        (
            [UNCACHED, *pair(threads=1)[1:]],
            "No message succeeded both with cached data keys and without, so there is nothing to compare.",
        ),
    ],
    ids=["empty", "uncached", "cached", "cached fails", "uncached fails", "all fails", "other threads"],
)
def test_without_a_comparison_the_headline_says_why(measurements: list[Measurement], text: str) -> None:
    assert headline(run(*measurements)) == text
    assert findings(run(*measurements)) == []


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"kms_calls": {}}, "with no KMS call instead of one for each"),
        ({"kms_calls": {"GenerateDataKey": 12_000}}, "with one for each in both cases"),
        ({"kms_calls": {"GenerateDataKey": 30_000}}, "with 2.5 for each instead of one for each"),
        ({"seconds": 40.0}, "encrypted as many messages a second"),
        ({"seconds": 80.0}, "encrypted 0.5 times as many messages a second"),
        ({"seconds": 16.0}, "encrypted 2.5 times as many messages a second"),
        ({"dollars_per_million": None}, "instead of one for each."),
    ],
)
def test_the_headline_says_it_where_a_cache_does_not_help(changed: dict[str, object], text: str) -> None:
    assert text in headline(run(UNCACHED, replace(CACHED, **changed)))


def test_the_headline_is_about_this_package_without_failures_and_quotas() -> None:
    """Whatever the order of the rows, and though others gained more."""
    failed = [replace(one, failures={"KmsError": 1}) for one in pair(latency_seconds=0.1)]
    others = [*pair(subject=LEGACY), *pair(quota=5.0, latency_seconds=0.2), *failed, *pair(kms="in process")]
    others = [replace(one, seconds=0.1 if one.scenario.cached else one.seconds) for one in others]
    expected = headline(run(UNCACHED, CACHED))

    assert headline(run(*others, UNCACHED, CACHED)) == expected
    assert headline(run(CACHED, UNCACHED, *reversed(others))) == expected


def test_without_rows_of_this_package_the_headline_names_whose_they_are() -> None:
    said = headline(run(*pair(subject=LEGACY, threads=1, operation="decrypt")))

    assert said.startswith(f"With cached data keys, {LEGACY}: 1 thread decrypted 60 times")


# --- the sentences after it ------------------------------------------------------------------------------------------


def test_the_findings_are_about_slow_messages_throttling_and_peers() -> None:
    assert findings(realistic()) == [
        "That is: encrypt, 1 KiB a message, 8 threads; KMS over HTTP, 20 ms away.",
        "99 of 100 messages took no longer than 1.10 ms; without a cache, 26.0 ms.",
        "KMS over HTTP, 20 ms away, at most 200 calls a second: cached, 18,000 messages a second, 0 calls throttled "
        "and none failed; uncached, 70.0 messages a second, 4,600 calls throttled and 811 of 5,011 messages failed.",
        f"Beside it, messages a second: {OWN}, cached, 18,000; {LEGACY}, cached, 1,903; {MPL}, uncached, 100.",
    ]


def test_of_several_quotas_the_strictest_is_told() -> None:
    throttled = [replace(one, throttles=7) for quota in (90.0, 30.0, 60.0) for one in pair(quota=quota)]

    assert next(one for one in findings(run(*throttled)) if "throttled" in one).startswith(
        "KMS over HTTP, 20 ms away, at most 30 calls a second: "
    )


def test_a_quota_that_nobody_met_is_not_told() -> None:
    assert not [one for one in findings(run(*pair(), *pair(quota=50.0))) if "throttled" in one]


def test_messages_that_were_begun_are_counted_where_they_were() -> None:
    """Some may have neither failed nor succeeded when the time was over."""
    uncached, cached = pair(quota=50.0)
    begun = replace(uncached, throttles=1, failures={"KmsError": 10}, attempts=12_345)

    assert "10 of 12,345 messages failed" in " ".join(findings(run(begun, cached)))


# --- what tables hide ------------------------------------------------------------------------------------------------


def slipped(measured: Measurement) -> list[str]:
    return slips(groups(rows(run(measured)))[0])


def test_failures_are_told_by_their_errors() -> None:
    failed = replace(CACHED, failures={"KmsUnavailableError": 1200, "KeyError": 1, "Never": 0})

    assert slipped(failed) == [
        f"{OWN}, cached, encrypt, 1 KiB a message, 8 threads: 1,201 messages failed "
        "(1,200 KmsUnavailableError, 1 KeyError)."
    ]


@pytest.mark.parametrize(
    ("reported", "sent", "told"),
    [(None, None, None), (3, None, None), (4, None, "4 calls"), (3, 5, "5 calls"), (4, 3, None)],
)
def test_counts_that_do_not_agree_are_told(reported: int | None, sent: int | None, told: str | None) -> None:
    """What botocore sent is what a KMS can count; a subject counts calls, which botocore may repeat."""
    counts = [None if count is None else {"GenerateDataKey": count} for count in (reported, sent)]
    said = slipped(replace(CACHED, reported_calls=counts[0], sent_calls=counts[1]))

    assert [one.split(": ")[1] for one in said] == ([f"{told} sent, of which the KMS counted 3."] if told else [])


def test_messages_to_decrypt_are_told_by_their_data_keys() -> None:
    """A cache that opens one key a thousand times saves more than one that opens a thousand."""
    assert slipped(replace(CACHED, data_keys=64)) == [
        f"{OWN}, cached, encrypt, 1 KiB a message, 8 threads: the messages had been encrypted under 64 data keys."
    ]


# --- what is drawn ---------------------------------------------------------------------------------------------------


def conditions(of: Run, most: int) -> list[str]:
    return [group.condition.words() for group in shown(of, most)]


def test_a_picture_has_the_headlines_key_service_and_those_that_throttle() -> None:
    of = run(*pair(kms="moto server", latency_seconds=0.0), *pair(), *pair(kms="in process"), *pair(quota=9.0))

    assert conditions(of, 2) == ["KMS over HTTP, 20 ms away", "KMS over HTTP, 20 ms away, at most 9 calls a second"]
    assert conditions(of, 1) == ["KMS over HTTP, 20 ms away"]
    assert len(conditions(of, 9)) == 4


def test_a_picture_is_of_one_workload() -> None:
    """The headline's: that of most comparisons, then encrypting, with most threads and the smallest messages."""
    of = run(*pair(threads=64), *pair(), *pair(quota=9.0), *pair(message_bytes=1 << 20), *pair(operation="decrypt"))

    assert {row.workload for group in shown(of, 9) for row in group.rows} == {rows(run(UNCACHED))[0].workload}


@given(RUNS)
def test_whatever_was_measured_there_is_a_headline_and_something_to_draw(of: Run) -> None:
    said = [headline(of), *findings(of)]

    assert all(one.isprintable() and one.endswith(".") for one in said)
    assert bool(shown(of, 3)) == bool(of.measurements)
    assert len(shown(of, 3)) <= 3


# --- rows beside each other ------------------------------------------------------------------------------------------


def test_a_row_is_held_against_the_same_without_a_cache() -> None:
    slower = measurement(scenario(threads=1), 100, 1.0, calls=100)
    found = rows(run(CACHED, slower, UNCACHED))

    assert [row.gain for row in found] == [pytest.approx(60), 1, 1]
    assert [row.baseline for row in found] == [UNCACHED, slower, UNCACHED]


def test_caches_of_other_limits_are_held_against_the_same_row() -> None:
    small = replace(CACHED, scenario=replace(CACHED.scenario, max_messages=10))

    assert [row.baseline for row in rows(run(UNCACHED, CACHED, small))] == [UNCACHED] * 3


@pytest.mark.parametrize(
    "other", [{"threads": 1}, {"kms": "moto server"}, {"quota": 5.0}, {"latency_seconds": 0.0}, {"message_bytes": 9}]
)
def test_a_row_of_other_circumstances_is_held_against_nothing(other: dict[str, object]) -> None:
    (row,) = rows(run(pair(**other)[1], UNCACHED))[:1]

    assert (row.baseline, row.gain) == (None, None)
