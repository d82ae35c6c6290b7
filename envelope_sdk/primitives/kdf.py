"""HKDF (RFC 5869) in two steps, since a committing message expands one extracted key twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["InvalidKey", "hkdf", "hkdf_and_verify", "hkdf_twice"]

_HASHES: Final[dict[str, HashAlgorithm]] = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}


def hkdf(hash_name: str, salt: bytes | None, key_material: BytesLike, info: bytes, length: int) -> bytes:
    """Return a key derived from another.

    Args:
        hash_name: ``"sha256"``, ``"sha384"`` or ``"sha512"``.
        salt: any length; ``None`` stands for as many zero bytes as the hash is long.
        key_material: the input key, any length.
        info: what the derived key is for.
        length: bytes of the derived key.
    """
    algorithm = _HASHES[hash_name]
    return HKDFExpand(algorithm, length, info).derive(HKDF.extract(algorithm, salt, key_material))


def hkdf_twice(
    hash_name: str,
    salt: bytes | None,
    key_material: BytesLike,
    first: tuple[bytes, int],
    second: tuple[bytes, int],
) -> tuple[bytes, bytes]:
    """Return two derived keys, each for its own ``info`` and length, of one extraction; else as :func:`hkdf`."""
    algorithm = _HASHES[hash_name]
    root = HKDF.extract(algorithm, salt, key_material)
    return (
        HKDFExpand(algorithm, first[1], first[0]).derive(root),
        HKDFExpand(algorithm, second[1], second[0]).derive(root),
    )


def hkdf_and_verify(
    hash_name: str,
    salt: bytes | None,
    key_material: BytesLike,
    first: tuple[bytes, int],
    second: tuple[bytes, bytes],
) -> bytes:
    """Return one derived key where another, of the same extraction, is the one expected; else as :func:`hkdf_twice`.

    Args:
        hash_name: as for :func:`hkdf`, like the arguments after it.
        salt: any length, or ``None``.
        key_material: the input key.
        first: the info and the length of the key to return.
        second: the info of the other key, and that key; it is compared in constant time.

    Raises ``InvalidKey`` where it is another.
    """
    algorithm = _HASHES[hash_name]
    root = HKDF.extract(algorithm, salt, key_material)
    HKDFExpand(algorithm, len(second[1]), second[0]).verify(root, second[1])
    return HKDFExpand(algorithm, first[1], first[0]).derive(root)
