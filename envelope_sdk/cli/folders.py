"""Making folders."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_folders"]


def make_folders(path: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner only whatever the umask.

    Raises:
        FileExistsError: one of them is a file.
        OSError: one of them cannot be made.
    """
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_folders(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        # A folder that is there may say that it is read-only, rather than that it is there.
        if not path.is_dir():
            raise
