"""HKDF (RFC 5869) in two steps, since a committing message expands one extracted key twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["hkdf_expand", "hkdf_extract"]

_HASHES: Final[dict[str, HashAlgorithm]] = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}


def hkdf_extract(hash_name: str, salt: bytes | None, key_material: BytesLike) -> bytes:
    """Return the pseudo-random key of ``key_material`` (RFC 5869 section 2.2).

    Args:
        hash_name: ``"sha256"``, ``"sha384"`` or ``"sha512"``.
        salt: any length; ``None`` stands for as many zero bytes as the hash is long.
        key_material: the input key, any length.
    """
    return HKDF.extract(_HASHES[hash_name], salt, key_material)


def hkdf_expand(hash_name: str, pseudo_random_key: bytes, info: bytes, length: int) -> bytes:
    """Return ``length`` bytes of key for the purpose ``info`` (RFC 5869 section 2.3)."""
    return HKDFExpand(_HASHES[hash_name], length, info).derive(pseudo_random_key)
