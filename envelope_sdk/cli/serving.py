"""The server of ``envelope kms serve``, and the program that its workers are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.root_keys import SOURCE_VARIABLE, root_key_source
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.server.workers import serve, work
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

__all__ = ["run"]


def run(settings: Settings, files: LocalStore, ready: Callable[[str], None]) -> None:
    """Serve the keys in ``files`` until a signal comes; ``ready`` is called with the address."""
    serve(
        settings,
        lambda: SqliteStore.open(Path(settings.store), files.root_key(), system_random),
        ready,
        worker=[sys.executable, "-m", __name__],
        # Not among the arguments, which everybody can read.
        variables={SOURCE_VARIABLE: files.root_key_words() or ""},
    )


def _open(settings: Settings) -> SqliteStore:
    return SqliteStore.open(Path(settings.store), root_key_source(os.environ.get(SOURCE_VARIABLE)), system_random)


if __name__ == "__main__":
    sys.exit(work(sys.argv[1:], _open))
