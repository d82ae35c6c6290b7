"""How a local KMS is to be: what may be said wherever one is opened."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import timedelta
from typing import Final, TypedDict

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.audit.log import AuditLog
from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.quotas import Latency, RequestQuotas, Throttle
from envelope_sdk.local_kms.service import Clock, Service, system_clock
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["DEFAULT_ACCOUNT", "DEFAULT_REGION", "Options", "open_service"]

DEFAULT_REGION: Final = "us-east-1"
"""The Region a local KMS is in unless told otherwise, as with other local emulators."""

DEFAULT_ACCOUNT: Final = "000000000000"
"""The account a local KMS belongs to unless told otherwise, as with other local emulators. AWS gives it to nobody, so
that local ARNs are told from real ones at sight."""

_LONGEST_PROPAGATION: Final = timedelta(days=1)


class Options(TypedDict, total=False):
    """Everything that has a default.

    Attributes:
        region: the Region to be in; ``us-east-1`` unless told otherwise.
        account: twelve digits; zeros unless told otherwise.
        clock: returns the time, tz-aware; that of the system unless told otherwise.
        random: the source of keys, ids and nonces; anything but the default is for tests.
        quotas: how many requests a second there may be; as many as there are without. Servers that share a store share
            them through :class:`~envelope_sdk.local_kms.quotas.RedisBuckets`.
        limits: how many keys, aliases and so on there may be; as on AWS without.
        latency: how much longer each call takes; it sleeps in the calling thread.
        audit: the audit log that takes down every call: the path of one, or an open one, which stays open.
        seed: a file of keys, aliases, policies and users that have to be there: see
            :mod:`~envelope_sdk.local_kms.seeding`.
        grant_propagation: seconds until a new grant counts for callers who do not give its token: up to five minutes
            with AWS, none here unless told otherwise.
    """

    region: str
    account: str
    clock: Clock
    random: RandomSource
    quotas: RequestQuotas | None
    limits: ResourceQuotas | None
    latency: Latency | None
    audit: AuditLog | str | os.PathLike[str] | None
    seed: str | os.PathLike[str] | None
    grant_propagation: float


def open_service(store: Store, options: Options, owned: ExitStack) -> Service:
    """Return the service over ``store``; what is opened for it, and itself, is closed with ``owned``.

    Raises:
        UsageError: an option cannot be so.
    """
    quotas, audit = options.get("quotas"), options.get("audit")
    propagation = _propagation(options.get("grant_propagation", 0))
    log = audit if isinstance(audit, AuditLog) or audit is None else AuditLog(audit)
    if log is not None and log is not audit:
        owned.callback(log.close)
    service = Service(
        store,
        clock=options.get("clock", system_clock),
        random=options.get("random", system_random),
        quotas=None if quotas is None else Throttle(quotas),
        limits=options.get("limits"),
        journal=log,
        grant_propagation=propagation,
    )
    owned.callback(service.close)
    return service


def _propagation(seconds: float) -> timedelta:
    try:
        delay = timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        delay = timedelta(-1)
    if not timedelta() <= delay <= _LONGEST_PROPAGATION:
        raise UsageError(f"grants take from 0 seconds to a day to spread, not {seconds!r}")
    return delay
