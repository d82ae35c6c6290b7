"""Principals that make requests, and the condition keys that say who they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from envelope_sdk.errors import UsageError

__all__ = ["Caller", "CallerKind"]

_ARN: Final = re.compile(r"arn:(aws[a-z-]*):(iam|sts)::(\d{12}):(.+)", re.ASCII | re.DOTALL)


class CallerKind(Enum):
    """What a caller is; the values are those of ``aws:PrincipalType``."""

    ROOT = "Account"
    USER = "User"
    ROLE_SESSION = "AssumedRole"
    FEDERATED_USER = "FederatedUser"
    SERVICE = "AWSService"


_KINDS: Final = {
    ("iam", "user"): CallerKind.USER,
    ("iam", "role"): CallerKind.ROLE_SESSION,
    ("sts", "assumed-role"): CallerKind.ROLE_SESSION,
    ("sts", "federated-user"): CallerKind.FEDERATED_USER,
}


class Caller:
    """Who makes a request. Made once for each identity, and used for all its requests.

    Attributes:
        kind: user, role session and so on.
        arn: of the user or session, as errors show it; the name of a service, for instance ``s3.amazonaws.com``.
        account: twelve digits; a service's is empty.
        role_arn: of the role behind a role session, its path included.
        unique_id: for instance ``AIDA...``, of the user or role; empty where none is known.
        provider: the identity provider behind a federated role session, for instance ``www.amazon.com``.
        tags: of the user or role, and of the session.
        session_policies: the documents that the session was begun with.
        keys: the condition keys that follow from the rest, in lower case.
    """

    __slots__ = (
        "account",
        "arn",
        "keys",
        "kind",
        "provider",
        "role_arn",
        "session_policies",
        "tags",
        "unique_id",
    )

    def __init__(
        self,
        kind: CallerKind,
        arn: str,
        account: str,
        *,
        role_arn: str = "",
        unique_id: str = "",
        provider: str = "",
        tags: Mapping[str, str] | None = None,
        session_policies: Sequence[str] = (),
    ) -> None:
        """Take what is known of the caller; :meth:`parse` and :meth:`service` are easier.

        Args:
            kind: as the attribute.
            arn: likewise.
            account: likewise.
            role_arn: likewise.
            unique_id: likewise.
            provider: likewise.
            tags: likewise.
            session_policies: likewise.
        """
        self.kind = kind
        self.arn = arn
        self.account = account
        self.role_arn = role_arn
        self.unique_id = unique_id
        self.provider = provider
        self.tags: Mapping[str, str] = dict(tags or {})
        self.session_policies = tuple(session_policies)
        self.keys: Mapping[str, tuple[str, ...]] = _keys(self)

    def __repr__(self) -> str:
        return f"Caller({self.arn!r})"

    @classmethod
    def parse(
        cls,
        arn: str,
        *,
        role_path: str = "/",
        unique_id: str = "",
        provider: str = "",
        tags: Mapping[str, str] | None = None,
        session_policies: Sequence[str] = (),
    ) -> Caller:
        """Return the caller whom an ARN names.

        Args:
            arn: of an account's root, a user, a role session (``assumed-role/ROLE/SESSION``) or a federated user. That
                of a role stands for a session of the role.
            role_path: of the role behind a session, whose ARN leaves it out.
            unique_id: as the attribute.
            provider: likewise.
            tags: likewise.
            session_policies: likewise.

        Raises:
            UsageError: it names none of these.
        """
        found = _ARN.fullmatch(arn)
        kind = _kind(found[2], found[4]) if found else None
        if found is None or kind is None:
            raise UsageError(f"not the ARN of an account's root, a user, a role or a session: {arn!r}")
        partition, service, account, resource = found.groups()
        role_arn = ""
        if kind is CallerKind.ROLE_SESSION:
            named = f"arn:{partition}:iam::{account}:role{role_path}{resource.split('/')[1]}"
            role_arn = named if service == "sts" else arn
        return cls(
            kind,
            arn,
            account,
            role_arn=role_arn,
            unique_id=unique_id,
            provider=provider,
            tags=tags,
            session_policies=session_policies,
        )

    def known_as(self, unique_id: str, tags: Mapping[str, str]) -> Caller:
        """Return the same caller with what is known of its user or role; the tags of a session come before those."""
        return Caller(
            self.kind,
            self.arn,
            self.account,
            role_arn=self.role_arn,
            unique_id=self.unique_id or unique_id,
            provider=self.provider,
            tags={**tags, **self.tags},
            session_policies=self.session_policies,
        )

    @classmethod
    def service(cls, name: str) -> Caller:
        """Return the AWS service of that name, for instance ``s3.amazonaws.com``, calling for itself."""
        return cls(CallerKind.SERVICE, name, "")


def _kind(service: str, resource: str) -> CallerKind | None:
    """Return what the last part of an ARN of IAM or STS names."""
    if (service, resource) == ("iam", "root"):
        return CallerKind.ROOT
    kind, _, name = resource.partition("/")
    if kind == "assumed-role" and not all(name.partition("/")):
        return None
    return _KINDS.get((service, kind)) if name else None


def _keys(caller: Caller) -> dict[str, tuple[str, ...]]:
    service = caller.kind is CallerKind.SERVICE
    keys: dict[str, tuple[str, ...]] = {
        "aws:principalisawsservice": ("true" if service else "false",),
        "aws:principaltype": (caller.kind.value,),
    }
    if service:
        keys["aws:principalservicename"] = (caller.arn,)
        return keys
    # For a role session this is the role, not the session.
    keys["aws:principalarn"] = (caller.role_arn or caller.arn,)
    keys["aws:principalaccount"] = (caller.account,)
    keys["kms:calleraccount"] = (caller.account,)
    if caller.kind is CallerKind.USER:
        keys["aws:username"] = (caller.arn.rpartition("/")[2],)
    user_id = _user_id(caller)
    if user_id:
        keys["aws:userid"] = (user_id,)
    if caller.provider:
        keys["aws:federatedprovider"] = (caller.provider,)
    for name, value in caller.tags.items():
        keys[f"aws:principaltag/{name.lower()}"] = (value,)
    return keys


def _user_id(caller: Caller) -> str:
    if caller.kind is CallerKind.ROOT:
        return caller.account
    if caller.kind is CallerKind.FEDERATED_USER:
        return f"{caller.account}:{caller.arn.rpartition('/')[2]}"
    if caller.kind is CallerKind.ROLE_SESSION and caller.unique_id:
        return f"{caller.unique_id}:{caller.arn.rpartition('/')[2]}"
    return caller.unique_id
