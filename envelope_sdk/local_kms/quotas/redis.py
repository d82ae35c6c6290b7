"""Request quotas that servers on several hosts share, counted in Redis.

Counting is that of the library ``limits``, by sliding windows: in no period are there more requests than the quota
allows, but for a little that comes from estimating the part of the last period that still counts.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.quotas.buckets import LocalBuckets

__all__ = ["RedisBuckets", "window"]

_EXTRA: Final = "quotas in Redis need limits and redis: pip install 'envelope-sdk[redis]'"
_LOG: Final = logging.getLogger(__name__)
_LONGEST: Final = 60
"""Seconds of a window, but for rates below one a minute."""


class RedisBuckets:
    """Buckets in Redis, as ``buckets=`` of :class:`~envelope_sdk.local_kms.quotas.RequestQuotas`.

    Each call that counts asks Redis once, which takes a tenth of a millisecond on one machine. Quotas must not make
    keys less available: while Redis cannot be reached, every process counts for itself, so that all together may make
    as many times more requests as there are processes, and says so once in the log. Redis is asked again after
    ``pause`` seconds.

    Fulfils :class:`~envelope_sdk.local_kms.quotas.Buckets`. Safe to share between threads. Its repr shows no password.
    """

    __slots__ = ("_clock", "_limiter", "_local", "_lost", "_pause", "_prefix", "_until")

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "envelope-kms",
        timeout: float = 0.25,
        pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where Redis is; it is not asked yet.

        Args:
            url: ``redis://host:6379/0``, ``rediss://...`` for TLS, or ``redis+unix:///path``.
            prefix: part of the names of its keys; servers with the same share quotas.
            timeout: seconds to wait for an answer before counting here.
            pause: seconds until Redis is asked again after that.
            clock: returns seconds; anything but the default is for tests.

        Raises:
            UsageError: the URL cannot be one, or limits or redis is not installed. The URL is not repeated.
        """
        options = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        limiter, problem = _limiter(url, options)
        if problem:
            raise UsageError(problem)
        self._limiter = limiter
        self._local = LocalBuckets()
        self._clock = clock
        self._pause = pause
        self._prefix = prefix
        self._lost = False
        self._until = -math.inf

    def __repr__(self) -> str:
        return "RedisBuckets(...)"

    def __reduce__(self) -> str:
        raise TypeError("a connection to Redis cannot be pickled or copied: make another")

    def take(self, name: str, rate: float, burst: float) -> bool:
        """Take one token out of a bucket; in Redis or, while that is not to be had, here."""
        if self._clock() < self._until:
            return self._local.take(name, rate, burst)
        try:
            taken = bool(self._limiter.hit(_item(rate, burst), self._prefix, name))
        except Exception as error:  # noqa: BLE001 - whatever it is, keys must not be less available for it
            self._until = self._clock() + self._pause
            if not self._lost:
                self._lost = True
                _LOG.warning(
                    "Redis cannot be reached (%s): request quotas are counted in each process", type(error).__name__
                )
            return self._local.take(name, rate, burst)
        if self._lost:
            self._lost = False
            _LOG.warning("Redis is back: request quotas are shared again")
        return taken


def window(rate: float, burst: float) -> tuple[int, int]:
    """Return how many requests there may be in how many seconds, both whole, for ``rate`` a second.

    The window is the shortest whose number of requests is whole, and no shorter than the bucket is large.
    """
    shortest = max(1, math.ceil(burst / rate - 1e-9))
    for seconds in range(shortest, max(shortest, _LONGEST) + 1):
        requests = rate * seconds
        if requests >= 1 and math.isclose(requests, round(requests), rel_tol=1e-9):
            return round(requests), seconds
    seconds = max(shortest, _LONGEST)
    return max(1, math.floor(rate * seconds)), seconds


@lru_cache(maxsize=1024)
def _item(rate: float, burst: float) -> Any:
    requests, seconds = window(rate, burst)
    return import_module("limits").RateLimitItemPerSecond(requests, seconds)


def _limiter(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Return what counts, or why there is none: a function of its own, so that no error carries the URL."""
    try:
        storage = import_module("limits.storage").RedisStorage
        strategy = import_module("limits.strategies").SlidingWindowCounterRateLimiter
        import_module("redis")
    except (ImportError, AttributeError) as error:
        return None, f"{_EXTRA} ({error})"
    if not url.startswith(("redis://", "rediss://", "redis+unix://")):
        return None, "the URL of Redis begins with redis://, rediss:// or redis+unix://"
    try:
        return strategy(storage(url, **options)), ""
    except Exception as error:  # noqa: BLE001 - its text may hold the URL, and with it a password
        return None, f"the URL of Redis cannot be understood ({type(error).__name__})"
