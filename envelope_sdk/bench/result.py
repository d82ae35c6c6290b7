"""The figures of a run, as they are written to JSON, and read again to be drawn."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SCHEMA", "Measurement", "Run", "Scenario", "Spread"]

SCHEMA = 1
"""The version of the JSON that a run is written as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one row was measured under.

    Attributes:
        subject: who encrypts: ``"envelope-sdk"``, ``"aws-encryption-sdk (legacy)"``, ``"aws-encryption-sdk (MPL)"``.
        cached: whether data keys are cached.
        kms: where calls go: ``"in process"``, ``"served"``, ``"moto server"``.
        operation: ``"encrypt"`` or ``"decrypt"``.
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
        data_keys: under which the messages to decrypt had been encrypted; ``None`` where nothing was decrypted.
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
