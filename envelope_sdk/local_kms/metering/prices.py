"""What AWS KMS charges, as data.

Source: AWS KMS pricing page (https://aws.amazon.com/kms/pricing/), most Regions, read in November 2026. The page does
not say what key pairs of ML-KEM cost: they are taken to cost what those of ECC do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Final

__all__ = ["AWS_PRICES", "FREE_CLASS", "Prices", "price_class"]

FREE_CLASS: Final = "requests"
"""The class that the free tier is for: symmetric and HMAC keys, and everything that is no cryptography."""

_RSA_2048: Final = "RSA 2048 requests"
_ASYMMETRIC: Final = "asymmetric requests"
_RSA_PAIRS: Final = "RSA key pairs"
_ECC_PAIRS: Final = "ECC key pairs"

_ASYMMETRIC_OPERATIONS: Final = frozenset(
    {
        *("Decapsulate", "Decrypt", "DeriveSharedSecret", "Encapsulate", "Encrypt", "GetPublicKey", "ReEncrypt"),
        *("Sign", "Verify"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """US dollars.

    Attributes:
        key_month: for a key that is kept for a month, by the hour.
        rotations_charged: the rotations that each cost as much again; those after them cost nothing more.
        per_10_000: for 10,000 requests, by class.
        free_requests: a month for each account, of the class :data:`FREE_CLASS`.
        source: where they come from.
        date: when that was read.
    """

    key_month: Decimal = Decimal(1)
    rotations_charged: int = 2
    per_10_000: Mapping[str, Decimal] = field(
        default_factory=lambda: MappingProxyType(
            {
                FREE_CLASS: Decimal("0.03"),
                _RSA_2048: Decimal("0.03"),
                _ASYMMETRIC: Decimal("0.15"),
                _ECC_PAIRS: Decimal("0.10"),
                _RSA_PAIRS: Decimal("12.00"),
            }
        )
    )
    free_requests: int = 20_000
    source: str = "https://aws.amazon.com/kms/pricing/"
    date: str = "2026-11"


AWS_PRICES: Final = Prices()
"""AWS's own."""


def price_class(operation: str, key_spec: str, pair_spec: str) -> str:
    """Return the class a request is priced in.

    Args:
        operation: its name.
        key_spec: of its key; empty where it has none.
        pair_spec: of the key pair it makes; empty where it makes none.
    """
    if operation.startswith("GenerateDataKeyPair"):
        return _RSA_PAIRS if pair_spec.startswith("RSA") else _ECC_PAIRS
    if operation in _ASYMMETRIC_OPERATIONS and key_spec.startswith(("RSA", "ECC", "ML_", "SM2")):
        return _RSA_2048 if key_spec == "RSA_2048" else _ASYMMETRIC
    return FREE_CLASS
