"""Comparing commitments without telling, by the time taken, how much of them fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.constant_time import bytes_eq

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["equal_in_constant_time"]


def equal_in_constant_time(left: BytesLike, right: BytesLike) -> bool:
    """Return whether two byte strings are equal; for equal lengths the time taken does not depend on the content."""
    return bytes_eq(left if type(left) is bytes else bytes(left), right if type(right) is bytes else bytes(right))
