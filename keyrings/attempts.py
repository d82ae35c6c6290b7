"""Trying wrapped data keys one after the other, as every keyring has to (framework/keyring-interface.md, OnDecrypt)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from envelope_sdk.errors import (
    EnvelopeError,
    KeyringError,
    KmsPacingError,
    NoMatchingKeyError,
    UnwrapFailure,
    UsageError,
)
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.materials import DecryptionMaterials

__all__ = ["NOTHING_OPENS", "cannot_unwrap", "require_no_data_key", "unwrap_first"]

NOTHING_OPENS = "no key at hand opens this message"
"""What a :class:`NoMatchingKeyError` begins with."""


def require_no_data_key(materials: DecryptionMaterials) -> None:
    """Raise :class:`UsageError` where the materials already hold a data key, which a keyring must not replace."""
    if materials.plaintext_data_key is not None:
        raise UsageError("the decryption materials already hold a data key")


def cannot_unwrap(keyring: object, materials: DecryptionMaterials, why: str) -> NoReturn:
    """Say that a keyring unwraps nothing, and why.

    Raises:
        NoMatchingKeyError: always, but where the materials already hold a data key.
        UsageError: they do.
    """
    require_no_data_key(materials)
    raise NoMatchingKeyError(NOTHING_OPENS, [UnwrapFailure(repr(keyring), None, KeyringError(why))])


def unwrap_first(
    keyring: object,
    materials: DecryptionMaterials,
    candidates: Iterable[EncryptedDataKey],
    unwrap: Callable[[EncryptedDataKey], bytes],
    *,
    otherwise: str = "none of the message's data keys is wrapped for this key",
) -> DecryptionMaterials:
    """Return ``materials`` with the first data key that ``unwrap`` opens and that has the suite's length.

    Args:
        keyring: asked for its repr where something fails.
        materials: without a data key.
        candidates: the encrypted data keys that are this keyring's, in message order.
        unwrap: returns a data key or raises an :class:`EnvelopeError`, which ends that attempt only; but for a
            :class:`KmsPacingError`, which ends all: whoever paces calls does not want others made in their place.
        otherwise: what to say where there are no candidates.

    Raises:
        NoMatchingKeyError: none opened.
        KmsPacingError: a pacer let no call through.
        UsageError: the materials already hold a data key.
    """
    require_no_data_key(materials)
    wanted = materials.algorithm_suite.key_length
    failures: list[UnwrapFailure] = []
    try:
        for candidate in candidates:
            try:
                data_key = unwrap(candidate)
            except KmsPacingError:
                raise
            except EnvelopeError as error:
                failures.append(UnwrapFailure(repr(keyring), candidate.provider_id, error))
                continue
            if len(data_key) == wanted:
                return materials.with_data_key(data_key)
            wrong = KeyringError(f"the data key has {len(data_key)} bytes, the algorithm suite needs {wanted}")
            failures.append(UnwrapFailure(repr(keyring), candidate.provider_id, wrong))
        if not failures:
            failures.append(UnwrapFailure(repr(keyring), None, KeyringError(otherwise)))
        raise NoMatchingKeyError(NOTHING_OPENS, failures)
    finally:
        # The errors hold this frame, and with it all callers' buffers: without this they would keep each other.
        del failures
