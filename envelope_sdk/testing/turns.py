"""Threads that take turns wherever it could matter, so that what they must not share shows.

Left alone, threads meet in the few microseconds of a race once in thousands of times. Materials and requests from here
let another thread go first each time one of their fields is read, which is where keyrings and managers are between two
steps.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from envelope_sdk.materials import DecryptionMaterials, DecryptionRequest, EncryptionMaterials, EncryptionRequest

__all__ = [
    "SlowDecryptionMaterials",
    "SlowDecryptionRequest",
    "SlowEncryptionMaterials",
    "SlowEncryptionRequest",
    "in_threads",
]

_OFTEN: Final = 1e-6
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
def _switching_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_OFTEN)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _slow(kind: type, name: str) -> property:
    read: Callable[[Any], Any] = getattr(kind, name).__get__

    def read_later(self: Any) -> Any:
        time.sleep(_MOMENT)
        return read(self)

    return property(read_later)


class SlowEncryptionMaterials(EncryptionMaterials):
    """Encryption materials that let other threads go first."""

    __slots__ = ()

    algorithm_suite = _slow(EncryptionMaterials, "algorithm_suite")
    encryption_context = _slow(EncryptionMaterials, "encryption_context")
    required_encryption_context_keys = _slow(EncryptionMaterials, "required_encryption_context_keys")
    plaintext_data_key = _slow(EncryptionMaterials, "plaintext_data_key")
    encrypted_data_keys = _slow(EncryptionMaterials, "encrypted_data_keys")


class SlowDecryptionMaterials(DecryptionMaterials):
    """Decryption materials that let other threads go first."""

    __slots__ = ()

    algorithm_suite = _slow(DecryptionMaterials, "algorithm_suite")
    encryption_context = _slow(DecryptionMaterials, "encryption_context")
    required_encryption_context_keys = _slow(DecryptionMaterials, "required_encryption_context_keys")
    plaintext_data_key = _slow(DecryptionMaterials, "plaintext_data_key")


class SlowEncryptionRequest(EncryptionRequest):
    """A request for encryption that lets other threads go first."""

    __slots__ = ()

    encryption_context = _slow(EncryptionRequest, "encryption_context")
    commitment_policy = _slow(EncryptionRequest, "commitment_policy")
    algorithm_suite = _slow(EncryptionRequest, "algorithm_suite")
    plaintext_length = _slow(EncryptionRequest, "plaintext_length")
    required_encryption_context_keys = _slow(EncryptionRequest, "required_encryption_context_keys")


class SlowDecryptionRequest(DecryptionRequest):
    """A request for decryption that lets other threads go first."""

    __slots__ = ()

    algorithm_suite = _slow(DecryptionRequest, "algorithm_suite")
    encrypted_data_keys = _slow(DecryptionRequest, "encrypted_data_keys")
    encryption_context = _slow(DecryptionRequest, "encryption_context")
    reproduced_encryption_context = _slow(DecryptionRequest, "reproduced_encryption_context")
    commitment_policy = _slow(DecryptionRequest, "commitment_policy")
