"""The hash chain: what ties each line of an audit log to the one before it.

A line is a JSON object whose first member is ``chain``: the line's ``sequence`` number, from 1, and the SHA-256 of the
line before it, without its newline. All else is the event.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["LINE_START", "MAX_LINE", "START", "Head", "line_of", "parse_line"]

MAX_LINE: Final = 1 << 20
"""Bytes of a line at most, newline included."""

LINE_START: Final = b'{"chain":{"sequence":'
"""What every line begins with."""

_HEAD: Final = re.compile(r"(\d{1,15}):([0-9a-f]{64})", re.ASCII)
_LENGTH: Final = 96


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: whoever keeps it knows of every line up to there.

    Attributes:
        sequence: the number of the last line.
        digest: its SHA-256, 64 hexadecimal digits.
    """

    sequence: int
    digest: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head | None:
        """Return what :class:`str` makes of a head; ``None`` for anything else."""
        found = _HEAD.fullmatch(text.strip())
        return None if found is None else cls(int(found[1]), found[2])

    def padded(self) -> bytes:
        """Return it in always as many bytes, so that one can be written over another."""
        return str(self).ljust(_LENGTH - 1).encode("ascii") + b"\n"


START: Final = Head(0, "0" * 64)
"""What a log's first line follows."""


def line_of(before: Head, event: bytes) -> tuple[bytes, Head]:
    """Return the line that follows ``before``, newline included, and the head it makes.

    Args:
        before: the head so far.
        event: a JSON object in one line.
    """
    sequence = before.sequence + 1
    line = LINE_START + f'{sequence},"previous":"{before.digest}"}},'.encode("ascii") + event[1:]
    return line + b"\n", Head(sequence, hashlib.sha256(line).hexdigest())


def parse_line(line: bytes) -> tuple[Head, Head, dict[str, Any]] | None:
    """Take a line apart.

    Returns:
        The head before it, the head it makes, and the event; ``None`` for what is no line of an audit log.
    """
    content = line.removesuffix(b"\n")
    try:
        event: Any = json.loads(content)
        chain = event.pop("chain")
        sequence, previous = chain["sequence"], chain["previous"]
        before = Head.parse(f"{sequence - 1}:{previous}") if type(sequence) is int else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if before is None:
        return None
    return before, Head(sequence, hashlib.sha256(content).hexdigest()), event
