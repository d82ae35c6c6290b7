"""Reading asymmetric keys from PEM and DER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from envelope_sdk.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

__all__ = ["load_private_key", "load_public_key", "other_kind"]

_PEM_START: Final = b"-----BEGIN"


def load_public_key(what: str, data: bytes) -> PublicKeyTypes:
    """Return the public key in PEM or DER bytes: a SubjectPublicKeyInfo, or PKCS#1 where it is RSA.

    Args:
        what: the key in an error's words, for instance ``"RSA public key"``.
        data: the bytes.

    Raises:
        UsageError: they hold no public key, or one of a kind that is not supported.
    """
    try:
        return load_pem_public_key(data) if _is_pem(data) else load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"the {what} is neither PEM nor DER of a public key") from None


def load_private_key(what: str, data: bytes, password: bytes | None) -> PrivateKeyTypes:
    """Return the private key in PEM or DER bytes (PKCS#8 or traditional); ``password`` opens an encrypted one.

    Raises:
        UsageError: they hold no private key, or the password does not fit or is empty.
        TypeError: the password is not bytes.
    """
    # What cryptography says of these cannot be told from what it says where a password is missing or needless.
    if password is not None and not isinstance(password, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a password is bytes, not {type(password).__name__}")
    if password == b"":
        raise UsageError(f"the password of the {what} is empty: give None where there is none")
    try:
        return load_pem_private_key(data, password) if _is_pem(data) else load_der_private_key(data, password)
    except TypeError:
        need = "is encrypted: give its password" if password is None else "is not encrypted: give no password"
        raise UsageError(f"the {what} {need}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"the {what} is not PEM or DER of a private key, or the password is wrong") from None


def other_kind(what: str, key: object, kind: type) -> UsageError:
    """Return the error for a key that is not of the kind that is needed, or is no key at all."""
    return UsageError(
        f"the {what} is {type(key).__name__}, not an {kind.__name__}: give PEM or DER bytes of one, or the object"
    )


def _is_pem(data: bytes) -> bool:
    # Text may come before it (RFC 7468, section 2): OpenSSL writes a bag's attributes there, for one.
    return _PEM_START in data
