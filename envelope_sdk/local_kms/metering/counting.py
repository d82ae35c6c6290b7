"""Counting requests, and remembering when keys were last used.

Both are kept in memory and written to the store now and then: at most every minute, when a server looks for what is
due, and at the end. What a killed process had not written yet is lost; nothing but figures hangs on it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from envelope_sdk.errors import KmsServiceError, LocalKmsError, UsageError
from envelope_sdk.local_kms.call import Call, Requester, ServiceEvent
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.metering.prices import price_class
from envelope_sdk.local_kms.model import Key, LastUsage
from envelope_sdk.local_kms.store.contract import Store

__all__ = ["INTERVAL", "Metering", "TRACKED"]

INTERVAL: Final = 60.0
"""Seconds after which figures are written by the next call."""

TRACKED: Final = frozenset(
    {
        *("Decapsulate", "Decrypt", "DeriveSharedSecret", "Encapsulate", "Encrypt", "GenerateDataKey"),
        *("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext"),
        *("GenerateMac", "ReEncrypt", "Sign", "Verify", "VerifyMac"),
    }
)
"""Operations that are uses of a key (``KeyLastUsageTrackingOperation``)."""

_MANY: Final = 1024
_SERVER_ERROR: Final = 500
_Note = tuple[datetime, Requester, str, tuple[Key, ...], object, bool]


class Metering:
    """Fulfils :class:`~envelope_sdk.local_kms.call.Journal` and ``UsageRecords``. Safe to share between threads.

    A request is counted for the account that made it, whoever owns the key, and for the first of its keys. Whatever was
    answered counts, errors of the caller's included, but not what was throttled or failed in the service itself: AWS
    does not say.
    """

    def __init__(
        self, store: Store, *, interval: float = INTERVAL, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the store for the figures, the seconds between writes, and what those seconds are told by."""
        self._store = store
        self._interval = interval
        self._monotonic = monotonic
        self._due = monotonic() + interval
        # Appending to it needs no lock, so that a call takes no longer for it.
        self._notes: deque[_Note] = deque()
        self._lock = threading.RLock()
        self._busy = False
        self._process = os.getpid()
        self._counts: dict[str, dict[tuple[Scope, str, str], int]] = {}
        self._last: dict[tuple[Scope, str], LastUsage] = {}

    def prepare(self, call: Call) -> None:
        """Nothing is in the way of counting."""

    def record(
        self,
        call: Call,
        answer: Mapping[str, Any] | None,  # noqa: ARG002 - the protocol's
        error: KmsServiceError | None,
    ) -> None:
        """Count a call."""
        if error is not None and (error.status >= _SERVER_ERROR or error.code == "ThrottlingException"):
            return
        pair_spec = call.parameters.get("KeyPairSpec")
        self._notes.append((call.now, call.requester, call.operation, call.keys, pair_spec, error is None))
        if len(self._notes) >= _MANY:
            self._add_up()
        if self._monotonic() >= self._due:
            # What fails now is tried again after another interval. A signal handler may be in the middle of a change.
            with suppress(LocalKmsError, UsageError):
                self.flush()

    def record_service_event(self, event: ServiceEvent) -> None:
        """Nobody is charged for it."""

    def last_usage(self, scope: Scope, key_id: str) -> LastUsage | None:
        """Return the last use of a key, whether it is written yet or not."""
        self._add_up()
        here = self._last.get((scope, key_id))
        with self._store.read() as transaction:
            there = transaction.last_usage(scope, key_id)
        found = [usage for usage in (there, here) if usage is not None]
        return max(found, key=lambda usage: usage.used, default=None)

    def flush(self) -> None:
        """Write the figures.

        Raises:
            KmsServiceError, KeyStoreError: the store is busy or cannot be used; they are kept for the next time.
            UsageError: called by a signal handler in the middle of a change.
        """
        if os.getpid() != self._process:
            # Forked: the figures are the parent's to write, and its threads may have held the lock.
            return
        self._due = self._monotonic() + self._interval
        self._add_up()
        with self._lock:
            counts, self._counts = self._counts, {}
            last = dict(self._last)
        if not counts and not last:
            return
        try:
            with self._store.write() as transaction:
                for month, figures in counts.items():
                    transaction.add_usage(month, figures)
                for (scope, key_id), usage in last.items():
                    transaction.put_last_usage(scope, key_id, usage)
        except BaseException:
            with self._lock:
                for month, figures in counts.items():
                    for name, count in figures.items():
                        self._count(month, name, count)
            raise
        with self._lock:
            for place, usage in last.items():
                if self._last.get(place) is usage:
                    del self._last[place]

    def _add_up(self) -> None:
        with self._lock:
            if self._busy:
                # A signal handler, in the middle of just that.
                return
            self._busy = True
            try:
                while self._notes:
                    self._add(*self._notes.popleft())
            finally:
                self._busy = False

    def _add(
        self,
        now: datetime,
        requester: Requester,
        operation: str,
        keys: tuple[Key, ...],
        pair_spec: object,
        answered: bool,
    ) -> None:
        key = keys[0] if keys else None
        name = price_class(operation, key.spec if key else "", pair_spec if isinstance(pair_spec, str) else "")
        self._count(f"{now.year:04}-{now.month:02}", (requester.scope, _name(requester, key), f"{operation}/{name}"), 1)
        if answered and operation in TRACKED:
            usage = LastUsage(operation, now, requester.event_id, requester.request_id)
            for used in keys:
                before = self._last.get((used.scope, used.key_id))
                if before is None or before.used <= now:
                    self._last[used.scope, used.key_id] = usage

    def _count(self, month: str, name: tuple[Scope, str, str], count: int) -> None:
        figures = self._counts.setdefault(month, {})
        figures[name] = figures.get(name, 0) + count


def _name(requester: Requester, key: Key | None) -> str:
    """Return the id of a key, and of another account's key its ARN."""
    if key is None:
        return ""
    return key.key_id if key.scope.account == requester.scope.account else key.arn
