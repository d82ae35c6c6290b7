"""The namespace and name by which a raw key is known (framework/keyring-interface.md, "key namespace", "key name")."""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import UsageError

__all__ = ["checked_name"]

_KMS_NAMESPACE: Final = "aws-kms"
_MAX_LENGTH: Final = 0xFFFF - 64


def checked_name(namespace: str, name: str) -> bytes:
    """Return ``name`` as it stands in messages.

    Raises:
        UsageError: the namespace is one that AWS KMS keyrings use, or either is empty, too long or not UTF-8 text.
        TypeError: either is not text.
    """
    for what, text in (("namespace", namespace), ("name", name)):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes, most often
            raise TypeError(f"the key {what} is text, not {type(text).__name__}")
    if namespace.startswith(_KMS_NAMESPACE):
        raise UsageError(f"key namespaces that begin with {_KMS_NAMESPACE!r} belong to AWS KMS keys: choose another")
    for what, text in (("namespace", namespace), ("name", name)):
        try:
            length = len(text.encode("utf-8"))
        except UnicodeEncodeError:
            raise UsageError(f"the key {what} is not encodable as UTF-8: {text!r}") from None
        if not 1 <= length <= _MAX_LENGTH:
            raise UsageError(f"the key {what} takes {length} bytes; 1 to {_MAX_LENGTH} are possible")
    return name.encode("utf-8")
