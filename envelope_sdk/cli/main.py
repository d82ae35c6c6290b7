"""The entry point: before it imports what the command needs, it sees to signals and the standard streams."""

from __future__ import annotations

import sys
from typing import NoReturn

from envelope_sdk.cli import signals

__all__ = ["entry"]


def entry() -> NoReturn:
    """Run the command line and end the process.

    Exit codes: 0 done, 1 some items failed, 2 usage, 3 integrity, 4 key not accessible or denied, 5 temporary or
    throttled, 129 hung up (SIGHUP), 130 interrupted (SIGINT), 143 terminated (SIGTERM).
    """
    signals.catch_signals()
    from envelope_sdk.cli.standard import settle

    settle()
    from envelope_sdk.cli.group import run

    try:
        code = run()
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    sys.exit(signals.finish(code))
