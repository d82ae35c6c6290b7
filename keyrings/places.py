"""Where on this machine things lie unless told otherwise (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, UsageError

__all__ = [
    "CONFIGURATION_VARIABLE",
    "KEY_VARIABLE",
    "STORE_VARIABLE",
    "configuration_path",
    "local_store_path",
    "status_of_store",
]

CONFIGURATION_VARIABLE: Final = "ENVELOPE_CONFIG"
"""The environment variable that names the configuration file."""

KEY_VARIABLE: Final = "ENVELOPE_KEY"
"""The environment variable that names the keys to use where none is named otherwise, one a line."""

STORE_VARIABLE: Final = "ENVELOPE_KMS_STORE"
"""The environment variable that names the local KMS's file."""


def local_store_path() -> Path:
    """Return the file of the local KMS: ``$ENVELOPE_KMS_STORE``, or ``envelope/kms.db`` under ``$XDG_DATA_HOME``.

    Raises:
        UsageError: neither is set, and there is no home folder to look in.
    """
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return Path(named)
    try:
        folder = _base("XDG_DATA_HOME", ".local/share")
    except RuntimeError:
        raise UsageError("there is no home folder to keep a local KMS in: name its file with --kms-store") from None
    return folder / "envelope" / "kms.db"


def status_of_store(path: Path) -> os.stat_result:
    """Return what the system says of the file of a local KMS.

    Raises:
        KeyStoreError: it is not there, or cannot be looked at.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise KeyStoreError(f"there is no local KMS in {path}: 'envelope kms create-key' makes one") from None
    except OSError as error:
        raise KeyStoreError(f"the key store {path} cannot be used: {str(error.strerror).lower()}") from error


def configuration_path() -> Path | None:
    """Return ``$ENVELOPE_CONFIG``, or ``envelope/config.toml`` under ``$XDG_CONFIG_HOME``; ``None`` without a home."""
    named = os.environ.get(CONFIGURATION_VARIABLE)
    if named:
        return Path(named)
    try:
        folder = _base("XDG_CONFIG_HOME", ".config")
    except RuntimeError:
        return None
    return folder / "envelope" / "config.toml"


def _base(variable: str, below_home: str) -> Path:
    named = Path(os.environ.get(variable, ""))
    # The specification has relative paths ignored: else the current folder, which may be anybody's, chose the keys.
    return named if named.is_absolute() else Path.home() / below_home
