"""What a run says in a few sentences, and which of its rows say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from envelope_sdk.bench.report.rows import Group, Row, Workload, groups, rows
from envelope_sdk.bench.report.wording import NONE, dollars, duration, many, number, plain, times
from envelope_sdk.bench.result import DECRYPT, ENCRYPT, IN_PROCESS, OWN, Run

__all__ = ["environment", "findings", "headline", "shown", "slips"]

_MORE: Final = 1.05
_VERBS: Final = {ENCRYPT: "encrypted", DECRYPT: "decrypted"}


def headline(run: Run) -> str:
    """Return what caching data keys did, in one sentence; what there is to say instead where nothing compares."""
    measured = rows(run)
    pair = _telling(measured)
    if pair is not None:
        return _compared(pair)
    if not measured:
        return "Nothing was measured."
    if not any(row.measured.messages for row in measured):
        return "No message succeeded, so there is nothing to compare."
    if not any(row.scenario.cached for row in measured):
        return "Nothing was measured with cached data keys, so there is nothing to compare."
    return "No message succeeded both with cached data keys and without, so there is nothing to compare."


def findings(run: Run) -> list[str]:
    """Return the sentences after the headline: the slowest messages, a KMS that throttles, and other libraries."""
    measured = rows(run)
    pair = _telling(measured)
    if pair is None:
        return []
    return [_where(pair), *_tail(pair), *_throttled(measured, pair), *_peers(measured, pair)]


def environment(run: Run) -> str:
    """Return when a run took place, where and with what."""
    software = ", ".join(f"{plain(name)} {plain(version)}" for name, version in run.software.items())
    return f"{plain(run.began)} on {plain(run.machine)}" + (f"; {software}" if software else "")


def _workload(measured: Sequence[Row]) -> Workload | None:
    """Return the workload that tells most: of most subjects and key services, encrypting, of most threads."""
    kinds = {row.workload for row in measured}
    if not kinds:
        return None
    seen = Counter(kind for kind, *_ in {(row.workload, row.condition, row.name) for row in measured})
    pairs = Counter(row.workload for row in measured if row.scenario.cached and row.gain is not None)
    return max(kinds, key=lambda kind: (pairs[kind], seen[kind], kind.operation == ENCRYPT, kind.threads, -kind[1]))


def shown(run: Run, most: int) -> list[Group]:
    """Return what a picture shows: the headline's rows and others of its workload, of so many key services at most."""
    measured = rows(run)
    pair = _telling(measured)
    chosen = _workload(measured) if pair is None else pair.workload
    found = groups(row for row in measured if row.workload == chosen)
    kept = sorted(found, key=lambda group: (pair in group.rows, *_tells(group)), reverse=True)[:most]
    return [group for group in found if group in kept]


def slips(group: Group) -> list[str]:
    """Return what a table's figures hide: errors, counts that do not agree, and what messages to decrypt were like."""
    return [f"{row.name}, {row.workload.words()}: {said}." for row in group.rows for said in _hidden(row)]


def _hidden(row: Row) -> Iterator[str]:
    if row.failed:
        errors = ", ".join(f"{count:,} {plain(name)}" for name, count in row.measured.failures.items() if count)
        yield f"{many(row.failed, 'message')} failed ({errors})"
    if row.told_calls is not None and row.told_calls != row.calls:
        yield f"{many(row.told_calls, 'call')} sent, of which the KMS counted {row.calls:,}"
    if row.measured.data_keys is not None:
        yield f"the messages had been encrypted under {many(row.measured.data_keys, 'data key')}"


def _telling(measured: Sequence[Row]) -> Row | None:
    """Return the cached row whose comparison is the headline: our own, without failures, of the most distant KMS."""
    chosen = _workload(measured)
    pairs = [row for row in measured if row.scenario.cached and row.gain is not None and row.measured.messages]
    if not pairs:
        return None
    return max(pairs, key=lambda row: (row.scenario.subject == OWN, row.workload == chosen, *_plainness(row)))


def _plainness(row: Row) -> tuple[bool, bool, bool, float]:
    undisturbed = not row.failed and row.baseline is not None and not row.baseline.failures
    return undisturbed, row.scenario.quota is None, row.scenario.kms != IN_PROCESS, row.scenario.latency_seconds


def _tells(group: Group) -> tuple[bool, bool, int, bool, bool]:
    """Return how much a panel says: with a pair, of our own, of many rows, of a KMS that throttles and is distant."""
    pairs = [row for row in group.rows if row.scenario.cached and row.gain is not None]
    own = any(row.scenario.subject == OWN for row in pairs)
    condition = group.condition
    return bool(pairs), own, len(group.rows), condition.quota is not None, condition.latency_seconds > 0


def _compared(pair: Row) -> str:
    assert pair.baseline is not None
    before, one = Row(pair.baseline, None), pair.scenario
    who = "" if one.subject == OWN else f"{plain(one.subject)}: "
    did = _VERBS.get(one.operation, f"did {plain(one.operation)} for")
    speed = f"With cached data keys, {who}{many(one.threads, 'thread')} {did} {_gained(pair.gain or 0.0)} a second"
    return f"{speed}, {_called(pair, before)}{_paid(pair, before)}."


def _called(pair: Row, before: Row) -> str:
    now, then = _asked(pair), _asked(before)
    return f"with {now} in both cases" if now == then else f"with {now} instead of {then}"


def _paid(pair: Row, before: Row) -> str:
    now, then = dollars(pair.dollars), dollars(before.dollars)
    return "" if NONE in (now, then) else f": {now} instead of {then} a million messages"


def _gained(ratio: float) -> str:
    if 1 / _MORE < ratio < _MORE:
        return "as many messages"
    return f"{times(ratio)} times as many messages"


def _asked(row: Row) -> str:
    """Return how often the KMS was called."""
    each = row.calls_per_message
    if not each:
        return "no KMS call"
    if each < 1 / _MORE:
        return f"one KMS call for {number(1 / each)} messages"
    return f"{number(each)} for each" if each >= _MORE else "one for each"


def _where(pair: Row) -> str:
    return f"That is: {pair.workload.words()}; {pair.condition.words()}."


def _tail(pair: Row) -> list[str]:
    assert pair.baseline is not None
    after, before = pair.measured.latency, pair.baseline.latency
    if after is None or before is None:
        return []
    return [f"99 of 100 messages took no longer than {duration(after.p99)}; without a cache, {duration(before.p99)}."]


def _throttled(measured: Sequence[Row], pair: Row) -> list[str]:
    """Return what became of both where the KMS allowed the fewest calls."""
    limited = [
        row
        for row in measured
        if row.scenario.cached
        and row.baseline is not None
        and row.scenario.quota is not None
        and (row.scenario.subject, row.workload) == (pair.scenario.subject, pair.workload)
        and (row.measured.throttles or row.baseline.throttles)
    ]
    if not limited:
        return []
    row = min(limited, key=lambda one: one.scenario.quota or 0.0)
    assert row.baseline is not None
    return [f"{row.condition.words()}: {_fate(row, 'cached')}; {_fate(Row(row.baseline, None), 'uncached')}."]


def _fate(row: Row, how: str) -> str:
    lost = f"{row.failed:,} of {row.attempts:,} messages failed" if row.failed else "none failed"
    rate = f"{number(row.measured.messages_per_second)} messages a second"
    return f"{how}, {rate}, {many(row.measured.throttles, 'call')} throttled and {lost}"


def _peers(measured: Sequence[Row], pair: Row) -> list[str]:
    """Return how other subjects did under the headline's circumstances, the best row of each."""
    best: dict[str, Row] = {}
    for row in measured:
        if (row.condition, row.workload) == (pair.condition, pair.workload) and row.measured.messages:
            held = best.get(row.scenario.subject)
            if held is None or row.measured.messages_per_second > held.measured.messages_per_second:
                best[row.scenario.subject] = row
    own = best.pop(pair.scenario.subject, None)
    if own is None or not best:
        return []
    others = "; ".join(f"{row.name}, {number(row.measured.messages_per_second)}" for row in best.values())
    return [f"Beside it, messages a second: {own.name}, {number(own.measured.messages_per_second)}; {others}."]
