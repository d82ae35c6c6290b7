"""Comparing commitments without telling, by the time taken, how much of them fits."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["equal_in_constant_time"]


def equal_in_constant_time(left: BytesLike, right: BytesLike) -> bool:
    """Return whether two byte strings are equal; for equal lengths the time taken does not depend on the content."""
    return compare_digest(left, right)
