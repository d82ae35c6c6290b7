"""Signal handlers at any place of the cache's code, or of other code, without signals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from envelope_sdk import cache as package
from envelope_sdk.errors import UsageError

__all__ = ["handled_at"]

OWN_CODE = str(Path(str(package.__file__)).parent)


def handled_at(
    position: int,
    handle: Callable[[], None],
    work: Callable[[], None],
    places: str = "opcode",
    *,
    code: str = OWN_CODE,
) -> bool:
    """Do ``work``, and ``handle`` as a signal handler would, at a place in that code; False past its end.

    ``code`` is what the names of its files begin with: the cache's unless told otherwise.
    """
    passed = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal passed
        if frame.f_code.co_name == "__del__":
            # What is raised there goes to nobody.
            return None
        if not frame.f_code.co_filename.startswith(code):
            return trace if "cachetools" in frame.f_code.co_filename else None
        frame.f_trace_opcodes = True
        if event == places:
            passed += 1
            if passed == position:
                handle()
        return trace

    before = sys.gettrace()
    # Without this, 3.12 tells of no instruction until it has been asked once.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        with suppress(UsageError):
            work()
    finally:
        sys.settrace(before)
    return passed >= position
