"""Key files of one fixed key, for what takes the URI of a key."""

from __future__ import annotations

from pathlib import Path

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.keyrings.key_files import encode_aes_key_file

__all__ = ["client_of_key", "key_file"]


def key_file(folder: Path, name: str = "key-1") -> str:
    """Write a file with the key of that name, and return its path."""
    path = folder / f"{name}.json"
    path.write_bytes(encode_aes_key_file("test", name, _key(name)))
    path.chmod(0o600)
    return str(path)


def client_of_key(name: str = "key-1", **options: int) -> Client:
    """Return a client with the key of that name."""
    return Client(RawAesKeyring("test", name, _key(name)), **options)  # type: ignore[arg-type]


def _key(name: str) -> bytes:
    return name.encode().ljust(32, b"-")
