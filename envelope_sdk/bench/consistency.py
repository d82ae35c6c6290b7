"""Whether the figures of a run can be true together, whatever they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from envelope_sdk.bench.engine import in_words
from envelope_sdk.bench.result import DECRYPT, HIERARCHICAL, OWN, Measurement, Run
from envelope_sdk.bench.tally import dollars

__all__ = ["check"]

_FREE: Final = 1e-6
"""What sums of times may be off by."""

_SOONEST: Final = 0.9
"""The part of its age at which a cache may replace what it keeps, so that nobody stalls at the end."""


def check(run: Run) -> list[str]:
    """Return what cannot be so, each on a line that names its row; nothing where the figures agree."""
    return [
        f"{in_words(row.scenario)}: {problem}"
        for row in run.measurements
        for find in (_messages, _times, _calls, _throttles, _limits, _cost)
        for problem in find(row)
    ]


def _messages(row: Measurement) -> Iterator[str]:
    done = row.messages + sum(row.failures.values())
    if row.attempts is not None and done != row.attempts:
        yield f"{row.messages} messages and {sum(row.failures.values())} failures are not {row.attempts} attempts"
    if (row.latency is None) != (row.messages == 0):
        yield f"{row.messages} messages have {'no times' if row.latency is None else 'times'}"


def _times(row: Measurement) -> Iterator[str]:
    times = row.latency
    if times is not None and not times.p50 <= times.p99 <= times.most <= row.seconds + _FREE:
        yield f"the times {times.p50}, {times.p99} and {times.most} s do not fit in {row.seconds} s"
    if row.span_seconds is not None and row.seconds > row.span_seconds + _FREE:
        yield f"{row.seconds} s of measuring are more than the {row.span_seconds} s from its start to its end"


def _calls(row: Measurement) -> Iterator[str]:
    """Three count: the KMS, botocore as it sends and as it tells of repetitions, and the subject."""
    if row.sent_calls is not None and row.sent_calls != row.kms_calls:
        yield f"the KMS counted {row.kms_calls} calls, and {row.sent_calls} were sent"
    if row.reported_calls is not None:
        told = Counter(row.reported_calls) + Counter(row.retries or {})
        if told != Counter(row.kms_calls):
            again = f" and {row.retries} repetitions" if row.retries else ""
            yield f"the KMS counted {row.kms_calls} calls, and {row.reported_calls} were reported{again}"


def _throttles(row: Measurement) -> Iterator[str]:
    if row.throttles and row.scenario.quota is None:
        yield f"{row.throttles} calls were throttled where there is no quota"
    if row.throttles > sum(row.kms_calls.values()):
        yield f"{row.throttles} calls were throttled of {sum(row.kms_calls.values())}"


def _limits(row: Measurement) -> Iterator[str]:
    """What the cache's limits imply: of this package's own, since nobody promises it for others."""
    scenario, failures = row.scenario, sum(row.failures.values())
    answered = sum(row.kms_calls.values()) - row.throttles
    if not scenario.cached:
        own = scenario.subject == OWN
        if answered < row.messages or (own and answered > row.messages + failures):
            yield f"{row.messages} messages without a cache took {answered} calls"
        return
    if scenario.subject not in (OWN, HIERARCHICAL) or scenario.max_age_seconds is None:
        return
    needed = _needed(row)
    span = row.seconds if row.span_seconds is None else row.span_seconds
    periods = math.floor(span / (scenario.max_age_seconds * _SOONEST))
    # A data key may be at its end by its age, and by its messages, too.
    most = needed * (periods + 1) if scenario.operation == DECRYPT else needed + periods
    if not failures and not periods and answered != needed:
        yield f"{row.messages} messages took {answered} calls, and the limits imply {needed}"
    elif answered > most + failures:
        yield f"{row.messages} messages took {answered} calls, and the limits allow {most}"


def _needed(row: Measurement) -> int:
    """Return the calls that messages need where nothing fails, and no data key grows too old."""
    if row.scenario.subject == HIERARCHICAL:
        # One branch key serves them all.
        return min(1, row.messages)
    if row.scenario.operation == DECRYPT:
        return row.data_keys or 0
    return math.ceil(row.messages / (row.scenario.max_messages or 1))


def _cost(row: Measurement) -> Iterator[str]:
    # Which of the operations were throttled makes no difference: all cost the same.
    answered = sum(row.kms_calls.values()) - row.throttles
    wanted = dollars({"GenerateDataKey": max(answered, 0)}, row.messages)
    found = row.dollars_per_million
    if (found is None) != (wanted is None) or not math.isclose(found or 0.0, wanted or 0.0, rel_tol=1e-6):
        yield f"{answered} calls for {row.messages} messages do not cost {found} dollars a million, but {wanted}"
