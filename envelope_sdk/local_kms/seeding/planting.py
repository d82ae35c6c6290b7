"""Bringing a store to what a seed says.

A key that is not there is added with the id and the material that the seed gives; everything else is done by the KMS's
own operations, with nobody's permission asked: who can open a store with its root key owns what is in it.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, NoReturn

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms.call import Requester, Unlimited
from envelope_sdk.local_kms.identifiers import Scope, new_key_id
from envelope_sdk.local_kms.key_pairs import new_secret
from envelope_sdk.local_kms.materials import add_first, imported_material_id, new_material_id
from envelope_sdk.local_kms.model import Key, KeyState, MultiRegionRole
from envelope_sdk.local_kms.policy import Caller, default_key_policy
from envelope_sdk.local_kms.seeding.document import Seed, SeedKey
from envelope_sdk.local_kms.seeding.settling import settle_identity
from envelope_sdk.local_kms.service import Clock, Service, system_clock
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["Planted", "plant"]


@dataclass(frozen=True, slots=True)
class Planted:
    """What planting a seed has done.

    Attributes:
        made: ARNs of the keys, replicas, users and so on that were not there.
        changed: ARNs of those of which something was brought up to date.
        unchanged: ARNs of the others.
    """

    made: Sequence[str]
    changed: Sequence[str]
    unchanged: Sequence[str]


def plant(store: Store, seed: Seed, *, clock: Clock = system_clock, random: RandomSource = system_random) -> Planted:
    """Make what ``seed`` says and is not there, and bring the rest up to date.

    What keys are made of is never changed, and nothing is taken away: aliases and tags that the seed does not name
    stay. Where this fails half-way, planting again goes on from there.

    Args:
        store: where the keys are.
        seed: what there has to be.
        clock: returns the time, tz-aware.
        random: the source of ids and materials that the seed leaves open.

    Raises:
        UsageError: a key is there and is another than the seed says, or its policy, tags or names cannot be.
        KeyStoreError: the store cannot be used.
    """
    done: dict[str, str] = {}
    # Identities first: key policies may name them.
    for identity in seed.identities:
        try:
            arn, what = settle_identity(store, identity, clock, random)
        except (KmsServiceError, UsageError) as error:
            raise UsageError(f"{seed.source}: the {identity.where}: {_reason(error)}") from None
        done[arn] = what
    gardener = _Gardener(store, seed.source, clock, random)
    for key in seed.keys:
        done |= gardener.plant(key)
    return Planted(*([arn for arn, what in done.items() if what == each] for each in ("made", "changed", "unchanged")))


class _Gardener:
    """Plants keys one after the other."""

    def __init__(self, store: Store, source: str, clock: Clock, random: RandomSource) -> None:
        self._store = store
        self._source = source
        self._service = Service(store, clock=clock, random=random, authority=Unlimited())
        self._random = random

    def plant(self, wanted: SeedKey) -> dict[str, str]:
        """See to one key and its replicas, and return what was done, by ARN."""
        try:
            key = self._find(wanted)
            made = key is None
            if key is None:
                key = self._add(wanted)
            else:
                self._check_same(wanted, key)
            # Before anything else, since of a key that is disabled there can be no replicas.
            replicas = [self._replica(key, Scope(key.scope.account, region)) for region in wanted.replicas]
            done = {each.arn: self._tend(wanted, each, made=new) for each, new in ((key, made), *replicas)}
        except KmsServiceError as error:
            self._refuse(wanted, _reason(error))
        return done

    def _refuse(self, wanted: SeedKey, problem: str) -> NoReturn:
        raise UsageError(f"{self._source}: the key {wanted.where}: {problem}")

    def _call(self, operation: str, scope: Scope, **parameters: object) -> dict[str, Any]:
        root = Caller.parse(f"arn:{scope.partition}:iam::{scope.account}:root")
        return self._service.call(operation, parameters, Requester(scope, root, str(uuid.uuid4())))

    def _find(self, wanted: SeedKey) -> Key | None:
        with self._store.read() as look:
            if wanted.key_id:
                return look.key(wanted.scope, wanted.key_id)
            alias = look.alias(wanted.scope, wanted.aliases[0])
            return None if alias is None else look.key(wanted.scope, alias.key_id)

    def _add(self, wanted: SeedKey) -> Key:
        """Add a key with the id and material given; what the rest of the seed says comes after."""
        now = self._service.clock().astimezone(UTC)
        scope, multi_region = wanted.scope, wanted.multi_region
        key = Key(
            scope=scope,
            key_id=wanted.key_id or new_key_id(self._random, multi_region=multi_region),
            created=now.replace(microsecond=now.microsecond // 1000 * 1000),
            description=wanted.description,
            usage=wanted.usage,
            spec=wanted.spec,
            origin="AWS_KMS",
            state=KeyState.ENABLED,
            role=MultiRegionRole.PRIMARY if multi_region else None,
            primary_region=scope.region if multi_region else None,
            policy=default_key_policy(scope),
            material_id=new_material_id(self._random),
        )
        secret = new_secret(wanted.spec, self._random) if wanted.secret is None else bytearray(wanted.secret)
        if wanted.secret is not None:
            # The same in every store: what one has encrypted, another with the same seed opens.
            key = replace(key, material_id=imported_material_id(key, secret))
        try:
            with self._store.write() as transaction:
                transaction.add_key(key, {})
                add_first(transaction, key, secret)
        finally:
            wipe(memoryview(secret))
        return key

    def _check_same(self, wanted: SeedKey, key: Key) -> None:
        """Refuse to make another key of one that is there."""
        if (key.spec, key.usage, key.role is not None) != (wanted.spec, wanted.usage, wanted.multi_region):
            kind = f"{'multi-Region ' if key.role else ''}key {key.spec} for {key.usage}"
            self._refuse(wanted, f"it is there, and is a {kind}: a seed never changes that")
        if key.state in (KeyState.PENDING_DELETION, KeyState.PENDING_REPLICA_DELETION):
            self._refuse(wanted, "it is there, and waits for its deletion: cancel that, or give the seed another id")
        if wanted.secret is not None and not self._is_made_of(key, wanted.secret):
            self._refuse(wanted, "it is there, and is made of other material: a seed never changes that")

    def _is_made_of(self, key: Key, secret: bytes) -> bool:
        same = False
        with self._store.read() as look:
            for record in look.materials(key.scope, key.key_id):
                material = look.material(key.scope, record.material_id)
                if material is not None:
                    same |= hmac.compare_digest(material.secret, secret)
                    wipe(memoryview(material.secret))
        return same

    def _replica(self, primary: Key, scope: Scope) -> tuple[Key, bool]:
        """Return a replica, and whether it had to be made."""
        for made in (False, True):
            if made:
                self._call("ReplicateKey", primary.scope, KeyId=primary.key_id, ReplicaRegion=scope.region)
                # It is there with the next call.
                self._call("DescribeKey", scope, KeyId=primary.key_id)
            with self._store.read() as look:
                replica = look.key(scope, primary.key_id)
            if replica is not None:
                return replica, made
        raise AssertionError("a replica that was just made is not there")

    def _tend(self, wanted: SeedKey, key: Key, *, made: bool) -> str:
        """Bring to the seed's state what of a key can be changed, and return what was done."""
        # Enabled first and disabled last: a disabled key takes no rotation.
        changed = [
            wanted.enabled and self._switch(wanted, key),
            self._describe(wanted, key),
            self._put_policy(wanted, key),
            self._tag(wanted, key),
            self._name(wanted, key),
            self._rotate(wanted, key),
            not wanted.enabled and self._switch(wanted, key),
        ]
        return "made" if made else "changed" if any(changed) else "unchanged"

    def _describe(self, wanted: SeedKey, key: Key) -> bool:
        if key.description == wanted.description:
            return False
        self._call("UpdateKeyDescription", key.scope, KeyId=key.key_id, Description=wanted.description)
        return True

    def _put_policy(self, wanted: SeedKey, key: Key) -> bool:
        policy = wanted.policy or default_key_policy(key.scope)
        if policy == key.policy:
            return False
        # The lockout check is for callers: whoever plants seeds can always plant another.
        self._call("PutKeyPolicy", key.scope, KeyId=key.key_id, Policy=policy, BypassPolicyLockoutSafetyCheck=True)
        return True

    def _tag(self, wanted: SeedKey, key: Key) -> bool:
        with self._store.read() as look:
            there = look.tags(key.scope, key.key_id)
        new = {name: value for name, value in wanted.tags.items() if there.get(name) != value}
        if new:
            tags = [{"TagKey": name, "TagValue": value} for name, value in new.items()]
            self._call("TagResource", key.scope, KeyId=key.key_id, Tags=tags)
        return bool(new)

    def _name(self, wanted: SeedKey, key: Key) -> bool:
        changed = False
        for name in wanted.aliases:
            with self._store.read() as look:
                alias = look.alias(key.scope, name)
            if alias is None or alias.key_id != key.key_id:
                operation = "CreateAlias" if alias is None else "UpdateAlias"
                self._call(operation, key.scope, AliasName=name, TargetKeyId=key.key_id)
                changed = True
        return changed

    def _rotate(self, wanted: SeedKey, key: Key) -> bool:
        # Rotation of a multi-Region key is a matter of its primary.
        if wanted.rotation_days == key.rotation_days or key.role is MultiRegionRole.REPLICA:
            return False
        if wanted.rotation_days is None:
            self._call("DisableKeyRotation", key.scope, KeyId=key.key_id)
        else:
            self._call("EnableKeyRotation", key.scope, KeyId=key.key_id, RotationPeriodInDays=wanted.rotation_days)
        return True

    def _switch(self, wanted: SeedKey, key: Key) -> bool:
        if (key.state is KeyState.ENABLED) == wanted.enabled:
            return False
        self._call("EnableKey" if wanted.enabled else "DisableKey", key.scope, KeyId=key.key_id)
        return True


def _reason(error: KmsServiceError | UsageError) -> str:
    return f"{error.code}: {error.message}" if isinstance(error, KmsServiceError) else str(error)
