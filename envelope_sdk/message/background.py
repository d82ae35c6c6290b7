"""Hashing on a thread of its own: of all that a signed message costs, the hash is by far the dearest."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from envelope_sdk.formats.cursor import byte_view

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["BackgroundDigest", "Digest"]

_WORTH_HANDING_OVER: Final = 2**16
"""Bytes that take longer to hash than to hand to another thread."""


class Digest(Protocol):
    """A running hash."""

    def update(self, data: BytesLike) -> None:
        """Add ``data`` to the hash."""
        ...

    def finalize(self) -> bytes:
        """Return the digest; nothing can be added afterwards."""
        ...


class BackgroundDigest:
    """A running hash that is behind by a few pieces, which must not change meanwhile.

    Use by one thread at a time. ``close()`` ends the thread behind it, whatever it is at.
    """

    __slots__ = ("_added", "_changed", "_closed", "_digest", "_failure", "_pieces", "_thread")

    def __init__(self, digest: Digest) -> None:
        """Go on with ``digest``, which nobody else uses from now on."""
        self._digest = digest
        self._pieces: deque[memoryview] = deque()
        self._added = 0
        self._changed = threading.Condition()
        self._closed = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def update(self, data: BytesLike) -> None:
        """Add ``data``, which must stay as it is until :meth:`settle` says that it has been hashed."""
        with self._changed:
            self._added += 1
            if self._pieces or (len(data) >= _WORTH_HANDING_OVER and self._start()):
                self._pieces.append(byte_view(data))
                self._changed.notify_all()
                return
        self._digest.update(data)

    @property
    def added(self) -> int:
        """How many pieces have been added."""
        return self._added

    def settle(self, until: int | None = None) -> None:
        """Wait until the first ``until`` pieces that were added, or all, have been hashed."""
        wanted = self._added if until is None else until
        with self._changed:
            self._changed.wait_for(lambda: self._added - len(self._pieces) >= wanted or self._failure is not None)
            if self._failure is not None:
                raise self._failure

    def finalize(self) -> bytes:
        """Return the digest; nothing can be added afterwards."""
        self.settle()
        self.close()
        return self._digest.finalize()

    def close(self) -> None:
        """End the thread; what it has not hashed yet stays unhashed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._pieces.clear()

    def _start(self) -> bool:
        """Return whether there is a thread to hand pieces to."""
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._hash_pieces, name="envelope-sdk-digest", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # A limit, or an interpreter that ends.
                return False
            self._thread = thread
        return self._thread is not None

    def _hash_pieces(self) -> None:
        while (piece := self._oldest()) is not None:
            try:
                self._digest.update(piece)
            except BaseException as error:  # noqa: BLE001 - raised by whoever waits for it
                self._failure = error
            # Only now does it no longer count as outstanding.
            with self._changed:
                if not self._closed:
                    self._pieces.popleft()
                self._changed.notify_all()

    def _oldest(self) -> memoryview | None:
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._closed)
            return None if self._closed else self._pieces[0]
