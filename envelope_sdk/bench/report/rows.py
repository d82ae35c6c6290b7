"""What a run's rows come to: beside the same without a cache, and in groups of one key service each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from envelope_sdk.bench.report.wording import NONE, bytes_of, number, plain, setting
from envelope_sdk.bench.result import IN_PROCESS, MOTO, SERVED, Measurement, Run, Scenario

__all__ = ["FACTS", "Condition", "Group", "Row", "Workload", "groups", "rows", "service"]

_SERVICES: Final = {
    IN_PROCESS: "KMS in the same process",
    SERVED: "KMS over HTTP",
    MOTO: "KMS of moto over HTTP",
}


class Condition(NamedTuple):
    """What the key service was like: the rows of one table share it."""

    kms: str
    latency_seconds: float
    quota: float | None

    def words(self) -> str:
        """Return it as a heading."""
        parts = [service(self.kms)]
        if self.latency_seconds:
            parts.append(f"{setting(self.latency_seconds)} away")
        if self.quota is not None:
            parts.append(f"at most {_whole(self.quota)} calls a second")
        return ", ".join(parts)


class Workload(NamedTuple):
    """What was asked of a subject: the rows of one panel share it."""

    operation: str
    message_bytes: int
    threads: int

    def words(self) -> str:
        """Return it as part of a sentence."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{plain(self.operation)}, {bytes_of(self.message_bytes)} a message, {threads}"


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement, and the one without a cache that it is held against.

    Attributes:
        measured: the measurement.
        baseline: of the same scenario without a cache; itself where it is one, ``None`` where there is none.
    """

    measured: Measurement
    baseline: Measurement | None

    @property
    def scenario(self) -> Scenario:
        """What was measured."""
        return self.measured.scenario

    @property
    def condition(self) -> Condition:
        """What the key service was like."""
        return Condition(self.scenario.kms, self.scenario.latency_seconds, self.scenario.quota)

    @property
    def workload(self) -> Workload:
        """What was asked of the subject."""
        return Workload(self.scenario.operation, self.scenario.message_bytes, self.scenario.threads)

    @property
    def name(self) -> str:
        """The subject, and whether it cached."""
        return f"{plain(self.scenario.subject)}, {'cached' if self.scenario.cached else 'uncached'}"

    @property
    def failed(self) -> int:
        """Messages that failed."""
        return sum(self.measured.failures.values())

    @property
    def attempts(self) -> int:
        """Messages that were begun."""
        known = self.measured.attempts
        return self.failed + self.measured.messages if known is None else known

    @property
    def calls(self) -> int:
        """Calls that the key service counted."""
        return sum(self.measured.kms_calls.values())

    @property
    def told_calls(self) -> int | None:
        """Calls that should have reached it: sent by botocore, or reported by the subject; ``None`` where none says."""
        told = self.measured.reported_calls if self.measured.sent_calls is None else self.measured.sent_calls
        return None if told is None else sum(told.values())

    @property
    def calls_per_message(self) -> float | None:
        """Calls for a message that succeeded; ``None`` where none did."""
        return self.calls / self.measured.messages if self.measured.messages else None

    @property
    def calls_per_thousand(self) -> float | None:
        """Calls for 1,000 messages that succeeded; ``None`` where none did."""
        return None if self.calls_per_message is None else self.calls_per_message * 1000

    @property
    def cpu_per_message(self) -> float | None:
        """Seconds of processor time for a message that succeeded; ``None`` where none did."""
        return self.measured.cpu_seconds / self.measured.messages if self.measured.messages else None

    @property
    def dollars(self) -> float | None:
        """What the calls of a million messages cost; ``None`` where no message succeeded."""
        return self.measured.dollars_per_million if self.measured.messages else None

    @property
    def gain(self) -> float | None:
        """Messages a second, as a multiple of the baseline's; ``None`` where there is none, or it got nothing done."""
        if self.baseline is None or not self.baseline.messages_per_second:
            return None
        ratio = self.measured.messages_per_second / self.baseline.messages_per_second
        return ratio if math.isfinite(ratio) else None


class Group(NamedTuple):
    """The rows of one table."""

    condition: Condition
    rows: Sequence[Row]

    def shared(self) -> list[str]:
        """Return the facts that are the same for every row they apply to, in words."""
        said = ((fact, {fact.of(row) for row in self.rows} - {NONE}) for fact in FACTS)
        return [fact.words.format(values.pop()) for fact, values in said if len(values) == 1]

    def varying(self) -> list[Fact]:
        """Return the facts that need a column."""
        return [fact for fact in FACTS if len({fact.of(row) for row in self.rows} - {NONE}) > 1]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a row was measured under.

    Attributes:
        title: of its column.
        words: of a sentence, where no column is needed.
        of: the fact; :data:`NONE` where it does not apply.
    """

    title: str
    words: str
    of: Callable[[Row], str]


FACTS: Final[tuple[Fact, ...]] = (
    Fact("operation", "{}", lambda row: plain(row.scenario.operation)),
    Fact("message", "{} a message", lambda row: bytes_of(row.scenario.message_bytes)),
    Fact("threads", "threads: {}", lambda row: str(row.scenario.threads)),
    Fact("key kept for", "data keys kept for {} at most", lambda row: setting(row.scenario.max_age_seconds)),
    Fact("messages a key", "{} messages a data key at most", lambda row: _count(row.scenario.max_messages)),
    Fact("botocore retries", "botocore's retry mode: {}", lambda row: plain(row.scenario.retry_mode or NONE)),
    Fact("attempts a call", "{} attempts a call at most", lambda row: _count(row.scenario.max_attempts)),
    Fact("timeout", "a timeout of {}", lambda row: setting(row.scenario.timeout_seconds)),
)
"""What a table says once where it is the same for all rows, and in a column where it is not."""


def service(kms: str) -> str:
    """Return where calls go, in words."""
    return _SERVICES.get(kms) or f"KMS: {plain(kms)}"


def rows(run: Run) -> list[Row]:
    """Return a run's measurements in their order, each beside its baseline."""
    uncached: dict[tuple[object, ...], Measurement] = {}
    for measured in run.measurements:
        if not measured.scenario.cached:
            uncached.setdefault(_pair(measured.scenario), measured)
    return [Row(one, uncached.get(_pair(one.scenario)) if one.scenario.cached else one) for one in run.measurements]


def groups(of: Iterable[Row]) -> list[Group]:
    """Return rows by the key service they called, both in the order in which they come."""
    found: dict[Condition, list[Row]] = {}
    for row in of:
        found.setdefault(row.condition, []).append(row)
    return [Group(condition, together) for condition, together in found.items()]


def _pair(one: Scenario) -> tuple[object, ...]:
    """Return what a row with a cache shares with the one without."""
    told = (one.subject, one.kms, one.operation, one.message_bytes, one.threads)
    return (*told, one.quota, one.latency_seconds, one.retry_mode)


def _whole(quota: float) -> str:
    return f"{quota:,.0f}" if quota.is_integer() else number(quota)


def _count(number_of: int | None) -> str:
    return NONE if number_of is None else f"{number_of:,}"
