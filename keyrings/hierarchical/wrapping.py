"""A data key under a branch key, as it stands in messages.

framework/aws-kms/aws-kms-hierarchical-keyring.md, "branch key wrapping", "branch key unwrapping" and "ciphertext"::

    salt 16 | IV 12 | branch key version 16 (a UUID's bytes) | data key, encrypted | tag 16
"""

from __future__ import annotations

import uuid
from typing import Final

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.hierarchical.branch_keys import KEY_LENGTH, BranchKey
from envelope_sdk.primitives.aead import IV_LENGTH, TAG_LENGTH
from envelope_sdk.primitives.counter_kdf import counter_kdf
from envelope_sdk.primitives.entropy import RandomSource
from envelope_sdk.primitives.keywrap import AesWrappingKey

__all__ = ["OVERHEAD", "PROVIDER_ID", "unwrap_data_key", "version_of", "wrap_data_key"]

PROVIDER_ID: Final = "aws-kms-hierarchy"
"""The key provider id of data keys wrapped under a branch key; also what the derived keys are for."""

_PURPOSE: Final = PROVIDER_ID.encode()
_SALT_LENGTH: Final = 16
_VERSION_LENGTH: Final = 16
_VERSION_START: Final = _SALT_LENGTH + IV_LENGTH
_WRAPPED_START: Final = _VERSION_START + _VERSION_LENGTH

OVERHEAD: Final = _WRAPPED_START + TAG_LENGTH
"""Bytes that a wrapped data key is longer than the data key."""


def wrap_data_key(branch_key: BranchKey, data_key: bytes, context: bytes, random: RandomSource) -> bytes:
    """Return ``data_key`` under a key that is derived from ``branch_key`` for this once.

    Args:
        branch_key: the active version.
        data_key: what to wrap.
        context: the canonical encryption context, which it is bound to.
        random: the source of salt and IV.
    """
    salt, iv = random(_SALT_LENGTH), random(IV_LENGTH)
    version = uuid.UUID(branch_key.version).bytes
    wrapped = _derived(branch_key, salt).wrap(data_key, iv, _bound_to(branch_key, version, context))
    return b"".join((salt, iv, version, wrapped))


def unwrap_data_key(branch_key: BranchKey, ciphertext: bytes, context: bytes) -> bytes:
    """Return the data key.

    Raises:
        AuthenticationError: another branch key, another context, or altered bytes.
    """
    salt, iv = ciphertext[:_SALT_LENGTH], ciphertext[_SALT_LENGTH:_VERSION_START]
    bound_to = _bound_to(branch_key, ciphertext[_VERSION_START:_WRAPPED_START], context)
    return _derived(branch_key, salt).unwrap(ciphertext[_WRAPPED_START:], iv, bound_to)


def version_of(ciphertext: bytes, key_length: int) -> str:
    """Return the version of the branch key that a data key of ``key_length`` bytes is wrapped under.

    Raises:
        KeyringError: the wrapped data key has another length than such a one has.
    """
    if len(ciphertext) != OVERHEAD + key_length:
        raise KeyringError(f"the wrapped data key has {len(ciphertext)} bytes where {OVERHEAD + key_length} are due")
    return str(uuid.UUID(bytes=ciphertext[_VERSION_START:_WRAPPED_START]))


def _derived(branch_key: BranchKey, salt: bytes) -> AesWrappingKey:
    return AesWrappingKey(counter_kdf("sha256", branch_key.key, _PURPOSE, salt, KEY_LENGTH))


def _bound_to(branch_key: BranchKey, version: bytes, context: bytes) -> bytes:
    return b"".join((_PURPOSE, branch_key.branch_key_id.encode(), version, context))
