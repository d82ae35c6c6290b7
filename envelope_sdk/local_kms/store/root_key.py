"""The root key: 32 bytes outside the database, without which the database is of no use to anybody.

It comes from one of four places: a file next to the database (made on first use), the environment variable
``ENVELOPE_KMS_ROOT_KEY``, the caller, or a passphrase. File and variable hold the same text: base64 of 32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["ROOT_KEY_LENGTH", "ROOT_KEY_VARIABLE", "RootKey", "decode_root_key", "load_root_key", "make_root_key_file"]

ROOT_KEY_LENGTH: Final = 32
"""Bytes of a root key: AES-256."""

ROOT_KEY_VARIABLE: Final = "ENVELOPE_KMS_ROOT_KEY"
"""The environment variable that may hold the root key: base64 of 32 bytes."""

_FILE_MODE: Final = 0o600
_MAX_FILE: Final = 1024


@dataclass(frozen=True, slots=True, repr=False)
class RootKey:
    """A root key at hand. Its repr shows only where it came from, and it cannot be pickled.

    Attributes:
        secret: 32 bytes; :meth:`wipe` overwrites them.
        origin: where it came from, in words fit for an error message.
    """

    secret: bytearray
    origin: str

    def __repr__(self) -> str:
        return f"RootKey(from {self.origin}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a root key cannot be pickled or copied")

    def wipe(self) -> None:
        """Overwrite the secret with zeros."""
        wipe(memoryview(self.secret))


def decode_root_key(text: str, origin: str) -> RootKey:
    """Return the root key written as base64.

    Raises:
        KeyStoreError: it is not base64 of 32 bytes. The text is not repeated.
    """
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != ROOT_KEY_LENGTH:
        raise KeyStoreError(f"{origin} does not hold a root key: it has to be base64 of {ROOT_KEY_LENGTH} bytes")
    return RootKey(bytearray(secret), origin)


def given_root_key(secret: bytes) -> RootKey:
    """Return the root key a caller hands over.

    Raises:
        UsageError: it is not 32 bytes long.
    """
    if len(secret) != ROOT_KEY_LENGTH:
        raise UsageError(f"a root key is {ROOT_KEY_LENGTH} bytes, not {len(secret)}")
    return RootKey(bytearray(secret), "the caller")


def load_root_key(path: Path) -> RootKey | None:
    """Return the root key in the file ``path``; ``None`` where there is no such file.

    Raises:
        KeyStoreError: others than its owner can read the file, it holds something else, or it is not a regular file.
    """
    try:
        mode, content = _read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyStoreError(f"the root key file {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise KeyStoreError(f"the root key file {path} cannot be read: it is not a regular file")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyStoreError(f"others than its owner can reach the root key file {path}: run chmod 600 {path}")
    return decode_root_key(content.decode("ascii", "replace"), f"the root key file {path}")


def _read(path: Path) -> tuple[int, bytes]:
    # O_NONBLOCK, since opening a named pipe would wait for ever. Only regular files are read.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        return mode, os.read(descriptor, _MAX_FILE) if stat.S_ISREG(mode) else b""
    finally:
        os.close(descriptor)


def make_root_key_file(path: Path, random: RandomSource) -> RootKey:
    """Make a root key and its file, or return the one another process made in the meantime.

    The file appears under its name only once it is complete and on disk, and never replaces one that is there: two
    processes that both start on an empty folder end up with the same key.

    Raises:
        KeyStoreError: the file cannot be written.
    """
    text = base64.b64encode(random(ROOT_KEY_LENGTH)) + b"\n"
    try:
        _publish(path, text)
    except FileExistsError:
        pass
    except OSError as error:
        raise KeyStoreError(f"the root key file {path} cannot be written: {error.strerror}") from None
    root_key = load_root_key(path)
    if root_key is None:
        raise KeyStoreError(f"the root key file {path} vanished while it was being made")
    return root_key


def _publish(path: Path, content: bytes) -> None:
    # mkstemp opens with O_EXCL and mode 0600. A hard link, unlike a rename, fails where the name is taken.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - the name came as text
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: a file's own fsync does not promise its directory entry."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
