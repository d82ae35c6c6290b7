"""A store of the local KMS that is being checked, and what is put into it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import (
    AccessKey,
    Alias,
    GrantRecord,
    Identity,
    Key,
    KeyManager,
    KeyState,
    MaterialRecord,
    MaterialState,
    MultiRegionRole,
    Rotation,
)
from envelope_sdk.local_kms.store.contract import Store

__all__ = [
    "ACCESS_KEY",
    "ALIAS",
    "GRANT",
    "HERE",
    "IDENTITY",
    "KEY",
    "MATERIAL",
    "NOW",
    "SECRET",
    "TAGS",
    "THERE",
    "USER",
    "StoreSubject",
    "numbered",
]

NOW: Final = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
HERE: Final = Scope("111122223333", "eu-west-1")
THERE: Final = Scope("111122223333", "us-east-1")
USER: Final = "arn:aws:iam::111122223333:user/ana"
SECRET: Final = bytes(range(0x60, 0x80))
TAGS: Final = {"größe": "ñandú 😀", "As It Is": " Mixed CASE ", "empty": ""}

KEY: Final = Key(
    scope=HERE,
    key_id="mrk-1",
    created=NOW,
    description="größe 😀 'quoted' \"twice\" %s ? \\",
    usage="ENCRYPT_DECRYPT",
    spec="SYMMETRIC_DEFAULT",
    origin="EXTERNAL",
    state=KeyState.PENDING_DELETION,
    deletion=NOW + timedelta(days=30),
    role=MultiRegionRole.PRIMARY,
    primary_region="eu-west-1",
    policy='{"Version": "2012-10-17"}' + " " * 32_000,
    material_id="aa",
    manager=KeyManager.AWS,
    rotation_days=90,
    next_rotation=NOW + timedelta(days=90),
    deletion_days=7,
)
MATERIAL: Final = MaterialRecord(
    key_id="mrk-1",
    material_id="aa",
    created=NOW,
    state=MaterialState.PENDING_ROTATION,
    rotated=NOW + timedelta(days=2),
    rotation=Rotation.ON_DEMAND,
    description="the first",
    expiry=NOW + timedelta(days=3),
)
ALIAS: Final = Alias(HERE, "alias/a", "mrk-1", NOW, NOW + timedelta(seconds=1))
GRANT: Final = GrantRecord(
    scope=HERE,
    key_id="mrk-1",
    grant_id="g1",
    token="a-token",  # noqa: S106 - no password
    created=NOW,
    effective=NOW + timedelta(minutes=5),
    issuing_account="111122223333",
    grantee=USER,
    retiring="arn:aws:iam::111122223333:role/retiring",
    document="{}",
)
IDENTITY: Final = Identity("111122223333", USER, NOW, '{"policies": {}}')
ACCESS_KEY: Final = AccessKey(
    access_key_id="AKIA1",
    account="111122223333",
    arn=USER,
    created=NOW,
    expiry=NOW + timedelta(hours=1),
    document="{}",
    secret=bytearray(SECRET),
)


class StoreSubject(NamedTuple):
    """What :func:`~envelope_sdk.testing.check_store` was told; the fields are its parameters."""

    make_store: Callable[[], Store]
    reopen: Callable[[Store], Store] | None
    threads: int

    @contextmanager
    def store(self, *, filled: bool = True) -> Generator[Store]:
        """Yield a new store, with one key and all that belongs to it unless it is to be empty."""
        store = self.make_store()
        try:
            if filled:
                with store.write() as change:
                    change.add_key(KEY, TAGS)
                    change.add_material(HERE, MATERIAL, SECRET)
                    change.put_alias(ALIAS)
                    change.put_grant(GRANT)
                    change.put_identity(IDENTITY)
                    change.put_access_key(ACCESS_KEY)
            yield store
        finally:
            store.close()


def numbered(name: str, scope: Scope = HERE) -> Key:
    """Return a key of that id, of which nothing is due."""
    return replace(KEY, scope=scope, key_id=name, state=KeyState.ENABLED, deletion=None, next_rotation=None)
