"""The process that a local KMS is served by while it is measured; its keys are in memory alone."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.server.workers import serve
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

__all__ = ["main"]


def _stop_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _first_line() -> str:
    """Return the first line of the standard input, and read no further."""
    line = b""
    while (piece := os.read(0, 1)) not in (b"", b"\n"):
        line += piece
    return line.decode()


def _announce(url: str) -> None:
    # From now on a signal ends it well.
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.stdout.write(json.dumps({"url": url}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve as the first line of the standard input says, until that input ends."""
    settings = Settings.from_json(_first_line())
    serve(settings, lambda: SqliteStore.in_memory(system_random), _announce)


if __name__ == "__main__":
    main()
