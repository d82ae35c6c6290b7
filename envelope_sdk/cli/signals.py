"""Being stopped: SIGINT, SIGTERM and SIGHUP end the command with 128 and their number, whatever it is doing.

While it is starting there is nothing to clean up, so the process ends at once: an exception in the middle of an import
may be lost, or end as a traceback. After that a signal raises :class:`SystemExit` from wherever the command is, so that
what was begun is discarded. Destructors and callbacks lose that exception too, which is why it is remembered.

This module is there before everything else, so it imports next to nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any, Final

__all__ = ["catch_signals", "end_starting", "finish", "raise_if_stopped"]

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED: Final = b"envelope: interrupted\n"

_starting = True
_stopped_by: int | None = None


def catch_signals() -> None:
    """Begin to listen. What is ignored, as with ``nohup`` or behind a shell's ``&``, stays ignored."""
    global _starting, _stopped_by
    _starting, _stopped_by = True, None
    sys.unraisablehook = _report_unraisable
    for number in _NUMBERS:
        try:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, _stop)
        except ValueError:
            # Only the main thread hears signals.
            return


def end_starting() -> None:
    """Say that from now on there may be something to clean up."""
    global _starting
    _starting = False


def raise_if_stopped() -> None:
    """Raise what a signal raised already, in case that was lost.

    Raises:
        SystemExit: there was a signal.
    """
    if _stopped_by is not None:
        raise SystemExit(128 + _stopped_by)


def finish(code: int) -> int:
    """Return what to end with where nothing but ending is left: ``code``, or that of the signal that came."""
    for number in _NUMBERS:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_IGN)
    if _stopped_by is None:
        return code
    _tell(_stopped_by)
    return 128 + _stopped_by


def _stop(number: int, _frame: FrameType | None) -> None:
    global _stopped_by
    _stopped_by = number
    if _starting:
        _tell(number)
        os._exit(128 + number)
    raise SystemExit(128 + number)


def _tell(number: int) -> None:
    if number != signal.SIGINT:
        return
    with contextlib.suppress(OSError):
        # The terminal has shown ^C where the cursor was.
        os.write(2, b"\n" * os.isatty(2) + _INTERRUPTED)


def _report_unraisable(lost: Any) -> None:
    if _stopped_by is None or not isinstance(lost.exc_value, SystemExit):
        sys.__unraisablehook__(lost)
