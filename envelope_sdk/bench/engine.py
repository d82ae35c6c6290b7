"""Measuring what is planned: scenarios of a group in turn, round after round, so that a slow moment hits them all."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, Final

from envelope_sdk.bench.children import Child
from envelope_sdk.bench.machine import machine, software
from envelope_sdk.bench.plan import Plan
from envelope_sdk.bench.result import SCHEMA, Measurement, Run, Scenario
from envelope_sdk.bench.services import KmsService
from envelope_sdk.bench.tally import Calls, Round, Tally
from envelope_sdk.bench.worker import Order
from envelope_sdk.errors import UsageError

__all__ = ["Budget", "Outcome", "in_words", "measure"]

_WORKER: Final = "envelope_sdk.bench.worker"
_QUOTA_TIMES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much is measured of each scenario. What warms up, before that, is not measured.

    Attributes:
        seconds: for all rounds of a scenario together; ``None`` for no such limit.
        messages: of all rounds of a scenario together; ``None`` for no such limit.
        rounds: 1 or more, in which the scenarios of a group take turns.
    """

    seconds: float | None = 1.0
    messages: int | None = None
    rounds: int = 3

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` where nothing would be measured, or without end."""
        if self.seconds is None and self.messages is None:
            raise UsageError("measuring needs a limit of seconds or of messages")
        if self.rounds < 1 or (self.seconds is not None and not 0 < self.seconds < float("inf")):
            raise UsageError("there are 1 round or more, in more than 0 seconds")
        if self.messages is not None and self.messages < self.rounds:
            raise UsageError(f"{self.rounds} rounds take at least as many messages, not {self.messages}")

    def with_quota(self) -> Budget:
        """Return what is measured where there is a quota: one round, of three times the time.

        botocore waits about a second before it repeats a request: most of short rounds would be waiting for the last.
        """
        return replace(self, rounds=1, seconds=None if self.seconds is None else self.seconds * _QUOTA_TIMES)

    def of_round(self, number: int) -> dict[str, Any]:
        """Return the part that a round has, the first being 0."""
        messages = None
        if self.messages is not None:
            messages = self.messages * (number + 1) // self.rounds - self.messages * number // self.rounds
        return {"seconds": None if self.seconds is None else self.seconds / self.rounds, "messages": messages}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What measuring came to.

    Attributes:
        run: the rows.
        broken: scenarios that could not be measured, and why.
    """

    run: Run
    broken: Mapping[str, str]


def measure(
    plan: Plan,
    budget: Budget,
    *,
    command: str,
    on_group: Callable[[int, int, Sequence[Scenario]], object] = lambda _number, _of, _group: None,
) -> Outcome:
    """Measure all that is planned, each scenario in a process of its own.

    Args:
        plan: the scenarios.
        budget: how much of each.
        command: that repeats it.
        on_group: called before each group with its number, how many there are, and its scenarios.

    Raises:
        UsageError: there is no interpreter to start processes with.
        OSError: a process cannot be started.
    """
    began = datetime.now(UTC)
    rows: list[Measurement] = []
    broken: dict[str, str] = {}
    with ExitStack() as stack:
        # It goes after the processes that have files in it.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="envelope-bench-"))
        services = _Services(stack)
        for number, group in enumerate(plan.groups, 1):
            on_group(number, len(plan.groups), group)
            try:
                rows += _Group(group, services, folder, broken).measure(budget)
            except ChildProcessError as error:
                broken |= {in_words(scenario): str(error) for scenario in group}
    run = Run(
        schema=SCHEMA,
        began=began.isoformat(timespec="seconds"),
        machine=machine(),
        software=software(),
        command=command,
        absent={**plan.absent, **broken},
        measurements=rows,
    )
    return Outcome(run, broken)


def in_words(scenario: Scenario) -> str:
    """Return a scenario on one line."""
    words = [
        f"{scenario.subject} {'cached' if scenario.cached else 'uncached'}",
        scenario.operation,
        f"{scenario.message_bytes:,} B",
        f"{scenario.threads} thread{'s' * (scenario.threads > 1)}",
        scenario.kms,
    ]
    if scenario.latency_seconds:
        words.append(f"{scenario.latency_seconds * 1000:g} ms")
    if scenario.quota is not None:
        words.append(f"{scenario.quota:g} calls/s")
    return ", ".join(words)


class _Services:
    """Each KMS that was asked for, until all ends. Scenarios have accounts of their own, and so quotas, in it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[tuple[str, float, float | None], KmsService] = {}
        self._accounts = 0

    def of(self, scenario: Scenario) -> KmsService:
        """Return the one that a scenario calls, running."""
        place = (scenario.kms, scenario.latency_seconds, scenario.quota)
        if place not in self._running:
            self._running[place] = self._stack.enter_context(KmsService(scenario))
        return self._running[place]

    def account(self) -> str:
        """Return an account that nobody has had before."""
        self._accounts += 1
        return f"{self._accounts:012}"


class _Group:
    """Scenarios that are measured side by side."""

    def __init__(self, group: Sequence[Scenario], services: _Services, folder: str, broken: dict[str, str]) -> None:
        self._group = group
        self._services = services
        self._folder = folder
        self._broken = broken

    def measure(self, budget: Budget) -> list[Measurement]:
        """Return the rows of those that could be measured, in their order."""
        with ExitStack() as stack:
            measured = [_Measured(scenario, self._services, self._folder, stack) for scenario in self._group]
            measured = [each for each in measured if self._tried(each, _Measured.ready)]
            if any(scenario.quota is not None for scenario in self._group):
                budget = budget.with_quota()
            order = list(measured)
            shuffle = Random(0).shuffle  # noqa: S311 - an order, the same in every run
            for number in range(budget.rounds):
                # What ran before, and what it left in the processor's caches, is not always the same.
                shuffle(order)
                play = partial(_Measured.play, part=budget.of_round(number))
                order = [each for each in order if self._tried(each, play)]
            return [row for each in measured if each in order and self._tried(each, _Measured.end) for row in each.rows]

    def _tried(self, each: _Measured, step: Callable[[_Measured], object]) -> bool:
        try:
            step(each)
        except ChildProcessError as error:
            self._broken[in_words(each.scenario)] = str(error)
            return False
        return True


class _Measured:
    """One scenario and its process."""

    def __init__(self, scenario: Scenario, services: _Services, folder: str, stack: ExitStack) -> None:
        self.scenario = scenario
        self.rows: list[Measurement] = []
        self._service = services.of(scenario)
        self._tally = Tally(scenario)
        self._child = stack.enter_context(Child(_WORKER))
        self._order = Order(scenario=scenario, url=self._service.url, account=services.account(), folder=folder)
        # All of a group start at the same time.
        self._child.tell(self._order.to_json())

    def ready(self) -> None:
        """Wait until it has warmed up."""
        self._child.hear()

    def play(self, part: Mapping[str, Any]) -> None:
        """Play a round."""
        if self.scenario.quota is not None:
            self._child.ask(json.dumps("drain"))
        calls, cpu = self._service.calls(), self._service.cpu_seconds()
        answer = self._child.ask(json.dumps(part))
        cpu_now, calls_now = self._service.cpu_seconds(), self._service.calls()
        done = Round.from_json(answer["round"])
        if calls is not None and calls_now is not None:
            new = calls_now.since(calls)
        elif answer["calls"]:
            counts = answer["calls"]
            new = Calls(Counter(counts["by_operation"]), Counter(counts["throttles"]))
        else:
            # moto does not count; what left botocore arrived.
            new = Calls(Counter(done.sent))
        self._tally.add(done, new, None if cpu is None or cpu_now is None else cpu_now - cpu)

    def end(self) -> None:
        """Have samples compared, and make the row."""
        answer = self._child.ask(json.dumps("end"))
        self.rows = [self._tally.measurement(peak_bytes=answer["peak_bytes"], data_keys=answer["data_keys"])]
