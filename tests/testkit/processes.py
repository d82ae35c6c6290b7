"""Work in a forked child, which never comes back into the test run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


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
