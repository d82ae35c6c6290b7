"""What an item is written to."""

from __future__ import annotations

import os
from typing import Any, Self

from envelope_sdk.bulk.places import Pending
from envelope_sdk.streams.raw import regular_descriptor

__all__ = ["Target"]


class Target:
    """Something pending that knows how much was written to it, and is discarded unless it is committed.

    Attributes:
        file: what to write to.
    """

    def __init__(self, pending: Pending) -> None:
        """Take what was begun."""
        self._pending = pending
        self._descriptor = regular_descriptor(pending)
        self._size = 0
        # Several threads write to a file at once, and past this object.
        self.file: Any = self if self._descriptor is None else pending

    def __enter__(self) -> Self:
        """Return the target itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Discard it, unless it was committed."""
        self._pending.close()

    def write(self, data: Any, /) -> int:
        """Write some of ``data``, and return how many bytes."""
        written = self._pending.write(data)
        taken = memoryview(data).nbytes if written is None else written
        self._size += taken
        return taken

    def commit(self) -> int:
        """Have it seen, and return how many bytes it has."""
        size = self._size if self._descriptor is None else os.fstat(self._descriptor).st_size
        self._pending.commit()
        return size
