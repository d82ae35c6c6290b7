"""Files that a command needs, and that it must neither write over nor encrypt unasked: what opens messages."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.keyrings.places import configuration_path
from envelope_sdk.keyrings.registry import files_named_by
from envelope_sdk.keyrings.uri import KeyringUri

__all__ = ["FileIdentity", "Guarded", "identity_of"]

FileIdentity = tuple[int, int] | str
"""Equal for all names of one file, hard links included: its device and number, or the real path where there is none."""


def identity_of(path: str | os.PathLike[str]) -> FileIdentity:
    """Return what tells the file at ``path`` from others, whether or not it is there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - the path may be a text
    except OSError:
        return os.path.realpath(path)
    # Devices are not files that could be lost, and two pipes may well look the same.
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else os.path.realpath(path)


class Guarded:
    """The files that keys in use are made of, the configuration file, and the files of the local KMS."""

    def __init__(self, keys: Sequence[KeyringUri], store: LocalStore, journal: str | None = None) -> None:
        keys = [each for key in keys for each in (key, *_uris_in(key))]
        stores = [store, *(store.at(key.path(name)) for key in keys for name in key.every("store"))]
        configuration = configuration_path()
        self._files = {identity_of(path): "part of the local KMS" for each in stores for path in each.files()}
        if configuration is not None:
            self._files[identity_of(configuration)] = "the configuration of keys"
        self._files |= {identity_of(path): "a key in use" for key in keys for path in files_named_by(key)}

        self._journal = None if journal is None else identity_of(journal)

    def left_out(self, path: Path) -> str | None:
        """Return what the file at ``path`` is that is not taken out of folders; ``None`` where it is."""
        return "the journal of this run" if identity_of(path) == self._journal else self.what(path)

    def what(self, path: str | Path) -> str | None:
        """Return what the file at ``path`` is, or ``None`` where it is none of them."""
        return self._files.get(identity_of(path))


def _uris_in(key: KeyringUri) -> list[KeyringUri]:
    """Return the URIs of KMS keys that stand within that of a branch key."""
    return [KeyringUri.parse(value, key.folder) for value in key.every("kms-key") if "://" in value]
