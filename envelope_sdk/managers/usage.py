"""What a materials manager tells of the messages it served, and of the calls of KMS that they took and were spared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from envelope_sdk.cache.usage import CacheUsage

__all__ = ["MaterialsEvent", "MaterialsEventKind", "MaterialsUsage", "OnMaterialsEvent", "ScopeUsage"]


class MaterialsEventKind(StrEnum):
    """How one message got its materials. The values are names fit for logs and for labels of metrics."""

    REUSED = "reused"
    """From the cache, or from what another message's request loaded meanwhile."""

    LOADED = "loaded"
    """By asking beneath the cache; other messages may reuse them."""

    BYPASSED = "bypassed"
    """By asking beneath the cache, for this message alone: it must not be cached, or nobody knows its length."""

    FAILED = "failed"
    """Not at all."""


class MaterialsEvent(NamedTuple):
    """One message's request for materials, granted or not.

    Attributes:
        kind: how it went.
        scope: ``"encrypt"`` or ``"decrypt"``.
        seconds: how long it took.
        kms_calls: calls of KMS that were made for it, by operation.
        kms_calls_saved: calls that would have been made without the cache, by operation.
    """

    kind: MaterialsEventKind
    scope: str
    seconds: float
    kms_calls: Mapping[str, int]
    kms_calls_saved: Mapping[str, int]


OnMaterialsEvent = Callable[[MaterialsEvent], object]
"""Is called after each request, in its thread. It must not raise."""


class ScopeUsage(NamedTuple):
    """Counts of messages, encrypted or decrypted, since the manager was made.

    Attributes:
        reused: messages whose materials came from the cache, or from what another's request loaded meanwhile.
        loaded: messages for which the keyring was asked, and whose materials others may reuse.
        bypassed: messages for which the keyring was asked, and whose materials nobody else may use.
        failed: messages that got no materials.
    """

    reused: int = 0
    loaded: int = 0
    bypassed: int = 0
    failed: int = 0

    @property
    def messages(self) -> int:
        """All of them."""
        return self.reused + self.loaded + self.bypassed + self.failed


class MaterialsUsage(NamedTuple):
    """What a caching materials manager has done since it was made.

    Attributes:
        encrypt: messages to be encrypted.
        decrypt: messages to be decrypted.
        kms_calls: calls of KMS that its keyring made, by operation, those that failed included.
        kms_calls_saved: calls of KMS that the messages that reused materials would have made, by operation.
        cache: figures of the whole cache, which others may share.
    """

    encrypt: ScopeUsage
    decrypt: ScopeUsage
    kms_calls: Mapping[str, int]
    kms_calls_saved: Mapping[str, int]
    cache: CacheUsage | None
