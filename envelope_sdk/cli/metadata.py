"""One JSON object a line for each message made or opened, for programs to read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any

from envelope_sdk.cli.plan import Item
from envelope_sdk.formats.describe import describe_header
from envelope_sdk.message.authenticated import Header

__all__ = ["MetadataLog", "opened_metadata"]


class MetadataLog:
    """Writes what became of each item."""

    def __init__(self, stream: IO[str] | None, mode: str) -> None:
        self._stream = stream
        self._mode = mode

    def done(self, item: Item, header: Header) -> None:
        """Note an item that succeeded."""
        self._write(item, status="done", header=describe_header(header))

    def failed(self, item: Item, error: BaseException, code: int) -> None:
        """Note an item that failed."""
        self._write(item, status="failed", error=type(error).__name__, message=str(error), exit_code=code)

    def _write(self, item: Item, **fields: Any) -> None:
        if self._stream is None:
            return
        target = "-" if item.target is None else str(item.target)
        line = {"mode": self._mode, "input": item.name, "output": target, **fields}
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()


@contextmanager
def opened_metadata(path: str | None, mode: str) -> Generator[MetadataLog]:
    """Open the log at ``path``, appending to what is there; ``-`` is standard output, ``None`` no log at all."""
    if path is None:
        yield MetadataLog(None, mode)
    elif path == "-":
        yield MetadataLog(sys.stdout, mode)
    else:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as stream:
            yield MetadataLog(stream, mode)
