"""A clock that tests move: what AWS does in days or years can then be seen at once, from any language."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.service import Clock, system_clock

__all__ = ["MovableClock"]


class MovableClock:
    """Runs like another clock, some time ahead of it. It never goes back: neither does anybody else's."""

    def __init__(self, clock: Clock = system_clock) -> None:
        """Take the clock to run like."""
        self._clock = clock
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """Return the time, tz-aware."""
        return self._clock() + self._ahead

    def move(self, body: bytes) -> None:
        """Do what a request says: ``{"advance_seconds": 86400}`` or ``{"now": "2027-01-01T00:00:00Z"}``.

        Raises:
            UsageError: it says something else, or a time that has passed or that no calendar has.
        """
        try:
            asked: Any = json.loads(body)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict) or len(cast("dict[str, Any]", asked)) != 1:
            raise UsageError('wanted is {"advance_seconds": NUMBER} or {"now": "DATE AND TIME WITH ITS OFFSET"}')
        try:
            step = self._step(cast("dict[str, Any]", asked))
            ahead = self._ahead + step
            # Some room, for what KMS adds to the time.
            _ = self._clock() + ahead + timedelta(days=36_500)
        except (OverflowError, ValueError, TypeError) as error:
            raise UsageError(f"this is no time that the clock can show: {error}") from None
        if step < timedelta():
            raise UsageError("the clock does not go back")
        self._ahead = ahead

    def _step(self, asked: dict[str, Any]) -> timedelta:
        if "advance_seconds" in asked:
            return timedelta(seconds=asked["advance_seconds"])
        now = datetime.fromisoformat(asked.get("now"))  # type: ignore[arg-type]
        if now.tzinfo is None:
            raise ValueError("it has no offset from UTC")
        return now - self()

    def show(self) -> bytes:
        """Return the time as JSON: ``{"now": "..."}``."""
        return json.dumps({"now": self().astimezone(UTC).isoformat()}).encode()
