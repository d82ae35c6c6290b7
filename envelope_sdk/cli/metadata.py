"""One JSON object a line for each message made or opened, for programs to read."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any

from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.standard import standard_output
from envelope_sdk.cli.terminal import text_of
from envelope_sdk.message.authenticated import Header

__all__ = ["MetadataLog", "opened_metadata"]


class MetadataLog:
    """Writes what became of each item."""

    def __init__(self, stream: IO[bytes] | io.FileIO | None, name: str, mode: str) -> None:
        self._stream = stream
        self._name = name
        self._mode = mode

    def done(self, item: Item, header: Header) -> None:
        """Note an item that succeeded."""
        if self._stream is None:
            return
        from envelope_sdk.formats.describe import describe_header

        self._write(item, status="done", header=describe_header(header))

    def left(self, item: Item, status: str) -> None:
        """Note an item that nothing was done with; ``status`` says why."""
        self._write(item, status=status)

    def failed(self, item: Item, error: BaseException, code: int) -> None:
        """Note an item that failed."""
        self._write(item, status="failed", error=type(error).__name__, message=text_of(error), exit_code=code)

    def _write(self, item: Item, **fields: Any) -> None:
        if self._stream is None:
            return
        target = "-" if item.target is None else str(item.target)
        line = {"mode": self._mode, "input": item.name, "output": target, **fields}
        try:
            # In one piece, so that several processes may share a log.
            self._stream.write(f"{json.dumps(line)}\n".encode("ascii"))
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._name) from error


@contextmanager
def opened_metadata(path: str | None, mode: str) -> Generator[MetadataLog]:
    """Open the log at ``path``, appending to what is there; ``-`` is standard output, ``None`` no log at all."""
    if path is None:
        yield MetadataLog(None, "", mode)
    elif path == "-":
        yield MetadataLog(standard_output(), "standard output", mode)
    else:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with io.FileIO(fd, "a") as stream:
            yield MetadataLog(stream, path, mode)
