"""The programs of large_files.py and memory.py that need this package alone: most turn one file into another.

They are run in processes of their own, so nothing is imported before it is needed.
"""

from __future__ import annotations

from pathlib import Path

BUFFER = 2**20


def copy(source: str, target: str) -> None:
    """Read and write, 1 MiB at a time: what file to file costs without any encryption."""
    buffer = memoryview(bytearray(BUFFER))
    with Path(source).open("rb", buffering=0) as read, Path(target).open("wb", buffering=0) as write:
        while count := read.readinto(buffer):
            write.write(buffer[:count])


def sha384_hashlib(source: str) -> None:
    """Hash a file with the standard library."""
    import hashlib

    digest = hashlib.sha384()
    buffer = memoryview(bytearray(BUFFER))
    with Path(source).open("rb", buffering=0) as read:
        while count := read.readinto(buffer):
            digest.update(buffer[:count])
    digest.digest()


def sha384_cryptography(source: str) -> None:
    """Hash a file with cryptography, which this package hashes with."""
    from cryptography.hazmat.primitives.hashes import SHA384, Hash

    digest = Hash(SHA384())
    buffer = memoryview(bytearray(BUFFER))
    with Path(source).open("rb", buffering=0) as read:
        while count := read.readinto(buffer):
            digest.update(buffer[:count])
    digest.finalize()


def encrypt(source: str, target: str, frame_length: str, threads: str, signing: str) -> None:
    """Encrypt with ``Client.encrypt_file``; ``threads`` is ``""`` where the client chooses."""
    from envelope_sdk import Client

    Client(**_settings(frame_length, threads, signing)).encrypt_file(source, target)


def decrypt(source: str, target: str, frame_length: str, threads: str, signing: str) -> None:
    """Decrypt with ``Client.decrypt_file``."""
    from envelope_sdk import Client

    Client(**_settings(frame_length, threads, signing)).decrypt_file(source, target)


def write_through_open(source: str, target: str) -> None:
    """Encrypt through a file object."""
    import shutil

    from envelope_sdk import Client

    client = Client(**_settings("65536", "1", ""))
    with Path(source).open("rb") as read, client.open(target, "wb") as write:
        shutil.copyfileobj(read, write, BUFFER)


def read_through_open(source: str, target: str) -> None:
    """Decrypt through a file object."""
    import shutil

    from envelope_sdk import Client

    client = Client(**_settings("65536", "1", ""))
    with client.open(source) as read, Path(target).open("wb") as write:
        shutil.copyfileobj(read, write, BUFFER)


def _settings(frame_length: str, threads: str, signing: str) -> dict[str, object]:
    from envelope_sdk.keyrings import RawAesKeyring

    return {
        "keyring": RawAesKeyring("benchmark", "key", bytes(32)),
        "frame_length": int(frame_length),
        "threads": int(threads) if threads else None,
        "sign": signing == "signed",
    }
