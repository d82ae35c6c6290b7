"""How often, and how stubbornly, URIs let a KMS be called."""

from __future__ import annotations

import math
import os
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.kms.clients import ClientSupplier
from envelope_sdk.keyrings.kms.pacing import DEFAULT_MAX_WAIT_SECONDS, PacedClientSupplier, Pacer
from envelope_sdk.keyrings.uri import KeyringUri

if TYPE_CHECKING:
    from botocore.config import Config

__all__ = ["PACE", "RETRIES", "check_pace", "paced_client", "paced_supplier", "retries_of"]

T = TypeVar("T")

PACE: Final = ("max-calls-per-second", "max-wait")
"""The parameters that say how often a KMS may be called."""

RETRIES: Final = ("retry-mode", "max-attempts")
"""The parameters that say how often boto3 sends one call."""

_MODES: Final = ("adaptive", "legacy", "standard")
_MOST_ATTEMPTS: Final = 100
_ATTEMPTS: Final = frozenset(str(number) for number in range(1, _MOST_ATTEMPTS + 1))
_RECENT: Final = 64

# A pacer lives as long as a client that it paces. The latest live on, for those who make a keyring for each message;
# not all of them, since messages may name any number of Regions.
_PACERS: Final[WeakValueDictionary[tuple[Any, ...], Pacer]] = WeakValueDictionary()
_LATEST: Final[deque[Pacer]] = deque(maxlen=_RECENT)
_LOCK: Final = RLock()

# So that no child of a fork finds it taken by a thread that it does not have.
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def retries_of(uri: KeyringUri) -> Config | None:
    """Return what boto3 clients are made with; ``None`` where ``uri`` leaves that to boto3's own configuration.

    Raises:
        UsageError: there is no such mode, or the attempts are no whole number of 1 to 100.
    """
    mode, attempts = uri.one("retry-mode"), uri.one("max-attempts")
    retries: dict[str, Any] = {}
    if mode is not None:
        if mode not in _MODES:
            raise UsageError(f"retry-mode= is {', '.join(_MODES[:-1])} or {_MODES[-1]}, not {mode!r}")
        retries["mode"] = mode
    if attempts is not None:
        if not (
            attempts.isascii() and attempts.isdigit() and len(attempts) <= 3 and 1 <= int(attempts) <= _MOST_ATTEMPTS
        ):
            raise UsageError(f"max-attempts= is a whole number of 1 to {_MOST_ATTEMPTS}, not {attempts!r}")
        retries["total_max_attempts"] = int(attempts)
    if not retries:
        return None
    from botocore.config import Config

    return Config(retries=retries)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - made above


def check_pace(uri: KeyringUri) -> None:
    """Look at what else would be looked at when the first client is asked for.

    Raises:
        UsageError: the retries or the pace can be none.
    """
    retries_of(uri)
    pace = _pace(uri)
    if pace is not None:
        Pacer(pace[0])


def paced_supplier(uri: KeyringUri, supplier: ClientSupplier, *place: str | None) -> ClientSupplier:
    """Return the supplier, with clients at the pace that ``uri`` says for each Region, if it says one.

    Args:
        uri: with or without the parameters.
        supplier: takes a Region and returns its client.
        place: what else tells quotas apart. URIs of the same place and pace share it, in all of the process.

    Raises:
        UsageError: the pace can be none.
    """
    pace = _pace(uri)
    if pace is None:
        return supplier
    return PacedClientSupplier(supplier, lambda region: _shared(pace, (*place, region)))


def paced_client(uri: KeyringUri, client: T, *place: str | None) -> T:
    """Return a client, at the pace that ``uri`` says if it says one; otherwise as :func:`paced_supplier`."""
    pace = _pace(uri)
    return client if pace is None else _shared(pace, place).paced(client)


def _pace(uri: KeyringUri) -> tuple[float, float] | None:
    rate, wait = _number(uri, "max-calls-per-second"), _number(uri, "max-wait")
    if rate is None:
        if wait is not None:
            raise UsageError(f"max-wait= of {uri.scheme}:// goes with max-calls-per-second=")
        return None
    if rate == 0:
        raise UsageError("max-calls-per-second= is a number above 0")
    return rate, DEFAULT_MAX_WAIT_SECONDS if wait is None else wait


def _number(uri: KeyringUri, name: str) -> float | None:
    text = uri.one(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise UsageError(f"{name}= is a number, 0 or more, not {text!r}")
    return number


def _shared(pace: tuple[float, float], place: tuple[str | None, ...]) -> Pacer:
    with _LOCK:
        pacer = _PACERS.get((*pace, *place))
        if pacer is None:
            rate, wait = pace
            pacer = _PACERS[*pace, *place] = Pacer(rate, max_wait_seconds=wait)
            _LATEST.append(pacer)
        return pacer
