"""Looking for events in an audit log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.audit.chain import MAX_LINE, parse_line
from envelope_sdk.local_kms.audit.parts import open_parts

__all__ = ["Query", "read_events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which events are wanted: those to which all of it applies.

    Attributes:
        key: the id or ARN of a key, or an alias, that the event is about.
        principal: the ARN of who called, or the last part of it, for instance ``alice``.
        event: the name of the operation.
        since: from then on, tz-aware.
        until: before then, tz-aware.
        errors: only calls that failed.
    """

    key: str | None = None
    principal: str | None = None
    event: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    errors: bool = False

    def fits(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event is wanted."""
        return (
            (self.event is None or event.get("eventName") == self.event)
            and (not self.errors or "errorCode" in event)
            and (self.key is None or self._names_key(event, self.key))
            and (self.principal is None or self._names_principal(event, self.principal))
            and self._in_time(event)
        )

    def _names_key(self, event: Mapping[str, Any], key: str) -> bool:
        parameters: dict[str, Any] = event.get("requestParameters") or {}
        names: list[str] = [resource.get("ARN", "") for resource in event.get("resources") or ()]
        names += [value for value in parameters.values() if isinstance(value, str)]
        return any(key == name or name.endswith((f":key/{key}", f":{key}")) for name in names)

    def _names_principal(self, event: Mapping[str, Any], principal: str) -> bool:
        identity: dict[str, Any] = event.get("userIdentity") or {}
        names = [str(identity.get(name, "")) for name in ("arn", "userName", "principalId", "invokedBy")]
        return any(principal == name or name.endswith((f"/{principal}", f":{principal}")) for name in names)

    def _in_time(self, event: Mapping[str, Any]) -> bool:
        if self.since is None and self.until is None:
            return True
        time = datetime.fromisoformat(str(event.get("eventTime")))
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)


def read_events(paths: Iterable[str | os.PathLike[str]], query: Query | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events of a log that a query asks for, oldest first.

    The chain is not followed: :func:`~envelope_sdk.local_kms.audit.verify` does that.

    Args:
        paths: the log; the parts that were rotated beside it are read before it.
        query: which events; all without.

    Raises:
        OSError: a file cannot be read.
        KeyStoreError: a line is none of an audit log.
    """
    wanted = query or Query()
    with ExitStack() as files:
        opened: dict[Path, BinaryIO] = {}
        for given in paths:
            for path, file in open_parts([Path(given)], files):
                opened.setdefault(path, file)
        for path, file in opened.items():
            yield from _read(path, file, wanted)


def _read(path: Path, file: BinaryIO, wanted: Query) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
        if not line.endswith(b"\n") and len(line) < MAX_LINE:
            # Still being written, or its writer was killed.
            continue
        try:
            event = _event(line)
            fits = wanted.fits(event)
        except (ValueError, TypeError, AttributeError):
            text = f"line {number} of {path} is none of an audit log; 'envelope kms audit verify' says more"
            raise KeyStoreError(text) from None
        if fits:
            yield event


def _event(line: bytes) -> dict[str, Any]:
    parsed = parse_line(line)
    if parsed is None or not _is_shaped(parsed[2]):
        raise ValueError
    return parsed[2]


def _is_shaped(event: Mapping[str, Any]) -> bool:
    """Return whether what readers look into is what it is called: whoever may write the file may write anything."""
    resources: object = event.get("resources") or []
    return (
        all(isinstance(event.get(name) or {}, dict) for name in ("userIdentity", "requestParameters"))
        and isinstance(resources, list)
        and all(isinstance(resource, dict) for resource in cast("list[object]", resources))
    )
