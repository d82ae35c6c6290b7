"""Which quota a call counts against, and whether it is still within."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import COUNTED_BY_KEY, Call
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.quotas.buckets import Buckets, LocalBuckets
from envelope_sdk.local_kms.quotas.figures import (
    ECC,
    ML_DSA,
    ML_KEM,
    OPERATION_RATES,
    PAIR_RATES,
    RSA,
    SHARED_RATES,
    SYMMETRIC,
    SYMMETRIC_RATES_BY_REGION,
    pair_quota,
)

__all__ = ["RequestQuotas", "Throttle", "quota_names"]

_RATES: Final[Mapping[str, float]] = MappingProxyType({**SHARED_RATES, **PAIR_RATES, **OPERATION_RATES})
_NAMES: Final = MappingProxyType({name.lower(): name for name in _RATES})
_PAIRS: Final = frozenset({"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"})
_UNKNOWN_KEY: Final = MappingProxyType(
    {"DeriveSharedSecret": ECC, "Encapsulate": ML_KEM, "Decapsulate": ML_KEM, "Sign": RSA, "Verify": RSA}
)
_ELSEWHERE: Final = MappingProxyType(
    {
        "ReplicateKey": ("ReplicaRegion", ("CreateKey", "CreateKey")),
        "UpdatePrimaryRegion": ("PrimaryRegion", ("UpdatePrimaryRegion",)),
    }
)
"""Operations that count in another Region, too: the parameter that names it, and what they count as there."""

_REGION: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_MOST_KNOWN: Final = 4096


def quota_names() -> list[str]:
    """Return the names of all request quotas, to be used in :attr:`RequestQuotas.rates`."""
    return list(_RATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQuotas:
    """How many requests a second each account may make in each Region: AWS's figures unless told otherwise.

    Attributes:
        rates: requests a second by name of the quota, which is that of an operation, or for instance
            ``Cryptographic operations (symmetric)``; capitals do not matter. :func:`quota_names` returns them all.
        scale: what AWS's other figures are multiplied with.
        buckets: who keeps count; this process for itself, unless it is to share with others.
    """

    rates: Mapping[str, float] = field(default_factory=dict[str, float])
    scale: float = 1.0
    buckets: Buckets = field(default_factory=LocalBuckets)

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` for a name that no quota has, or a figure that cannot be one."""
        unknown = [name for name in self.rates if name.lower() not in _NAMES]
        if unknown:
            raise UsageError(f"there is no quota named {unknown[0]!r}; one is {SYMMETRIC!r}, another 'CreateKey'")
        for figure in (self.scale, *self.rates.values()):
            if not (math.isfinite(figure) and figure > 0):
                raise UsageError(f"a quota is a number above 0, not {figure!r}")

    def rate(self, name: str, region: str) -> float:
        """Return the requests a second that a quota allows in a Region."""
        given = {key.lower(): rate for key, rate in self.rates.items()}.get(name.lower())
        if given is not None:
            return given
        figure = _RATES[name]
        if name == SYMMETRIC:
            figure = SYMMETRIC_RATES_BY_REGION.get(region, figure)
        return figure * self.scale


class Throttle:
    """Fulfils :class:`~envelope_sdk.local_kms.call.Quotas`. Safe to share between threads.

    Whoever calls is counted, not whoever owns the key. A bucket holds the requests of one second.
    """

    def __init__(self, quotas: RequestQuotas) -> None:
        """Take the figures."""
        self._quotas = quotas
        self._take = quotas.buckets.take
        self._known: dict[tuple[str, str, str, str], tuple[str, float, float]] = {}

    def take(self, call: Call, key: Key | None) -> None:
        """Count a call; raise ThrottlingException where it is one too many."""
        scope = call.requester.scope
        operation = call.operation
        if operation in COUNTED_BY_KEY:
            kind = "" if key is None else key.spec
        elif operation in _PAIRS:
            spec = call.parameters.get("KeyPairSpec")
            kind = spec if isinstance(spec, str) and pair_quota(spec) in PAIR_RATES else ""
        else:
            kind = ""
        bucket = self._known.get((scope.account, scope.region, operation, kind))
        if bucket is None:
            bucket = self._bucket(scope.account, scope.region, operation, kind)
        if not self._take(*bucket):
            raise faults.throttled()
        if operation in _ELSEWHERE:
            self._count_elsewhere(call, *_ELSEWHERE[operation])

    def _count_elsewhere(self, call: Call, parameter: str, operations: Sequence[str]) -> None:
        region = call.parameters.get(parameter)
        # What is no Region's name is refused a moment later, and buckets are named for Regions only.
        if isinstance(region, str) and _REGION.fullmatch(region):
            for operation in operations:
                if not self._take(*self._bucket(call.scope.account, region, operation, "")):
                    raise faults.throttled()

    def _bucket(self, account: str, region: str, operation: str, kind: str) -> tuple[str, float, float]:
        quota = _quota(operation, kind)
        rate = self._quotas.rate(quota, region)
        bucket = (f"{account}/{region}/{quota}", rate, max(rate, 1.0))
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}
        self._known[account, region, operation, kind] = bucket
        return bucket


def _quota(operation: str, kind: str) -> str:
    """Return the name of the quota that an operation with a kind of key counts against."""
    if operation in COUNTED_BY_KEY:
        return _kind(kind) if kind else _UNKNOWN_KEY.get(operation, SYMMETRIC)
    if operation in _PAIRS:
        # A spec that there is none of is refused a moment later.
        return pair_quota(kind) if kind else SYMMETRIC
    return operation


def _kind(spec: str) -> str:
    if spec.startswith("RSA"):
        return RSA
    if spec.startswith(("ECC", "SM2")):
        return ECC
    if spec.startswith("ML_"):
        return ML_DSA if spec.startswith("ML_DSA") else ML_KEM
    return SYMMETRIC
