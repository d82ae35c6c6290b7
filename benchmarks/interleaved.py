"""Timing things side by side: in turn, round after round, so that a slow moment of the machine hits all alike."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def measure(subjects: Mapping[str, Callable[[], object]], *, rounds: int, repeat: int = 1) -> dict[str, list[float]]:
    """Return the seconds a call of each subject took, one figure a round; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    gc.disable()
    try:
        for number in range(rounds + 1):
            for name, subject in subjects.items():
                start = time.perf_counter()
                for _ in range(repeat):
                    subject()
                elapsed = (time.perf_counter() - start) / repeat
                if number:
                    times[name].append(elapsed)
    finally:
        gc.enable()
    return times


def median(times: list[float]) -> float:
    """Return the middle figure."""
    return statistics.median(times)


def ratio(times: list[float], baseline: list[float]) -> float:
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
