"""Lines of a file that are read a few at a time, for whoever pays for every call that may wait."""

from __future__ import annotations

import io
import os
from collections import deque
from typing import Any, AnyStr, Final, Generic, cast

__all__ = ["LineAhead"]

_LINES: Final = 2**16
"""Bytes or characters of lines that are read at a time: handing one line over takes many times what reading it does."""


class LineAhead(Generic[AnyStr]):
    """Reads a file as the file itself would be read, but for lines that are iterated over, which are read ahead.

    For one thread at a time. An error that is met on the way comes when the lines before it have been taken.
    """

    def __init__(self, file: Any) -> None:
        """Take a binary or text file that nobody else reads."""
        self._file = file
        self._lines: deque[AnyStr] = deque()
        self._error: Exception | None = None

    def at_hand(self) -> AnyStr | None:
        """Return the next line where that takes no reading."""
        return self._lines.popleft() if self._lines and not self._file.closed else None

    def next_line(self) -> AnyStr:
        """Return the next line, and have some more at hand; empty at the end."""
        if not self._lines:
            self._read_lines()
        return self.readline()

    def readline(self) -> AnyStr:
        """Return the next line, and read no further than that; empty at the end."""
        line = self.at_hand()
        if line is None:
            self._raise_error()
            line = self._file.readline()
        return line

    def read(self, size: int | None) -> AnyStr:
        """Return ``size`` bytes or characters, fewer only at the end, or all that is left."""
        before = list(self._lines)
        left = -1 if size is None or size < 0 else size
        taken: list[AnyStr] = []
        try:
            while left and (line := self.at_hand()) is not None:
                if 0 <= left < len(line):
                    self._lines.appendleft(line[left:])
                    line = line[:left]
                taken.append(line)
                left -= len(line) if left > 0 else 0
            if left:
                self._raise_error()
            taken.append(self._file.read(left))
        except BaseException:
            self._lines = deque(before)
            raise
        empty: Any = taken[0][:0]
        return cast("AnyStr", empty.join(taken))

    def seek(self, offset: int, whence: int) -> int:
        """Move to a position as the file can, and return it."""
        if self._lines and whence == os.SEEK_CUR:
            offset += self.tell() - self._file.tell()
        position = int(self._file.seek(offset, whence))
        self._lines.clear()
        self._error = None
        return position

    def tell(self) -> int:
        """Return the position.

        Raises:
            OSError: the file is a text whose lines are iterated over.
        """
        if self._lines and isinstance(self._file, io.TextIOBase):
            raise OSError("the position in a text is not known while its lines are iterated over")
        return int(self._file.tell()) - sum(map(len, self._lines))

    def _read_lines(self) -> None:
        self._raise_error()
        size = 0
        try:
            while size < _LINES and (line := self._file.readline()):
                self._lines.append(line)
                size += len(line)
        except Exception as error:
            if not self._lines:
                raise
            # Asking once more would not do: of text, what stands before the error in its line is lost.
            self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
