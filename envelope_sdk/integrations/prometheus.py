"""Figures of caches and materials managers for Prometheus; needs the extra ``prometheus``.

::

    from envelope_sdk.integrations.prometheus import PrometheusFigures
    from envelope_sdk.managers import CachingMaterialsManager

    figures = PrometheusFigures(name="orders")
    manager = CachingMaterialsManager(keyring, max_age_seconds=300, on_event=figures)

They show among the program's others, wherever it shows those.
"""

from __future__ import annotations

import threading
from functools import lru_cache, partial
from typing import Final
from weakref import WeakKeyDictionary

from envelope_sdk.cache.usage import CacheEvent
from envelope_sdk.managers.usage import MaterialsEvent, MaterialsEventKind

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ImportError as error:
    raise ImportError("figures for Prometheus need more: pip install 'envelope-sdk[prometheus]'") from error

__all__ = ["BUCKETS", "PrometheusFigures"]

BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms, in seconds: from a local KMS to one that throttles."""

_LOADS: Final = frozenset({"load", "failure", "refresh", "refresh_failure"})
_WAITS: Final = frozenset({"wait", "timeout"})
_CHILDREN: Final = 64


class _Metrics:
    """What one registry holds, shared by all who count there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "envelope_materials_requests",
            "Messages that asked for materials.",
            ["name", "scope", "outcome"],
            registry=registry,
        )
        self.calls = Counter(
            "envelope_kms_calls",
            "Calls of KMS that keyrings made, those that failed included.",
            ["name", "operation"],
            registry=registry,
        )
        self.saved = Counter(
            "envelope_kms_calls_saved",
            "Calls of KMS that messages would have made without a cache.",
            ["name", "operation"],
            registry=registry,
        )
        self.seconds = Histogram(
            "envelope_materials_request_seconds",
            "Time that messages waited for materials.",
            ["name", "scope", "outcome"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.events = Counter(
            "envelope_cache_events", "What happened in the cache.", ["name", "event"], registry=registry
        )
        self.load_seconds = Histogram(
            "envelope_cache_load_seconds",
            "Time that loading a value took, whether it succeeded or not.",
            ["name", "event"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.wait_seconds = Histogram(
            "envelope_cache_wait_seconds",
            "Time that callers waited for what another one loaded.",
            ["name", "event"],
            buckets=BUCKETS,
            registry=registry,
        )


_SHARED: Final[WeakKeyDictionary[CollectorRegistry, _Metrics]] = WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def _metrics_of(registry: CollectorRegistry) -> _Metrics:
    with _LOCK:
        metrics = _SHARED.get(registry)
        if metrics is None:
            metrics = _SHARED[registry] = _Metrics(registry)
        return metrics


class PrometheusFigures:
    """Takes the events of caches and materials managers: give it to either as ``on_event``, or to both.

    Any number of them may count in one registry; those of the same name add up. Labels hold names of KMS operations, of
    kinds of events, and ``name``: never a key, a hash of one, or anything of a message.
    """

    __slots__ = ("_calls", "_events", "_load_seconds", "_requests", "_saved", "_seconds", "_wait_seconds")

    def __init__(self, *, name: str = "", registry: CollectorRegistry = REGISTRY) -> None:
        """Begin to count.

        Args:
            name: the label ``name`` of all its figures, which tells several managers or caches apart.
            registry: where its figures are registered; ``prometheus_client``'s own unless told otherwise.

        Raises:
            ValueError: others have registered figures of these names there.
        """
        metrics = _metrics_of(registry)
        # Finding a label's counter costs more than counting.
        kept = lru_cache(_CHILDREN)
        self._requests = kept(partial(metrics.requests.labels, name))
        self._calls = kept(partial(metrics.calls.labels, name))
        self._saved = kept(partial(metrics.saved.labels, name))
        self._seconds = kept(partial(metrics.seconds.labels, name))
        self._events = kept(partial(metrics.events.labels, name))
        self._load_seconds = kept(partial(metrics.load_seconds.labels, name))
        self._wait_seconds = kept(partial(metrics.wait_seconds.labels, name))

    def __call__(self, event: CacheEvent | MaterialsEvent) -> None:
        """Count one event."""
        if isinstance(event, CacheEvent):
            self._count_cache(event)
        else:
            self._count_materials(event)

    def _count_cache(self, event: CacheEvent) -> None:
        kind = event.kind.value
        self._events(kind).inc()
        if kind in _LOADS:
            self._load_seconds(kind).observe(event.seconds)
        elif kind in _WAITS:
            self._wait_seconds(kind).observe(event.seconds)

    def _count_materials(self, event: MaterialsEvent) -> None:
        if event.kind is not MaterialsEventKind.REFRESHED:
            self._requests(event.scope, event.kind.value).inc()
            self._seconds(event.scope, event.kind.value).observe(event.seconds)
        for operation, count in event.kms_calls.items():
            self._calls(operation).inc(count)
        for operation, count in event.kms_calls_saved.items():
            self._saved(operation).inc(count)
