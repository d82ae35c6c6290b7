"""``envelope keygen``."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Final

import click

from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.key_files import encode_aes_key_file, encode_rsa_key_file, parse_key_file
from envelope_sdk.primitives.entropy import system_random
from envelope_sdk.primitives.rsa import RsaPadding
from envelope_sdk.streams.files import AtomicFile

__all__ = ["command"]

_AES_BYTES: Final = {"aes-128": 16, "aes-192": 24, "aes-256": 32}
_RSA_BITS: Final = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}


@click.command("keygen")
@click.argument("file", metavar="FILE")
@click.option(
    "-t", "--type", "kind", type=click.Choice([*_AES_BYTES, *_RSA_BITS]), default="aes-256", show_default=True
)
@click.option("--namespace", default="envelope", show_default=True, help="Key provider id in messages.")
@click.option("--name", help="Key name in messages (default: a random one).")
def command(file: str, kind: str, namespace: str, name: str | None) -> None:
    """Make a raw key and write it to FILE, readable by you only.

    An RSA key also gets FILE.pub, its public half, which encrypts but does not decrypt. An existing file is never
    replaced: what it encrypts would be lost with it.
    """
    name = name or f"key-{secrets.token_hex(8)}"
    if kind in _AES_BYTES:
        files = {file: encode_aes_key_file(namespace, name, system_random(_AES_BYTES[kind]))}
    else:
        private, public = _rsa_pair(_RSA_BITS[kind])
        padding = RsaPadding.OAEP_SHA256
        files = {
            file: encode_rsa_key_file(namespace, name, padding, public_key=public, private_key=private),
            f"{file}.pub": encode_rsa_key_file(namespace, name, padding, public_key=public),
        }
    for data in files.values():
        parse_key_file(data)
    for path in files:
        _require_absent(path)
    _write(files)
    for path in files:
        say(f"wrote {path}")


def _require_absent(path: str) -> None:
    if not path:
        raise UsageError("a file's name is empty")
    if os.path.lexists(path):
        raise UsageError(f"{path} exists, and a key is never replaced: choose another name")


def _write(files: Mapping[str, bytes]) -> None:
    """Make all of the files or, where one cannot be written whole, none."""
    with contextlib.ExitStack() as stack:
        made: list[tuple[str, AtomicFile]] = []
        for path, data in files.items():
            with _told_with(path):
                made.append((path, stack.enter_context(closing(AtomicFile(path, overwrite=False)))))
                _fill(made[-1][1], data)
        for path, out in made:
            with _told_with(path):
                out.commit()


@contextlib.contextmanager
def _told_with(path: str) -> Generator[None]:
    try:
        yield
    except FileExistsError:
        _require_absent(path)
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _fill(out: AtomicFile, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[out.write(view) :]
    if os.fstat(out.fileno()).st_size != len(data):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def _rsa_pair(bits: int) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
