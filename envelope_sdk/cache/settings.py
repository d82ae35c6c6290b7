"""How a cache loads: ahead of time, and how many at once (framework/storm-tracking-cryptographic-materials-cache.md).

The specification's grace interval has two roles, which are two settings here. :attr:`Refresh.interval_seconds` is the
pause between two tries to replace one value. :attr:`InFlight.takeover_seconds` is when a load is taken to hang: a key
service that takes some seconds to answer must not get a second call for the same value.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

from envelope_sdk.errors import UsageError

__all__ = ["InFlight", "Refresh"]


@dataclass(frozen=True, slots=True)
class Refresh:
    """When a value is replaced before its time is up, so that callers do not stall at every expiry.

    Attributes:
        grace_seconds: how long before a value's end one of its borrowers loads another, while all others are lent the
            one that is kept.
        interval_seconds: how long nobody tries again once somebody has.
        ttl_part: the grace period is at most this part of a value's time, so that values of short lives are not
            replaced all the time.

    Raises:
        UsageError: a number is out of range, or the interval is longer than the grace period.
    """

    grace_seconds: float = 10.0
    interval_seconds: float = 1.0
    ttl_part: float = 0.1

    def __post_init__(self) -> None:
        """Check them."""
        _check_seconds("interval_seconds", self.interval_seconds)
        _check_seconds("grace_seconds", self.grace_seconds)
        if self.interval_seconds > self.grace_seconds:
            raise UsageError(
                f"interval_seconds is at most grace_seconds, {self.grace_seconds}, not {self.interval_seconds}"
            )
        if not 0 < self.ttl_part < 1:
            raise UsageError(f"ttl_part is more than 0 and less than 1, not {self.ttl_part}")

    def grace_of(self, ttl_seconds: float) -> float:
        """Return the grace period, in seconds, of a value that is lent for so long."""
        return min(self.grace_seconds, ttl_seconds * self.ttl_part)


@dataclass(frozen=True, slots=True)
class InFlight:
    """How many loads run at once, and how long others wait for them.

    Attributes:
        loads: loads that run at once, 1 or more; callers beyond wait. A load within a load of the same thread is not
            counted, since the two would wait for each other.
        takeover_seconds: a load that takes so long is taken to hang: one of those who wait for it loads too. The
            longest that the key service may need, with its client's retries, is less.
        wait_seconds: who has waited so long gives up. A load that takes so long is not counted any more.

    Raises:
        UsageError: a number is out of range, or nobody would wait long enough to take over.
        TypeError: ``loads`` is no whole number.
    """

    loads: int = 20
    takeover_seconds: float = 10.0
    wait_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Check them."""
        if operator.index(self.loads) < 1:
            raise UsageError(f"loads is 1 or more, not {self.loads}")
        _check_seconds("takeover_seconds", self.takeover_seconds)
        _check_seconds("wait_seconds", self.wait_seconds)
        if self.takeover_seconds > self.wait_seconds:
            raise UsageError(
                f"takeover_seconds is at most wait_seconds, {self.wait_seconds}, not {self.takeover_seconds}"
            )


def _check_seconds(name: str, seconds: float) -> None:
    if not (seconds > 0 and math.isfinite(seconds)):
        raise UsageError(f"{name} is more than 0, and finite, not {seconds}")
