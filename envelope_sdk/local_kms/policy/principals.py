"""The ``Principal`` and ``NotPrincipal`` elements of key policies, and how closely they mean a caller."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, cast

from envelope_sdk.local_kms.policy.callers import Caller, CallerKind
from envelope_sdk.local_kms.policy.json_text import is_text
from envelope_sdk.local_kms.policy.refusals import invalid_principals, malformed, syntax

__all__ = ["Meant", "Principals", "meant", "read_principals"]

_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)
_ROOT: Final = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):root", re.ASCII)
_IDENTITY: Final = re.compile(
    r"arn:aws[a-z-]*:(?:iam::\d{12}:(?:user|role)|sts::\d{12}:(?:assumed-role/[^/]+|federated-user))/[^*?]+",
    re.ASCII | re.DOTALL,
)
_UNIQUE_ID: Final = re.compile(r"A(?:IDA|ROA|GPA|NPA|NVA)[A-Z0-9]{12,124}", re.ASCII)
_SERVICE: Final = re.compile(r"[a-z0-9.-]+\.(?:amazonaws\.com(?:\.cn)?|internal|amazon\.com)", re.ASCII)
_KINDS: Final = ("AWS", "Service", "Federated")


class Meant(IntEnum):
    """How closely a principal of a policy or grant means a caller; the closer one of several counts."""

    NOT = 0
    """Not at all."""
    ACCOUNT = 1
    """Only the caller's account, which may then say by its own policies who of it is allowed."""
    ROLE = 2
    """The role behind a session: the session's own limits, and those of the role, still hold."""
    DIRECTLY = 3
    """The caller itself, or everyone."""


def meant(name: str, caller: Caller) -> Meant:
    """Return how closely ``name``, an ARN, an account, a unique id or a service's name, means the caller."""
    if caller.kind is CallerKind.SERVICE:
        return Meant.DIRECTLY if name == caller.arn else Meant.NOT
    root = _ROOT.fullmatch(name)
    if name == caller.account or (root and root[1] == caller.account):
        return Meant.DIRECTLY if caller.kind is CallerKind.ROOT else Meant.ACCOUNT
    if name == caller.role_arn or (caller.role_arn and name == caller.unique_id):
        return Meant.ROLE
    if name == caller.arn or (name and name == caller.unique_id):
        return Meant.DIRECTLY
    return Meant.NOT


class Principals:
    """The principals of a statement.

    Attributes:
        aws: accounts (as the ARN of their root), ARNs and unique ids; ``*`` for everyone.
        services: for instance ``s3.amazonaws.com``.
        providers: identity providers of federated role sessions.
        excluding: whether the statement is for everyone but these.
    """

    __slots__ = ("_accounts", "_names", "aws", "excluding", "providers", "services")

    def __init__(
        self, aws: Iterable[str], services: Iterable[str] = (), providers: Iterable[str] = (), *, excluding: bool
    ) -> None:
        """Take the names."""
        self.aws = tuple(aws)
        self.services = frozenset(services)
        self.providers = frozenset(providers)
        self.excluding = excluding
        self._names = frozenset(self.aws)
        roots = (_ROOT.fullmatch(name) for name in self.aws)
        self._accounts = frozenset(found[1] for found in roots if found)

    def mean(self, caller: Caller) -> Meant:
        """Return how closely the statement is for the caller."""
        if self.excluding:
            return Meant.NOT if self._exclude(caller) else Meant.DIRECTLY
        names = self._names
        if "*" in names:
            return Meant.DIRECTLY
        if caller.kind is CallerKind.SERVICE:
            return Meant.DIRECTLY if caller.arn in self.services else Meant.NOT
        if caller.arn in names and caller.arn != caller.role_arn:
            return Meant.DIRECTLY
        if caller.role_arn and (caller.role_arn in names or caller.unique_id in names):
            return Meant.ROLE
        if caller.unique_id in names or (caller.provider and caller.provider in self.providers):
            return Meant.DIRECTLY
        if caller.account in self._accounts:
            return Meant.DIRECTLY if caller.kind is CallerKind.ROOT else Meant.ACCOUNT
        return Meant.NOT

    def _exclude(self, caller: Caller) -> bool:
        """Return whether the caller is excluded: its account, its role and itself each have to be named."""
        names = self._names
        if "*" in names:
            return True
        if caller.kind is CallerKind.SERVICE:
            return caller.arn in self.services
        if caller.provider and caller.provider in self.providers:
            return True
        itself = caller.kind is CallerKind.ROOT or caller.arn in names or caller.unique_id in names
        role = not caller.role_arn or caller.role_arn in names or caller.unique_id in names
        return itself and role and caller.account in self._accounts


def read_principals(statement: dict[str, object]) -> Principals:
    """Return the principals of a key policy's statement.

    Raises:
        KmsServiceError: it has none, or one that cannot be one (``MalformedPolicyDocumentException``).
    """
    if "Principal" in statement and "NotPrincipal" in statement:
        raise syntax()
    excluding = "NotPrincipal" in statement
    if excluding and statement.get("Effect") == "Allow":
        raise malformed("NotPrincipal cannot be used in a statement with the effect Allow.")
    element = statement.get("NotPrincipal" if excluding else "Principal")
    if element is None:
        raise malformed("Policy contains a statement with no principal.")
    if element == "*":
        return Principals(["*"], excluding=excluding)
    if not isinstance(element, dict):
        raise invalid_principals()
    kinds = cast("dict[str, object]", element)
    if not set(kinds) <= set(_KINDS):
        raise invalid_principals()
    aws, services, providers = (_listed(kinds[kind]) if kind in kinds else [] for kind in _KINDS)
    if not (aws or services or providers):
        raise malformed("Policy contains a statement with no principal.")
    if not all(_SERVICE.fullmatch(name) for name in services) or not all(providers):
        raise invalid_principals()
    return Principals([_identity(name) for name in aws], services, providers, excluding=excluding)


def _listed(element: object) -> list[str]:
    names = cast("list[object]", element) if isinstance(element, list) else [element]
    if not all(is_text(name) for name in names):
        raise syntax()
    return cast("list[str]", names)


def _identity(name: str) -> str:
    if _ACCOUNT.fullmatch(name):
        return f"arn:aws:iam::{name}:root"
    if name == "*" or _ROOT.fullmatch(name) or _IDENTITY.fullmatch(name) or _UNIQUE_ID.fullmatch(name):
        return name
    raise invalid_principals()
