"""The tables of a report: what their columns hold, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from envelope_sdk.bench.report.rows import Group, Row
from envelope_sdk.bench.report.wording import NONE, bytes_of, dollars, duration, number, plain, times
from envelope_sdk.bench.result import Spread

__all__ = ["EXPLAINED", "Column", "columns"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: over it.
        of: what it says of a row.
        explained: what it means; empty where the title says it.
        label: whether it says what a row is of, rather than what was measured.
    """

    title: str
    of: Callable[[Row], str]
    explained: str = ""
    label: bool = False


def _share(of: Callable[[Spread], float]) -> Callable[[Row], str]:
    return lambda row: NONE if row.measured.latency is None else duration(of(row.measured.latency))


_NAMES: Final[tuple[Column, ...]] = (
    Column("subject", lambda row: plain(row.scenario.subject), label=True),
    Column("data keys", lambda row: "cached" if row.scenario.cached else "uncached", label=True),
)
_SPEED: Final[tuple[Column, ...]] = (
    Column(
        "messages/s",
        lambda row: number(row.measured.messages_per_second),
        "messages that succeeded, a second, all threads together",
    ),
    Column(
        "vs uncached",
        lambda row: times(row.gain),
        "how many times as many messages a second as the same subject handles without a cache",
    ),
    Column("p50", _share(lambda spread: spread.p50), "half of the messages that succeeded took no longer"),
    Column("p99", _share(lambda spread: spread.p99), "nor did 99 in 100: the waits that users notice"),
)
_CALLS: Final[tuple[Column, ...]] = (
    Column(
        "KMS calls/1,000",
        lambda row: number(row.calls_per_thousand),
        "calls that the KMS counted, those that it throttled included, for 1,000 messages that succeeded",
    ),
    Column("throttled", lambda row: f"{row.measured.throttles:,}", "calls, of those, that the KMS refused as too many"),
)
_FAILED: Final = Column("failed", lambda row: f"{row.failed:,}", "messages that failed")
_COSTS: Final[tuple[Column, ...]] = (
    Column(
        "$/million",
        lambda row: dollars(row.dollars),
        "what the KMS calls of a million such messages would cost on AWS, where those that are throttled are free",
    ),
    Column(
        "CPU/message",
        lambda row: duration(row.cpu_per_message),
        "processor time of the process that encrypts or decrypts; with the KMS in the same process, its time too",
    ),
    Column("peak memory", lambda row: bytes_of(row.measured.peak_bytes), "the most that this process held"),
)

EXPLAINED: Final[tuple[Column, ...]] = tuple(one for one in (*_SPEED, *_CALLS, _FAILED, *_COSTS) if one.explained)
"""The columns that need a word, in the order in which they stand."""


def columns(group: Group) -> list[Column]:
    """Return the columns of a group's table: what its rows share is left out, and failures where there are none."""
    facts = [Column(fact.title, fact.of, label=True) for fact in group.varying()]
    failed = [_FAILED] if any(row.failed for row in group.rows) else []
    return [*_NAMES, *facts, *_SPEED, *_CALLS, *failed, *_COSTS]
