"""What a materials manager tells of the messages it served, and of the calls of KMS that they took and were spared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from envelope_sdk.cache.usage import CacheUsage

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["MaterialsEvent", "MaterialsEventKind", "MaterialsUsage", "OnMaterialsEvent", "ScopeUsage"]


class MaterialsEventKind(StrEnum):
    """How a message got its materials. The values are names fit for logs and for labels of metrics."""

    REUSED = "reused"
    """From what was loaded before, or meanwhile, and another message used first."""

    LOADED = "loaded"
    """As the first to use what was loaded from beneath the cache; others may use it too."""

    BYPASSED = "bypassed"
    """By asking beneath the cache, for this message alone: it must not be cached, or nobody knows its length."""

    FAILED = "failed"
    """Not at all."""

    REFRESHED = "refreshed"
    """No message: materials were loaded ahead of need, or could not be, while messages went on with older ones."""


class MaterialsEvent(NamedTuple):
    """One message's request for materials, granted or not; or a load that no message waited for.

    Attributes:
        kind: how it went.
        scope: ``"encrypt"`` or ``"decrypt"``.
        seconds: how long it took.
        kms_calls: calls of KMS that it made, by operation, those that failed included.
        kms_calls_saved: calls that it would have made without the cache, by operation.
    """

    kind: MaterialsEventKind
    scope: str
    seconds: float
    kms_calls: Mapping[str, int]
    kms_calls_saved: Mapping[str, int]


OnMaterialsEvent = Callable[[MaterialsEvent], object]
"""Is called after each request, or load ahead of need, in its thread; the manager holds no lock then.

It should not raise. Where it does, the exception goes to the log ``envelope_sdk.managers``, and messages go on.
"""


class ScopeUsage(NamedTuple):
    """Counts of messages, encrypted or decrypted, since the manager was made, or its process was forked.

    Attributes:
        reused: messages that used what had been loaded, after another one.
        loaded: messages that were the first to use what was loaded. On the encrypting side: data keys in use.
        bypassed: messages whose materials nobody else may use.
        failed: messages that got no materials.
        refreshed: loads ahead of need, which no message waited for, those that failed included. They are no messages.
    """

    reused: int = 0
    loaded: int = 0
    bypassed: int = 0
    failed: int = 0
    refreshed: int = 0

    @property
    def messages(self) -> int:
        """All of them."""
        return self.reused + self.loaded + self.bypassed + self.failed


class MaterialsUsage(NamedTuple):
    """What a caching materials manager has done since it was made, or its process was forked.

    Where everything succeeds, the calls made and the calls saved are together those that would have been made without
    the cache; but for materials that were loaded ahead of need and that no message has used.

    Attributes:
        encrypt: messages to be encrypted.
        decrypt: messages to be decrypted.
        kms_calls: calls of KMS that its keyring made, by operation, those that failed included.
        kms_calls_saved: calls of KMS that the messages that reused materials would have made, by operation.
        kms_calls_by_price: the calls made, by the class that AWS prices them in.
        kms_calls_saved_by_price: the calls saved, by that.
        cache: figures of the whole cache, which others may share; ``None`` where it has none.
    """

    encrypt: ScopeUsage = ScopeUsage()
    decrypt: ScopeUsage = ScopeUsage()
    kms_calls: Mapping[str, int] = MappingProxyType({})
    kms_calls_saved: Mapping[str, int] = MappingProxyType({})
    kms_calls_by_price: Mapping[str, int] = MappingProxyType({})
    kms_calls_saved_by_price: Mapping[str, int] = MappingProxyType({})
    cache: CacheUsage | None = None

    def __reduce__(self) -> tuple[Callable[..., MaterialsUsage], tuple[Any, ...]]:
        # Views of dicts cannot be pickled, but a process may want to tell another its figures.
        counts = (self.kms_calls, self.kms_calls_saved, self.kms_calls_by_price, self.kms_calls_saved_by_price)
        return _again, (self.encrypt, self.decrypt, [dict(each) for each in counts], self.cache)

    def dollars(self, per_10_000: Mapping[str, Decimal] | None = None) -> Decimal:
        """Return what the calls that were made cost on AWS, in US dollars, not rounded.

        An account's free requests, 20,000 a month, are not taken off.

        Args:
            per_10_000: US dollars for 10,000 calls, by class of price; left out, AWS's in most Regions.
        """
        return _dollars(self.kms_calls_by_price, per_10_000)

    def dollars_saved(self, per_10_000: Mapping[str, Decimal] | None = None) -> Decimal:
        """Return what the calls that were saved would have cost, as :meth:`dollars` does."""
        return _dollars(self.kms_calls_saved_by_price, per_10_000)


def _again(
    encrypt: ScopeUsage, decrypt: ScopeUsage, counts: Iterable[dict[str, int]], cache: CacheUsage | None
) -> MaterialsUsage:
    made, saved, made_by_price, saved_by_price = map(MappingProxyType[str, int], counts)
    return MaterialsUsage(encrypt, decrypt, made, saved, made_by_price, saved_by_price, cache)


def _dollars(calls: Mapping[str, int], per_10_000: Mapping[str, Decimal] | None) -> Decimal:
    # Decimals take longer to import than all else of a cache, and few ask for money.
    from envelope_sdk.keyrings.kms.prices import DOLLARS_PER_10_000, dollars

    return dollars(calls, DOLLARS_PER_10_000 if per_10_000 is None else per_10_000)
