"""Root key files while one takes the place of another: the new one waits beside the old, which is never overwritten.

A new root key for the file ``keys.db.rootkey`` is first written to ``keys.db.rootkey.new``. Once the database says that
it is in force, the old file gets the name ``keys.db.rootkey.1`` as well (after the generation of its key), and the new
one is renamed over it. Whoever finds the file in between takes whichever of the two fits.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.store.root_key import sync_folder

__all__ = ["discard", "kept_name", "put_in_place", "retire", "waiting_path"]


def waiting_path(path: Path) -> Path:
    """Return where the successor of the root key file ``path`` waits."""
    return Path(f"{path}.new")


def discard(path: Path) -> None:
    """Remove a root key file that no store is under.

    Raises:
        KeyStoreError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise KeyStoreError(f"the root key file {path} cannot be removed: {error.strerror}") from None


def put_in_place(path: Path, generation: int) -> None:
    """Give the file that waits the name ``path``; the one that has it keeps the name of its generation.

    Raises:
        KeyStoreError: the folder cannot be written.
    """
    try:
        _keep(path, generation)
        waiting_path(path).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyStoreError(f"the root key file {path} cannot be replaced: {error.strerror}") from None


def retire(path: Path, generation: int) -> None:
    """Leave the file ``path`` no other name than that of its generation.

    Raises:
        KeyStoreError: the folder cannot be written.
    """
    try:
        _keep(path, generation)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyStoreError(f"the root key file {path} cannot be renamed: {error.strerror}") from None


def _keep(path: Path, generation: int) -> None:
    for number in count():
        name = kept_name(path, generation, number)
        with suppress(FileNotFoundError):
            if path.samefile(name):
                # Somebody was killed right after this step.
                return
        try:
            # A hard link, unlike a rename, fails where the name is taken.
            os.link(path, name)
        except FileExistsError:
            continue
        except FileNotFoundError:
            # Its owner has moved it away.
            pass
        return


def kept_name(path: Path, generation: int, number: int = 0) -> Path:
    """Return what an old root key file is called; with a ``number`` where that name is another file's."""
    return Path(f"{path}.{generation}" + (f".{number}" if number else ""))
