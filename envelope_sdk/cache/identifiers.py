"""Names of values in a cache.

Sources: framework/caching-cmm.md, appendix A; framework/aws-kms/aws-kms-hierarchical-keyring.md, appendix A.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA384, Hash

from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.suites import AlgorithmSuite

__all__ = [
    "Resource",
    "Scope",
    "cache_identifier",
    "decryption_materials_identifier",
    "encryption_materials_identifier",
]

_WITH_SUITE: Final = b"\1"


class Resource(IntEnum):
    """What kind of part of this package a value belongs to."""

    CACHING_MANAGER = 1
    HIERARCHICAL_KEYRING = 2


class Scope(IntEnum):
    """What a value is for. Values for one are never taken for the other."""

    ENCRYPT = 1
    DECRYPT = 2


def cache_identifier(resource: Resource, scope: Scope, partition: bytes, *suffix: bytes) -> bytes:
    """Return the 48 bytes that name a value.

    Args:
        resource: whose it is.
        scope: what it is for.
        partition: tells users of a shared cache apart that are not to share values.
        suffix: what the value is, within its partition.
    """
    digest = Hash(SHA384())
    digest.update(b"\0".join((bytes((resource,)), bytes((scope,)), partition, *suffix)))
    return digest.finalize()


def encryption_materials_identifier(
    partition: bytes, suite: AlgorithmSuite, context: EncryptionContext, required_keys: Collection[str] = ()
) -> bytes:
    """Return the name of encryption materials: the specification's where no pairs are left out of the message.

    Args:
        partition: as for :func:`cache_identifier`.
        suite: the one asked for.
        context: the caller's pairs.
        required_keys: keys of pairs that are not stored. The specification's formula does not tell them apart from
            those that are, so here they follow, length by length.
    """
    suffix = [_WITH_SUITE, suite.id_bytes, context.canonical]
    if required_keys:
        suffix.append(b"".join(_counted(key.encode()) for key in sorted(required_keys)))
    return cache_identifier(Resource.CACHING_MANAGER, Scope.ENCRYPT, partition, *suffix)


def decryption_materials_identifier(
    partition: bytes,
    suite: AlgorithmSuite,
    encrypted_data_keys: Sequence[EncryptedDataKey],
    context: EncryptionContext,
    reproduced: EncryptionContext,
) -> bytes:
    """Return the name of decryption materials: the specification's where the caller gives no pairs of its own.

    Args:
        partition: as for :func:`cache_identifier`.
        suite: the message's.
        encrypted_data_keys: the message's, in any order.
        context: the pairs stored in the message.
        reproduced: the caller's pairs, which the specification's formula does not know: they follow.
    """
    keys = b"".join(sorted(key.encode() for key in encrypted_data_keys))
    suffix = [suite.id_bytes, keys, context.canonical]
    if reproduced:
        suffix.append(reproduced.canonical)
    return cache_identifier(Resource.CACHING_MANAGER, Scope.DECRYPT, partition, *suffix)


def _counted(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text
