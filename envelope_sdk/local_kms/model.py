"""What the local KMS keeps: keys, their materials, aliases, grants, and who may call. Values only, no rules.

What only the parts that deal with it understand (the terms of a grant, the policies of an identity) is a JSON document
to the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from envelope_sdk.local_kms.identifiers import Scope

__all__ = [
    "AccessKey",
    "Alias",
    "GrantRecord",
    "Identity",
    "Key",
    "KeyManager",
    "KeyState",
    "LastUsage",
    "Material",
    "MaterialRecord",
    "MaterialState",
    "MultiRegionRole",
    "Rotation",
]


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


class KeyManager(StrEnum):
    """Who has charge of a key, as ``KeyMetadata.KeyManager`` spells it."""

    CUSTOMER = "CUSTOMER"
    AWS = "AWS"


class MaterialState(StrEnum):
    """What a material is to its key, as ``RotationsListEntry.KeyMaterialState`` spells it."""

    CURRENT = "CURRENT"
    NON_CURRENT = "NON_CURRENT"
    PENDING_ROTATION = "PENDING_ROTATION"
    PENDING_MULTI_REGION_IMPORT_AND_ROTATION = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"


class Rotation(StrEnum):
    """What brought a rotation about, as ``RotationsListEntry.RotationType`` spells it."""

    AUTOMATIC = "AUTOMATIC"
    ON_DEMAND = "ON_DEMAND"


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
        policy: the key policy as text.
        material_id: the material in use, 64 hexadecimal digits; ``None`` while it has none.
        manager: see :class:`KeyManager`.
        rotation_days: days from one automatic rotation to the next; ``None`` where there are none.
        next_rotation: when the next is due.
        deletion_days: the waiting period of a primary key that waits for the deletion of its replicas.
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
    manager: KeyManager = KeyManager.CUSTOMER
    rotation_days: int | None = None
    next_rotation: datetime | None = None
    deletion_days: int | None = None

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialRecord:
    """What is known of one key material but its secret.

    Attributes:
        key_id: the key it belongs to.
        material_id: 64 hexadecimal digits; the same in every Region of a multi-Region key.
        created: when it was made or first imported, UTC.
        state: see :class:`MaterialState`.
        present: whether its secret is there: imported material can be deleted, and expires.
        rotated: when a rotation made it the current one; ``None`` for the first.
        rotation: what brought that rotation about.
        description: of imported material, where one was given.
        expiry: when imported material expires; ``None`` for never.
    """

    key_id: str
    material_id: str
    created: datetime
    state: MaterialState = MaterialState.CURRENT
    present: bool = True
    rotated: datetime | None = None
    rotation: Rotation | None = None
    description: str | None = None
    expiry: datetime | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRecord:
    """A grant of one key.

    Attributes:
        scope: the account and Region of the key.
        key_id: the key.
        grant_id: 64 hexadecimal digits.
        token: the grant token, by which the grant can be used before it is ``effective``.
        created: when it was made, UTC.
        effective: from when on it counts for callers who do not give the token, UTC.
        issuing_account: the account it was made under.
        grantee: an ARN, an account or a service.
        retiring: an ARN, an account or a service that may retire it.
        document: its terms, JSON.
    """

    scope: Scope
    key_id: str
    grant_id: str
    token: str
    created: datetime
    effective: datetime
    issuing_account: str
    grantee: str
    retiring: str | None
    document: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A local user, group or role.

    Attributes:
        account: twelve digits.
        arn: its ARN.
        created: when it was made, UTC.
        document: its policies, tags and the like, JSON.
    """

    account: str
    arn: str
    created: datetime
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """What requests are signed with. Its repr shows nothing of the secret.

    Attributes:
        access_key_id: for instance ``AKIA...``; ``ASIA...`` for those of a session.
        account: twelve digits.
        arn: of the user or role session it stands for.
        created: when it was made, UTC.
        expiry: when a session ends; ``None`` for never.
        document: whether it is active, session policies and the like, JSON.
        secret: the secret access key, and the session token if there is one.
    """

    access_key_id: str
    account: str
    arn: str
    created: datetime
    expiry: datetime | None
    document: str
    secret: bytearray

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id}, {self.arn}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("secret access keys cannot be pickled or copied")


@dataclass(frozen=True, slots=True)
class LastUsage:
    """The last successful use of a key for cryptography.

    Attributes:
        operation: for instance ``Decrypt``.
        used: when, UTC.
        event_id: of the audit log's event.
        request_id: of the call.
    """

    operation: str
    used: datetime
    event_id: str
    request_id: str
