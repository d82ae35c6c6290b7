"""Making folders."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["make_folders", "make_folders_for"]


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


def make_folders_for(path: Path) -> None:
    """Make the folder that a file is to be in, as :func:`make_folders` does.

    Raises:
        NotADirectoryError: one of the folders is a file.
        OSError: one of them cannot be made.
    """
    try:
        make_folders(path.parent)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(error.filename)) from None
