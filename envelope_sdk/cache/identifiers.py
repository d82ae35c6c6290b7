"""Names of values in a cache.

Sources: framework/caching-cmm.md, appendix A; framework/aws-kms/aws-kms-hierarchical-keyring.md, appendix A.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA384, Hash

from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.suites import AlgorithmSuite

__all__ = [
    "MaterialsName",
    "MaterialsNames",
    "Resource",
    "Scope",
    "cache_identifier",
    "decryption_materials_identifier",
    "encryption_materials_identifier",
    "is_name",
]

_WITH_SUITE: Final = b"\1"

_MOST_KNOWN: Final = 1024
"""Names that are kept in mind: about as many as a cache keeps values."""

_LONGEST_KNOWN: Final = 2048
"""Bytes of what is named, above which the name is computed each time, so that strangers' messages fill no memory."""


class Resource(IntEnum):
    """What kind of part of this package a value belongs to."""

    CACHING_MANAGER = 1
    HIERARCHICAL_KEYRING = 2


class Scope(IntEnum):
    """What a value is for. Values for one are never taken for the other."""

    ENCRYPT = 1
    DECRYPT = 2


def is_name(text: str) -> bool:
    """Return whether ``text`` can be a part of what an identifier is computed from.

    Raises:
        TypeError: it is not text.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a name is text, not {type(text).__name__}")
    try:
        return bool(text.encode()) and "\0" not in text
    except UnicodeEncodeError:
        return False


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


class MaterialsName(NamedTuple):
    """What materials are called, and the pairs they are for.

    The specification's formula puts no count before encrypted data keys, so that keys and pairs can be made up which
    read the same as others. Those pairs differ in length, and whoever compares whole names tells them apart.

    Attributes:
        identifier: 48 bytes.
        context: the serialized encryption context of the request.
        reproduced: the serialized pairs that a reader gave; empty for encryption.
    """

    identifier: bytes
    context: bytes
    reproduced: bytes


class MaterialsNames:
    """Names materials within one partition. Those that were named lately are not hashed anew.

    Safe to share between threads. What is kept in mind stands in messages, in clear.
    """

    __slots__ = ("_known", "_partition")

    def __init__(self, partition: bytes) -> None:
        """Take the partition, as for :func:`cache_identifier`."""
        self._partition = partition
        self._known: dict[tuple[object, ...], MaterialsName] = {}

    def of_encryption(
        self, suite: AlgorithmSuite, context: EncryptionContext, required_keys: frozenset[str]
    ) -> MaterialsName:
        """Return the name of encryption materials: arguments as for :func:`encryption_materials_identifier`."""
        pairs = context.canonical
        asked = suite.id_bytes, pairs, required_keys
        name = self._known.get(asked)
        if name is None:
            identifier = encryption_materials_identifier(self._partition, suite, context, required_keys)
            name = MaterialsName(identifier, pairs, b"")
            self._remember(asked, name, len(pairs) + sum(map(len, required_keys)))
        return name

    def of_decryption(
        self,
        suite: AlgorithmSuite,
        encrypted_data_keys: Sequence[EncryptedDataKey],
        context: EncryptionContext,
        reproduced: EncryptionContext,
    ) -> MaterialsName:
        """Return the name of decryption materials: arguments as for :func:`decryption_materials_identifier`."""
        keys, pairs, given = tuple(encrypted_data_keys), context.canonical, reproduced.canonical
        asked = suite.id_bytes, keys, pairs, given
        name = self._known.get(asked)
        if name is None:
            identifier = decryption_materials_identifier(self._partition, suite, keys, context, reproduced)
            name = MaterialsName(identifier, pairs, given)
            self._remember(asked, name, len(pairs) + len(given) + sum(sum(map(len, key)) for key in keys))
        return name

    def _remember(self, asked: tuple[object, ...], name: MaterialsName, length: int) -> None:
        if length > _LONGEST_KNOWN:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[asked] = name


def _counted(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text
