"""Whole processes: what a program takes from its start to its end, in a fresh interpreter for each run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

COMMAND_LINE = "from envelope_sdk.cli.main import entry; entry()"
"""What the script ``envelope`` does, under the interpreter that measures."""


def python(code: str, *arguments: str | Path) -> list[str]:
    """Return the command that runs ``code``, which may import the modules beside this one, with ``arguments``."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def surroundings(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of such a process: this folder on its path, the current directory not."""
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH", "")]))
    # Nobody who starts a program for the second time compiles it again.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **(more or {})}


def warm(folder: Path, size: int) -> None:
    """Have the system hold ``size`` bytes of memory that were in use just before, by a file in ``folder``.

    The first touch of a page costs more than all that is measured here where the machine is a virtual one: whoever came
    first, or last, after a file before was removed, would pay for the others.
    """
    used, piece = folder / "used", bytes(2**20)
    with used.open("wb") as file:
        for _ in range(size // len(piece) + 1):
            file.write(piece)
    used.unlink()


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it writes to standard error; end this process where it fails."""
    done = subprocess.run(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=surroundings(environment),
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stderr}")
    return done.stderr


def seconds(command: Sequence[str]) -> float:
    """Run a command and return how long it took."""
    start = time.perf_counter()
    run(command)
    return time.perf_counter() - start
