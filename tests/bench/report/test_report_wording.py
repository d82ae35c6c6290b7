"""Figures in words: short, rounded by no more than is said, and never with an exponent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.bench.report.wording import bytes_of, dollars, duration, many, number, plain, setting, times

AMOUNTS = st.floats(1e-3, 1e12)
SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}


def read(text: str) -> float:
    return float(text.replace(",", "").removeprefix("$"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00001, "<0.0001"),
        (0.15, "0.15"),
        (0.996, "1"),
        (2, "2"),
        (2.44, "2.4"),
        (9.96, "10.0"),
        (99.94, "99.9"),
        (99.96, "100"),
        (12345.6, "12,346"),
        (math.inf, "-"),
        (math.nan, "-"),
        (None, "-"),
    ],
)
def test_a_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00001, "<0.0001"), (0.5, "0.5"), (2.44, "2.4"), (9.96, "10"), (60.5, "60"), (1234, "1,234")],
)
def test_a_ratio(value: float, text: str) -> None:
    assert times(value) == text
    assert times(None) == times(math.inf) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1e-9, "<1 µs"),
        (1e-6, "1.00 µs"),
        (37.44e-6, "37.4 µs"),
        (0.00031, "310 µs"),
        (0.0009996, "1.00 ms"),
        (0.02, "20.0 ms"),
        (0.9996, "1.00 s"),
        (2.4, "2.40 s"),
        (300, "300 s"),
        (1e6, "1,000,000 s"),
        (math.nan, "-"),
        (None, "-"),
    ],
)
def test_a_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.02, "20 ms"), (1.5, "1.5 s"), (300, "300 s"), (100.0, "100 s"), (0, "0 s"), (None, "-")]
)
def test_a_duration_that_was_chosen_has_no_zeros_after_the_point(seconds: float | None, text: str) -> None:
    assert setting(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0"),
        (0.00001, "<$0.0001"),
        (0.00045, "$0.00045"),
        (0.0987, "$0.099"),
        (0.0999, "$0.10"),
        (3, "$3.00"),
        (1234.5, "$1,234.50"),
        (math.inf, "-"),
        (None, "-"),
    ],
)
def test_a_price(amount: float | None, text: str) -> None:
    assert dollars(amount) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (80 << 20, "80 MiB"),
        (83_000_000, "79 MiB"),
        (3 << 29, "1.5 GiB"),
        (None, "-"),
    ],
)
def test_a_size(count: int | None, text: str) -> None:
    assert bytes_of(count) == text


def test_what_is_counted_has_its_plural() -> None:
    assert [many(1, "call"), many(0, "call"), many(12_345, "call"), many(2, "key", "keys each")] == [
        "1 call",
        "0 calls",
        "12,345 calls",
        "2 keys each",
    ]


@given(AMOUNTS)
def test_rounding_is_what_is_told(value: float) -> None:
    """Two digits below 10, three below 100, and whole from there: half a unit of the last is the most that is off."""
    assert read(number(value)) == pytest.approx(value, rel=0.0501)
    assert read(times(value)) == pytest.approx(value, rel=0.0501)
    assert read(dollars(value)) == pytest.approx(value, rel=0.0501)


@given(AMOUNTS)
def test_a_duration_has_three_digits(seconds: float) -> None:
    amount, unit = duration(seconds).split()

    assert read(amount) * SECONDS[unit] == pytest.approx(seconds, rel=0.00501)


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_shown_is_one_line_that_can_be_printed(text: str) -> None:
    shown = plain(text)

    assert len(shown) == len(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_a_text_keeps_its_letters_and_loses_what_steers_a_terminal() -> None:
    assert plain("Größe: 2 µ\n\x1b[31m\u202e\ud800\x00") == "Größe: 2 µ \ufffd[31m" + 3 * "\ufffd"
