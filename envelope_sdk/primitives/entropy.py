"""The source of randomness, injectable so that a test can pin a message's bytes without patching anything."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["RandomSource", "system_random"]

RandomSource = Callable[[int], bytes]
"""Takes a count of bytes and returns that many; whoever supplies one answers for its unpredictability."""

system_random: RandomSource = os.urandom
"""The operating system's generator: the only source used outside tests."""
