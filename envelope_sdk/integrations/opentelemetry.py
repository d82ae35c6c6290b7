"""Figures of caches and materials managers for OpenTelemetry; needs the extra ``opentelemetry``.

::

    from envelope_sdk.integrations.opentelemetry import OpenTelemetryFigures
    from envelope_sdk.managers import CachingMaterialsManager

    figures = OpenTelemetryFigures(name="orders")
    manager = CachingMaterialsManager(keyring, max_age_seconds=300, on_event=figures)

They go wherever the program's own meter provider sends figures.
"""

from __future__ import annotations

from typing import Final

from envelope_sdk.cache.usage import CacheEvent
from envelope_sdk.managers.usage import MaterialsEvent, MaterialsEventKind

try:
    from opentelemetry.metrics import Histogram, Meter, get_meter
except ImportError as error:
    raise ImportError("figures for OpenTelemetry need more: pip install 'envelope-sdk[opentelemetry]'") from error

__all__ = ["BUCKETS", "OpenTelemetryFigures"]

BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms, in seconds: from a local KMS to one that throttles."""

_SCOPE: Final = "envelope.scope"
_OUTCOME: Final = "envelope.outcome"
_OPERATION: Final = "envelope.kms.operation"
_EVENT: Final = "envelope.cache.event"
_NAME: Final = "envelope.name"
_LOADS: Final = frozenset({"load", "failure", "refresh", "refresh_failure"})
_WAITS: Final = frozenset({"wait", "timeout"})


class OpenTelemetryFigures:
    """Takes the events of caches and materials managers: give it to either as ``on_event``, or to both.

    Any number of them may use one meter; those of the same name add up. Attributes hold names of KMS operations, of
    kinds of events, and ``name``: never a key, a hash of one, or anything of a message.
    """

    __slots__ = (
        "_calls",
        "_events",
        "_load_duration",
        "_name",
        "_request_duration",
        "_requests",
        "_saved",
        "_wait_duration",
    )

    def __init__(self, *, name: str = "", meter: Meter | None = None) -> None:
        """Make the instruments.

        Args:
            name: the attribute ``envelope.name`` of all its figures, which tells several managers or caches apart; left
                out where empty.
            meter: what makes them; one of the global meter provider, named ``envelope_sdk``, unless told otherwise.
        """
        meter = get_meter("envelope_sdk") if meter is None else meter
        self._name = {_NAME: name} if name else {}
        self._requests = meter.create_counter(
            "envelope.materials.requests", "{request}", "Messages that asked for materials."
        )
        self._calls = meter.create_counter(
            "envelope.kms.calls", "{call}", "Calls of KMS that keyrings made, those that failed included."
        )
        self._saved = meter.create_counter(
            "envelope.kms.calls_saved", "{call}", "Calls of KMS that messages would have made without a cache."
        )
        self._events = meter.create_counter("envelope.cache.events", "{event}", "What happened in the cache.")
        self._request_duration = _seconds(
            meter, "envelope.materials.request.duration", "Time that messages waited for materials."
        )
        self._load_duration = _seconds(
            meter, "envelope.cache.load.duration", "Time that loading a value took, whether it succeeded or not."
        )
        self._wait_duration = _seconds(
            meter, "envelope.cache.wait.duration", "Time that callers waited for what another one loaded."
        )

    def __call__(self, event: CacheEvent | MaterialsEvent) -> None:
        """Count one event."""
        if isinstance(event, CacheEvent):
            self._count_cache(event)
        else:
            self._count_materials(event)

    def _count_cache(self, event: CacheEvent) -> None:
        attributes = {**self._name, _EVENT: event.kind.value}
        self._events.add(1, attributes)
        if event.kind.value in _LOADS:
            self._load_duration.record(event.seconds, attributes)
        elif event.kind.value in _WAITS:
            self._wait_duration.record(event.seconds, attributes)

    def _count_materials(self, event: MaterialsEvent) -> None:
        if event.kind is not MaterialsEventKind.REFRESHED:
            attributes = {**self._name, _SCOPE: event.scope, _OUTCOME: event.kind.value}
            self._requests.add(1, attributes)
            self._request_duration.record(event.seconds, attributes)
        for operation, count in event.kms_calls.items():
            self._calls.add(count, {**self._name, _OPERATION: operation})
        for operation, count in event.kms_calls_saved.items():
            self._saved.add(count, {**self._name, _OPERATION: operation})


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=BUCKETS)
