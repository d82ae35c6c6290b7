"""Taking note of what becomes of each message, for a fraction of a microsecond.

A note is put down without a lock, so that neither a signal handler nor a forked process finds one held, and notes are
added up when they are many, or when somebody asks. All that concerns a message is one note: figures that are read while
others are served fit together. A forked child begins at nothing, as its caches do.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final
from weakref import WeakSet

from envelope_sdk.cache.usage import CacheUsage
from envelope_sdk.keyrings.kms.calls import CountedCalls, KmsCalls, counted_calls
from envelope_sdk.managers.usage import MaterialsEvent, MaterialsEventKind, MaterialsUsage, OnMaterialsEvent, ScopeUsage

__all__ = ["DECRYPT", "ENCRYPT", "Asked", "Recorder"]

ENCRYPT: Final = "encrypt"
DECRYPT: Final = "decrypt"

_NONE: Final = KmsCalls()
_MANY: Final = 1024
_REUSED, _LOADED, _BYPASSED, _FAILED, _REFRESHED = MaterialsEventKind

_Note = tuple[MaterialsEventKind, str, KmsCalls, KmsCalls]
"""What happened, in which scope, the calls made and the calls saved."""


class Recorder:
    """Counts events, and tells a hook of each. Safe to share between threads."""

    __slots__ = ("__weakref__", "_clock", "_counts", "_lock", "_notes", "_on_event")

    def __init__(
        self, on_event: OnMaterialsEvent | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Take the hook, if there is one, and a clock in seconds, which is looked at for the hook alone."""
        self._on_event = on_event
        self._clock = clock
        self.begin_anew()
        _ALL.add(self)

    def begin_anew(self) -> None:
        """Forget all counts: in a forked child too, where the thread that held the lock may not exist."""
        self._notes: deque[_Note] = deque()
        self._counts: dict[_Note, list[int]] = {}
        self._lock = threading.RLock()

    def now(self) -> float:
        """Return the time; 0 where nobody is told of it."""
        return 0.0 if self._on_event is None else self._clock()

    def note(self, kind: MaterialsEventKind, scope: str, made: KmsCalls, saved: KmsCalls, begun: float) -> None:
        """Count one event that began at ``begun``, and tell the hook."""
        self._notes.append((kind, scope, made, saved))
        if len(self._notes) >= _MANY:
            self._add_up(wait=False)
        if self._on_event is not None:
            seconds = self._clock() - begun
            event = MaterialsEvent(kind, scope, seconds, dict(made.by_operation), dict(saved.by_operation))
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001 - the hook's own, of which no message is to suffer
                _log_failure()

    def usage(self, cache: CacheUsage | None = None) -> MaterialsUsage:
        """Return all counts so far, with the figures of a cache."""
        counts = self._add_up(wait=True)
        made = [(count, calls) for (_, _, calls, _), count in counts.items()]
        saved = [(count, calls) for (_, _, _, calls), count in counts.items()]
        return MaterialsUsage(
            _of_scope(ENCRYPT, counts),
            _of_scope(DECRYPT, counts),
            _sums((count, calls.by_operation) for count, calls in made),
            _sums((count, calls.by_operation) for count, calls in saved),
            _sums((count, calls.by_price) for count, calls in made),
            _sums((count, calls.by_price) for count, calls in saved),
            cache,
        )

    def _add_up(self, *, wait: bool) -> dict[_Note, int]:
        # A signal handler that forks in between leaves its child with another one.
        lock = self._lock
        if not lock.acquire(blocking=wait):
            return {}
        try:
            # Not more than were there: others may put them down as fast as they are taken up.
            for _ in range(len(self._notes)):
                # A signal handler that comes in between may take the rest.
                note = self._notes.popleft() if self._notes else None
                if note is not None:
                    # Nothing is called between reading the count and writing it, or a handler's would be lost.
                    self._counts.setdefault(note, [0])[0] += 1
            return {note: count for note, (count,) in list(self._counts.items())} if wait else {}
        finally:
            lock.release()


_ALL: Final[WeakSet[Recorder]] = WeakSet()


def _begin_anew_in_child() -> None:
    for recorder in list(_ALL):
        recorder.begin_anew()


os.register_at_fork(after_in_child=_begin_anew_in_child)


class Asked:
    """One message's request for materials. It ends with one of :meth:`served`, :meth:`bypassed` and :meth:`failed`."""

    __slots__ = ("_begun", "_made", "_recorder", "_scope", "_thread")

    def __init__(self, recorder: Recorder, scope: str) -> None:
        """Begin."""
        self._recorder = recorder
        self._scope = scope
        self._thread: int | None = threading.get_ident()
        self._made: CountedCalls | None = None
        self._begun = recorder.now()

    @contextmanager
    def loading(self) -> Generator[CountedCalls]:
        """Count the calls that a load makes, whether it succeeds or not.

        A cache may load in the request's own thread, for which the request answers, or in another one, or later, ahead
        of need.
        """
        begun = self._recorder.now()
        with counted_calls() as calls:
            try:
                yield calls
            finally:
                if self._thread == threading.get_ident():
                    self._add(calls)
                else:
                    self._recorder.note(_REFRESHED, self._scope, calls.so_far(), _NONE, begun)

    def _add(self, calls: CountedCalls) -> None:
        if self._made is None:
            self._made = calls
        else:
            self._made.add(calls)

    def served(self, saved: KmsCalls | None) -> None:
        """Note that the message has materials that were loaded to be used by several.

        Args:
            saved: the calls that loading them took; ``None`` for the first message that uses them.
        """
        self._end(_LOADED if saved is None else _REUSED, saved or _NONE)

    def bypassed(self) -> None:
        """Note that it has materials for itself alone."""
        self._end(_BYPASSED, _NONE)

    def failed(self) -> None:
        """Note that it has none."""
        self._end(_FAILED, _NONE)

    def _end(self, kind: MaterialsEventKind, saved: KmsCalls) -> None:
        if self._thread is None:
            # An interrupt came after the end.
            return
        # A load that ends from here on was not for this message.
        self._thread = None
        made = _NONE if self._made is None else self._made.so_far()
        self._recorder.note(kind, self._scope, made, saved, self._begun)


def _log_failure() -> None:
    # It takes longer to import than all of this, and hooks seldom fail.
    import logging

    logging.getLogger("envelope_sdk.managers").exception("a hook for the events of a materials manager failed")


def _of_scope(scope: str, counts: Mapping[_Note, int]) -> ScopeUsage:
    found = dict.fromkeys(MaterialsEventKind, 0)
    for (kind, of_scope, _, _), count in counts.items():
        if of_scope == scope:
            found[kind] += count
    return ScopeUsage(*(found[kind] for kind in (_REUSED, _LOADED, _BYPASSED, _FAILED, _REFRESHED)))


def _sums(counts: Iterable[tuple[int, Iterable[tuple[str, int]]]]) -> Mapping[str, int]:
    sums: dict[str, int] = {}
    for times, calls in counts:
        for name, count in calls:
            sums[name] = sums.get(name, 0) + times * count
    return MappingProxyType(dict(sorted(sums.items())))
