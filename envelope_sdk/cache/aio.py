"""The cache for tasks of asyncio and trio: they share its values, and its loads, with threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

try:
    import anyio
    from anyio import to_thread
except ImportError as error:
    raise ImportError("tasks need more: pip install 'envelope-sdk[async]'") from error

from envelope_sdk.cache.flight import Attempt
from envelope_sdk.cache.lending import Lending, Step
from envelope_sdk.cache.loan import Loan
from envelope_sdk.cache.local import LocalCache

__all__ = ["AsyncCache", "AsyncLoan"]

T = TypeVar("T")


class AsyncCache:
    """A view of a :class:`~envelope_sdk.cache.local.LocalCache` for tasks. It keeps nothing itself.

    A value that is kept is lent without leaving the event loop. Loaders are plain functions, as those that call boto3,
    and run in worker threads. However many tasks and threads ask for one value at a time, one of them loads.
    """

    __slots__ = ("_cache", "_limiter")

    def __init__(self, cache: LocalCache, *, limiter: anyio.CapacityLimiter | None = None) -> None:
        """Take the cache.

        Args:
            cache: the one to look at. Whoever made it closes it.
            limiter: bounds the worker threads; left out, anyio's own does.
        """
        self._cache = cache
        self._limiter = limiter

    def __repr__(self) -> str:
        return f"AsyncCache({self._cache!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cache holds keys: it cannot be pickled or copied")

    def borrow(
        self,
        identifier: bytes,
        load: Callable[[], T],
        *,
        ttl_seconds: float,
        wipe: Callable[[T], None] | None = None,
    ) -> AsyncLoan[T]:
        """Lend a value for the length of an ``async with`` block.

        All else is as with :meth:`~envelope_sdk.cache.local.LocalCache.borrow`.

        A task that is cancelled while it waits lets go at once. A load that it has begun goes on, for others who wait
        for it, and its value is kept.
        """
        lending = self._cache.lending
        return AsyncLoan(Loan(lending, identifier, load, ttl_seconds, wipe), lending, self._limiter)


class AsyncLoan(Generic[T]):
    """An ``async with`` block in which a value may be used. Each serves one block."""

    __slots__ = ("_lending", "_limiter", "_loan")

    def __init__(self, loan: Loan[T], lending: Lending, limiter: anyio.CapacityLimiter | None) -> None:
        self._loan = loan
        self._lending = lending
        self._limiter = limiter

    def __repr__(self) -> str:
        return "AsyncLoan(<secret>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a loan holds a key: it cannot be pickled or copied")

    async def __aenter__(self) -> T:
        """Return the value, loading it where it is not there."""
        lending, loan = self._lending, self._loan
        try:
            if not lending.lend_kept(loan):
                await self._obtain()
            lending.tell()
        except BaseException:
            self._loan.__exit__(None, None, None)
            lending.tell()
            raise
        entry: Any = self._loan.entry
        return entry.value  # type: ignore[no-any-return]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._loan.__exit__(None, None, None)

    async def _obtain(self) -> None:
        lending = self._lending
        asked = lending.clock()
        while self._loan.entry is None:
            bell = _Bell()
            attempt = Attempt(bell, None)
            handed = False
            try:
                step = lending.join(self._loan, attempt, asked)
                while step is Step.WAIT:
                    with anyio.move_on_after(lending.patience(attempt, asked)):
                        await bell.rung.wait()
                    step = lending.arrive(self._loan, attempt, asked)
                if step is Step.LOAD:
                    handed = True
                    await self._load(attempt)
            finally:
                if not handed:
                    _end(lending, self._loan, attempt)

    async def _load(self, attempt: Attempt) -> None:
        # The thread has a loan of its own: it goes on when this task is cancelled, and then gives back what it got.
        mine, lending = self._loan, self._lending
        loan = Loan(lending, mine.identifier, mine.load, mine.ttl_seconds, mine.wipe)
        handing = threading.Lock()
        begun = left = False

        def work() -> None:
            nonlocal begun
            with handing:
                if left:
                    return
                begun = True
            try:
                try:
                    lending.load(loan, attempt)
                finally:
                    _end(lending, loan, attempt)
            finally:
                with handing:
                    if not left:
                        mine.entry, loan.entry = loan.entry, None
                loan.__exit__(None, None, None)
                lending.tell()

        try:
            await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        finally:
            with handing:
                left = True
            if not begun:
                _end(lending, mine, attempt)


class _Bell:
    """The gate of a task. It is rung under the lock of the cache, so that ringing must not wait for the task's loop."""

    __slots__ = ("_opened", "_soon", "rung")

    def __init__(self) -> None:
        self._opened = False
        self._soon = _caller_of_this_loop()
        self.rung = anyio.Event()

    def locked(self) -> bool:
        """Whether nobody has rung it yet."""
        return not self._opened

    def release(self) -> None:
        """Ring it, from whichever thread."""
        self._opened = True
        # A loop that has ended has no task that waits.
        with suppress(RuntimeError):
            self._soon(self.rung.set)


def _caller_of_this_loop() -> Callable[[Callable[[], object]], object]:
    # Of anyio's own ways into a loop, all wait there. Where trio runs inside asyncio, the task is trio's.
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        with suppress(RuntimeError):
            call: Callable[[Callable[[], object]], object] = trio.lowlevel.current_trio_token().run_sync_soon
            return call
    return asyncio.get_running_loop().call_soon_threadsafe


def _end(lending: Lending, loan: Loan[Any], attempt: Attempt) -> None:
    try:
        lending.leave(loan, attempt)
    finally:
        attempt.abandon()
