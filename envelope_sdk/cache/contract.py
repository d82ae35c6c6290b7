"""The contract of a cache for materials (framework/cryptographic-materials-cache.md)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

__all__ = ["Cache"]

T = TypeVar("T")


class Cache(Protocol):
    """Keeps values that cost a call to make. Safe to share between threads, and between keyrings and managers.

    Whoever shares one tells its values from those of others by their identifiers
    (:mod:`envelope_sdk.cache.identifiers`).
    """

    def borrow(
        self,
        identifier: bytes,
        load: Callable[[], T],
        *,
        ttl_seconds: float,
        wipe: Callable[[T], None] | None = None,
    ) -> AbstractContextManager[T]:
        """Lend the value of ``identifier`` for the length of a ``with`` block, loading it where it is not there.

        However many threads ask for one identifier at a time, one of them loads and all get what came of it: the value,
        or the failure. Failures are not kept. The value must not be used after the block.

        Args:
            identifier: which value.
            load: makes it. It may raise anything, and it must not wait for another thread that uses this cache. It may
                borrow from this cache itself. It is called ahead of time too, before a value's time is up.
            ttl_seconds: the value is not lent once it is this old, counted from the end of its loading, whatever others
                have asked for. With 0 it is loaded for this block alone.
            wipe: called once with the value as soon as it has left the cache and no block uses it any more.

        Raises:
            UsageError: the cache is closed.
            LoadTimeoutError: others load for so long that this caller has given up waiting; try again later.
            Exception: whatever ``load`` raised.
        """
        ...

    def discard(self, identifier: bytes, value: object) -> None:
        """Take ``value`` out where it is still the one kept for ``identifier``: the next to ask loads another."""
        ...

    def clear(self) -> None:
        """Take everything out. What is being loaded meanwhile is lent to those who wait for it, and not kept."""
        ...

    def close(self) -> None:
        """Take everything out for good. Closing twice is no error."""
        ...
