"""What is kept of a user, group or role, and the same compiled for decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache

from envelope_sdk.errors import KeyStoreError, KmsServiceError
from envelope_sdk.local_kms.model import Identity
from envelope_sdk.local_kms.policy import Caller, Policy, PolicyKind

__all__ = ["IdentityDocument", "IdentityKind", "Principal", "compiled_policy", "document_of", "principal_of"]

_COMPILED = 1024


class IdentityKind(StrEnum):
    """What an identity is; the values are the word in its ARN."""

    USER = "user"
    GROUP = "group"
    ROLE = "role"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityDocument:
    """The ``document`` of an identity.

    Attributes:
        kind: see :class:`IdentityKind`.
        name: unlike that of any other of its kind in the account, whatever the path.
        path: begins and ends with a slash.
        unique_id: ``AIDA...``, ``AGPA...`` or ``AROA...``.
        policies: documents by name.
        boundary: the permissions boundary's document.
        tags: by name; groups have none.
        groups: ARNs of a user's.
    """

    kind: IdentityKind
    name: str
    path: str
    unique_id: str
    policies: Mapping[str, str] = field(default_factory=dict[str, str])
    boundary: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    groups: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


@lru_cache(maxsize=_COMPILED)
def document_of(identity: Identity) -> IdentityDocument:
    """Return what is kept of an identity.

    Raises:
        KeyStoreError: it is damaged.
    """
    try:
        fields = json.loads(identity.document)
        fields["kind"] = IdentityKind(fields["kind"])
        fields["groups"] = tuple(fields["groups"])
        return IdentityDocument(**fields)
    except (ValueError, TypeError, KeyError):
        raise KeyStoreError(f"the key store's record of {identity.arn} is damaged") from None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller with what its account says of it.

    Attributes:
        caller: with unique id and tags.
        identity: the policies attached to the user and its groups, or to the role.
        boundary: the permissions boundary.
        session: the session policies.
    """

    caller: Caller
    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    session: tuple[Policy, ...] = ()


@lru_cache(maxsize=_COMPILED)
def principal_of(caller: Caller, identity: Identity | None, groups: tuple[Identity, ...]) -> Principal:
    """Return a caller with the policies of its identity, if it is known, and of its groups."""
    session = tuple(compiled_policy(text, PolicyKind.SESSION, "") for text in caller.session_policies)
    if identity is None:
        return Principal(caller, session=session)
    own = document_of(identity)
    attached = tuple(
        compiled_policy(text, PolicyKind.IDENTITY, f"{name} of {document.kind} {document.name}")
        for document in (own, *map(document_of, groups))
        for name, text in document.policies.items()
    )
    boundary = None if own.boundary is None else compiled_policy(own.boundary, PolicyKind.BOUNDARY, "")
    return Principal(caller.known_as(own.unique_id, own.tags), attached, boundary, session)


@lru_cache(maxsize=_COMPILED)
def compiled_policy(text: str, kind: PolicyKind, name: str) -> Policy:
    """Return a policy that was checked before it was kept.

    Raises:
        KeyStoreError: it cannot be read.
    """
    try:
        return Policy.parse(text, kind, name=name)
    except KmsServiceError as error:
        raise KeyStoreError(f"the key store holds a {kind.value} that cannot be read: {error.message}") from None
