"""Threads that take turns wherever it could matter, so that what they must not share shows.

Left alone, threads meet in the few microseconds of a race once in thousands of times. Materials and requests from here
let another thread go first each time one of their fields is read, which is where keyrings and managers are between two
steps.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from envelope_sdk.materials import DecryptionMaterials, DecryptionRequest, EncryptionMaterials, EncryptionRequest

__all__ = [
    "SlowDecryptionMaterials",
    "SlowDecryptionRequest",
    "SlowEncryptionMaterials",
    "SlowEncryptionRequest",
    "in_threads",
]

_Kind = TypeVar("_Kind")

_OFTEN: Final = 1e-6
"""Seconds between the switches of threads."""

_MOMENT: Final = 2e-5
"""Seconds. Nothing depends on how long it is, but that another thread may run meanwhile."""


def in_threads(work: Callable[[int], None], threads: int) -> None:
    """Run ``work`` in several threads at once, and raise what the first of them raised.

    Args:
        work: is given the number of its thread.
        threads: how many.
    """
    start = threading.Barrier(threads)

    def begin(number: int) -> None:
        start.wait()
        work(number)

    with _switching_often(), ThreadPoolExecutor(threads) as pool:
        done = [pool.submit(begin, number) for number in range(threads)]
    for future in done:
        future.result()


@contextmanager
def _switching_often() -> Generator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_OFTEN)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _slow(kind: type[_Kind]) -> type[_Kind]:
    """Return a subclass whose fields let other threads go first."""
    fields: tuple[str, ...] = getattr(kind, "__match_args__", ())
    members = {name: _slow_field(kind, name) for name in fields}
    made: Any = type(f"Slow{kind.__name__}", (kind,), {"__slots__": (), "__module__": __name__, **members})
    return cast("type[_Kind]", made)


def _slow_field(kind: type, name: str) -> property:
    read: Callable[[Any], Any] = getattr(kind, name).__get__

    def read_later(self: Any) -> Any:
        time.sleep(_MOMENT)
        return read(self)

    return property(read_later)


SlowEncryptionMaterials: Final = _slow(EncryptionMaterials)
SlowDecryptionMaterials: Final = _slow(DecryptionMaterials)
SlowEncryptionRequest: Final = _slow(EncryptionRequest)
SlowDecryptionRequest: Final = _slow(DecryptionRequest)
