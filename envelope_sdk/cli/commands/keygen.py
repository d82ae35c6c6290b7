"""``envelope keygen``."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.key_files import (
    encode_aes_key_file,
    encode_ecdh_key_file,
    encode_rsa_key_file,
    parse_key_file,
)
from envelope_sdk.primitives.entropy import system_random
from envelope_sdk.primitives.rsa import RsaPadding
from envelope_sdk.streams.files import AtomicFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["command"]

_AES_BYTES: Final = {"aes-128": 16, "aes-192": 24, "aes-256": 32}
_RSA_BITS: Final = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}


_ECDH_CURVES: Final = ("ecdh-p256", "ecdh-p384", "ecdh-p521")
_NAMESPACE: Final = "envelope"


@click.command("keygen")
@click.argument("file", metavar="FILE")
@click.option(
    "-t",
    "--type",
    "kind",
    type=click.Choice([*_AES_BYTES, *_RSA_BITS, *_ECDH_CURVES]),
    default="aes-256",
    show_default=True,
)
@click.option("--namespace", help=f"Key provider id in messages (default: {_NAMESPACE}); not for ECDH.")
@click.option("--name", help="Key name in messages (default: a random one); not for ECDH.")
def command(file: str, kind: str, namespace: str | None, name: str | None) -> None:
    """Make a raw key and write it to FILE, readable by you only.

    An RSA or ECDH key also gets FILE.pub, its public half, which encrypts but does not decrypt. An existing file is
    never replaced: what it encrypts would be lost with it.
    """
    if kind in _ECDH_CURVES:
        if namespace is not None or name is not None:
            raise UsageError("messages name an ECDH key by its public half: it takes no --namespace and no --name")
        files = _ecdh_files(file, kind)
    else:
        files = _named_files(
            file, kind, _NAMESPACE if namespace is None else namespace, name or f"key-{secrets.token_hex(8)}"
        )
    for data in files.values():
        parse_key_file(data)
    for path in files:
        _require_absent(path)
    _write(files)
    for path in files:
        say(f"wrote {path}")


def _named_files(file: str, kind: str, namespace: str, name: str) -> dict[str, bytes]:
    if kind in _AES_BYTES:
        return {file: encode_aes_key_file(namespace, name, system_random(_AES_BYTES[kind]))}
    from cryptography.hazmat.primitives.asymmetric import rsa

    private, public = _pem(rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS[kind]))
    padding = RsaPadding.OAEP_SHA256
    return {
        file: encode_rsa_key_file(namespace, name, padding, public_key=public, private_key=private),
        f"{file}.pub": encode_rsa_key_file(namespace, name, padding, public_key=public),
    }


def _ecdh_files(file: str, kind: str) -> dict[str, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec

    curves: dict[str, ec.EllipticCurve] = {
        "ecdh-p256": ec.SECP256R1(),
        "ecdh-p384": ec.SECP384R1(),
        "ecdh-p521": ec.SECP521R1(),
    }
    private, public = _pem(ec.generate_private_key(curves[kind]))
    return {
        file: encode_ecdh_key_file("pair", private_key=private),
        f"{file}.pub": encode_ecdh_key_file("ephemeral", recipient_public_key=public),
    }


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


def _pem(key: RSAPrivateKey | EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    """Return the private and the public half."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
