"""The classes that AWS prices calls of KMS in. The local KMS's own figures have the same, and more."""

from __future__ import annotations

from typing import Final

__all__ = ["ASYMMETRIC", "RSA_2048", "SYMMETRIC", "price_class"]

SYMMETRIC: Final = "requests"
"""Calls that use symmetric keys."""

RSA_2048: Final = "RSA 2048 requests"
"""Calls that use RSA keys of 2,048 bits."""

ASYMMETRIC: Final = "asymmetric requests"
"""Calls that use key pairs of any other kind."""

_CHEAP_BITS: Final = 2048
# Those that keyrings make with key pairs alone. An RSA keyring's Decrypt is told from others where it is called.
_OF_KEY_PAIRS: Final = frozenset({"DeriveSharedSecret", "GetPublicKey"})


def price_class(operation: str, rsa_bits: int | None = None) -> str:
    """Return the class that a keyring's call is priced in.

    Args:
        operation: its name.
        rsa_bits: the length of its key, where that is an RSA key.
    """
    if rsa_bits is not None:
        return RSA_2048 if rsa_bits == _CHEAP_BITS else ASYMMETRIC
    return ASYMMETRIC if operation in _OF_KEY_PAIRS else SYMMETRIC
