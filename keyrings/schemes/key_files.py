"""Keyrings from key files, which say themselves what they hold."""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.key_files import MAX_LENGTH, parse_key_file
from envelope_sdk.keyrings.schemes import BUILT_IN
from envelope_sdk.keyrings.uri import KEY_FILE, KeyringUri
from envelope_sdk.materials import Keyring

if TYPE_CHECKING:
    from envelope_sdk.keyrings.schemes.door import LocalKmsDoor

__all__ = ["keyring"]


def keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of the key file that ``uri`` names, and warn where others can read its secret.

    Raises:
        KeyringError: the file cannot be read.
        UsageError: it is no key file, or not of the kind that the scheme says.
    """
    path = uri.path(uri.rest)
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_LENGTH + 1)
    except OSError as error:
        reason = str(error.strerror).lower() + _hint(uri)
        raise KeyringError(f"the key file {path!r} cannot be read: {reason}") from error
    if len(data) > MAX_LENGTH:
        raise UsageError(f"{path!r} is not a key file: it is too long")
    try:
        parsed = parse_key_file(data)
    except UsageError as error:
        raise UsageError(f"{path!r}: {error}") from None
    if uri.scheme not in (KEY_FILE, parsed.kind):
        raise UsageError(f"{path!r} is a {parsed.kind} key file, not {uri.scheme}")
    if parsed.secret and mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.warn(f"the key file {path} can be read by others; 'chmod 600' it", stacklevel=2)
    return parsed.keyring


def _hint(uri: KeyringUri) -> str:
    """Return what to add where the path looks like a URI that lacks its slashes."""
    scheme, colon, _ = uri.rest.partition(":")
    return f" (write {BUILT_IN[scheme].form})" if uri.scheme == KEY_FILE and colon and scheme in BUILT_IN else ""
