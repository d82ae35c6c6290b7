"""What one scenario's rounds add up to."""

from __future__ import annotations

import base64
import json
from array import array
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Final

from envelope_sdk.bench.latencies import spread
from envelope_sdk.bench.result import Measurement, Scenario
from envelope_sdk.local_kms.metering.prices import AWS_PRICES, price_class

__all__ = ["Calls", "Round", "Tally", "dollars"]

_MILLION: Final = 1_000_000


@dataclass(slots=True)
class Calls:
    """Calls that a KMS got.

    Attributes:
        by_operation: how many of each, those that it throttled included.
        throttles: how many it throttled.
    """

    by_operation: Counter[str] = field(default_factory=Counter[str])
    throttles: Counter[str] = field(default_factory=Counter[str])

    def since(self, before: Calls) -> Calls:
        """Return those that came after ``before`` was counted."""
        return Calls(self.by_operation - before.by_operation, self.throttles - before.throttles)

    def add(self, more: Calls) -> None:
        """Count those of another round, too."""
        self.by_operation += more.by_operation
        self.throttles += more.throttles


@dataclass(slots=True, kw_only=True)
class Round:
    """What one round of messages came to.

    Attributes:
        began: when the first message began, by a clock that all rounds of the scenario share.
        ended: when the last one ended.
        latencies: of the messages that succeeded, in seconds.
        failures: messages that failed, by the name of the error.
        attempts: messages that were begun.
        cpu_seconds: of this process.
        reported: calls that the subject says it made; ``None`` where it does not say.
        sent: requests that left botocore; ``None`` without it.
        retries: those that it repeated.
    """

    began: float
    ended: float
    latencies: array[float]
    failures: Counter[str]
    attempts: int
    cpu_seconds: float
    reported: Counter[str] | None
    sent: Counter[str] | None = None
    retries: Counter[str] | None = None

    def to_json(self) -> str:
        """Return it as one line, which :meth:`from_json` reads again."""
        named: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(named | {"latencies": base64.b64encode(self.latencies.tobytes()).decode()})

    @classmethod
    def from_json(cls, text: str) -> Round:
        """Return what :meth:`to_json` wrote, on this very machine."""
        named: dict[str, Any] = json.loads(text)
        named["latencies"] = array("d", base64.b64decode(named["latencies"]))
        for name in ("failures", "reported", "sent", "retries"):
            if named[name] is not None:
                named[name] = Counter(named[name])
        return cls(**named)


class Tally:
    """Adds up the rounds of one scenario, in their order."""

    def __init__(self, scenario: Scenario) -> None:
        """Begin at nothing."""
        self._scenario = scenario
        self._latencies = array("d")
        self._failures: Counter[str] = Counter()
        self._calls = Calls()
        self._seconds = self._cpu = 0.0
        self._server_cpu: float | None = 0.0
        self._attempts = 0
        self._first: float | None = None
        self._last = 0.0
        self._counts: dict[str, Counter[str] | None] = {name: Counter() for name in ("reported", "sent", "retries")}

    def add(self, done: Round, calls: Calls, server_cpu_seconds: float | None) -> None:
        """Add a round, with what the KMS counted meanwhile and the processor time of the KMS's process."""
        self._latencies.extend(done.latencies)
        self._failures += done.failures
        self._attempts += done.attempts
        self._calls.add(calls)
        self._seconds += done.ended - done.began
        self._cpu += done.cpu_seconds
        if self._first is None:
            self._first = done.began
        self._last = done.ended
        both = self._server_cpu is not None and server_cpu_seconds is not None
        self._server_cpu = (self._server_cpu or 0.0) + (server_cpu_seconds or 0.0) if both else None
        for name, count in (("reported", done.reported), ("sent", done.sent), ("retries", done.retries)):
            before = self._counts[name]
            self._counts[name] = None if before is None or count is None else before + count

    def measurement(self, *, peak_bytes: int | None, data_keys: int | None) -> Measurement:
        """Return the row of all rounds that were added."""
        counts = {name: None if count is None else dict(count) for name, count in self._counts.items()}
        calls, throttles = self._calls.by_operation, self._calls.throttles
        return Measurement(
            scenario=self._scenario,
            seconds=self._seconds,
            messages=len(self._latencies),
            failures=dict(self._failures),
            latency=spread(self._latencies),
            kms_calls=dict(calls),
            throttles=throttles.total(),
            reported_calls=counts["reported"],
            cpu_seconds=self._cpu,
            server_cpu_seconds=self._server_cpu,
            peak_bytes=peak_bytes,
            dollars_per_million=dollars(dict(calls - throttles), len(self._latencies)),
            attempts=self._attempts,
            span_seconds=0.0 if self._first is None else self._last - self._first,
            sent_calls=counts["sent"],
            retries=counts["retries"],
            data_keys=data_keys,
        )


def dollars(calls: dict[str, int], messages: int) -> float | None:
    """Return what a million messages would cost on AWS, at so many calls for so many; ``None`` for no message.

    Args:
        calls: of symmetric keys, by operation, without those that were throttled.
        messages: that they were made for.
    """
    if not messages:
        return None
    prices = AWS_PRICES.per_10_000
    charge = sum(float(prices[price_class(operation, "SYMMETRIC_DEFAULT", "")]) * n for operation, n in calls.items())
    return charge / 10_000 / messages * _MILLION
