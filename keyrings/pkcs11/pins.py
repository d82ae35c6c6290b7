"""Where a PIN is read from when it is needed. It is never part of a command line, and never kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyringError, UsageError

__all__ = ["MAX_LENGTH", "pin_from"]

MAX_LENGTH: Final = 1024
"""Bytes: no PIN is longer."""


def pin_from(source: str) -> Callable[[], str]:
    """Return what reads the PIN from ``file:/path``, ``/path`` or ``env:NAME`` whenever it is called.

    A file holds the PIN as UTF-8 text; one line break at its end is not part of it. What is returned raises
    :class:`KeyringError` where there is no PIN to be had.

    Raises:
        UsageError: the source is none of these; commands (``|...``) are never run.
    """
    if source.startswith("|"):
        raise UsageError("a pin-source that is a command is not run; use pin-source=file:/path or pin-source=env:NAME")
    kind, colon, rest = source.partition(":")
    if kind == "env" and rest and "=" not in rest and "\0" not in rest:
        return lambda: _from_environment(rest)
    path = rest.removeprefix("//") if kind == "file" and colon else source
    if not path.startswith("/") or "\0" in path:
        raise UsageError("a pin-source is file:/path, an absolute path, or env:NAME")
    return lambda: _from_file(Path(path))


def _from_environment(name: str) -> str:
    pin = os.environ.get(name)
    if pin is None:
        raise KeyringError(f"the environment variable {name!r} that should hold the PIN is not set")
    return _checked(pin.encode("utf-8", "surrogateescape"), f"the environment variable {name!r}")


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LENGTH + 2)
    except OSError as error:
        reason = str(error.strerror).lower()
        raise KeyringError(f"the PIN cannot be read from {str(path)!r}: {reason}") from error
    return _checked(data.removesuffix(b"\n").removesuffix(b"\r"), f"the file {str(path)!r}")


def _checked(data: bytes, where: str) -> str:
    problem = None
    if not 1 <= len(data) <= MAX_LENGTH:
        problem = f"holds no PIN of 1 to {MAX_LENGTH} bytes"
    else:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            problem = "holds a PIN that is not UTF-8 text"
    # Outside the handler: the other error would hold the bytes.
    raise KeyringError(f"{where} {problem}")
