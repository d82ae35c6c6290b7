"""The local KMS for keyrings that are named by URI: ``local-kms://alias/NAME`` and its like.

Keyrings do not import the local KMS. They find this door by its name, unless the caller brings one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from envelope_sdk.keyrings.places import local_store_path, status_of_store
from envelope_sdk.keyrings.schemes.door import LocalKmsApi, LocalKmsDoor
from envelope_sdk.local_kms import LocalKms

__all__ = ["DOOR", "SharedStores"]


class SharedStores:
    """Opens each file once a process; it stays open as long as the process runs, for keyrings have no end of theirs."""

    def __init__(self, opened: Callable[[Path], LocalKms] = LocalKms.open) -> None:
        """Take what opens a file."""
        self._opened = opened
        # One a process: a fork copies a lock as it was held by threads that stay behind. Reentrant: a signal handler
        # may ask in the midst of it, in the same thread.
        self._locks: dict[int, threading.RLock] = {}
        self._open: dict[tuple[int, int, int], LocalKms] = {}

    def path(self, store: str | None) -> str:
        """Return the file of a store, the usual one for ``None``."""
        return str(local_store_path() if store is None else store)

    def kms(self, store: str | None) -> LocalKmsApi:
        """Return the KMS in a file that is there.

        Raises:
            KeyStoreError: it is not, or cannot be used.
        """
        path = Path(self.path(store))
        status = status_of_store(path)
        # A store does not outlive a fork, and another file of the same name is another store.
        process = os.getpid()
        key = (process, status.st_dev, status.st_ino)
        with self._locks.setdefault(process, threading.RLock()):
            if key not in self._open:
                self._open[key] = self._opened(path)
            return self._open[key]


DOOR: Final[LocalKmsDoor] = SharedStores()
"""The process's own."""
