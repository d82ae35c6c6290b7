"""Items that failed, among several: what is said of them, and the code that they end with."""

from __future__ import annotations

from envelope_sdk.cli.terminal import ExitCode, report

__all__ = ["Failures"]


class Failures:
    """Tells each failure as it comes; what to do about them is said once."""

    def __init__(self) -> None:
        self._codes: list[ExitCode] = []
        self._hinted: set[str] = set()

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, error: BaseException, what: str) -> ExitCode:
        """Print the error of an item, and return the code that goes with it."""
        if isinstance(error, OSError) and error.filename == what:
            # It is named once in any case.
            error.filename = None
        code = report(error, what, hinted=self._hinted)
        self._codes.append(code)
        return code

    def code(self, total: int) -> ExitCode:
        """Return the code to end with, of so many items: that of the failure where there was a single item."""
        if not self._codes:
            return ExitCode.DONE
        return self._codes[0] if total == 1 else ExitCode.SOME_FAILED
