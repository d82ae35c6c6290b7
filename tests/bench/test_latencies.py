"""Percentiles, held against what they mean."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.bench.latencies import percentile, spread
from envelope_sdk.bench.result import Spread

_times = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)
_shares = st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0])


@given(_times, _shares)
def test_no_less_than_the_share_is_within_it_and_less_is_within_anything_smaller(
    times: list[float], share: float
) -> None:
    found = percentile(sorted(times), share)

    assert found in times
    assert sum(each <= found for each in times) >= share * len(times) - 1e-9
    assert sum(each < found for each in times) < share * len(times)


@given(_times)
def test_the_half_is_the_lower_median(times: list[float]) -> None:
    assert statistics.median_low(times) == percentile(sorted(times), 0.5)


@given(_times)
def test_a_spread_does_not_depend_on_the_order(times: list[float]) -> None:
    assert spread(times) == spread(times[::-1])
    found = spread(times)
    assert found is not None
    assert found.p50 <= found.p99 <= found.most == max(times)


@pytest.mark.parametrize(("count", "p99"), [(1, 1.0), (99, 99.0), (100, 99.0), (101, 100.0), (1000, 990.0)])
def test_ninety_nine_in_a_hundred(count: int, p99: float) -> None:
    found = spread([float(each) for each in range(1, count + 1)])

    assert found == Spread(p50=float((count + 1) // 2), p99=p99, most=float(count))


def test_nothing_has_no_spread() -> None:
    assert spread([]) is None
