"""What AWS charges for the calls that keyrings make.

Source: AWS KMS pricing page (https://aws.amazon.com/kms/pricing/), most Regions, read in November 2026. The free
requests of an account are not taken off: they are spent before a cache is worth its while.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from envelope_sdk.keyrings.kms.price_classes import ASYMMETRIC, RSA_2048, SYMMETRIC

__all__ = ["DOLLARS_PER_10_000", "dollars"]

DOLLARS_PER_10_000: Final[Mapping[str, Decimal]] = MappingProxyType(
    {SYMMETRIC: Decimal("0.03"), RSA_2048: Decimal("0.03"), ASYMMETRIC: Decimal("0.15")}
)
"""US dollars for 10,000 calls, by class."""


def dollars(calls: Mapping[str, int], per_10_000: Mapping[str, Decimal] = DOLLARS_PER_10_000) -> Decimal:
    """Return what calls cost in US dollars, not rounded.

    Args:
        calls: how many, by class. A class without a price costs what symmetric requests do.
        per_10_000: US dollars for 10,000 calls, by class.
    """
    otherwise = per_10_000[SYMMETRIC]
    return sum((per_10_000.get(kind, otherwise) * count for kind, count in calls.items()), Decimal(0)) / 10_000
