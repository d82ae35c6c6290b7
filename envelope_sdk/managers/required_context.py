"""Pairs that a reader has to know: authenticated, but not stored (framework/required-encryption-context-cmm.md)."""

from __future__ import annotations

from collections.abc import Iterable

from envelope_sdk.errors import ContextMismatchError, KeyringError, UsageError
from envelope_sdk.formats.context import RESERVED_PREFIX, EncryptionContext
from envelope_sdk.managers.default import DefaultMaterialsManager, check_context_has
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    Keyring,
    MaterialsManager,
)

__all__ = ["RequiredContextMaterialsManager"]


class RequiredContextMaterialsManager:
    """Leaves the pairs of some keys out of messages, and opens none without them.

    The header's tag and, where the keyring binds it, the wrapped data key cover these pairs all the same: whoever reads
    the message gives them as ``encryption_context``, with the values they had.
    """

    __slots__ = ("_required_keys", "_underlying")

    def __init__(self, underlying: MaterialsManager | Keyring, required_keys: Iterable[str]) -> None:
        """Take where materials come from, and the keys.

        Args:
            underlying: a manager, which may be another of this kind, or a keyring, asked for every message.
            required_keys: encryption context keys, at least one. Every message's context has them all.

        Raises:
            UsageError: there are no keys, or one that no context may have: it begins with ``aws-crypto-``, is not
                encodable as UTF-8, or is too long.
            TypeError: ``required_keys`` is a single text or holds something else than text, or ``underlying`` is
                neither a manager nor a keyring.
        """
        self._underlying: MaterialsManager
        if isinstance(underlying, MaterialsManager):
            self._underlying = underlying
        elif isinstance(underlying, Keyring):  # pyright: ignore[reportUnnecessaryIsInstance] - anything may arrive
            self._underlying = DefaultMaterialsManager(underlying)
        else:
            raise TypeError(f"underlying is a MaterialsManager or a Keyring, not {type(underlying).__name__}")
        self._required_keys = _checked_keys(required_keys)

    def __repr__(self) -> str:
        return f"RequiredContextMaterialsManager({self._underlying!r}, {sorted(self._required_keys)!r})"

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        """Return materials that leave the required pairs out of the message.

        Raises:
            EncryptionContextError: the request's context lacks a required key; nothing was asked for.
            KeyringError: the underlying manager returned materials that would store a required pair or lost it.
            Otherwise what the underlying manager raises.
        """
        context = request.encryption_context
        required = self._required_keys | request.required_encryption_context_keys
        check_context_has(context, required)
        materials = self._underlying.get_encryption_materials(
            request._replace(required_encryption_context_keys=required)
        )
        found = materials.encryption_context
        if not required <= materials.required_encryption_context_keys or any(
            found.get(key) != context[key] for key in required
        ):
            raise KeyringError(
                f"{self._underlying!r} returned materials that do not keep the required encryption context: the pairs "
                "it was asked to leave out of the message are stored, changed or missing"
            )
        return materials

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        """Return the materials of a message to whose reader the required pairs are known.

        Raises:
            ContextMismatchError: the reproduced context lacks a required key; nothing was unwrapped.
            KeyringError: the underlying manager returned materials by which a required pair is not authenticated.
            Otherwise what the underlying manager raises.
        """
        reproduced, stored = request.reproduced_encryption_context, request.encryption_context
        if missing := self._required_keys - reproduced.keys():
            raise ContextMismatchError(
                f"the required keys {', '.join(sorted(map(repr, missing)))} are not among the pairs to decrypt with: "
                "give the values the message was encrypted with as encryption_context"
            )
        materials = self._underlying.decrypt_materials(request)
        found, unstored = materials.encryption_context, materials.required_encryption_context_keys
        for key in self._required_keys:
            # What is not stored is covered by the header's tag only where the materials name its key.
            if found.get(key) != reproduced[key] or (key not in stored and key not in unstored):
                raise KeyringError(
                    f"{self._underlying!r} returned materials by which the required pair of {key!r} would not be "
                    "authenticated"
                )
        return materials


def _checked_keys(required_keys: Iterable[str]) -> frozenset[str]:
    if isinstance(required_keys, str):
        raise TypeError("required_keys is a collection of keys, not one text")
    keys = frozenset(required_keys)
    for key in keys:
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes, most often
            raise TypeError(f"an encryption context key is text, not {type(key).__name__}")
    if not keys:
        raise UsageError("there are no required keys: name one at least, or use the underlying manager itself")
    if reserved := sorted(filter(_is_reserved, keys)):
        raise UsageError(
            f"keys that begin with {RESERVED_PREFIX!r} belong to the format, no context may give them a value: "
            f"{', '.join(reserved)}"
        )
    # What no context can hold would be missing from every one.
    EncryptionContext(dict.fromkeys(keys, ""))
    return keys


def _is_reserved(key: str) -> bool:
    return key.startswith(RESERVED_PREFIX)
