"""One round: threads that encrypt or decrypt message after message, each timed by itself."""

from __future__ import annotations

import itertools
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from envelope_sdk.bench.subjects import Subject
from envelope_sdk.bench.tally import Round
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.keyrings.kms.calls import counted_calls

__all__ = ["WRONG_PLAINTEXT", "Work", "error_name", "play_round"]

WRONG_PLAINTEXT: Final = "WrongPlaintext"
"""The name of the failure of a message that came back as other bytes than went in."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is done over and over.

    Attributes:
        subject: who does it.
        plaintext: of every message.
        messages: to be decrypted, in turn; without any, ``plaintext`` is encrypted.
        sample: how many messages there are to each that may be kept, to be decrypted and compared in the end.
    """

    subject: Subject
    plaintext: bytes
    messages: Sequence[bytes] = ()
    sample: int = 64


@dataclass(slots=True)
class _Thread:
    """What one thread has done."""

    latencies: array[float] = field(default_factory=lambda: array("d"))
    failures: Counter[str] = field(default_factory=Counter[str])
    calls: Counter[str] = field(default_factory=Counter[str])
    kept: bytes | None = None
    attempts: int = 0
    began: float = 0.0
    ended: float = 0.0


def play_round(
    work: Work,
    *,
    threads: int,
    seconds: float | None,
    messages: int | None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Round, list[bytes]]:
    """Work with some threads at once, until the time is over or all messages are done.

    Args:
        work: what to do.
        threads: that do it.
        seconds: after which no message begins any more; ``None`` for no such limit.
        messages: that all threads begin together; ``None`` for no such limit. One of the two limits has to be there.
        clock: returns seconds that never go back.

    Returns:
        What came of it, and one of the messages that each thread made, if any.
    """
    done = [_Thread() for _ in range(threads)]
    tickets = itertools.count() if messages is None else iter(range(messages))
    lock, start = threading.Lock(), threading.Barrier(threads)

    def begin() -> int | None:
        with lock:
            return next(tickets, None)

    def run(mine: _Thread) -> None:
        with counted_calls() as calls:
            start.wait()
            mine.began = mine.ended = clock()
            until = None if seconds is None else mine.began + seconds
            while (until is None or mine.ended < until) and (number := begin()) is not None:
                _one(work, number, mine, clock)
        mine.calls = calls

    cpu = time.process_time()
    running = [threading.Thread(target=run, args=(mine,), daemon=True) for mine in done]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    cpu = time.process_time() - cpu
    return _together(done, cpu), [mine.kept for mine in done if mine.kept is not None]


def _one(work: Work, number: int, mine: _Thread, clock: Callable[[], float]) -> None:
    mine.attempts += 1
    began = clock()
    try:
        if work.messages:
            made = work.subject.decrypt(work.messages[number % len(work.messages)])
        else:
            made = work.subject.encrypt(work.plaintext)
    except Exception as error:  # noqa: BLE001 - whatever a subject raises is its failure, and is shown
        mine.ended = clock()
        mine.failures[error_name(error)] += 1
        return
    mine.ended = clock()
    if work.messages and made != work.plaintext:
        mine.failures[WRONG_PLAINTEXT] += 1
        return
    mine.latencies.append(mine.ended - began)
    if not work.messages and number % work.sample == 0:
        mine.kept = made


def _together(done: Sequence[_Thread], cpu_seconds: float) -> Round:
    latencies = array("d")
    for mine in done:
        latencies.extend(mine.latencies)
    return Round(
        began=min(mine.began for mine in done),
        ended=max(mine.ended for mine in done),
        latencies=latencies,
        failures=sum((mine.failures for mine in done), Counter[str]()),
        attempts=sum(mine.attempts for mine in done),
        reported=sum((mine.calls for mine in done), Counter[str]()),
        cpu_seconds=cpu_seconds,
    )


def error_name(error: BaseException) -> str:
    """Return what a failure is counted as: the name of the exception, with the code of the service that caused it."""
    if isinstance(error, EnvelopeError):
        code = getattr(error, "code", None)
    else:
        response: Any = getattr(error, "response", None)
        details = cast("dict[str, dict[str, object]]", response if isinstance(response, dict) else {})
        code = details.get("Error", {}).get("Code")
    name = type(error).__name__
    return f"{name} ({code})" if isinstance(code, str) and code else name
