"""Randomness that is the same in every run."""

from __future__ import annotations

import hashlib


class SeededRandom:
    """A random source in the sense of the library: called with a count, it returns that many bytes."""

    def __init__(self, seed: str = "") -> None:
        self._seed = seed.encode()
        self._calls = 0

    def __call__(self, count: int) -> bytes:
        self._calls += 1
        return hashlib.shake_256(self._calls.to_bytes(8, "big") + self._seed).digest(count)
