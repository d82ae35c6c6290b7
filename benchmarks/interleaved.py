"""Timing things side by side: in turn, round after round, so that a slow moment of the machine hits all alike."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from random import Random


def measure(subjects: Mapping[str, Callable[[], object]], *, rounds: int, repeat: int = 1) -> dict[str, list[float]]:
    """Return the seconds a call of each subject took, one figure a round; the first round is not counted.

    Each round has an order of its own, the same in every run: what ran before, and what it left in the caches, would
    otherwise always hit the same subject. Where calls are repeated, one more goes before them, uncounted.
    """
    times: dict[str, list[float]] = {name: [] for name in subjects}
    shuffle = Random(0).shuffle
    order = list(subjects.items())
    gc.disable()
    try:
        for number in range(rounds + 1):
            for name, subject in order:
                elapsed = seconds_a_call(subject, repeat)
                if number:
                    times[name].append(elapsed)
            shuffle(order)
    finally:
        gc.enable()
    return times


def seconds_a_call(subject: Callable[[], object], repeat: int) -> float:
    """Return the seconds a call takes, on average over a block of calls."""
    if repeat > 1:
        subject()
    start = time.perf_counter()
    for _ in range(repeat):
        subject()
    return (time.perf_counter() - start) / repeat


def median(times: Sequence[float]) -> float:
    """Return the middle figure."""
    return statistics.median(times)


def ratio(times: Sequence[float], baseline: Sequence[float]) -> float:
    """Return how many times the baseline's median the median is."""
    return median(times) / median(baseline)


def environment() -> str:
    """Return one line that says what was measured where, and when."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {cpu}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, cryptography {version('cryptography')}"
    )
