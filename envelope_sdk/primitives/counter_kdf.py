"""Key derivation in counter mode over HMAC (NIST SP 800-108, 4.1), as the ECDH and hierarchical keyrings use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

if TYPE_CHECKING:
    from envelope_sdk.formats.cursor import BytesLike

__all__ = ["counter_kdf"]

_HASHES: Final[dict[str, HashAlgorithm]] = {"sha256": SHA256(), "sha384": SHA384()}
_WORD: Final = 4  # bytes of the counter, and of the length that follows the context


def counter_kdf(hash_name: str, key: BytesLike, label: bytes, context: bytes, length: int) -> bytes:
    """Return a key derived from another.

    Args:
        hash_name: ``"sha256"`` or ``"sha384"``.
        key: the input key, any length.
        label: what the derived key is for; any length, and any bytes.
        context: what else it is bound to: a salt, here.
        length: bytes of the derived key.
    """
    return KBKDFHMAC(
        algorithm=_HASHES[hash_name],
        mode=Mode.CounterMode,
        length=length,
        rlen=_WORD,
        llen=_WORD,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    ).derive(key)
