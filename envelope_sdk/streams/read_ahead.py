"""Reading on a thread of its own, one piece ahead of whoever uses what is read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

__all__ = ["ReadAhead"]


class ReadAhead:
    """A source of bytes that another thread is already making while the last piece is used.

    The other thread waits with each piece until all of it has been taken, so that never more than one is held. What it
    raises, ``readinto()`` raises here, in its place: after all that came before.
    """

    def __init__(self, read: Callable[[], memoryview]) -> None:
        """Begin to read.

        Args:
            read: returns the next piece, valid until its next call; empty at the end. Only the other thread calls it.
        """
        self._read = read
        self._changed = threading.Condition()
        self._piece: memoryview | None = None
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="envelope-sdk-read-ahead", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def readinto(self, buffer: memoryview) -> int:
        """Take some bytes and return how many; 0 at the end.

        Raises:
            Whatever reading raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._piece is not None or self._failure is not None)
            if self._piece is None:
                assert self._failure is not None
                raise self._failure
            count = min(len(buffer), len(self._piece))
            buffer[:count] = self._piece[:count]
            if count and count == len(self._piece):
                self._piece = None
                self._changed.notify_all()
            elif count:
                self._piece = self._piece[count:]
            return count

    def close(self) -> None:
        """End the other thread, when it has read what it is reading."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._put(self._read()):
                pass
        except BaseException as error:  # noqa: BLE001 - raised by whoever reads
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _put(self, piece: memoryview) -> bool:
        """Offer a piece and wait until it was taken; return whether another one is wanted."""
        with self._changed:
            self._piece = piece
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._piece is None or self._closed)
            return not self._closed
