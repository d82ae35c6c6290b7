"""From the times of single messages to their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

from envelope_sdk.bench.result import Spread

__all__ = ["percentile", "spread"]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least of the values that at least ``share`` of them do not exceed (the nearest rank).

    Args:
        ordered: one value or more, from the least to the most.
        share: more than 0, at most 1.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(seconds: Sequence[float]) -> Spread | None:
    """Return how long messages took, in any order; ``None`` where there were none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return Spread(p50=percentile(ordered, 0.5), p99=percentile(ordered, 0.99), most=ordered[-1])
