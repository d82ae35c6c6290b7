"""Users, groups and roles of a seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from envelope_sdk.local_kms.seeding.tables import Table

__all__ = ["KINDS", "SeedIdentity", "read_identities"]

KINDS: Final[Mapping[str, str]] = {"groups": "group", "users": "user", "roles": "role"}
"""What identities are called in a seed, and of which kind they are; groups first, since users are in them."""

_ACCESS_KEY_ID: Final = re.compile(r"[A-Z0-9]{16,128}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedIdentity:
    """One user, group or role that has to be there.

    Attributes:
        where: its place in the file, for errors.
        account: twelve digits.
        kind: ``user``, ``group`` or ``role``.
        name: its name.
        path: begins and ends with a slash.
        policies: identity policies by name.
        boundary: the permissions boundary.
        tags: by name.
        groups: names of the groups that a user is in.
        access_keys: secrets by access key id, of a user. Its repr does not show them.
    """

    where: str
    account: str
    kind: str
    name: str
    path: str
    policies: Mapping[str, Mapping[str, Any]]
    boundary: Mapping[str, Any] | None
    tags: Mapping[str, str]
    groups: Sequence[str]
    access_keys: Mapping[str, str] = field(repr=False)


def read_identities(table: Table, account: str) -> Sequence[SeedIdentity]:
    """Take ``users``, ``groups`` and ``roles`` of a seed; ``account`` is that of those that name none.

    Raises:
        UsageError: one cannot be so.
    """
    return [_identity(each, kind, account) for name, kind in KINDS.items() for each in table.tables(name)]


def _identity(table: Table, kind: str, account: str) -> SeedIdentity:
    name = table.text("name")
    if not name:
        table.refuse("a name is needed", "name")
    policies = table.table("policies")
    if not all(isinstance(policy, dict) for policy in policies.values()):
        table.refuse("has to be a table of policies, by their names", "policies")
    identity = SeedIdentity(
        where=f"{kind} {name}",
        account=table.text("account", account),
        kind=kind,
        name=name,
        path=table.text("path", "/"),
        policies=policies,
        boundary=table.table("boundary") if kind != "group" and table.has("boundary") else None,
        tags=table.strings("tags") if kind != "group" else {},
        groups=table.texts("groups") if kind == "user" else (),
        access_keys=_access_keys(table) if kind == "user" else {},
    )
    table.done()
    return identity


def _access_keys(table: Table) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for each in table.tables("access_keys"):
        key_id, secret = each.text("id"), each.text("secret")
        if not _ACCESS_KEY_ID.fullmatch(key_id):
            each.refuse("has to be 16 to 128 capital letters and digits", "id")
        if not secret:
            each.refuse("a secret is needed", "secret")
        each.done()
        found[key_id] = secret
    return found
