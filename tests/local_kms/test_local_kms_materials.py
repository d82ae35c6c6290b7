"""Imported key material once it is there: it expires, is deleted, comes back, and is rotated to new, in all Regions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from testkit.key_material import described, external, give, import_parameters, materials, state

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.key_pairs import new_key_pair, private_der
from envelope_sdk.local_kms.materials import replicate
from envelope_sdk.local_kms.model import KeyState, MultiRegionRole
from envelope_sdk.local_kms.store.sqlite import SqliteStore

START = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
HERE = Scope("000000000000", "us-east-1")
THERE = Scope("000000000000", "eu-west-1")
FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))


def states(kms: LocalKms, key_id: str) -> list[tuple[str, str]]:
    return [(each["KeyMaterialState"], each["ImportState"]) for each in materials(kms, key_id)]


@pytest.fixture
def empty(kms: LocalKms) -> str:
    """A symmetric key without material."""
    return external(kms)


@pytest.fixture
def filled(kms: LocalKms, empty: str) -> str:
    """A symmetric key with imported material that does not expire."""
    give(kms, empty, FIRST)
    return empty


def test_it_is_told_and_then_happens(kms: LocalKms, empty: str, clock: Any, refused: Any) -> None:
    expiry = START + timedelta(days=10)
    give(kms, empty, FIRST, ValidTo=expiry)
    blob = kms.encrypt(KeyId=empty, Plaintext=b"x")["CiphertextBlob"]
    metadata = described(kms, empty)
    assert (metadata["ExpirationModel"], metadata["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", expiry)
    assert materials(kms, empty)[0]["ValidTo"] == expiry

    clock.now = expiry - timedelta(milliseconds=1)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    clock.now = expiry
    with refused("KMSInvalidStateException", f"{metadata['Arn']} is pending import."):
        kms.decrypt(CiphertextBlob=blob)
    gone = described(kms, empty)
    assert (gone["KeyState"], gone["Enabled"]) == ("PendingImport", False)
    assert {"ExpirationModel", "ValidTo"}.isdisjoint(gone)
    assert gone["CurrentKeyMaterialId"] == metadata["CurrentKeyMaterialId"]
    assert states(kms, empty) == [("CURRENT", "PENDING_IMPORT")]
    assert {"ExpirationModel", "ValidTo"}.isdisjoint(materials(kms, empty)[0])


def test_what_has_expired_comes_back(kms: LocalKms, empty: str, clock: Any) -> None:
    give(kms, empty, FIRST, ValidTo=START + timedelta(days=1))
    blob = kms.encrypt(KeyId=empty, Plaintext=b"x")["CiphertextBlob"]
    clock.advance(days=2)
    give(kms, empty, FIRST)

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert described(kms, empty)["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"


def test_the_same_material_may_be_given_another_date(kms: LocalKms, empty: str) -> None:
    give(kms, empty, FIRST, ValidTo=START + timedelta(days=1))
    give(kms, empty, FIRST, ValidTo=START + timedelta(days=2))
    assert described(kms, empty)["ValidTo"] == START + timedelta(days=2)


def test_the_earliest_of_several_counts(kms: LocalKms, empty: str, clock: Any) -> None:
    give(kms, empty, FIRST, ValidTo=START + timedelta(days=20))
    give(kms, empty, SECOND, ImportType="NEW_KEY_MATERIAL", ValidTo=START + timedelta(days=10))
    assert described(kms, empty)["ValidTo"] == START + timedelta(days=20)
    kms.rotate_key_on_demand(KeyId=empty)
    assert described(kms, empty)["ValidTo"] == START + timedelta(days=10)
    clock.advance(days=15)
    assert states(kms, empty) == [("NON_CURRENT", "IMPORTED"), ("CURRENT", "PENDING_IMPORT")]


def test_a_disabled_key_waits_for_its_material_too(kms: LocalKms, empty: str, clock: Any) -> None:
    give(kms, empty, FIRST, ValidTo=START + timedelta(days=1))
    kms.disable_key(KeyId=empty)
    clock.advance(days=1)
    assert state(kms, empty) == "PendingImport"


def test_a_key_pending_deletion_stays_so_and_comes_back_without_its_material(
    kms: LocalKms, empty: str, clock: Any
) -> None:
    give(kms, empty, FIRST, ValidTo=START + timedelta(days=1))
    kms.schedule_key_deletion(KeyId=empty)
    clock.advance(days=1)
    assert state(kms, empty) == "PendingDeletion"
    kms.cancel_key_deletion(KeyId=empty)
    assert state(kms, empty) == "PendingImport"
    give(kms, empty, FIRST)
    assert state(kms, empty) == "Enabled"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"),
        (
            {"ExpirationModel": "KEY_MATERIAL_EXPIRES"},
            "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
        ),
        (
            {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", "ValidTo": START + timedelta(days=1)},
            "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE",
        ),
        ({"ValidTo": START}, "The validTo date must be in the future"),
        ({"ValidTo": START - timedelta(days=1)}, "The validTo date must be in the future"),
        (
            {"ValidTo": START + timedelta(days=365, milliseconds=1)},
            "The validTo date must be within 365 days from now",
        ),
    ],
)
def test_dates_are_checked(kms: LocalKms, empty: str, refused: Any, given: dict[str, Any], text: str) -> None:
    parameters = import_parameters(kms, empty, FIRST)
    del parameters["ExpirationModel"]
    with refused("ValidationException", text):
        kms.import_key_material(**parameters, **given)


@pytest.mark.parametrize(
    "given",
    [
        START + timedelta(days=365),
        (START + timedelta(days=365)).timestamp(),
        (START + timedelta(days=365)).astimezone(timezone(timedelta(hours=-8))),
        (START + timedelta(days=365)).astimezone().replace(tzinfo=None),
    ],
)
def test_dates_come_in_the_forms_that_boto3_takes(kms: LocalKms, empty: str, given: Any) -> None:
    give(kms, empty, FIRST, ValidTo=given)
    assert described(kms, empty)["ValidTo"] == START + timedelta(days=365)


@pytest.mark.parametrize(
    "given", ["2026-02-01", True, float("nan"), float("inf"), 1e300, datetime.min.replace(tzinfo=timezone.max)]
)
def test_what_is_no_date_is_refused(kms: LocalKms, empty: str, refused: Any, given: Any) -> None:
    with refused("SerializationException"):
        give(kms, empty, FIRST, ValidTo=given)


def test_what_is_deleted_comes_back(kms: LocalKms, filled: str, refused: Any) -> None:
    blob = kms.encrypt(KeyId=filled, Plaintext=b"x")["CiphertextBlob"]
    before = described(kms, filled)
    answer = kms.delete_imported_key_material(KeyId=filled)
    assert (answer["KeyId"], answer["KeyMaterialId"]) == (before["Arn"], before["CurrentKeyMaterialId"])
    with refused("KMSInvalidStateException", f"{before['Arn']} is pending import."):
        kms.decrypt(CiphertextBlob=blob)
    assert "ExpirationModel" not in described(kms, filled)
    give(kms, filled, FIRST)

    assert described(kms, filled) == before
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_other_material_does_not_take_its_place(kms: LocalKms, filled: str, refused: Any) -> None:
    kms.delete_imported_key_material(KeyId=filled)
    with refused("IncorrectKeyMaterialException"):
        give(kms, filled, SECOND)
    assert state(kms, filled) == "PendingImport"


def test_deleting_what_is_gone_or_never_was_is_no_error(kms: LocalKms, filled: str, arn: str) -> None:
    never = external(kms)
    assert "KeyMaterialId" not in kms.delete_imported_key_material(KeyId=never)
    kms.delete_imported_key_material(KeyId=filled)
    kms.delete_imported_key_material(KeyId=filled)
    assert (state(kms, filled), state(kms, never)) == ("PendingImport", "PendingImport")


def test_unknown_material_is_not_found(kms: LocalKms, filled: str, refused: Any) -> None:
    with refused("NotFoundException"):
        kms.delete_imported_key_material(KeyId=filled, KeyMaterialId="0" * 64)


@pytest.mark.parametrize("given", ["0" * 63, "0" * 65, "G" * 64])
def test_a_material_id_has_64_hexadecimal_digits(kms: LocalKms, filled: str, refused: Any, given: str) -> None:
    with refused("ValidationException"):
        kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=given)


def test_a_disabled_key_comes_back_enabled(kms: LocalKms, filled: str) -> None:
    kms.disable_key(KeyId=filled)
    kms.delete_imported_key_material(KeyId=filled)
    give(kms, filled, FIRST)
    assert state(kms, filled) == "Enabled"


def test_a_disabled_key_that_lacks_nothing_stays_disabled(kms: LocalKms, filled: str) -> None:
    kms.disable_key(KeyId=filled)
    give(kms, filled, FIRST)
    assert state(kms, filled) == "Disabled"


def test_a_key_pending_deletion_stays_so(kms: LocalKms, filled: str) -> None:
    kms.schedule_key_deletion(KeyId=filled)
    kms.delete_imported_key_material(KeyId=filled)
    assert state(kms, filled) == "PendingDeletion"
    kms.cancel_key_deletion(KeyId=filled)
    assert state(kms, filled) == "PendingImport"


def test_a_key_pair_that_is_gone_is_said_to_be(kms: LocalKms, refused: Any) -> None:
    key_id = external(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    give(kms, key_id, private_der(new_key_pair("ECC_NIST_P256", os.urandom)))
    kms.delete_imported_key_material(KeyId=key_id)
    with refused("KMSInvalidStateException", f"{HERE.key_arn(key_id)} is pending import."):
        kms.get_public_key(KeyId=key_id)


def test_material_that_is_gone_in_spite_of_the_state_is_said_to_be(
    kms: LocalKms, filled: str, force_state: Callable[[str, KeyState], None], refused: Any
) -> None:
    blob = kms.encrypt(KeyId=filled, Plaintext=b"x")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=filled)
    force_state(filled, KeyState.ENABLED)
    text = f"{HERE.key_arn(filled)} is pending import."
    with refused("KMSInvalidStateException", text):
        kms.decrypt(CiphertextBlob=blob)
    with refused("KMSInvalidStateException", text):
        kms.encrypt(KeyId=filled, Plaintext=b"x")


def test_new_material_waits_for_a_rotation(kms: LocalKms, filled: str, clock: Any) -> None:
    old = kms.encrypt(KeyId=filled, Plaintext=b"old")["CiphertextBlob"]
    first = described(kms, filled)["CurrentKeyMaterialId"]
    second = give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL", KeyMaterialDescription="the second")
    assert described(kms, filled)["CurrentKeyMaterialId"] == first != second
    assert materials(kms, filled)[1] == {
        "KeyId": filled,
        "KeyMaterialId": second,
        "KeyMaterialDescription": "the second",
        "KeyMaterialState": "PENDING_ROTATION",
        "ImportState": "IMPORTED",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    clock.advance(days=3)
    kms.rotate_key_on_demand(KeyId=filled)

    assert described(kms, filled)["CurrentKeyMaterialId"] == second
    assert states(kms, filled) == [("NON_CURRENT", "IMPORTED"), ("CURRENT", "IMPORTED")]
    (rotation,) = kms.list_key_rotations(KeyId=filled)["Rotations"]
    assert (rotation["RotationDate"], rotation["RotationType"]) == (START + timedelta(days=3), "ON_DEMAND")
    assert kms.decrypt(CiphertextBlob=old)["KeyMaterialId"] == first
    assert kms.generate_data_key(KeyId=filled, KeySpec="AES_256")["KeyMaterialId"] == second


def test_without_new_material_there_is_no_rotation(kms: LocalKms, filled: str, refused: Any) -> None:
    text = f"No available key material pending rotation for the key: {HERE.key_arn(filled)}."
    with refused("KMSInvalidStateException", text):
        kms.rotate_key_on_demand(KeyId=filled)


def test_only_one_material_waits(kms: LocalKms, filled: str, refused: Any) -> None:
    second = give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    third = give(kms, external(kms), THIRD)
    with refused("KMSInvalidStateException"):
        give(kms, filled, THIRD, ImportType="NEW_KEY_MATERIAL")
    assert third not in [each["KeyMaterialId"] for each in materials(kms, filled)]
    kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=second)
    assert give(kms, filled, THIRD, ImportType="NEW_KEY_MATERIAL") != second


def test_the_error_names_what_waits_and_what_came(kms: LocalKms, filled: str, refused: Any) -> None:
    second = give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=second)
    third = give(kms, filled, THIRD, ImportType="NEW_KEY_MATERIAL")
    text = (
        f"New key material (id: {second}) cannot be imported into KMS key {HERE.key_arn(filled)}, "
        f"because another key material (id: {third}) is pending rotation."
    )
    with refused("KMSInvalidStateException", text):
        give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")


def test_what_waits_can_be_deleted_and_is_forgotten(kms: LocalKms, filled: str, refused: Any) -> None:
    second = give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=second)

    assert (state(kms, filled), states(kms, filled)) == ("Enabled", [("CURRENT", "IMPORTED")])
    with refused("NotFoundException"):
        kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=second)
    with refused("IncorrectKeyMaterialException"):
        give(kms, filled, SECOND, ImportType="EXISTING_KEY_MATERIAL")
    assert give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL") == second


def test_what_waits_may_expire_and_is_forgotten(kms: LocalKms, filled: str, clock: Any) -> None:
    give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL", ValidTo=START + timedelta(days=1))
    clock.advance(days=1)
    assert (state(kms, filled), states(kms, filled)) == ("Enabled", [("CURRENT", "IMPORTED")])


def test_what_waits_may_be_given_another_date(kms: LocalKms, filled: str) -> None:
    second = give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL", KeyMaterialDescription="second")
    again = give(kms, filled, SECOND, ValidTo=START + timedelta(days=1))
    assert again == second
    listed = materials(kms, filled)[1]
    assert (listed["ValidTo"], listed["KeyMaterialState"]) == (START + timedelta(days=1), "PENDING_ROTATION")
    assert listed["KeyMaterialDescription"] == "second"


def test_materials_are_listed_in_the_order_they_have_been_in_use(kms: LocalKms, filled: str, clock: Any) -> None:
    second = give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=second)
    clock.advance(days=1)
    third = give(kms, filled, THIRD, ImportType="NEW_KEY_MATERIAL")
    kms.rotate_key_on_demand(KeyId=filled)
    give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    assert [each["KeyMaterialId"] for each in materials(kms, filled)][1:] == [third, second]
    clock.advance(days=1)
    kms.rotate_key_on_demand(KeyId=filled)
    assert [each["KeyMaterialId"] for each in materials(kms, filled)][1:] == [third, second]


@pytest.mark.parametrize("which", [0, 1])
def test_while_any_material_is_gone_the_key_cannot_be_used(
    kms: LocalKms, filled: str, refused: Any, which: int
) -> None:
    give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    old = kms.encrypt(KeyId=filled, Plaintext=b"x")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=filled)
    ids = [each["KeyMaterialId"] for each in materials(kms, filled)]
    deleted = kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=ids[which])
    assert deleted["KeyMaterialId"] == ids[which]
    text = f"{HERE.key_arn(filled)} is pending import."
    with refused("KMSInvalidStateException", text):
        kms.decrypt(CiphertextBlob=old)
    with refused("KMSInvalidStateException", text):
        kms.encrypt(KeyId=filled, Plaintext=b"x")
    with refused("KMSInvalidStateException", text):
        kms.rotate_key_on_demand(KeyId=filled)
    give(kms, filled, [FIRST, SECOND][which])

    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"x"


def test_a_key_that_lacks_two_needs_both(kms: LocalKms, filled: str) -> None:
    give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    kms.rotate_key_on_demand(KeyId=filled)
    for each in materials(kms, filled):
        kms.delete_imported_key_material(KeyId=filled, KeyMaterialId=each["KeyMaterialId"])
    give(kms, filled, SECOND)
    assert state(kms, filled) == "PendingImport"
    give(kms, filled, FIRST)
    assert state(kms, filled) == "Enabled"


def test_known_material_is_not_new(kms: LocalKms, filled: str, refused: Any) -> None:
    with refused("IncorrectKeyMaterialException"):
        give(kms, filled, FIRST, ImportType="NEW_KEY_MATERIAL")


def test_new_material_is_not_known(kms: LocalKms, filled: str, empty: str, refused: Any) -> None:
    with refused("IncorrectKeyMaterialException"):
        give(kms, filled, SECOND, ImportType="EXISTING_KEY_MATERIAL")
    with refused("IncorrectKeyMaterialException"):
        give(kms, external(kms), FIRST, ImportType="EXISTING_KEY_MATERIAL")


def test_a_material_may_be_named(kms: LocalKms, filled: str, refused: Any) -> None:
    first = described(kms, filled)["CurrentKeyMaterialId"]
    assert give(kms, filled, FIRST, KeyMaterialId=first) == first
    with refused("IncorrectKeyMaterialException"):
        give(kms, filled, SECOND, KeyMaterialId=first)
    give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    with refused("IncorrectKeyMaterialException"):
        give(kms, filled, SECOND, KeyMaterialId=first)
    with refused("ValidationException", "KeyMaterialId cannot be given with ImportType NEW_KEY_MATERIAL"):
        give(kms, filled, FIRST, KeyMaterialId=first, ImportType="NEW_KEY_MATERIAL")


def test_the_same_material_has_another_id_in_another_key(kms: LocalKms) -> None:
    assert give(kms, external(kms), FIRST) != give(kms, external(kms), FIRST)


def test_what_one_key_has_encrypted_another_of_the_same_material_does_not_decrypt(
    kms: LocalKms, filled: str, refused: Any
) -> None:
    other = external(kms)
    give(kms, other, FIRST)
    blob = kms.encrypt(KeyId=filled, Plaintext=b"x")["CiphertextBlob"]
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=other)


def test_a_description_is_kept_until_another_is_given(kms: LocalKms, empty: str) -> None:
    give(kms, empty, FIRST, KeyMaterialDescription="one")
    give(kms, empty, FIRST)
    assert materials(kms, empty)[0]["KeyMaterialDescription"] == "one"
    give(kms, empty, FIRST, KeyMaterialDescription="two")
    assert materials(kms, empty)[0]["KeyMaterialDescription"] == "two"


@pytest.mark.parametrize("description", ["a" * 257, "no <tags>"])
def test_a_description_has_a_form(kms: LocalKms, empty: str, refused: Any, description: str) -> None:
    with refused("ValidationException"):
        give(kms, empty, FIRST, KeyMaterialDescription=description)


def test_rotations_to_imported_material_count_as_well(kms: LocalKms, filled: str, refused: Any) -> None:
    for number in range(25):
        give(kms, filled, bytes([100 + number]) * 32, ImportType="NEW_KEY_MATERIAL")
        kms.rotate_key_on_demand(KeyId=filled)
    give(kms, filled, SECOND, ImportType="NEW_KEY_MATERIAL")
    with refused("LimitExceededException"):
        kms.rotate_key_on_demand(KeyId=filled)


@pytest.fixture
def there(store: SqliteStore, clock: Any, random: Any) -> LocalKms:
    return LocalKms(store, clock=clock, random=random, region=THERE.region)


@pytest.fixture
def primary(kms: LocalKms, store: SqliteStore) -> str:
    """A multi-Region key with material, and a replica that waits for it."""
    key_id = external(kms, MultiRegion=True)
    give(kms, key_id, FIRST)
    _replicate(store, key_id)
    return key_id


def _replicate(store: SqliteStore, key_id: str) -> None:
    with store.write() as transaction:
        primary = transaction.key(HERE, key_id)
        assert primary is not None
        waits = {"state": KeyState.PENDING_IMPORT, "role": MultiRegionRole.REPLICA}
        transaction.add_key(replace(primary, scope=THERE, **waits), {})
        replicate(transaction, primary, THERE)


def test_a_replica_takes_the_material_of_its_primary_and_no_other(
    kms: LocalKms, there: LocalKms, primary: str, refused: Any
) -> None:
    blob = kms.encrypt(KeyId=primary, Plaintext=b"x")["CiphertextBlob"]
    assert states(there, primary) == [("CURRENT", "PENDING_IMPORT")]
    with refused("KMSInvalidStateException", f"{THERE.key_arn(primary)} is pending import."):
        there.decrypt(CiphertextBlob=blob)
    with refused("IncorrectKeyMaterialException"):
        give(there, primary, SECOND)
    assert give(there, primary, FIRST) == described(kms, primary)["CurrentKeyMaterialId"]

    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_parameters_of_one_region_are_not_for_another(
    kms: LocalKms, there: LocalKms, primary: str, refused: Any
) -> None:
    with refused("InvalidImportTokenException", ""):
        there.import_key_material(**import_parameters(kms, primary, FIRST))


def test_new_material_comes_through_the_primary(there: LocalKms, primary: str, refused: Any) -> None:
    text = f"{THERE.key_arn(primary)} is not a multi-region primary key."
    with refused("UnsupportedOperationException", text):
        give(there, primary, SECOND, ImportType="NEW_KEY_MATERIAL")


def test_a_rotation_waits_for_all_regions_and_then_happens_in_all(
    kms: LocalKms, there: LocalKms, primary: str, refused: Any
) -> None:
    give(there, primary, FIRST)
    second = give(kms, primary, SECOND, ImportType="NEW_KEY_MATERIAL", KeyMaterialDescription="here")
    assert states(kms, primary)[1] == ("PENDING_MULTI_REGION_IMPORT_AND_ROTATION", "IMPORTED")
    text = f"No available key material pending rotation for the key: {HERE.key_arn(primary)}."
    with refused("KMSInvalidStateException", text):
        kms.rotate_key_on_demand(KeyId=primary)
    give(there, primary, SECOND, ImportType="EXISTING_KEY_MATERIAL")
    assert [states(each, primary)[1][0] for each in (kms, there)] == ["PENDING_ROTATION"] * 2
    assert "KeyMaterialDescription" not in materials(there, primary)[1]
    kms.rotate_key_on_demand(KeyId=primary)

    for each in (kms, there):
        assert described(each, primary)["CurrentKeyMaterialId"] == second
        assert states(each, primary) == [("NON_CURRENT", "IMPORTED"), ("CURRENT", "IMPORTED")]


def test_deleting_what_waits_in_the_primary_deletes_it_in_replicas(
    kms: LocalKms, there: LocalKms, primary: str
) -> None:
    give(there, primary, FIRST)
    second = give(kms, primary, SECOND, ImportType="NEW_KEY_MATERIAL")
    give(there, primary, SECOND)
    kms.delete_imported_key_material(KeyId=primary, KeyMaterialId=second)
    assert states(kms, primary) == states(there, primary) == [("CURRENT", "IMPORTED")]


def test_what_waits_and_expires_in_the_primary_is_gone_in_replicas(
    kms: LocalKms, there: LocalKms, primary: str, clock: Any
) -> None:
    give(there, primary, FIRST)
    give(kms, primary, SECOND, ImportType="NEW_KEY_MATERIAL", ValidTo=START + timedelta(days=1))
    give(there, primary, SECOND)
    clock.advance(days=1)
    assert states(kms, primary) == states(there, primary) == [("CURRENT", "IMPORTED")]


def test_what_waits_in_a_former_primary_gives_way_to_what_the_new_one_is_given(
    kms: LocalKms, there: LocalKms, store: SqliteStore, primary: str
) -> None:
    give(there, primary, FIRST)
    give(kms, primary, SECOND, ImportType="NEW_KEY_MATERIAL")
    with store.write() as transaction:
        for scope, role in ((HERE, MultiRegionRole.REPLICA), (THERE, MultiRegionRole.PRIMARY)):
            key = transaction.key(scope, primary)
            assert key is not None
            transaction.update_key(replace(key, role=role, primary_region=THERE.region))
    third = give(there, primary, THIRD, ImportType="NEW_KEY_MATERIAL")
    assert states(there, primary)[1] == ("PENDING_MULTI_REGION_IMPORT_AND_ROTATION", "IMPORTED")
    give(kms, primary, THIRD)
    there.rotate_key_on_demand(KeyId=primary)

    for each in (kms, there):
        assert described(each, primary)["CurrentKeyMaterialId"] == third
        assert states(each, primary) == [("NON_CURRENT", "IMPORTED"), ("CURRENT", "IMPORTED")]


def test_deleting_in_a_replica_leaves_the_primary_alone(kms: LocalKms, there: LocalKms, primary: str) -> None:
    give(there, primary, FIRST)
    second = give(kms, primary, SECOND, ImportType="NEW_KEY_MATERIAL")
    give(there, primary, SECOND)
    there.delete_imported_key_material(KeyId=primary, KeyMaterialId=second)
    assert states(kms, primary)[1] == ("PENDING_MULTI_REGION_IMPORT_AND_ROTATION", "IMPORTED")
    there.delete_imported_key_material(KeyId=primary)
    assert (state(kms, primary), state(there, primary)) == ("Enabled", "PendingImport")
