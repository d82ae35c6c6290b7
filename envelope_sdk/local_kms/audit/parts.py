"""The files that an audit log consists of, by their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from envelope_sdk.local_kms.audit.chain import Head

__all__ = ["head_path", "is_part", "last_number", "parts", "read_head"]

_ROTATED: Final = re.compile(r"\.(\d{15})(-\d+)?", re.ASCII)


def parts(path: Path) -> list[Path]:
    """Return the files of the log ``path`` that are there, oldest first."""
    siblings = path.parent.glob(f"{_escaped(path.name)}.*")
    rotated = sorted(found for found in siblings if is_part(found) and found.name.rpartition(".")[0] == path.name)
    return [*rotated, path] if path.exists() else rotated


def is_part(path: Path) -> bool:
    """Return whether a file is one that a log was rotated to, by its name."""
    return _ROTATED.fullmatch(path.suffix) is not None


def last_number(path: Path) -> int:
    """Return the number of the last event in a file that a log was rotated to, by its name; 0 for other files."""
    found = _ROTATED.fullmatch(path.suffix)
    return 0 if found is None else int(found[1])


def head_path(path: Path) -> Path:
    """Return where the head of the log ``path`` is kept."""
    return path.with_name(f"{path.name}.head")


def read_head(path: Path) -> Head | None:
    """Return the head kept beside the log ``path``; ``None`` where there is none, or it is damaged."""
    try:
        return Head.parse(head_path(path).read_bytes().decode("ascii"))
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
