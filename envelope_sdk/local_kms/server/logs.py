"""The log of a server: a line for each request, and for what its operator has to know. Never what was in a request."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from envelope_sdk.errors import EnvelopeError, KmsServiceError
from envelope_sdk.local_kms.call import Call, Journal, ServiceEvent, Unlimited
from envelope_sdk.local_kms.gateway import Admitted

__all__ = ["Complaints", "KeyNotes", "Log", "write_line"]

_MAX_NOTES = 10_000


def write_line(line: str) -> None:
    """Write a line to standard error, at once and whole. That nobody reads it is no error."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


class KeyNotes:
    """A journal that keeps in mind which key each call under way came to, for the log, and passes the rest on."""

    def __init__(self, journal: Journal | None = None) -> None:
        """Take the journal that the service would have otherwise."""
        self._journal: Journal = journal or Unlimited()
        self._arns: dict[str, str] = {}

    def prepare(self, call: Call) -> None:
        """Pass the call on."""
        self._journal.prepare(call)

    def record_service_event(self, event: ServiceEvent) -> None:
        """Pass the event on."""
        self._journal.record_service_event(event)

    def record(self, call: Call, answer: Mapping[str, Any] | None, error: KmsServiceError | None) -> None:
        """Note the key, and pass the call on."""
        if call.keys and len(self._arns) < _MAX_NOTES:
            self._arns[call.requester.request_id] = call.keys[0].arn
        self._journal.record(call, answer, error)

    def take(self, request_id: str) -> str | None:
        """Return the ARN of the key that a call was about, and forget it."""
        return self._arns.pop(request_id, None)


class Log:
    """Writes lines, as text or as JSON."""

    def __init__(self, form: str, notes: KeyNotes, write: Callable[[str], None] = write_line) -> None:
        """Take the form (one of ``settings.LOG_FORMATS``), the keys of calls, and what writes a line."""
        self._form = form
        self._notes = notes
        self._write = write

    def request(self, admitted: Admitted, status: int, outcome: str, seconds: float) -> None:
        """Log a request that has been answered."""
        arn = self._notes.take(admitted.request_id)
        if self._form == "off":
            return
        requester = admitted.requester
        fields = {
            "time": _now(),
            "request_id": admitted.request_id,
            "operation": admitted.operation,
            "account": requester.scope.account if requester else None,
            "region": requester.scope.region if requester else None,
            "principal": requester.caller.arn if requester else None,
            "source_ip": requester.source_ip if requester else None,
            "key": arn,
            "status": status,
            "outcome": outcome,
            "ms": round(seconds * 1000, 3),
        }
        self._line(fields)

    def failure(self, request_id: str, error: Exception) -> None:
        """Log why a call was answered by KMSInternalException."""
        # Only what this package documents is known to be free of secrets.
        why = str(error) if isinstance(error, EnvelopeError) else type(error).__name__
        self.event("failure", request_id=request_id, error=why)

    def event(self, event: str, **fields: object) -> None:
        """Log something that is not about a request alone. Never left out, whatever the form."""
        self._line({"time": _now(), "event": event, **fields})

    def _line(self, fields: Mapping[str, object]) -> None:
        if self._form == "json":
            self._write(json.dumps(fields, separators=(",", ":")))
            return
        words = (f"{value}" for value in fields.values() if value is not None)
        self._write(" ".join("".join(char if char.isprintable() else "?" for char in word) for word in words))


class Complaints(logging.Handler):
    """Passes on to the log what uvicorn complains of; never a traceback, which may show what was in a request."""

    def __init__(self, log: Log) -> None:
        """Take the log."""
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, and the type alone of the exception in it."""
        failed = record.exc_info[0] if record.exc_info else None
        fields = {} if failed is None else {"error": failed.__name__}
        self._log.event("http", problem=record.getMessage().strip(), **fields)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
