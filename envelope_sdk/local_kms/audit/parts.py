"""The files that an audit log consists of, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from envelope_sdk.local_kms.audit.chain import MAX_LINE, Head, parse_line

__all__ = ["head_path", "is_part", "last_number", "open_parts", "parts", "read_head"]

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


def open_parts(given: Sequence[Path], files: ExitStack) -> list[tuple[Path, BinaryIO]]:
    """Open all files, and return them by the number of their first event, those without one at the end."""
    while True:
        names = _names(given)
        opened = [(path, files.enter_context(path.open("rb"))) for path in names]
        # If the log has been rotated meanwhile, one of them may be another file than its name says.
        if _names(given) == names:
            return sorted(opened, key=lambda item: _first(item[1]))


def _names(given: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(part for path in given for part in (parts(path) or [path])))


def _first(file: BinaryIO) -> float:
    parsed = parse_line(file.readline(MAX_LINE))
    file.seek(0)
    return float("inf") if parsed is None else parsed[0].sequence


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
