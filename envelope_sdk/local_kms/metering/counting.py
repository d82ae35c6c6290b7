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
_MAX_SPEC: Final = 32
_PAIRS: Final = frozenset({"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"})
_SERVER_ERROR: Final = 500
_NO_KEY: Final = ("", "", "", "")
_Note = tuple[datetime, Requester, str, tuple[Key, ...], str, bool]
_Kind = tuple[int, int, str, str, str, tuple[str, str, str, str], str]
_Place = tuple[str, str, str]
_Use = tuple[str, datetime, Requester]


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
        self._counts: dict[_Kind, int] = {}
        self._last: dict[_Place, _Use] = {}

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
        operation = call.operation
        spec = call.parameters.get("KeyPairSpec") if operation in _PAIRS else ""
        pair_spec = spec[:_MAX_SPEC] if isinstance(spec, str) else ""
        self._notes.append((call.now, call.requester, operation, call.keys, pair_spec, error is None))
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
        here = self._last.get((scope.account, scope.region, key_id))
        with self._store.read() as transaction:
            there = transaction.last_usage(scope, key_id)
        if here is not None and (there is None or there.used <= here[1]):
            return _usage(here)
        return there

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
                for month, figures in _figures(counts).items():
                    transaction.add_usage(month, figures)
                for (account, region, key_id), use in last.items():
                    transaction.put_last_usage(Scope(account, region), key_id, _usage(use))
        except BaseException:
            with self._lock:
                for kind, count in counts.items():
                    self._counts[kind] = self._counts.get(kind, 0) + count
            raise
        with self._lock:
            for place, use in last.items():
                if self._last.get(place) is use:
                    del self._last[place]

    def _add_up(self) -> None:
        with self._lock:
            if self._busy:
                # A signal handler, in the middle of just that.
                return
            self._busy = True
            try:
                while self._notes:
                    self._add(self._notes.popleft())
            finally:
                self._busy = False

    def _add(self, note: _Note) -> None:
        now, requester, operation, keys, pair_spec, answered = note
        # As little as possible: it is done for every call, all else once for each kind.
        caller = requester.scope
        if keys:
            scope = keys[0].scope
            key = (scope.account, scope.region, keys[0].key_id, keys[0].spec)
        else:
            key = _NO_KEY
        kind = (now.year, now.month, caller.account, caller.region, operation, key, pair_spec)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if answered and operation in TRACKED:
            for used in keys:
                place = (used.scope.account, used.scope.region, used.key_id)
                before = self._last.get(place)
                if before is None or before[1] <= now:
                    self._last[place] = (operation, now, requester)


def _figures(counts: Mapping[_Kind, int]) -> dict[str, dict[tuple[Scope, str, str], int]]:
    """Return counts by month, and by scope, key and class, as the store takes them."""
    figures: dict[str, dict[tuple[Scope, str, str], int]] = {}
    for (year, month, account, region, operation, key, pair_spec), count in counts.items():
        owner, its_region, key_id, spec = key
        if owner not in ("", account):
            key_id = Scope(owner, its_region).key_arn(key_id)
        name = (Scope(account, region), key_id, f"{operation}/{price_class(operation, spec, pair_spec)}")
        of_month = figures.setdefault(f"{year:04}-{month:02}", {})
        of_month[name] = of_month.get(name, 0) + count
    return figures


def _usage(use: _Use) -> LastUsage:
    operation, used, requester = use
    return LastUsage(operation, used, requester.event_id, requester.request_id)
