"""The store's records beside keys, aliases and tags: kept as they were given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import (
    AccessKey,
    GrantRecord,
    Identity,
    Key,
    KeyManager,
    KeyState,
    LastUsage,
    MaterialRecord,
    MaterialState,
    MultiRegionRole,
    Rotation,
)
from envelope_sdk.local_kms.store.contract import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE = Scope("111122223333", "eu-west-1")
THERE = Scope("111122223333", "us-east-1")
USER = "arn:aws:iam::111122223333:user/ana"

KEY = Key(
    scope=HERE,
    key_id="mrk-1",
    created=NOW,
    description="",
    usage="ENCRYPT_DECRYPT",
    spec="SYMMETRIC_DEFAULT",
    origin="EXTERNAL",
    state=KeyState.ENABLED,
    role=MultiRegionRole.PRIMARY,
    primary_region="eu-west-1",
    policy="{}",
    material_id="aa",
    manager=KeyManager.AWS,
    rotation_days=90,
    next_rotation=NOW + timedelta(days=90),
    deletion_days=7,
)
FIRST = MaterialRecord(key_id="mrk-1", material_id="aa", created=NOW)
SECOND = MaterialRecord(
    key_id="mrk-1",
    material_id="bb",
    created=NOW + timedelta(days=1),
    state=MaterialState.PENDING_ROTATION,
    rotated=NOW + timedelta(days=2),
    rotation=Rotation.ON_DEMAND,
    description="the second",
    expiry=NOW + timedelta(days=3),
)
GRANT = GrantRecord(
    scope=HERE,
    key_id="mrk-1",
    grant_id="g1",
    token="token",
    created=NOW,
    effective=NOW + timedelta(minutes=5),
    issuing_account="111122223333",
    grantee=USER,
    retiring="arn:aws:iam::111122223333:role/retiring",
    document="{}",
)
ACCESS_KEY = AccessKey(
    access_key_id="AKIA1",
    account="111122223333",
    arn=USER,
    created=NOW,
    expiry=NOW + timedelta(hours=1),
    document="{}",
    secret=bytearray(b"secret"),
)


@pytest.fixture
def store(any_store: Store) -> Store:
    return any_store


@pytest.fixture
def filled(store: Store) -> Store:
    with store.write() as transaction:
        transaction.add_key(KEY, {})
        transaction.add_material(HERE, FIRST, b"1" * 32)
        transaction.add_material(HERE, SECOND, b"2" * 32)
    return store


def test_a_key_is_read_as_it_was_added(filled: Store) -> None:
    with filled.read() as look:
        assert look.key(HERE, "mrk-1") == KEY


def test_a_key_of_several_regions_is_found_in_all_of_them(filled: Store) -> None:
    replica = replace(KEY, scope=THERE, role=MultiRegionRole.REPLICA)
    with filled.write() as transaction:
        transaction.add_key(replica, {})
        transaction.add_key(replace(KEY, scope=Scope("444455556666", "eu-west-1")), {})

    with filled.read() as look:
        assert look.related("111122223333", "mrk-1") == [KEY, replica]


def test_the_materials_of_a_key_are_listed_oldest_first(filled: Store) -> None:
    with filled.read() as look:
        assert look.materials(HERE, "mrk-1") == [FIRST, SECOND]
        assert look.materials(THERE, "mrk-1") == []


def test_a_material_that_is_not_present_has_no_secret(filled: Store) -> None:
    gone = replace(SECOND, present=False)
    with filled.write() as transaction:
        transaction.update_material(HERE, gone)

    with filled.read() as look:
        assert look.materials(HERE, "mrk-1") == [FIRST, replace(gone, expiry=None)]
        assert look.material(HERE, "bb") is None


def test_a_secret_that_was_erased_can_be_put_back(filled: Store) -> None:
    with filled.write() as transaction:
        transaction.update_material(HERE, replace(SECOND, present=False))
        transaction.replace_secret(HERE, "mrk-1", "bb", b"2" * 32)

    with filled.read() as look:
        material = look.material(HERE, "bb")
        assert material is not None
        assert material.secret == b"2" * 32


def test_what_is_sealed_opens_for_its_purpose_alone(store: Store) -> None:
    with store.read() as look:
        sealed = look.seal("a purpose", b"secret")
        assert b"secret" not in sealed
        assert look.unseal("a purpose", sealed) == b"secret"
        assert look.unseal("another purpose", sealed) is None
        assert look.unseal("a purpose", sealed[:-1]) is None
        assert look.unseal("a purpose", b"") is None
        assert look.seal("a purpose", b"secret") != sealed


def test_what_is_due_first_of_rotations_and_expiries_is_told(filled: Store) -> None:
    with filled.read() as look:
        assert look.next_due() == NOW + timedelta(days=3)
    with filled.write() as transaction:
        transaction.update_material(HERE, replace(SECOND, expiry=None))
    with filled.read() as look:
        assert look.next_due() == NOW + timedelta(days=90)


def test_what_is_due_is_found_with_the_minute(filled: Store) -> None:
    almost = timedelta(milliseconds=1)
    with filled.read() as look:
        assert look.due_expiries(NOW + timedelta(days=3) - almost) == []
        assert look.due_expiries(NOW + timedelta(days=3)) == [(HERE, SECOND)]
        assert look.due_rotations(NOW + timedelta(days=90) - almost) == []
        assert look.due_rotations(NOW + timedelta(days=90)) == [KEY]


def test_tags_are_added_replaced_and_removed(filled: Store) -> None:
    with filled.write() as transaction:
        transaction.put_tags(HERE, "mrk-1", {"a": "1", "b": "2"})
        transaction.put_tags(HERE, "mrk-1", {"b": "3", "c": "4"})
        transaction.remove_tags(HERE, "mrk-1", ["a", "never there"])

    with filled.read() as look:
        assert look.tags(HERE, "mrk-1") == {"b": "3", "c": "4"}


def test_grants_are_read_as_they_were_put_and_gone_once_removed(filled: Store) -> None:
    with filled.write() as transaction:
        transaction.put_grant(GRANT)
        transaction.put_grant(replace(GRANT, grant_id="g0", retiring=None))
    with filled.read() as look:
        assert look.grants(HERE, "mrk-1") == [replace(GRANT, grant_id="g0", retiring=None), GRANT]
    with filled.write() as transaction:
        transaction.remove_grant(HERE, "mrk-1", "g0")
    with filled.read() as look:
        assert look.grants(HERE, "mrk-1") == [GRANT]


def test_the_owner_of_a_material_is_found_whatever_its_account(filled: Store) -> None:
    others = [Scope(account, HERE.region) for account in ("000000000000", "999999999999")]
    with filled.write() as transaction:
        for place, scope in enumerate(others):
            transaction.add_key(replace(KEY, scope=scope, key_id=f"key-{place}"), {})
            record = replace(FIRST, key_id=f"key-{place}", material_id=f"c{place}")
            transaction.add_material(scope, record, b"3" * 32)
        transaction.update_material(others[1], replace(record, present=False))

    with filled.read() as look:
        assert look.owner_of(HERE.region, FIRST.material_id) == (HERE, "mrk-1")
        assert look.owner_of(HERE.region, "c0") == (others[0], "key-0")
        assert look.owner_of(HERE.region, "c1") == (others[1], "key-1")
        assert look.owner_of(THERE.region, FIRST.material_id) is None
        assert look.owner_of(HERE.region, "none") is None


def test_a_store_without_keys_owns_nothing(store: Store) -> None:
    with store.read() as look:
        assert look.owner_of(HERE.region, "aa") is None


def test_the_grants_that_somebody_may_retire_are_those_of_all_accounts(filled: Store) -> None:
    other = Scope("000000000000", HERE.region)
    theirs = replace(GRANT, scope=other)
    with filled.write() as transaction:
        transaction.add_key(replace(KEY, scope=other), {})
        transaction.put_grant(GRANT)
        transaction.put_grant(theirs)

    retiring = GRANT.retiring or ""
    with filled.read() as look:
        assert look.retirable(HERE.region, retiring, ("", "", ""), 9) == [theirs, GRANT]
        assert look.retirable(HERE.region, retiring, (other.account, "mrk-1", "g1"), 9) == [GRANT]
        assert look.retirable(THERE.region, retiring, ("", "", ""), 9) == []


def test_the_grants_that_somebody_may_retire_come_in_pages(filled: Store) -> None:
    grants = [replace(GRANT, grant_id=f"g{number}") for number in range(3)]
    with filled.write() as transaction:
        for grant in (*grants, replace(GRANT, grant_id="other", retiring=USER)):
            transaction.put_grant(grant)

    retiring = "arn:aws:iam::111122223333:role/retiring"
    with filled.read() as look:
        assert look.retirable(HERE.region, retiring, ("", "", ""), 2) == grants[:2]
        assert look.retirable(HERE.region, retiring, (HERE.account, "mrk-1", "g1"), 2) == grants[2:]


def test_identities_are_read_replaced_and_removed_with_their_access_keys(store: Store) -> None:
    identity = Identity("111122223333", USER, NOW, "{}")
    with store.write() as transaction:
        transaction.put_identity(identity)
        transaction.put_identity(replace(identity, document='{"tags": {}}'))
        transaction.put_access_key(ACCESS_KEY)
    with store.read() as look:
        assert look.identities("111122223333") == [look.identity(USER)] == [replace(identity, document='{"tags": {}}')]
        assert look.access_keys(USER) == [look.access_key("AKIA1")] == [ACCESS_KEY]
    with store.write() as transaction:
        transaction.remove_identity(USER)
    with store.read() as look:
        assert (look.identity(USER), look.access_key("AKIA1")) == (None, None)


def test_usage_adds_up(store: Store) -> None:
    with store.write() as transaction:
        transaction.add_usage("2026-01", {(HERE, "k", "symmetric"): 2, (HERE, "", "random"): 1})
        transaction.add_usage("2026-01", {(HERE, "k", "symmetric"): 3})
        transaction.add_usage("2026-02", {(HERE, "k", "symmetric"): 9})

    with store.read() as look:
        assert look.usage_counts("2026-01") == {(HERE, "k", "symmetric"): 5, (HERE, "", "random"): 1}


def test_the_last_use_stays_the_last(filled: Store) -> None:
    last = LastUsage("Decrypt", NOW, "event", "request")
    with filled.write() as transaction:
        transaction.put_last_usage(HERE, "mrk-1", last)
        transaction.put_last_usage(HERE, "mrk-1", LastUsage("Encrypt", NOW - timedelta(seconds=1), "earlier", "r"))
        transaction.put_last_usage(HERE, "no such key", last)

    with filled.read() as look:
        assert look.last_usage(HERE, "mrk-1") == last
        assert look.last_usage(HERE, "no such key") is None
