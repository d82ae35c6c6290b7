"""Bringing the users, groups and roles of a store to what a seed says."""

from __future__ import annotations

import hmac
import json

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.access.identities import Identities, LocalIdentity
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.seeding.people import SeedIdentity
from envelope_sdk.local_kms.service import Clock
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["settle_identity"]

_ANY_REGION = "us-east-1"


def settle_identity(store: Store, wanted: SeedIdentity, clock: Clock, random: RandomSource) -> tuple[str, str]:
    """Make one identity, or bring it up to date: policies, boundary, tags and groups become those of the seed.

    Returns:
        Its ARN, and what was done: ``made``, ``changed`` or ``unchanged``.

    Raises:
        KmsServiceError: a policy cannot be, or a group is not there.
        UsageError: its account, name or path cannot be one.
    """
    people = Identities(store, Scope(wanted.account, _ANY_REGION), clock=clock, random=random)
    there = {(each.kind, each.name): each for each in people.list()}
    found = there.get((wanted.kind, wanted.name))
    groups = [each.arn for name in wanted.groups for each in [there.get(("group", name))] if each is not None]
    if len(groups) < len(wanted.groups):
        # Told as it is told of any group that is not there.
        groups = [f"arn:aws:iam::{wanted.account}:group/{name}" for name in wanted.groups]
    made = found is None
    if found is None:
        found = _make(people, wanted)
    elif found.path != wanted.path:
        raise UsageError(f"it is there, under the path {found.path}: a seed never changes that")
    changed = [
        _attach(people, wanted, found),
        _surround(people, wanted, found, groups),
        _give_keys(store, people, wanted, found),
    ]
    return found.arn, "made" if made else "changed" if any(changed) else "unchanged"


def _make(people: Identities, wanted: SeedIdentity) -> LocalIdentity:
    make = {"user": people.create_user, "group": people.create_group, "role": people.create_role}[wanted.kind]
    return make(wanted.name, path=wanted.path)


def _attach(people: Identities, wanted: SeedIdentity, found: LocalIdentity) -> bool:
    policies = {name: json.dumps(policy) for name, policy in wanted.policies.items()}
    if policies == dict(found.policies):
        return False
    for name in found.policies.keys() - policies.keys():
        people.detach_policy(found.arn, name)
    for name, policy in policies.items():
        people.attach_policy(found.arn, name, policy)
    return True


def _surround(people: Identities, wanted: SeedIdentity, found: LocalIdentity, groups: list[str]) -> bool:
    boundary = None if wanted.boundary is None else json.dumps(wanted.boundary)
    changed = False
    if boundary != found.boundary:
        people.set_boundary(found.arn, boundary)
        changed = True
    if dict(wanted.tags) != dict(found.tags):
        people.set_tags(found.arn, wanted.tags)
        changed = True
    if wanted.kind == "user" and set(groups) != set(found.groups):
        people.set_groups(found.arn, groups)
        changed = True
    return changed


def _give_keys(store: Store, people: Identities, wanted: SeedIdentity, found: LocalIdentity) -> bool:
    changed = False
    for key_id, secret in wanted.access_keys.items():
        with store.read() as look:
            known = look.access_key(key_id)
        if known is not None:
            same = hmac.compare_digest(str(json.loads(known.secret)["secret"]).encode(), secret.encode())
            wipe(memoryview(known.secret))
            if known.arn != found.arn:
                raise UsageError(f"the access key {key_id} is {known.arn}'s")
            if same:
                continue
        people.create_access_key(found.arn, access_key_id=key_id, secret_access_key=secret)
        changed = True
    return changed
