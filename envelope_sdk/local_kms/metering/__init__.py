"""Counts of requests, when keys were last used, and what all of it would cost on AWS.

From the outside in: ``costs`` (a month's report), ``counting`` (the journal), ``prices``.
"""

from __future__ import annotations

from envelope_sdk.local_kms.metering.costs import Charge, Costs, Month, costs
from envelope_sdk.local_kms.metering.counting import INTERVAL, TRACKED, Metering
from envelope_sdk.local_kms.metering.prices import AWS_PRICES, FREE_CLASS, Prices, price_class

__all__ = [
    "AWS_PRICES",
    "FREE_CLASS",
    "INTERVAL",
    "TRACKED",
    "Charge",
    "Costs",
    "Metering",
    "Month",
    "Prices",
    "costs",
    "price_class",
]
