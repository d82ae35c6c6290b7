"""Names of values in a cache (framework/aws-kms/aws-kms-hierarchical-keyring.md, appendix A)."""

from __future__ import annotations

from enum import IntEnum

from cryptography.hazmat.primitives.hashes import SHA384, Hash

__all__ = ["Resource", "Scope", "cache_identifier"]


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
