"""Calling a KMS no more often than its quota allows: a token bucket in front of its clients.

Calls that are too many wait for their turn here, in the order in which they came, in place of being refused there. A
call that would wait for too long is refused at once, and nothing is sent.

Nobody waits in vain, whatever interrupts whom: who is interrupted leaves the queue, and the next one moves up.
"""

from __future__ import annotations

import math
import operator
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar, cast
from weakref import WeakSet

from envelope_sdk.errors import KmsPacingError, UsageError
from envelope_sdk.keyrings.kms.api import KmsApi
from envelope_sdk.keyrings.kms.clients import ClientSupplier, region_of_client, supplied_client

__all__ = ["DEFAULT_MAX_WAIT_SECONDS", "PacedClientSupplier", "Pacer", "Wait"]

T = TypeVar("T")

Wait = Callable[[threading.Lock, float | None], object]
"""Takes a lock, and seconds or ``None``. Returns when the lock was free, and takes it, or when the seconds are over."""

DEFAULT_MAX_WAIT_SECONDS: Final = 5.0
"""How long a call waits at most unless told otherwise: well below what caches take for a load that hangs."""

_SECOND: Final = 1_000_000_000
_PACED: Final = MappingProxyType(
    {
        "decrypt": "Decrypt",
        "derive_shared_secret": "DeriveSharedSecret",
        "encrypt": "Encrypt",
        "generate_data_key": "GenerateDataKey",
        "generate_data_key_without_plaintext": "GenerateDataKeyWithoutPlaintext",
        "get_public_key": "GetPublicKey",
        "re_encrypt": "ReEncrypt",
    }
)
"""The methods that keyrings call, and their operations."""


def _wait_at_gate(gate: threading.Lock, seconds: float | None) -> None:
    gate.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))


class _Turn:
    """One who waits, at a gate of its own: a plain lock, which no interrupt leaves half changed."""

    __slots__ = ("_gate", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self._gate = threading.Lock()
        self._gate.acquire()

    def open(self) -> None:
        """Let it look again. Opening twice is no error; called under the pacer's lock."""
        # It may be open, or be opened meanwhile by a signal handler.
        with suppress(RuntimeError):
            self._gate.release()

    def wait(self, wait: Wait, seconds: float | None) -> None:
        wait(self._gate, seconds)


class Pacer:
    """Lets so many calls a second through, and the others when it is their turn. Safe to share between threads.

    Whatever is to keep below one quota together shares one pacer: all clients of an account in one Region, for keys of
    one kind, since AWS counts calls for symmetric, RSA and elliptic-curve keys apart. Other processes are not seen from
    here: divide the quota by their number. A forked child has a pacer of its own.

    In any period of T seconds, at most ``burst + calls_per_second * T`` calls are let through.
    """

    __slots__ = (
        "__weakref__",
        "_burst",
        "_clock",
        "_due",
        "_held",
        "_interval",
        "_lock",
        "_max_wait",
        "_queue",
        "_rate",
        "_slack",
        "_wait",
    )

    def __init__(
        self,
        calls_per_second: float,
        *,
        burst: int | None = None,
        max_wait_seconds: float = DEFAULT_MAX_WAIT_SECONDS,
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Wait = _wait_at_gate,
    ) -> None:
        """Take how many calls may be made.

        Args:
            calls_per_second: more than 0; need not be whole.
            burst: calls that may be made at once after a pause, 1 or more; left out, those of a tenth of a second.
            max_wait_seconds: a call that would wait for longer is refused at once; 0 or more, also infinity.
            clock: returns nanoseconds that never go back.
            wait: waits in the calling thread.

        Raises:
            UsageError: a number is out of range.
            TypeError: ``burst`` is no whole number.
        """
        if not (calls_per_second > 0 and math.isfinite(_SECOND / calls_per_second) and math.isfinite(calls_per_second)):
            raise UsageError(f"calls_per_second is a number above 0, not {calls_per_second!r}")
        if burst is not None and operator.index(burst) < 1:
            raise UsageError(f"burst is 1 or more, not {burst!r}")
        if not max_wait_seconds >= 0:
            raise UsageError(f"max_wait_seconds is 0 or more, not {max_wait_seconds!r}")
        self._rate = calls_per_second
        self._burst = max(1, int(calls_per_second / 10)) if burst is None else burst
        self._max_wait = max_wait_seconds
        self._clock = clock
        self._wait = wait
        # Whole nanoseconds, rounded to the slow side, so that nothing adds up.
        self._interval = math.ceil(_SECOND / calls_per_second)
        self._slack = (self._burst - 1) * self._interval
        # When the bucket is full again; one number, which a signal handler finds either before or after a change.
        self._due = clock()
        self._begin()
        _ALL.add(self)

    def _begin(self, queue: deque[_Turn] | None = None) -> None:
        self._lock = threading.RLock()
        # Nobody waits for it: it knows whose the lock is.
        self._held = threading.Condition(self._lock)
        self._queue = deque[_Turn]() if queue is None else queue

    def _begin_anew(self) -> None:
        # A signal handler that forks may have interrupted one who waits, and who goes on waiting in the child.
        here = threading.get_ident()
        self._begin(deque(turn for turn in tuple(self._queue) if turn.thread == here))
        self._move_up()

    def __repr__(self) -> str:
        return f"Pacer({self._rate}, burst={self._burst}, max_wait_seconds={self._max_wait})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a pacer paces the calls of one process: it cannot be pickled or copied")

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn right now."""
        return len(self._queue)

    def paced(self, client: T) -> T:
        """Return what stands for ``client`` and calls it at this pace.

        The calls that keyrings make are paced; what else a client offers goes through as it is, and so does a client's
        own repeating of a call that failed.

        Args:
            client: ``boto3.client("kms")``, a :class:`~envelope_sdk.local_kms.LocalKms`, or anything with some of the
                methods of :class:`~envelope_sdk.keyrings.kms.api.KmsApi` and its siblings.

        Raises:
            TypeError: it has none of them.
        """
        if not any(callable(getattr(client, method, None)) for method in _PACED):
            raise TypeError(f"a KMS client is an object with boto3's methods, not {type(client).__name__}")
        return cast("T", _PacedClient(client, self))

    def take_turn(self, operation: str) -> None:
        """Return when one more call may be made; the caller makes one.

        Args:
            operation: the name of the call, for the error.

        Raises:
            KmsPacingError: it would wait for longer than ``max_wait_seconds``; no turn is taken.
        """
        turn = _Turn()
        try:
            try:
                pause = self._join(turn, operation)
                while pause != 0:
                    turn.wait(self._wait, None if pause is None else pause / _SECOND)
                    pause = self._pause(turn)
            finally:
                self._leave(turn)
        except BaseException:
            # An interrupt may have come before the first line of leaving: whoever stayed would hold up all others.
            self._leave(turn)
            raise

    def _join(self, turn: _Turn, operation: str) -> int | None:
        within = self._is_locked_here()
        with self._lock:
            ahead = len(self._queue)
            nested = within or any(other.thread == turn.thread for other in tuple(self._queue))
            seconds = self._until(0 if nested else ahead) / _SECOND
            if seconds > self._max_wait:
                raise _refusal(operation, self._rate, ahead, seconds, self._max_wait)
            if nested:
                # A signal handler has interrupted one who waits, or who has the lock that others need to go on: behind
                # those it would wait for ever.
                self._queue.appendleft(turn)
            else:
                self._queue.append(turn)
            return self._pause(turn)

    def _pause(self, turn: _Turn) -> int | None:
        """Return 0 where it is this one's turn, which is taken then, and otherwise nanoseconds to wait, or ``None``."""
        with self._lock:
            if self._queue[0] is not turn:
                return None
            while True:
                due, now = self._due, self._clock()
                pause = due - self._slack - now
                if pause > 0:
                    return pause
                # Nothing is called from here on: a signal handler has taken a turn before this, or will after it.
                if self._due == due:
                    self._due = (now if now > due else due) + self._interval  # noqa: FURB136
                    return 0

    def _is_locked_here(self) -> bool:
        try:
            self._held.notify()
        except RuntimeError:
            return False
        return True

    def _until(self, ahead: int) -> int:
        """Return the nanoseconds until a call can be made that so many others come before."""
        now = self._clock()
        return max(0, max(now, self._due) + ahead * self._interval - self._slack - now)

    def _leave(self, turn: _Turn) -> None:
        try:
            self._leave_once(turn)
        except BaseException:
            # Threads that have waited for a lock are interrupted here, most often.
            self._leave_once(turn)
            raise

    def _leave_once(self, turn: _Turn) -> None:
        with self._lock:
            if turn in self._queue:
                self._queue.remove(turn)
            self._move_up()

    def _move_up(self) -> None:
        if self._queue:
            self._queue[0].open()


class _PacedClient:
    """Whatever a client is, with the methods that keyrings call at a pacer's pace."""

    __slots__ = ("_client", "_pacer")

    def __init__(self, client: object, pacer: Pacer) -> None:
        self._client = client
        self._pacer = pacer

    def __repr__(self) -> str:
        return f"{self._pacer!r}.paced({self._client!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a pacer paces the calls of one process: it cannot be pickled or copied")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        operation = _PACED.get(name)
        return found if operation is None else partial(self._call, operation, found)

    def _call(
        self, operation: str, method: Callable[..., Mapping[str, Any]], /, **parameters: Any
    ) -> Mapping[str, Any]:
        self._pacer.take_turn(operation)
        return method(**parameters)


class PacedClientSupplier:
    """Passes on the clients of another supplier, each at the pace of its Region: every Region has a quota of its own.

    ::

        pacers = {"eu-west-1": Pacer(500), "us-east-1": Pacer(500)}
        supplier = PacedClientSupplier(Boto3ClientSupplier(), pacers.__getitem__)
    """

    __slots__ = ("_pacer_of", "_supplier")

    def __init__(self, supplier: ClientSupplier, pacer_of: Callable[[str], Pacer]) -> None:
        """Take where clients and pacers come from.

        Args:
            supplier: takes a Region and returns its client.
            pacer_of: takes a Region and returns its pacer, each time the same; raises :class:`KeyError` for a Region
                that is not to be asked. It is given the default Region's name where the client tells that, and
                otherwise the empty text.
        """
        self._supplier = supplier
        self._pacer_of = pacer_of

    def __repr__(self) -> str:
        return f"PacedClientSupplier({self._supplier!r})"

    def __call__(self, region: str) -> KmsApi:
        """Return the client of a Region.

        Raises:
            UsageError: there is none.
            KeyError: there is no pacer.
        """
        client = supplied_client(self._supplier, region)
        return self._pacer_of(region or region_of_client(client) or "").paced(client)


def _refusal(operation: str, rate: float, ahead: int, seconds: float, most: float) -> KmsPacingError:
    return KmsPacingError(
        f"KMS {operation} was not sent: at {rate:g} calls a second, with {ahead} before it, it would have waited for "
        f"{round(seconds, 3):g} s, longer than {most:g} s",
        operation=operation,
    )


_ALL: Final[WeakSet[Pacer]] = WeakSet()


def _begin_anew_in_child() -> None:
    # Threads that held locks or waited do not exist here.
    for pacer in list(_ALL):
        pacer._begin_anew()  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_begin_anew_in_child)
