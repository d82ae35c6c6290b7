"""Multi-Region keys: replicas, the primary's Region, and the order in which they are erased."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit.kms_kinds import available

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.model import KeyState, MaterialRecord, MaterialState
from envelope_sdk.local_kms.policy import default_key_policy

EAST, WEST, NORTH = "us-east-1", "us-west-2", "eu-north-1"
PENDING = "pending replica deletion"


@pytest.fixture
def west(kms: LocalKms) -> LocalKms:
    return kms.in_region(WEST)


@pytest.fixture
def primary(kms: LocalKms) -> str:
    return kms.create_key(MultiRegion=True, Description="first", Tags=[{"TagKey": "a", "TagValue": "b"}])[
        "KeyMetadata"
    ]["KeyId"]


@pytest.fixture
def replicated(kms: LocalKms, primary: str) -> str:
    kms.replicate_key(KeyId=primary, ReplicaRegion=WEST)
    return primary


def arn_in(region: str, key_id: str) -> str:
    return f"arn:aws:kms:{region}:000000000000:key/{key_id}"


def described(kms: LocalKms, key_id: str) -> dict[str, Any]:
    return kms.describe_key(KeyId=key_id)["KeyMetadata"]


def configuration(kms: LocalKms, key_id: str) -> tuple[str, str, list[str]]:
    found = described(kms, key_id)["MultiRegionConfiguration"]
    return found["MultiRegionKeyType"], found["PrimaryKey"]["Region"], [key["Region"] for key in found["ReplicaKeys"]]


# --- ReplicateKey ----------------------------------------------------------------------------------------------------


def test_a_replica_is_answered_as_aws_answers_it(kms: LocalKms, primary: str) -> None:
    tags = [{"TagKey": "c", "TagValue": "d"}, {"TagKey": "a", "TagValue": ""}]
    answer = kms.replicate_key(KeyId=primary, ReplicaRegion=WEST, Description="second", Tags=tags)
    del answer["ResponseMetadata"]
    assert answer == {
        "ReplicaKeyMetadata": {
            "AWSAccountId": "000000000000",
            "KeyId": primary,
            "Arn": arn_in(WEST, primary),
            "CreationDate": datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC),
            "Enabled": False,
            "Description": "second",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": "Creating",
            "Origin": "AWS_KMS",
            "KeyManager": "CUSTOMER",
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "MultiRegion": True,
            "MultiRegionConfiguration": {
                "MultiRegionKeyType": "REPLICA",
                "PrimaryKey": {"Arn": arn_in(EAST, primary), "Region": EAST},
                "ReplicaKeys": [{"Arn": arn_in(WEST, primary), "Region": WEST}],
            },
        },
        "ReplicaPolicy": answer["ReplicaPolicy"],
        "ReplicaTags": tags,
    }
    assert json.loads(answer["ReplicaPolicy"]) == json.loads(default_key_policy(Scope("000000000000", WEST)))


def test_a_replica_is_ready_at_the_next_call(west: LocalKms, replicated: str) -> None:
    metadata = described(west, replicated)
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Enabled", True)


def test_both_sides_tell_of_the_primary_and_of_every_replica(kms: LocalKms, west: LocalKms, replicated: str) -> None:
    kms.replicate_key(KeyId=arn_in(EAST, replicated), ReplicaRegion=NORTH)
    assert configuration(kms, replicated) == ("PRIMARY", EAST, [NORTH, WEST])
    for region in (NORTH, WEST):
        assert configuration(kms.in_region(region), replicated) == ("REPLICA", EAST, [NORTH, WEST])


def test_a_replica_has_the_primarys_material_by_the_same_id(kms: LocalKms, west: LocalKms, replicated: str) -> None:
    assert described(kms, replicated)["CurrentKeyMaterialId"] == described(west, replicated)["CurrentKeyMaterialId"]


@pytest.mark.parametrize(("here", "there"), [(EAST, WEST), (WEST, EAST)])
def test_what_one_region_encrypted_the_other_decrypts(kms: LocalKms, replicated: str, here: str, there: str) -> None:
    context = {"purpose": "test"}
    blob = kms.in_region(here).encrypt(KeyId=replicated, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    answer = kms.in_region(there).decrypt(CiphertextBlob=blob, EncryptionContext=context)
    assert (answer["Plaintext"], answer["KeyId"]) == (b"x", arn_in(there, replicated))


def test_older_materials_come_along(kms: LocalKms, west: LocalKms, store: Any, primary: str) -> None:
    blob = kms.encrypt(KeyId=primary, Plaintext=b"old")["CiphertextBlob"]
    scope, newer = Scope("000000000000", EAST), "7" * 64
    with store.write() as transaction:
        (older,) = transaction.materials(scope, primary)
        changed = MaterialRecord(
            key_id=primary, material_id=older.material_id, created=older.created, state=MaterialState.NON_CURRENT
        )
        transaction.update_material(scope, changed)
        record = MaterialRecord(key_id=primary, material_id=newer, created=older.created + timedelta(days=1))
        transaction.add_material(scope, record, bytes(32))
    kms.replicate_key(KeyId=primary, ReplicaRegion=WEST)
    with store.read() as transaction:
        assert transaction.materials(Scope("000000000000", WEST), primary) == [changed, record]
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"old"


def test_a_single_region_key_does_not_decrypt_elsewhere(kms: LocalKms, west: LocalKms, key_id: str, refused: Any):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with refused("AccessDeniedException"):
        west.decrypt(CiphertextBlob=blob)


_KINDS = [
    ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ("ECC_NIST_P256", "SIGN_VERIFY"),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
]


@pytest.mark.parametrize(("spec", "usage"), _KINDS)
def test_keys_of_other_kinds_are_the_same_on_both_sides(kms: LocalKms, west: LocalKms, spec: str, usage: str) -> None:
    if not available(spec):
        pytest.skip("not here")
    key_id = kms.create_key(MultiRegion=True, KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    kms.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    metadata = described(west, key_id)
    assert (metadata["KeySpec"], metadata["KeyUsage"]) == (spec, usage)
    if usage == "SIGN_VERIFY":
        assert kms.get_public_key(KeyId=key_id)["PublicKey"] == west.get_public_key(KeyId=key_id)["PublicKey"]
        return
    given: dict[str, Any] = {"KeyId": key_id, "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
    assert west.verify_mac(**given, Mac=kms.generate_mac(**given)["Mac"])["MacValid"] is True


def test_state_description_tags_and_aliases_are_each_ones_own(kms: LocalKms, west: LocalKms, replicated: str) -> None:
    west.create_alias(AliasName="alias/there", TargetKeyId=replicated)
    west.update_key_description(KeyId=replicated, Description="there")
    west.tag_resource(KeyId=replicated, Tags=[{"TagKey": "there", "TagValue": "1"}])
    west.disable_key(KeyId=replicated)
    assert kms.list_aliases(KeyId=replicated)["Aliases"] == []
    assert kms.list_resource_tags(KeyId=replicated)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    assert west.list_resource_tags(KeyId=replicated)["Tags"] == [{"TagKey": "there", "TagValue": "1"}]
    assert (described(kms, replicated)["Description"], described(kms, replicated)["Enabled"]) == ("first", True)


def test_a_replica_is_in_the_list_of_its_region(kms: LocalKms, west: LocalKms, replicated: str) -> None:
    assert [key["KeyArn"] for key in west.list_keys()["Keys"]] == [arn_in(WEST, replicated)]


def test_a_replicas_policy_may_be_given(kms: LocalKms, west: LocalKms, primary: str) -> None:
    policy = default_key_policy(Scope("000000000000", WEST)).replace("key-default-1", "own")
    answer = kms.replicate_key(KeyId=primary, ReplicaRegion=WEST, Policy=policy, BypassPolicyLockoutSafetyCheck=True)
    assert answer["ReplicaPolicy"] == policy


def test_the_replica_of_an_imported_key_waits_for_its_material(
    kms: LocalKms, west: LocalKms, store: Any, primary: str
) -> None:
    with store.write() as transaction:
        key = transaction.key(Scope("000000000000", EAST), primary)
        transaction.update_key(replace(key, origin="EXTERNAL"))
    assert kms.replicate_key(KeyId=primary, ReplicaRegion=WEST)["ReplicaKeyMetadata"]["KeyState"] == "Creating"
    metadata = described(west, primary)
    assert (metadata["KeyState"], metadata["Origin"]) == ("PendingImport", "EXTERNAL")
    assert "CurrentKeyMaterialId" not in metadata


_NOT_REPLICATED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"ReplicaRegion": EAST}, "AlreadyExistsException", None),
    ({"ReplicaRegion": WEST}, "AlreadyExistsException", None),
    ({"ReplicaRegion": "cn-north-1"}, "UnsupportedOperationException", None),
    (
        {"ReplicaRegion": "nowhere"},
        "ValidationException",
        "1 validation error detected: Value 'nowhere' at 'replicaRegion' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: ^([a-z]+-){2,3}\d+$",
    ),
    ({"ReplicaRegion": NORTH, "Policy": "not json"}, "MalformedPolicyDocumentException", None),
    ({"ReplicaRegion": NORTH, "Tags": [{"TagKey": "AWS:a", "TagValue": ""}]}, "TagException", None),
    ({"ReplicaRegion": NORTH, "Description": "x" * 8193}, "ValidationException", None),
    (
        {"ReplicaRegion": NORTH, "KeyId": "alias/a"},
        "InvalidArnException",
        "Key Aliases are not supported for this operation.",
    ),
]


@pytest.mark.parametrize(("parameters", "code", "text"), _NOT_REPLICATED)
def test_replicate_key_refuses(
    kms: LocalKms, replicated: str, refused: Any, parameters: dict[str, Any], code: str, text: str | None
) -> None:
    with refused(code, text):
        kms.replicate_key(**{"KeyId": replicated, **parameters})
    assert configuration(kms, replicated) == ("PRIMARY", EAST, [WEST])


def test_replicas_count_among_the_keys_of_their_region(refused: Any) -> None:
    with LocalKms.in_memory(limits=ResourceQuotas(keys=1)) as kms:
        kms.in_region(WEST).create_key()
        key_id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        with refused("LimitExceededException"):
            kms.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
        kms.replicate_key(KeyId=key_id, ReplicaRegion=NORTH)


def test_a_key_of_one_region_has_no_replicas(kms: LocalKms, key_id: str, arn: str, refused: Any) -> None:
    with refused("UnsupportedOperationException", f"{arn} is not a multi-region primary key."):
        kms.replicate_key(KeyId=key_id, ReplicaRegion=WEST)


def test_a_replica_is_not_replicated(west: LocalKms, replicated: str, refused: Any) -> None:
    text = f"{arn_in(WEST, replicated)} is not a multi-region primary key."
    with refused("UnsupportedOperationException", text):
        west.replicate_key(KeyId=replicated, ReplicaRegion=NORTH)


def test_a_replica_is_found_after_the_store_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    with LocalKms.open(path) as kms:
        key_id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        kms.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
        blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with LocalKms.open(path, region=WEST) as west:
        assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# --- UpdatePrimaryRegion ---------------------------------------------------------------------------------------------


def test_the_primary_moves(kms: LocalKms, west: LocalKms, replicated: str) -> None:
    kms.replicate_key(KeyId=replicated, ReplicaRegion=NORTH)
    kms.update_primary_region(KeyId=replicated, PrimaryRegion=WEST)
    assert configuration(west, replicated) == ("PRIMARY", WEST, [NORTH, EAST])
    assert configuration(kms, replicated) == ("REPLICA", WEST, [NORTH, EAST])
    assert configuration(kms.in_region(NORTH), replicated) == ("REPLICA", WEST, [NORTH, EAST])


def test_only_the_new_primary_is_replicated(kms: LocalKms, west: LocalKms, replicated: str, refused: Any) -> None:
    kms.update_primary_region(KeyId=replicated, PrimaryRegion=WEST)
    with refused("UnsupportedOperationException", f"{arn_in(EAST, replicated)} is not a multi-region primary key."):
        kms.replicate_key(KeyId=replicated, ReplicaRegion=NORTH)
    west.replicate_key(KeyId=replicated, ReplicaRegion=NORTH)


def test_rotation_moves_with_the_primary(kms: LocalKms, store: Any, replicated: str, clock: Any) -> None:
    east, west = Scope("000000000000", EAST), Scope("000000000000", WEST)
    due = clock.now.replace(microsecond=0) + timedelta(days=90)
    with store.write() as transaction:
        key = transaction.key(east, replicated)
        transaction.update_key(replace(key, rotation_days=90, next_rotation=due))
    kms.update_primary_region(KeyId=replicated, PrimaryRegion=WEST)
    with store.read() as transaction:
        former, primary = transaction.key(east, replicated), transaction.key(west, replicated)
    assert (primary.rotation_days, primary.next_rotation) == (90, due)
    assert (former.rotation_days, former.next_rotation) == (None, None)


def test_the_primary_moves_to_a_region_with_a_replica_only(kms: LocalKms, replicated: str, refused: Any) -> None:
    with refused("NotFoundException", f"Key '{arn_in(NORTH, replicated)}' does not exist"):
        kms.update_primary_region(KeyId=replicated, PrimaryRegion=NORTH)


def test_the_primary_does_not_move_to_where_it_is(kms: LocalKms, replicated: str, refused: Any) -> None:
    with refused("UnsupportedOperationException"):
        kms.update_primary_region(KeyId=replicated, PrimaryRegion=EAST)


def test_a_replica_cannot_move_the_primary(west: LocalKms, replicated: str, refused: Any) -> None:
    with refused("UnsupportedOperationException", f"{arn_in(WEST, replicated)} is not a multi-region primary key."):
        west.update_primary_region(KeyId=replicated, PrimaryRegion=EAST)


def test_a_disabled_replica_does_not_become_the_primary(
    kms: LocalKms, west: LocalKms, replicated: str, refused: Any
) -> None:
    west.disable_key(KeyId=replicated)
    with refused("DisabledException", f"{arn_in(WEST, replicated)} is disabled."):
        kms.update_primary_region(KeyId=replicated, PrimaryRegion=WEST)


# --- deletion --------------------------------------------------------------------------------------------------------


@pytest.fixture
def going(kms: LocalKms, replicated: str) -> str:
    kms.schedule_key_deletion(KeyId=replicated, PendingWindowInDays=10)
    return replicated


def test_a_primary_with_replicas_waits_for_them(kms: LocalKms, replicated: str) -> None:
    answer = kms.schedule_key_deletion(KeyId=replicated, PendingWindowInDays=10)
    del answer["ResponseMetadata"]
    assert answer == {
        "KeyId": arn_in(EAST, replicated),
        "KeyState": "PendingReplicaDeletion",
        "PendingWindowInDays": 10,
    }
    metadata = described(kms, replicated)
    assert (metadata["KeyState"], metadata["PendingDeletionWindowInDays"]) == ("PendingReplicaDeletion", 10)
    assert "DeletionDate" not in metadata


def test_a_primary_waits_however_long_its_replicas_are_there(kms: LocalKms, going: str, clock: Any) -> None:
    clock.advance(days=1000)
    assert described(kms, going)["KeyState"] == "PendingReplicaDeletion"


def test_its_waiting_period_begins_when_the_last_replica_is_gone(
    kms: LocalKms, west: LocalKms, going: str, clock: Any
) -> None:
    west.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)
    begun = west.describe_key(KeyId=going)["KeyMetadata"]["DeletionDate"]
    clock.advance(days=7, milliseconds=-1)
    assert described(kms, going)["KeyState"] == "PendingReplicaDeletion"
    clock.advance(milliseconds=1)
    metadata = described(kms, going)
    assert (metadata["KeyState"], metadata["DeletionDate"]) == ("PendingDeletion", begun + timedelta(days=10))
    assert "PendingDeletionWindowInDays" not in metadata
    assert metadata["MultiRegionConfiguration"]["ReplicaKeys"] == []


def test_it_waits_for_the_last_of_several(kms: LocalKms, west: LocalKms, replicated: str, clock: Any) -> None:
    kms.replicate_key(KeyId=replicated, ReplicaRegion=NORTH)
    kms.schedule_key_deletion(KeyId=replicated, PendingWindowInDays=7)
    west.schedule_key_deletion(KeyId=replicated, PendingWindowInDays=7)
    clock.advance(days=7)
    assert described(kms, replicated)["KeyState"] == "PendingReplicaDeletion"
    kms.in_region(NORTH).schedule_key_deletion(KeyId=replicated, PendingWindowInDays=7)
    clock.advance(days=7)
    assert described(kms, replicated)["KeyState"] == "PendingDeletion"


def test_replicas_gone_on_the_same_day_let_it_go(kms: LocalKms, west: LocalKms, replicated: str, clock: Any) -> None:
    kms.replicate_key(KeyId=replicated, ReplicaRegion=NORTH)
    for region in (EAST, WEST, NORTH):
        kms.in_region(region).schedule_key_deletion(KeyId=replicated, PendingWindowInDays=7)
    clock.advance(days=7)
    assert described(kms, replicated)["KeyState"] == "PendingDeletion"


@pytest.mark.parametrize(("west_days", "north_days"), [(7, 20), (20, 7)])
def test_of_replicas_gone_unseen_the_last_counts(
    kms: LocalKms, west: LocalKms, replicated: str, clock: Any, west_days: int, north_days: int
) -> None:
    kms.replicate_key(KeyId=replicated, ReplicaRegion=NORTH)
    kms.schedule_key_deletion(KeyId=replicated, PendingWindowInDays=10)
    west.schedule_key_deletion(KeyId=replicated, PendingWindowInDays=west_days)
    answer = kms.in_region(NORTH).schedule_key_deletion(KeyId=replicated, PendingWindowInDays=north_days)
    last = answer["DeletionDate"] + timedelta(days=20 - north_days)
    clock.advance(days=25)
    assert described(kms, replicated)["DeletionDate"] == last + timedelta(days=10)


def test_nobody_has_to_look_for_time_to_pass(
    kms: LocalKms, west: LocalKms, going: str, clock: Any, refused: Any
) -> None:
    west.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)
    clock.advance(days=17)
    with refused("NotFoundException"):
        kms.describe_key(KeyId=going)
    assert kms.list_keys()["Keys"] == []


def test_a_primary_can_be_kept_while_it_waits(kms: LocalKms, west: LocalKms, going: str, clock: Any) -> None:
    kms.cancel_key_deletion(KeyId=going)
    metadata = described(kms, going)
    assert metadata["KeyState"] == "Disabled"
    assert "PendingDeletionWindowInDays" not in metadata
    west.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)
    clock.advance(days=100)
    assert described(kms, going)["KeyState"] == "Disabled"


def test_a_primary_that_waits_encrypts_nothing(kms: LocalKms, going: str, refused: Any) -> None:
    with refused("KMSInvalidStateException", f"{arn_in(EAST, going)} is {PENDING}."):
        kms.encrypt(KeyId=going, Plaintext=b"x")


def test_a_replica_of_a_primary_that_waits_still_decrypts(kms: LocalKms, west: LocalKms, replicated: str) -> None:
    blob = kms.encrypt(KeyId=replicated, Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=replicated)
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_primary_without_replicas_has_its_day_at_once(kms: LocalKms, primary: str) -> None:
    answer = kms.schedule_key_deletion(KeyId=primary)
    assert (answer["KeyState"], "DeletionDate" in answer) == ("PendingDeletion", True)


def test_a_replica_has_its_day_at_once_and_its_primary_stays(
    kms: LocalKms, west: LocalKms, replicated: str, clock: Any
) -> None:
    assert west.schedule_key_deletion(KeyId=replicated, PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
    clock.advance(days=7)
    assert configuration(kms, replicated) == ("PRIMARY", EAST, [])
    kms.replicate_key(KeyId=replicated, ReplicaRegion=WEST)


def test_a_replica_pending_deletion_is_in_the_way_of_another(
    kms: LocalKms, west: LocalKms, replicated: str, refused: Any
) -> None:
    west.schedule_key_deletion(KeyId=replicated)
    with refused("AlreadyExistsException"):
        kms.replicate_key(KeyId=replicated, ReplicaRegion=WEST)


# --- one KMS, several Regions ----------------------------------------------------------------------------------------


def test_regions_and_accounts_do_not_see_each_other(kms: LocalKms, key_id: str, refused: Any) -> None:
    for other in (kms.in_region(WEST), kms.in_region(EAST, account="111122223333")):
        assert other.list_keys()["Keys"] == []
        with refused("NotFoundException"):
            other.describe_key(KeyId=key_id)


def test_another_account_has_its_own_arns(kms: LocalKms) -> None:
    other = kms.in_region(WEST, account="111122223333")
    assert other.create_key()["KeyMetadata"]["Arn"].startswith(f"arn:aws:kms:{WEST}:111122223333:key/")
    assert (other.region, other.account) == (WEST, "111122223333")


@pytest.mark.parametrize("where", [{"region": "nowhere"}, {"region": WEST, "account": ""}])
def test_a_place_that_cannot_be_is_misuse(kms: LocalKms, where: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        kms.in_region(**where)


def test_leaving_a_region_leaves_the_kms_open(kms: LocalKms, replicated: str) -> None:
    with kms.in_region(WEST) as west:
        west.describe_key(KeyId=replicated)
    kms.describe_key(KeyId=replicated)
    west.describe_key(KeyId=replicated)


@pytest.fixture
def small_world(tmp_path: Path) -> Generator[tuple[LocalKms, LocalKms]]:
    with LocalKms.open(tmp_path / "keys.db") as first, LocalKms.open(tmp_path / "keys.db", region=WEST) as second:
        yield first, second


def test_what_another_process_replicates_is_seen_at_the_next_call(small_world: tuple[LocalKms, LocalKms]) -> None:
    first, second = small_world
    key_id = first.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    assert second.list_keys()["Keys"] == []
    first.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    assert configuration(second, key_id) == ("REPLICA", EAST, [WEST])
    assert KeyState(described(second, key_id)["KeyState"]) is KeyState.ENABLED
