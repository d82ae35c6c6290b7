"""What a bulk run tells: of each item as it ends, and of how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from envelope_sdk.bulk.operations import Item
from envelope_sdk.message.authenticated import Header

__all__ = ["Progress", "Result", "Status"]


class Status(StrEnum):
    """How an item ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It was done before: by an earlier run on the same journal, and its target is still as that left it; or, where
    messages are rotated in place, because it is as wanted."""


class Result(NamedTuple):
    """How one item ended.

    Attributes:
        item: what was to be done.
        status: how it ended.
        header: of the message made or opened; ``None`` where it failed or was skipped.
        error: what went wrong, without a traceback; ``None`` where nothing did.
        bytes_in: bytes that were read; of what was skipped, bytes that need not be.
        bytes_out: bytes that were written.
        seconds: how long a worker took.
        kms_calls: calls of KMS that it made, by operation, those that failed included.
    """

    item: Item
    status: Status
    header: Header | None = None
    error: Exception | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    kms_calls: Mapping[str, int] = {}


class Progress(NamedTuple):
    """How far a run is.

    Attributes:
        done: items that were done.
        failed: items that failed.
        skipped: items that had been done before.
        bytes_done: bytes of the sources that were dealt with, those of skipped items not included.
        bytes_skipped: bytes of the sources of skipped items, where they are known.
        seconds: since the run began.
        items: how many there are, where that is known.
        bytes: how many bytes they have, where that is known.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    bytes_done: int = 0
    bytes_skipped: int = 0
    seconds: float = 0.0
    items: int | None = None
    bytes: int | None = None

    @property
    def bytes_per_second(self) -> float:
        """The rate so far; 0 where no time has passed."""
        return self.bytes_done / self.seconds if self.seconds > 0 else 0.0

    @property
    def items_per_second(self) -> float:
        """The rate so far; 0 where no time has passed."""
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this rate: of bytes or of items, whichever takes longer; ``None`` if unknown.

        Small files take as long as their number, large ones as long as their bytes.
        """
        guesses: list[float] = []
        if self.bytes is not None and self.bytes_per_second > 0:
            guesses.append(max(0, self.bytes - self.bytes_done - self.bytes_skipped) / self.bytes_per_second)
        if self.items is not None and self.items_per_second > 0:
            ended = self.done + self.failed + self.skipped
            guesses.append(max(0, self.items - ended) / self.items_per_second)
        return max(guesses) if guesses else None
