"""Programs that run beside this one: asked by lines, and gone when this process is, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any, Final, Self

from envelope_sdk.errors import UsageError

__all__ = ["Child", "environment"]

_START: Final = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv.pop())
importlib.import_module(sys.argv.pop()).main()
"""
"""Runs a module with the path of whoever started it: from a folder, a wheel or an archive."""

_STOP_SECONDS: Final = 10.0


def environment() -> dict[str, str]:
    """Return the variables that such programs run with: no AWS account, no proxy, nothing that changes botocore."""
    foreign = ("aws_", "boto_", "http_proxy", "https_proxy", "all_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith(foreign)}
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Child:
    """A module of this package that runs as a program. As a context manager it is ended with the block.

    Its ``main`` answers each line of its standard input with one line, and ends when that input does.

    Attributes:
        pid: of the process.
    """

    def __init__(self, module: str, *, stop_seconds: float = _STOP_SECONDS) -> None:
        """Start it.

        Args:
            module: its name.
            stop_seconds: that it has to end by itself.

        Raises:
            UsageError: there is no interpreter to start it with.
        """
        if not sys.executable or getattr(sys, "frozen", False):
            raise UsageError("measuring starts processes, which takes a Python interpreter that is installed")
        self._process = subprocess.Popen(  # noqa: S603 - this very package
            [sys.executable, "-c", _START, module, json.dumps([os.path.abspath(each) for each in sys.path])],  # noqa: PTH100
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("ENVELOPE_DEBUG") else subprocess.DEVNULL,
            env=environment(),
            text=True,
            encoding="utf-8",
            # Ctrl+C at the terminal is for the parent, which ends them.
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._stop_seconds = stop_seconds

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()

    def tell(self, line: str) -> None:
        """Send a line.

        Raises:
            ChildProcessError: it has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # Its last words may say why.
            self.hear()
            raise ChildProcessError(self._ended()) from None

    def hear(self) -> dict[str, Any]:
        """Wait for a line and return what it holds.

        Raises:
            ChildProcessError: it says that it failed, or ended without a word.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise ChildProcessError(self._ended())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildProcessError(answer["error"])
        return answer

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and return the answer.

        Raises:
            ChildProcessError: it failed, or has ended.
        """
        self.tell(line)
        return self.hear()

    def close(self) -> None:
        """End it, and wait until it has. Closing twice is no error."""
        try:
            with contextlib.suppress(BrokenPipeError):
                if self._process.stdin is not None:
                    self._process.stdin.close()
            self._process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _ended(self) -> str:
        try:
            code = self._process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            return "a process says nothing"
        return f"a process ended with {code}"
