"""Figures as a person reads them, and other people's words as they may be shown."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["NONE", "bytes_of", "dollars", "duration", "many", "number", "plain", "setting", "times"]

NONE: Final = "-"
"""Stands where there is no figure."""

_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BINARY: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_LEAST: Final = 1e-4


def plain(text: str) -> str:
    """Return one line of what can be printed: white space as spaces, and controls, surrogates and the like replaced."""
    return "".join(" " if sign.isspace() else sign if sign.isprintable() else _REPLACEMENT for sign in text)


def number(value: float | None) -> str:
    """Return a count or a rate: whole from 100 up, three digits below, two below 10."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0 or value >= 99.95:
        return f"{value:,.0f}"
    if value < _LEAST:
        return "<0.0001"
    return f"{value:.1f}" if value >= 9.95 else _digits(value)


def many(count: int, one: str, more: str = "") -> str:
    """Return a count and what is counted, ``1 call``, ``2 calls``, the plural being ``more`` where an s does not do."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def times(ratio: float | None) -> str:
    """Return how many times as much: whole from 10 up, two digits below."""
    if ratio is None or not math.isfinite(ratio):
        return NONE
    if ratio == 0 or ratio >= 9.95:
        return f"{ratio:,.0f}"
    return "<0.0001" if ratio < _LEAST else _digits(ratio)


def duration(seconds: float | None) -> str:
    """Return a time in the unit that fits, with three digits."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    for size, unit in _UNITS:
        if seconds >= size * 0.9995:
            return f"{_three_digits(seconds / size)} {unit}"
    return "<1 µs" if seconds > 0 else "0 s"


def setting(seconds: float | None) -> str:
    """Return a time that somebody chose: as :func:`duration`, without zeros after the point."""
    amount, space, unit = duration(seconds).partition(" ")
    return f"{_unpadded(amount)}{space}{unit}"


def dollars(amount: float | None) -> str:
    """Return a price: to the cent from 10 cents up, two digits below."""
    if amount is None or not math.isfinite(amount):
        return NONE
    if amount == 0:
        return "$0"
    if amount < _LEAST:
        return "<$0.0001"
    return f"${amount:,.2f}" if amount >= 0.0995 else f"${_digits(amount)}"


def bytes_of(count: int | None) -> str:
    """Return a size in bytes, KiB, MiB or GiB."""
    if count is None:
        return NONE
    for size, unit in _BINARY:
        if count >= size:
            exact = count / size
            return f"{exact:,.0f} {unit}" if exact >= 9.95 or count % size == 0 else f"{exact:.1f} {unit}"
    return f"{count:,} B"


def _three_digits(value: float) -> str:
    """Return a number of at least 1, never with an exponent."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _digits(value: float) -> str:
    """Return two digits of a number below 10, or one where the second is a zero: 0.00073, 2.4 or 2."""
    return _unpadded(f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}")


def _unpadded(shown: str) -> str:
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
