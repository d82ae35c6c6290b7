"""Rotation: automatic, on demand, and what the list of rotations tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.materials import replicate
from envelope_sdk.local_kms.model import KeyState, MultiRegionRole
from envelope_sdk.local_kms.store.sqlite import SqliteStore

START = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
HERE = Scope("000000000000", "us-east-1")
THERE = Scope("000000000000", "eu-west-1")

_NOT_SYMMETRIC = {
    "RSA_2048": "ENCRYPT_DECRYPT",
    "ECC_NIST_P256": "SIGN_VERIFY",
    "HMAC_256": "GENERATE_VERIFY_MAC",
}


def current(kms: LocalKms, key_id: str) -> str:
    material_id: str = kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]
    return material_id


def status(kms: LocalKms, key_id: str) -> dict[str, Any]:
    answer = kms.get_key_rotation_status(KeyId=key_id)
    del answer["ResponseMetadata"], answer["KeyId"]
    return answer


def rotations(kms: LocalKms, key_id: str, **more: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = kms.list_key_rotations(KeyId=key_id, **more)["Rotations"]
    return listed


def dates(kms: LocalKms, key_id: str) -> list[datetime]:
    return [rotation["RotationDate"] for rotation in rotations(kms, key_id)]


def add_replica(store: SqliteStore, key_id: str) -> None:
    with store.write() as transaction:
        primary = transaction.key(HERE, key_id)
        assert primary is not None
        replica = replace(primary, scope=THERE, role=MultiRegionRole.REPLICA, rotation_days=None, next_rotation=None)
        transaction.add_key(replica, {})
        replicate(transaction, primary, THERE)


@pytest.fixture
def primary(kms: LocalKms, store: SqliteStore) -> str:
    """A multi-Region key with a replica."""
    key_id: str = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    add_replica(store, key_id)
    return key_id


@pytest.fixture
def there(store: SqliteStore, clock: Any, random: Any) -> LocalKms:
    """The KMS in the replica's Region; the store is closed by the other one."""
    return LocalKms(store, clock=clock, random=random, region=THERE.region)


def test_no_key_is_rotated_unless_asked_for(kms: LocalKms, key_id: str, clock: Any) -> None:
    first = current(kms, key_id)
    clock.advance(days=4000)

    assert status(kms, key_id) == {"KeyRotationEnabled": False}
    assert (current(kms, key_id), rotations(kms, key_id)) == (first, [])


def test_the_first_rotation_is_a_year_from_the_day_it_is_asked_for(
    kms: LocalKms, key_id: str, clock: Any, arn: str
) -> None:
    clock.advance(days=10)
    kms.enable_key_rotation(KeyId=key_id)

    assert status(kms, key_id) == {
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": 365,
        "NextRotationDate": START + timedelta(days=375),
    }
    assert kms.get_key_rotation_status(KeyId=key_id)["KeyId"] == arn


def test_asked_for_again_the_schedule_stays(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=100)
    clock.advance(days=50)
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=100)

    assert status(kms, key_id)["NextRotationDate"] == START + timedelta(days=100)


def test_another_period_counts_from_the_day_it_is_asked_for(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.enable_key_rotation(KeyId=key_id)
    clock.advance(days=50)
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)

    assert status(kms, key_id)["NextRotationDate"] == START + timedelta(days=140)
    assert status(kms, key_id)["RotationPeriodInDays"] == 90


@pytest.mark.parametrize(("days", "rule"), [(89, "greater than or equal to 90"), (2561, "less than or equal to 2560")])
def test_a_period_has_limits(kms: LocalKms, key_id: str, refused: Any, days: int, rule: str) -> None:
    text = (
        f"1 validation error detected: Value '{days}' at 'rotationPeriodInDays' failed to satisfy constraint: "
        f"Member must have value {rule}"
    )
    with refused("ValidationException", text):
        kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=days)


@pytest.mark.parametrize("days", [90, 2560])
def test_a_period_may_be_at_its_limits(kms: LocalKms, key_id: str, days: int) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=days)
    assert status(kms, key_id)["RotationPeriodInDays"] == days


def test_a_period_beyond_the_calendar_is_refused(kms: LocalKms, key_id: str, clock: Any, refused: Any) -> None:
    clock.now = datetime(9999, 12, 1, tzinfo=UTC)
    with refused("ValidationException", "There is no date 90 days from now."):
        kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)


def test_a_key_is_rotated_on_its_day_and_not_before(kms: LocalKms, key_id: str, clock: Any) -> None:
    first = current(kms, key_id)
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)

    clock.now = START + timedelta(days=90, milliseconds=-1)
    assert current(kms, key_id) == first
    clock.now = START + timedelta(days=90)
    second = current(kms, key_id)
    assert second != first
    assert rotations(kms, key_id) == [
        {
            "KeyId": key_id,
            "KeyMaterialId": second,
            "KeyMaterialState": "CURRENT",
            "RotationDate": START + timedelta(days=90),
            "RotationType": "AUTOMATIC",
        }
    ]
    assert status(kms, key_id)["NextRotationDate"] == START + timedelta(days=180)


def test_periods_that_nobody_called_in_are_made_up_for_each_with_its_date(
    kms: LocalKms, key_id: str, clock: Any
) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=100)
    clock.advance(days=350)

    assert dates(kms, key_id) == [START + timedelta(days=days) for days in (100, 200, 300)]
    assert [rotation["KeyMaterialState"] for rotation in rotations(kms, key_id)] == [
        *("NON_CURRENT", "NON_CURRENT", "CURRENT"),
    ]
    assert rotations(kms, key_id)[-1]["KeyMaterialId"] == current(kms, key_id)
    assert status(kms, key_id)["NextRotationDate"] == START + timedelta(days=400)


def test_a_rotation_after_which_the_calendar_ends_is_the_last(kms: LocalKms, key_id: str, clock: Any) -> None:
    clock.now = datetime(9997, 1, 1, tzinfo=UTC)
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=1000)
    clock.now = datetime(9999, 12, 31, tzinfo=UTC)

    assert len(dates(kms, key_id)) == 1
    assert status(kms, key_id) == {"KeyRotationEnabled": True, "RotationPeriodInDays": 1000}


def test_what_older_material_has_encrypted_stays_readable(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    made: dict[bytes, str] = {}
    for _ in range(4):
        blob = kms.encrypt(KeyId=key_id, Plaintext=b"secret")["CiphertextBlob"]
        made[blob] = current(kms, key_id)
        clock.advance(days=91)

    assert len(set(made.values())) == 4
    for blob, material_id in made.items():
        answer = kms.decrypt(CiphertextBlob=blob)
        assert (answer["Plaintext"], answer["KeyMaterialId"]) == (b"secret", material_id)


def test_answers_name_the_material_that_was_used(kms: LocalKms, key_id: str) -> None:
    first = current(kms, key_id)
    blob = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key_id)
    second = current(kms, key_id)

    moved = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key_id)
    assert (moved["SourceKeyMaterialId"], moved["DestinationKeyMaterialId"]) == (first, second)
    assert kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["KeyMaterialId"] == second
    assert kms.generate_data_key_without_plaintext(KeyId=key_id, KeySpec="AES_256")["KeyMaterialId"] == second
    assert kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256")["KeyMaterialId"] == second
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["KeyMaterialId"] == second
    assert moved["CiphertextBlob"][5:37].hex() == second


def test_no_more_rotations_once_they_are_disabled(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    clock.advance(days=100)
    kms.disable_key_rotation(KeyId=key_id)
    clock.advance(days=1000)

    assert dates(kms, key_id) == [START + timedelta(days=90)]
    assert status(kms, key_id) == {"KeyRotationEnabled": False}


def test_disabling_what_is_not_enabled_is_no_error(kms: LocalKms, key_id: str) -> None:
    kms.disable_key_rotation(KeyId=key_id)
    assert status(kms, key_id) == {"KeyRotationEnabled": False}


def test_a_disabled_key_that_has_missed_a_rotation_is_rotated_when_it_is_enabled(
    kms: LocalKms, key_id: str, clock: Any
) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    kms.disable_key(KeyId=key_id)
    clock.advance(days=200)
    assert (dates(kms, key_id), status(kms, key_id)["KeyRotationEnabled"]) == ([], True)
    kms.enable_key(KeyId=key_id)

    assert dates(kms, key_id) == [START + timedelta(days=200)]
    assert status(kms, key_id)["NextRotationDate"] == START + timedelta(days=290)


def test_a_disabled_key_that_has_missed_none_keeps_its_schedule(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    kms.disable_key(KeyId=key_id)
    clock.advance(days=50)
    kms.enable_key(KeyId=key_id)

    assert (dates(kms, key_id), status(kms, key_id)["NextRotationDate"]) == ([], START + timedelta(days=90))


def test_a_key_pending_deletion_is_not_rotated_until_it_is_back_and_enabled(
    kms: LocalKms, key_id: str, clock: Any
) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    clock.advance(days=80)
    kms.schedule_key_deletion(KeyId=key_id)
    clock.advance(days=20)
    assert (dates(kms, key_id), status(kms, key_id)) == ([], {"KeyRotationEnabled": False})

    kms.cancel_key_deletion(KeyId=key_id)
    assert (dates(kms, key_id), status(kms, key_id)["KeyRotationEnabled"]) == ([], True)
    kms.enable_key(KeyId=key_id)
    assert dates(kms, key_id) == [START + timedelta(days=100)]


def test_enabling_a_key_that_is_enabled_does_not_rotate_it(kms: LocalKms, key_id: str) -> None:
    kms.enable_key_rotation(KeyId=key_id)
    kms.enable_key(KeyId=key_id)
    assert rotations(kms, key_id) == []


def test_rotation_on_demand_takes_effect_at_once_and_answers_the_arn(
    kms: LocalKms, key_id: str, arn: str, clock: Any
) -> None:
    kms.enable_key_rotation(KeyId=key_id)
    clock.advance(days=1)
    first = current(kms, key_id)

    assert kms.rotate_key_on_demand(KeyId=key_id)["KeyId"] == arn
    (rotation,) = rotations(kms, key_id)
    assert (rotation["RotationType"], rotation["RotationDate"]) == ("ON_DEMAND", START + timedelta(days=1))
    assert current(kms, key_id) == rotation["KeyMaterialId"] != first
    assert status(kms, key_id) == {
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": 365,
        "NextRotationDate": START + timedelta(days=365),
    }


def test_a_key_is_rotated_on_demand_25_times_and_automatic_rotations_do_not_count(
    kms: LocalKms, key_id: str, arn: str, clock: Any, refused: Any
) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    clock.advance(days=500)
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key_id)

    text = (
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be "
        f"performed for this key: {arn}"
    )
    with refused("LimitExceededException", text):
        kms.rotate_key_on_demand(KeyId=key_id)
    assert len(rotations(kms, key_id)) == 30


@pytest.mark.parametrize(("minutes", "conflict"), [(20, True), (21, False)])
def test_rotation_on_demand_just_before_an_automatic_one_is_a_conflict(
    kms: LocalKms, key_id: str, clock: Any, refused: Any, minutes: int, conflict: bool
) -> None:
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    clock.now = START + timedelta(days=90, minutes=-minutes)
    if not conflict:
        kms.rotate_key_on_demand(KeyId=key_id)
        return
    with refused("ConflictException"):
        kms.rotate_key_on_demand(KeyId=key_id)


def test_all_key_material_begins_with_the_first(kms: LocalKms, key_id: str) -> None:
    first = current(kms, key_id)
    kms.rotate_key_on_demand(KeyId=key_id)

    listed = rotations(kms, key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    assert listed[0] == {"KeyId": key_id, "KeyMaterialId": first, "KeyMaterialState": "NON_CURRENT"}
    assert listed[1:] == rotations(kms, key_id, IncludeKeyMaterial="ROTATIONS_ONLY") == rotations(kms, key_id)


def test_rotations_within_a_millisecond_are_listed_in_order(kms: LocalKms, key_id: str) -> None:
    made: list[str] = []
    for _ in range(8):
        kms.rotate_key_on_demand(KeyId=key_id)
        made.append(current(kms, key_id))

    assert [rotation["KeyMaterialId"] for rotation in rotations(kms, key_id)] == made
    assert set(dates(kms, key_id)) == {START}


def test_rotations_come_in_pages(kms: LocalKms, key_id: str) -> None:
    for _ in range(5):
        kms.rotate_key_on_demand(KeyId=key_id)
    whole = rotations(kms, key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    paged: list[dict[str, Any]] = []
    marker: Mapping[str, str] = {}
    sizes: list[int] = []
    while True:
        page = kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL", Limit=4, **marker)
        paged += page["Rotations"]
        sizes.append(len(page["Rotations"]))
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}

    assert (paged, sizes) == (whole, [4, 2])


def test_a_marker_of_another_list_is_refused(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.create_key()
    marker = kms.list_keys(Limit=1)["NextMarker"]
    with refused("InvalidMarkerException"):
        kms.list_key_rotations(KeyId=key_id, Marker=marker)


@pytest.mark.parametrize("spec", _NOT_SYMMETRIC)
@pytest.mark.parametrize(
    "method", ["enable_key_rotation", "disable_key_rotation", "rotate_key_on_demand", "list_key_rotations"]
)
def test_only_symmetric_keys_are_rotated(kms: LocalKms, refused: Any, spec: str, method: str) -> None:
    key_id = kms.create_key(KeySpec=spec, KeyUsage=_NOT_SYMMETRIC[spec])["KeyMetadata"]["KeyId"]
    with refused("UnsupportedOperationException", ""):
        getattr(kms, method)(KeyId=key_id)


@pytest.mark.parametrize("spec", _NOT_SYMMETRIC)
def test_of_other_keys_the_status_says_that_they_are_not_rotated(kms: LocalKms, spec: str) -> None:
    key_id = kms.create_key(KeySpec=spec, KeyUsage=_NOT_SYMMETRIC[spec])["KeyMetadata"]["KeyId"]
    assert status(kms, key_id) == {"KeyRotationEnabled": False}


@pytest.mark.parametrize(
    "method",
    [
        "enable_key_rotation",
        "disable_key_rotation",
        "get_key_rotation_status",
        "rotate_key_on_demand",
        "list_key_rotations",
    ],
)
def test_an_alias_is_not_taken_and_unknown_keys_are_not_found(
    kms: LocalKms, key_id: str, refused: Any, method: str
) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
        getattr(kms, method)(KeyId="alias/a")
    with refused("InvalidArnException"):
        getattr(kms, method)(KeyId="arn:aws:sns:us-east-1:000000000000:key/x")
    other = key_id[:-4] + ("0000" if key_id[-4:] != "0000" else "1111")
    with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:000000000000:key/{other}' does not exist"):
        getattr(kms, method)(KeyId=other)


def test_material_of_a_rotated_multi_region_key_is_the_same_in_all_regions(
    kms: LocalKms, there: LocalKms, primary: str
) -> None:
    old = kms.encrypt(KeyId=primary, Plaintext=b"old")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=primary)
    new = there.encrypt(KeyId=primary, Plaintext=b"new")["CiphertextBlob"]

    assert current(there, primary) == current(kms, primary)
    assert rotations(there, primary) == rotations(kms, primary)
    assert (there.decrypt(CiphertextBlob=old)["Plaintext"], kms.decrypt(CiphertextBlob=new)["Plaintext"]) == (
        b"old",
        b"new",
    )


def test_replicas_follow_the_schedule_of_their_primary(
    kms: LocalKms, there: LocalKms, primary: str, clock: Any
) -> None:
    kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
    assert status(there, primary) == status(kms, primary)
    clock.advance(days=200)

    assert len(rotations(there, primary)) == 2
    assert rotations(there, primary) == rotations(kms, primary)
    assert status(there, primary) == status(kms, primary)
    kms.disable_key_rotation(KeyId=primary)
    assert status(there, primary) == {"KeyRotationEnabled": False}


@pytest.mark.parametrize("method", ["enable_key_rotation", "disable_key_rotation", "rotate_key_on_demand"])
def test_a_replica_is_not_rotated_by_itself(there: LocalKms, primary: str, refused: Any, method: str) -> None:
    with refused("UnsupportedOperationException", f"{THERE.key_arn(primary)} is not a multi-region primary key."):
        getattr(there, method)(KeyId=primary)


def test_a_disabled_replica_gets_the_new_material_and_does_not_hold_its_primary_up(
    kms: LocalKms, there: LocalKms, primary: str, clock: Any
) -> None:
    kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
    there.disable_key(KeyId=primary)
    clock.advance(days=90)
    new = kms.encrypt(KeyId=primary, Plaintext=b"new")["CiphertextBlob"]
    there.enable_key(KeyId=primary)

    assert len(rotations(kms, primary)) == 1
    assert there.decrypt(CiphertextBlob=new)["Plaintext"] == b"new"


def test_a_primary_that_is_disabled_is_not_rotated_and_neither_are_its_replicas(
    kms: LocalKms, there: LocalKms, primary: str, clock: Any
) -> None:
    kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
    kms.disable_key(KeyId=primary)
    clock.advance(days=100)
    there.disable_key(KeyId=primary)
    there.enable_key(KeyId=primary)
    assert rotations(there, primary) == []

    kms.enable_key(KeyId=primary)
    assert dates(there, primary) == dates(kms, primary) == [START + timedelta(days=100)]


@pytest.mark.parametrize("found", [{"rotation_days": None}, {"state": KeyState.DISABLED, "rotation_days": None}])
def test_a_date_that_goes_with_no_period_is_passed_over(
    kms: LocalKms, store: SqliteStore, key_id: str, clock: Any, found: dict[str, Any]
) -> None:
    with store.write() as transaction:
        key = transaction.key(HERE, key_id)
        assert key is not None
        transaction.update_key(replace(key, next_rotation=START + timedelta(days=1), **found))
    clock.advance(days=2)

    assert rotations(kms, key_id) == []
    with store.read() as look:
        assert look.next_due() is None


def test_a_key_that_is_being_moved_to_another_region_is_rotated_all_the_same(
    kms: LocalKms, primary: str, clock: Any, force_state: Callable[[str, KeyState], None]
) -> None:
    kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
    force_state(primary, KeyState.UPDATING)
    clock.advance(days=90)
    assert len(rotations(kms, primary)) == 1


def test_manual_rotation_moves_an_alias_to_another_key(kms: LocalKms, key_id: str) -> None:
    kms.create_alias(AliasName="alias/app", TargetKeyId=key_id)
    old = kms.encrypt(KeyId="alias/app", Plaintext=b"old")["CiphertextBlob"]
    fresh = kms.create_key()["KeyMetadata"]
    kms.update_alias(AliasName="alias/app", TargetKeyId=fresh["KeyId"])

    new = kms.encrypt(KeyId="alias/app", Plaintext=b"new")
    assert new["KeyId"] == fresh["Arn"]
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    assert kms.decrypt(CiphertextBlob=new["CiphertextBlob"], KeyId="alias/app")["Plaintext"] == b"new"
