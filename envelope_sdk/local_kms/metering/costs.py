"""What a month would have cost on AWS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.metering.prices import AWS_PRICES, FREE_CLASS, Prices
from envelope_sdk.local_kms.model import Key, KeyManager, KeyState, MaterialRecord
from envelope_sdk.local_kms.store.contract import ReadTransaction, Store

__all__ = ["Charge", "Costs", "Month", "costs"]

_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_MICRO: Final = Decimal("0.000001")
_CENT: Final = Decimal("0.01")
_HOUR: Final = timedelta(hours=1)
_PAGE: Final = 1000
_DECEMBER: Final = 12


@dataclass(frozen=True, slots=True)
class Month:
    """A month of UTC.

    Attributes:
        begin: its first moment.
        end: the first moment of the next.
    """

    begin: datetime
    end: datetime

    @classmethod
    def parse(cls, text: str) -> Month:
        """Return the month that ``2026-11`` names.

        Raises:
            UsageError: the text names none.
        """
        found = _MONTH.fullmatch(text)
        if found is None or not 1 <= int(found[1]) < datetime.max.year:
            raise UsageError(f"a month looks like 2026-11, not {text!r}")
        year, month = int(found[1]), int(found[2])
        following = (year + 1, 1) if month == _DECEMBER else (year, month + 1)
        return cls(datetime(year, month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC))

    def __str__(self) -> str:
        return f"{self.begin:%Y-%m}"

    def part(self, since: datetime, until: datetime) -> Decimal:
        """Return how much of the month lies between two moments, by the hour begun: from 0 to 1."""
        span = min(until, self.end) - max(since, self.begin)
        if span <= timedelta(0):
            return Decimal(0)
        return Decimal(-(-span // _HOUR)) / Decimal((self.end - self.begin) // _HOUR)


@dataclass(frozen=True, slots=True)
class Charge:
    """Something that costs.

    Attributes:
        scope: the account that pays, and the Region.
        key_id: the key's id, or ARN if it is another account's; empty where it is about no key.
        item: the name of an operation; ``(key)`` or ``(rotations)`` for what keeping a key costs.
        requests: how many; 0 for keeping a key.
        months: for keeping a key, how many; otherwise 0.
        dollars: the price.
    """

    scope: Scope
    key_id: str
    item: str
    requests: int
    months: Decimal
    dollars: Decimal


@dataclass(frozen=True, slots=True)
class Costs:
    """A month's costs.

    Attributes:
        month: for instance ``2026-11``.
        charges: in the order of account, Region, key and item.
        prices: what they were computed with.
    """

    month: str
    charges: Sequence[Charge]
    prices: Prices

    @property
    def total(self) -> Decimal:
        """Dollars, to the cent."""
        return sum((charge.dollars for charge in self.charges), Decimal(0)).quantize(_CENT, ROUND_HALF_UP)

    def by(self, part: Callable[[Charge], tuple[str, ...]]) -> dict[tuple[str, ...], Decimal]:
        """Return dollars by whatever ``part`` says of a charge, in order."""
        sums: dict[tuple[str, ...], Decimal] = {}
        for charge in self.charges:
            sums[part(charge)] = sums.get(part(charge), Decimal(0)) + charge.dollars
        return dict(sorted(sums.items()))


def costs(store: Store, month: str, now: datetime, *, prices: Prices = AWS_PRICES, free_tier: bool = False) -> Costs:
    """Return what the requests that were counted, and the keys that are there, cost in a month.

    Keys that have been erased are not charged any more, nor are those whose deletion is pending, AWS managed ones, and
    the part of the month that is still to come.

    Args:
        store: with the keys and the counts.
        month: for instance ``2026-11``.
        now: the time.
        prices: AWS's, or others.
        free_tier: whether each account has its free requests.

    Raises:
        UsageError: the month cannot be one.
        KeyStoreError, KmsServiceError: the store cannot be used.
    """
    of = Month.parse(month)
    with store.read() as transaction:
        counts = transaction.usage_counts(month)
        kept = [charge for key in _keys(transaction) for charge in _keeping(transaction, key, of, now, prices)]
    charges = [*kept, *_requests(counts, prices, free_tier=free_tier)]
    return Costs(month, sorted(charges, key=_order), prices)


def _order(charge: Charge) -> tuple[str, ...]:
    return charge.scope.account, charge.scope.region, charge.key_id, charge.item


def _keys(transaction: ReadTransaction) -> Iterator[Key]:
    for scope in transaction.scopes():
        after = ""
        while page := transaction.keys(scope, after, _PAGE):
            yield from page
            after = page[-1].key_id


def _keeping(transaction: ReadTransaction, key: Key, month: Month, now: datetime, prices: Prices) -> Iterator[Charge]:
    going = (KeyState.PENDING_DELETION, KeyState.PENDING_REPLICA_DELETION)
    if key.manager is not KeyManager.CUSTOMER or key.state in going:
        return
    months = month.part(key.created, now)
    if months:
        yield _charge(key, "(key)", months, prices)
    rotated = sum(
        # A replica has the rotations that its primary had before it, and costs from when it was made.
        (
            month.part(max(moment, key.created), now)
            for moment in _rotations(transaction.materials(key.scope, key.key_id), prices)
        ),
        Decimal(0),
    )
    if rotated:
        yield _charge(key, "(rotations)", rotated, prices)


def _rotations(materials: Iterable[MaterialRecord], prices: Prices) -> list[datetime]:
    """Return when the rotations that are charged took place."""
    moments = sorted(material.rotated for material in materials if material.rotated is not None)
    return moments[: prices.rotations_charged]


def _charge(key: Key, item: str, months: Decimal, prices: Prices) -> Charge:
    return Charge(key.scope, key.key_id, item, 0, months.quantize(_MICRO), (months * prices.key_month).quantize(_MICRO))


def _requests(counts: Mapping[tuple[Scope, str, str], int], prices: Prices, *, free_tier: bool) -> Iterator[Charge]:
    free: dict[str, int] = {}
    for (scope, key_id, name), count in sorted(counts.items(), key=lambda item: _sorting(item[0])):
        operation, _, of_class = name.partition("/")
        charged = count
        if free_tier and of_class == FREE_CLASS:
            left = free.get(scope.account, prices.free_requests)
            charged = max(0, count - left)
            free[scope.account] = left - (count - charged)
        # A class that a later version has counted.
        price = prices.per_10_000.get(of_class, prices.per_10_000[FREE_CLASS])
        yield Charge(scope, key_id, operation, count, Decimal(0), (price * charged / 10_000).quantize(_MICRO))


def _sorting(name: tuple[Scope, str, str]) -> tuple[Any, ...]:
    scope, *rest = name
    return scope.account, scope.region, *rest
