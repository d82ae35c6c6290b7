"""The time it takes to reach a distant KMS.

How long a call is to take is one thing, and waiting is another: a caller in process waits in its thread, a server
lets others go on meanwhile.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from envelope_sdk.errors import UsageError

__all__ = ["Latency"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that every call takes longer than it would.

    Attributes:
        seconds: the least.
        jitter: the most that comes on top of that, evenly distributed.
        spread: returns a number from 0 to 1 for each call, to be multiplied with ``jitter``.
        sleep: waits in the calling thread.
    """

    seconds: float
    jitter: float = 0.0
    spread: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` for what is no time."""
        for value in (self.seconds, self.jitter):
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"a latency is a number of seconds, 0 or more, not {value!r}")

    def draw(self) -> float:
        """Return how many seconds the next call is to take longer."""
        return self.seconds + self.jitter * self.spread() if self.jitter else self.seconds

    def wait(self) -> None:
        """Let the calling thread sleep for as long."""
        seconds = self.draw()
        if seconds:
            self.sleep(seconds)
