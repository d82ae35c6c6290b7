"""Processes beside the test run: work in a forked child, which never comes back into it, and the end of others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def in_child(work: Callable[[], bool]) -> int:
    """Return 0 where ``work`` is true of a forked child."""
    child = os.fork()
    if child == 0:
        outcome = 2
        try:
            signal.alarm(20)
            outcome = 0 if work() else 1
        finally:
            os._exit(outcome)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_until_gone(pids: Iterable[int], timeout: float = 60) -> None:
    """Wait for the end of processes, which may be nobody's children here; those that take too long fail the test."""
    until = time.monotonic() + timeout
    for pid in pids:
        while _is_there(pid):
            assert time.monotonic() < until, f"{pid} is still there"
            time.sleep(0.01)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # No such folder on this system, or it ended just now.
        return not Path("/proc/self/stat").exists()
    # What only waits for its parent to ask how it ended is gone.
    return state not in "ZX"
