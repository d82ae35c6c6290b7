"""Which scenarios are measured, and which of them side by side."""

from __future__ import annotations

import importlib.util
import itertools
import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from envelope_sdk.bench.result import (
    DECRYPT,
    ENCRYPT,
    HIERARCHICAL,
    IN_PROCESS,
    LEGACY,
    MOTO,
    MPL,
    MPL_HIERARCHICAL,
    OWN,
    SERVED,
    Scenario,
)
from envelope_sdk.errors import UsageError

__all__ = ["KMS_KINDS", "RETRY_MODES", "Choice", "Plan", "not_installed", "plan"]

KMS_KINDS: Final = (IN_PROCESS, SERVED, MOTO)
"""Where calls may go."""

RETRY_MODES: Final = ("standard", "adaptive", "legacy")
"""How botocore repeats requests."""

_LATENCY_SECONDS: Final = 0.01
_QUOTA: Final = 50.0
_MAX_MESSAGES: Final = 2**32
_PEERS: Final = ((LEGACY, False), (LEGACY, True), (MPL, False), (MPL_HIERARCHICAL, True))
_NO_SERVER: Final = "not installed: pip install 'envelope-sdk[server]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to be measured: the product of all of these, or the part of it that tells the story.

    Attributes:
        sizes: bytes of plaintext in a message.
        threads: how many work at once.
        kms: where calls go, of :data:`KMS_KINDS`.
        latencies: seconds that each call takes longer; ``None`` for 10 ms where the KMS is served, and none elsewhere.
        quotas: calls that a KMS allows a second, ``None`` among them for any number; ``None`` in their place for any
            number, and 50 as well where the KMS is served.
        max_age_seconds: how long a cached data key is used.
        max_messages: messages that a cached data key encrypts at most.
        retry_mode: botocore's, of :data:`RETRY_MODES`.
        max_attempts: requests that botocore sends for one call at most.
        timeout_seconds: how long botocore waits for a connection, and for an answer.
        peers: whether other libraries are measured too.
        thorough: whether the whole product is. Otherwise decryption, quotas, moto's server, peers and the hierarchical
            keyring are measured with the first size and the last number of threads alone; moto's server encrypting, and
            the last two encrypting over a served KMS.
    """

    sizes: tuple[int, ...] = (1024, 65_536)
    threads: tuple[int, ...] = (1, 8)
    kms: tuple[str, ...] = KMS_KINDS
    latencies: tuple[float, ...] | None = None
    quotas: tuple[float | None, ...] | None = None
    max_age_seconds: float = 300.0
    max_messages: int = 1000
    retry_mode: str = "standard"
    max_attempts: int = 3
    timeout_seconds: float = 10.0
    peers: bool = True
    thorough: bool = False

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` for what cannot be measured."""
        if not (self.sizes and self.threads and self.kms):
            raise UsageError("there is nothing to measure: give a size, a number of threads and a kind of KMS")
        if min(self.sizes) < 0 or min(self.threads) < 1 or self.max_attempts < 1:
            raise UsageError("messages have 0 bytes or more; threads, and attempts, are 1 or more")
        if not set(self.kms) <= set(KMS_KINDS) or self.retry_mode not in RETRY_MODES:
            raise UsageError(f"a KMS is one of {', '.join(KMS_KINDS)}, a retry mode of {', '.join(RETRY_MODES)}")
        for figure in (self.max_age_seconds, self.timeout_seconds, *(each for each in self.quotas or () if each)):
            if not (math.isfinite(figure) and figure > 0):
                raise UsageError(f"an age, a time to wait or a quota is more than 0, not {figure:g}")
        if any(each == 0 for each in self.quotas or ()):
            raise UsageError("a quota is more than 0")
        if not all(math.isfinite(each) and each >= 0 for each in self.latencies or ()):
            raise UsageError("a latency is 0 or more")
        if not 1 <= operator.index(self.max_messages) <= _MAX_MESSAGES:
            raise UsageError(f"a data key encrypts 1 to {_MAX_MESSAGES} messages, not {self.max_messages}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        groups: scenarios that are measured side by side, in turn.
        absent: what is left out, and why.
    """

    groups: tuple[tuple[Scenario, ...], ...]
    absent: Mapping[str, str]


def not_installed() -> dict[str, str]:
    """Return which kinds of KMS, and peers, cannot be measured here, and why."""
    wanted = {
        SERVED: (("uvicorn", "httptools", "prometheus_client"), _NO_SERVER),
        MOTO: (("moto", "flask", "flask_cors"), "moto[server] is not installed"),
        LEGACY: (("aws_encryption_sdk",), "aws-encryption-sdk is not installed"),
        MPL: (
            ("aws_encryption_sdk", "aws_cryptographic_material_providers"),
            "aws-encryption-sdk[MPL] is not installed",
        ),
        MPL_HIERARCHICAL: (
            ("aws_encryption_sdk", "aws_cryptographic_material_providers", "moto", "py_partiql_parser"),
            "aws-encryption-sdk[MPL], or moto[dynamodb] for its table, is not installed",
        ),
    }
    return {name: why for name, (modules, why) in wanted.items() if not all(map(importlib.util.find_spec, modules))}


def plan(choice: Choice, missing: Mapping[str, str]) -> Plan:
    """Return what is measured where ``missing`` is not at hand.

    Args:
        choice: what is wanted.
        missing: what there is not, as :func:`not_installed` returns it.

    Raises:
        UsageError: nothing of it can be measured.
    """
    absent: dict[str, str] = {}
    groups: list[tuple[Scenario, ...]] = []
    for place in _places(choice, missing, absent):
        cells = itertools.product((ENCRYPT, DECRYPT), choice.sizes, choice.threads)
        wanted = (cell for cell in cells if _wanted(choice, place, *cell))
        groups += [tuple(_group(choice, place, *cell, missing, absent)) for cell in wanted]
    if not groups:
        raise UsageError("; ".join(f"{name}: {why}" for name, why in absent.items()))
    return Plan(tuple(groups), absent)


_Place = tuple[str, float, float | None]


def _places(choice: Choice, missing: Mapping[str, str], absent: dict[str, str]) -> Iterator[_Place]:
    """Yield each kind of KMS with the latencies and quotas that it is measured with."""
    for kms in choice.kms:
        if kms in missing:
            absent[kms] = missing[kms]
            continue
        usual_latency = _LATENCY_SECONDS if kms == SERVED else 0.0
        latencies = (usual_latency,) if choice.latencies is None else choice.latencies
        usual_quotas = (None, _QUOTA) if kms == SERVED else (None,)
        quotas = usual_quotas if choice.quotas is None else choice.quotas
        for latency, quota in itertools.product(latencies, quotas):
            if kms == MOTO and (latency or quota is not None):
                absent[f"{MOTO} with latency or quota"] = "it can neither delay nor throttle"
            else:
                yield kms, latency, quota


def _wanted(choice: Choice, place: _Place, operation: str, size: int, threads: int) -> bool:
    if choice.thorough:
        return True
    kms, _, quota = place
    first, last = size == choice.sizes[0], threads == choice.threads[-1]
    if kms == MOTO:
        return first and last and operation == ENCRYPT
    return (first and last) or (operation == ENCRYPT and quota is None)


def _group(
    choice: Choice,
    place: _Place,
    operation: str,
    size: int,
    threads: int,
    missing: Mapping[str, str],
    absent: dict[str, str],
) -> Iterator[Scenario]:
    kms = place[0]
    subjects = [(OWN, False), (OWN, True)]
    story = kms == SERVED and operation == ENCRYPT and size == choice.sizes[0] and threads == choice.threads[-1]
    if choice.thorough or story:
        subjects.append((HIERARCHICAL, True))
        # They know KMS by boto3 alone.
        subjects += _PEERS if choice.peers and kms != IN_PROCESS else ()
    for subject, cached in subjects:
        if subject in missing:
            absent[subject] = missing[subject]
        else:
            yield _scenario(choice, place, operation, size, threads, subject, cached=cached)


def _scenario(
    choice: Choice, place: _Place, operation: str, size: int, threads: int, subject: str, *, cached: bool
) -> Scenario:
    kms, latency, quota = place
    http = kms != IN_PROCESS
    return Scenario(
        subject=subject,
        cached=cached,
        kms=kms,
        operation=operation,
        message_bytes=size,
        threads=threads,
        quota=quota,
        latency_seconds=latency,
        max_age_seconds=choice.max_age_seconds if cached else None,
        # A hierarchical keyring makes a data key for each message, and keeps the branch key.
        max_messages=choice.max_messages if cached and subject not in (HIERARCHICAL, MPL_HIERARCHICAL) else None,
        retry_mode=choice.retry_mode if http else None,
        max_attempts=choice.max_attempts if http else None,
        timeout_seconds=choice.timeout_seconds if http else None,
    )
