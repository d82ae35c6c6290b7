"""Figures for Prometheus. Several workers add theirs up, in a folder that ``PROMETHEUS_MULTIPROC_DIR`` names."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
except ImportError as error:
    raise ImportError("the server needs more: pip install 'envelope-sdk[server]'") from error

__all__ = ["CONTENT_TYPE", "FIGURES_VARIABLE", "Metrics", "forget_worker"]

FIGURES_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder in which workers add up."""

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
"""Of what :meth:`Metrics.show` returns."""

# It has no types.
_several: Any = multiprocess
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LABELS = 4096


class Metrics:
    """What has been asked and answered so far."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "envelope_kms_requests", "Requests answered.", ["operation", "outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "envelope_kms_request_seconds",
            "Time from a request's last byte to its answer.",
            ["operation"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "envelope_kms_requests_in_flight",
            "Requests under way.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._failures = Counter("envelope_kms_store_errors", "Calls that the store failed.", registry=self._registry)
        # Finding a label's counter costs more than counting.
        self._count = lru_cache(_LABELS)(self._requests.labels)
        self._observe = lru_cache(_LABELS)(self._seconds.labels)

    def begun(self) -> None:
        """Count a request that is under way."""
        self._in_flight.inc()

    def ended(self, operation: str, outcome: str, seconds: float) -> None:
        """Count a request that has been answered: ``ok``, or the code of an error."""
        self._in_flight.dec()
        self._count(operation, outcome).inc()
        self._observe(operation).observe(seconds)

    def store_failed(self) -> None:
        """Count a call that the store failed."""
        self._failures.inc()

    def show(self) -> bytes:
        """Return all figures in Prometheus' text format, those of the other workers included."""
        if FIGURES_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        _several.MultiProcessCollector(everybody)
        return generate_latest(everybody)


def forget_worker(pid: int, folder: str) -> None:
    """Count no request as under way any more in a worker that has ended; what it answered stays counted."""
    _several.mark_process_dead(pid, folder)
