"""What the local KMS keeps: keys, their materials, aliases and tags. Values only, no rules and no storage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from envelope_sdk.local_kms.identifiers import Scope

__all__ = ["Alias", "Key", "KeyState", "Material", "MultiRegionRole"]


class KeyState(StrEnum):
    """The states of a key, as ``KeyMetadata.KeyState`` spells them."""

    CREATING = "Creating"
    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"
    PENDING_IMPORT = "PendingImport"
    PENDING_REPLICA_DELETION = "PendingReplicaDeletion"
    UNAVAILABLE = "Unavailable"
    UPDATING = "Updating"


class MultiRegionRole(StrEnum):
    """What a multi-Region key is in its Region."""

    PRIMARY = "PRIMARY"
    REPLICA = "REPLICA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A KMS key without its material, of which it has several over time.

    Attributes:
        scope: the account and Region it lives in.
        key_id: a UUID, or ``mrk-`` and 32 hexadecimal digits.
        created: when it was made, to the millisecond, UTC.
        description: free text.
        usage: what it is for, one of the usages that ``kinds`` gives its spec.
        spec: its kind, for instance ``SYMMETRIC_DEFAULT``.
        origin: where its material came from.
        state: see :class:`KeyState`.
        deletion: when it will be erased; only while a deletion is pending.
        role: what it is as a multi-Region key; ``None`` for a key of one Region.
        primary_region: the Region of the primary; ``None`` for a key of one Region.
        policy: the key policy as text. Kept, not yet enforced.
        material_id: the material in use, 64 hexadecimal digits; ``None`` while it has none.
    """

    scope: Scope
    key_id: str
    created: datetime
    description: str
    usage: str
    spec: str
    origin: str
    state: KeyState
    deletion: datetime | None = None
    role: MultiRegionRole | None = None
    primary_region: str | None = None
    policy: str
    material_id: str | None

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return self.scope.key_arn(self.key_id)


@dataclass(frozen=True, slots=True)
class Material:
    """One key material in the clear, on its way between the store and the cache. Its repr shows nothing of it.

    Attributes:
        key_id: the key it belongs to.
        material_id: 64 hexadecimal digits, unlike for any two materials.
        created: when it was made, UTC.
        secret: what ``key_pairs`` makes for its kind of key; whoever holds it last overwrites it.
    """

    key_id: str
    material_id: str
    created: datetime
    secret: bytearray

    def __repr__(self) -> str:
        return f"Material({self.material_id}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("key material cannot be pickled or copied")


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a key.

    Attributes:
        scope: the account and Region it lives in.
        name: begins with ``alias/``.
        key_id: the key it stands for.
        created: when it was made, UTC.
        updated: when it was last pointed at a key, UTC.
    """

    scope: Scope
    name: str
    key_id: str
    created: datetime
    updated: datetime
