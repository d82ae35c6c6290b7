"""The figures of a run, as they are written to JSON, and read again to be drawn."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Final, NoReturn, cast, get_args, get_origin, get_type_hints

from envelope_sdk.errors import UsageError

__all__ = [
    "DECRYPT",
    "ENCRYPT",
    "HIERARCHICAL",
    "IN_PROCESS",
    "LEGACY",
    "MOTO",
    "MPL",
    "MPL_HIERARCHICAL",
    "OWN",
    "SCHEMA",
    "SERVED",
    "Measurement",
    "Run",
    "Scenario",
    "Spread",
    "from_json",
    "to_json",
]

SCHEMA: Final = 1
"""The version of the JSON that a run is written as."""

OWN: Final = "envelope-sdk"
"""This package over a KMS keyring, with its caching materials manager or without."""

HIERARCHICAL: Final = "envelope-sdk (hierarchical)"
"""This package over a hierarchical keyring, which keeps branch keys."""

LEGACY: Final = "aws-encryption-sdk (legacy)"
"""The peer over a master key, with its caching materials manager or without."""

MPL: Final = "aws-encryption-sdk (MPL)"
"""The peer over a KMS keyring of its material providers library, which has no cache for it."""

MPL_HIERARCHICAL: Final = "aws-encryption-sdk (MPL, hierarchical)"
"""The peer over a hierarchical keyring of that library, which keeps branch keys."""

IN_PROCESS: Final = "in process"
SERVED: Final = "served"
MOTO: Final = "moto server"
ENCRYPT: Final = "encrypt"
DECRYPT: Final = "decrypt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one row was measured under.

    Attributes:
        subject: who encrypts: :data:`OWN`, :data:`HIERARCHICAL`, :data:`LEGACY`, :data:`MPL` or
            :data:`MPL_HIERARCHICAL`.
        cached: whether data keys are cached.
        kms: where calls go: :data:`IN_PROCESS`, :data:`SERVED` or :data:`MOTO`.
        operation: :data:`ENCRYPT` or :data:`DECRYPT`.
        message_bytes: of plaintext in each message.
        threads: how many work at once.
        quota: calls that the KMS allows a second; ``None`` where it allows any number.
        latency_seconds: what each call of the KMS takes longer than it would.
        max_age_seconds: how long a cached data key is used; ``None`` where nothing is cached.
        max_messages: messages that a cached data key encrypts at most; ``None`` where nothing is cached.
        retry_mode: botocore's, for clients over HTTP; ``None`` in process.
        max_attempts: requests that botocore sends for one call at most; ``None`` in process.
        timeout_seconds: how long botocore waits for a connection, and for an answer; ``None`` in process.
    """

    subject: str
    cached: bool
    kms: str
    operation: str
    message_bytes: int
    threads: int
    quota: float | None
    latency_seconds: float
    max_age_seconds: float | None
    max_messages: int | None
    retry_mode: str | None
    max_attempts: int | None = None
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long messages took, in seconds, each from its start to its end.

    Attributes:
        p50: half of them took no longer.
        p99: nor did 99 in 100.
        most: nor did any.
    """

    p50: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row: what happened in one scenario.

    Attributes:
        scenario: what was measured.
        seconds: from the first message's start to the last one's end, without the pauses in which others were measured.
        messages: that succeeded.
        failures: that failed, by the name of the error.
        latency: of those that succeeded; ``None`` where none did.
        kms_calls: calls that the KMS counted, by operation, those that it throttled included.
        throttles: calls, of those, that it throttled.
        reported_calls: calls that the subject says it made, by operation; ``None`` where it does not say.
        cpu_seconds: processor time of the measuring process over that time.
        server_cpu_seconds: of the KMS's process; ``None`` where it is in the same one, or the system does not tell.
        peak_bytes: the most memory that the measuring process held; ``None`` where the system does not tell.
        dollars_per_million: what the KMS calls of a million such messages would cost on AWS, those that are throttled
            being free; ``None`` where no message succeeded.
        attempts: messages that were begun; ``None`` where nobody counted.
        span_seconds: from the first message's start to the last one's end, with the pauses; ``None`` where nobody
            measured it.
        sent_calls: requests that left botocore, by operation, those that it repeated included; ``None`` in process.
        retries: those, of them, that were repeated, by operation, as botocore says; ``None`` in process.
        data_keys: under which the messages that were decrypted had been encrypted; ``None`` where none was.
    """

    scenario: Scenario
    seconds: float
    messages: int
    failures: dict[str, int]
    latency: Spread | None
    kms_calls: dict[str, int]
    throttles: int
    reported_calls: dict[str, int] | None
    cpu_seconds: float
    server_cpu_seconds: float | None
    peak_bytes: int | None
    dollars_per_million: float | None
    attempts: int | None = None
    span_seconds: float | None = None
    sent_calls: dict[str, int] | None = None
    retries: dict[str, int] | None = None
    data_keys: int | None = None

    @property
    def messages_per_second(self) -> float:
        """Messages that succeeded, a second."""
        return self.messages / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All rows of one run, and where it took place.

    Attributes:
        schema: :data:`SCHEMA`.
        began: when, in UTC, ISO 8601.
        machine: processor, count of processors and memory, in words.
        software: name and version of what took part, for instance ``{"Python": "3.11.7", "cryptography": "50.0.2"}``.
        command: that repeats it.
        absent: subjects and services that were left out, and why.
        measurements: in the order in which they are shown.
    """

    schema: int
    began: str
    machine: str
    software: dict[str, str]
    command: str
    absent: dict[str, str]
    measurements: list[Measurement]


def to_json(run: Run) -> str:
    """Return a run as text, which :func:`from_json` reads again."""
    return json.dumps(asdict(run), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Run:
    """Return the run that was written as ``text``.

    Raises:
        UsageError: it is no result of ``envelope bench``, is damaged, or was written by a later version.
    """
    try:
        loaded: Any = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UsageError("this is no result of 'envelope bench': it is not JSON") from None
    found = cast("dict[str, Any]", loaded if isinstance(loaded, dict) else {})
    if not found.keys() >= {"schema", "measurements"}:
        raise UsageError("this is no result of 'envelope bench': it has no schema, or no measurements")
    schema = found["schema"]
    if type(schema) is int and schema > SCHEMA:
        raise UsageError(f"the result was written by a later version (schema {schema}; this one reads {SCHEMA})")
    if schema != SCHEMA or type(schema) is not int:
        raise _damaged("schema")
    run: Run = _read(found, Run, "result")
    return run


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _damaged(where: str) -> UsageError:
    return UsageError(f"the result is damaged at {where}")


def _read(value: Any, kind: Any, where: str) -> Any:
    """Return a value of JSON as the type that a field is declared with."""
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if is_dataclass(kind):
        return _read_fields(value, kind, where)
    if get_origin(kind) is dict and isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        return {name: _read(each, get_args(kind)[1], f"{where}.{name}") for name, each in named.items()}
    if get_origin(kind) is list and isinstance(value, list):
        values = cast("list[object]", value)
        return [_read(each, get_args(kind)[0], f"{where}[{number}]") for number, each in enumerate(values)]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind in (int, float) and not (math.isfinite(value) and value >= 0)):
        raise _damaged(where)
    return value


def _read_fields(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _damaged(where)
    value = cast("dict[str, Any]", value)
    hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
    for name in [*value, *(name for name, field in known.items() if field.default is MISSING)]:
        if name not in known or name not in value:
            raise _damaged(f"{where}.{name}")
    return kind(**{name: _read(each, hints[name], f"{where}.{name}") for name, each in value.items()})
