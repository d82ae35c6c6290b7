"""Where a run takes place: the machine and what is installed, in words, and what a process takes of both."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

__all__ = ["cpu_seconds_of", "machine", "peak_bytes", "software"]

_PACKAGES: Final = (
    "envelope-sdk",
    "cryptography",
    "cachetools",
    "boto3",
    "botocore",
    "uvicorn",
    "moto",
    "aws-encryption-sdk",
    "aws-cryptographic-material-providers",
)


def machine() -> str:
    """Return the processor, how many there are, the memory and the system."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = "1 processor" if count == 1 else f"{count} processors"
    try:
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (OSError, ValueError):
        memory = "memory unknown"
    return f"{processor}, {cores}, {memory}, {platform.system()} {platform.release()}"


def software() -> dict[str, str]:
    """Return name and version of Python, and of what is installed of that which takes part."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def peak_bytes() -> int | None:
    """Return the most memory that this process held at once; ``None`` where the system does not tell."""
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    # Not first: on Linux this is inherited from whoever started the process, who may have held more.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def cpu_seconds_of(pid: int) -> float | None:
    """Return the processor time that another process has used; ``None`` where the system does not tell."""
    found = _lines(f"/proc/{pid}/stat")
    if not found:
        return None
    # The name, in brackets, may hold anything.
    fields = found[-1].rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
