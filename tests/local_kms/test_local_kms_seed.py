"""Seeds planted: what is there afterwards, the first time and again."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.seeding import Planted, Seed, plant
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:us-east-1:000000000000:key/{ID}"
MRK = "mrk-1234abcd12ab34cd56ef1234567890ab"
MATERIAL = base64.b64encode(b"0123456789abcdef" * 2).decode()
USER = "arn:aws:iam::000000000000:user/alice"
USUAL = Scope("000000000000", "us-east-1")
ALLOW = '{ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "kms:*", Resource = "*" }] }'

Plant = Callable[[str], Planted]


@pytest.fixture
def sow(store: SqliteStore) -> Plant:
    def planted(text: str) -> Planted:
        return plant(
            store, Seed.parse(text.encode(), USUAL, "kms.toml"), clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)
        )

    return planted


def test_a_key_of_the_seed_is_used_like_any_other(kms: LocalKms, sow: Plant) -> None:
    done = sow(f'[[keys]]\nid = "{ID}"\naliases = ["alias/app"]\ndescription = "app"\ntags = {{ team = "blue" }}')

    assert done == Planted([ARN], [], [])
    blob = kms.encrypt(KeyId="alias/app", Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    metadata = kms.describe_key(KeyId=ID)["KeyMetadata"]
    assert (metadata["Arn"], metadata["Description"], metadata["Origin"]) == (ARN, "app", "AWS_KMS")
    assert kms.list_resource_tags(KeyId=ID)["Tags"] == [{"TagKey": "team", "TagValue": "blue"}]


def test_what_one_store_encrypts_another_with_the_same_seed_opens(sow: Plant, kms: LocalKms) -> None:
    text = f'[[keys]]\nid = "{ID}"\nmaterial = "{MATERIAL}"'
    sow(text)
    blob = kms.encrypt(KeyId=ID, Plaintext=b"x")["CiphertextBlob"]

    other = SqliteStore.in_memory(system_random)
    plant(other, Seed.parse(text.encode(), USUAL))
    with LocalKms(other) as elsewhere:
        assert elsewhere.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_planted_again_nothing_changes(sow: Plant) -> None:
    text = (
        f'[[keys]]\nid = "{MRK}"\naliases = ["alias/app"]\nrotation_days = 90\nreplicas = ["eu-west-1"]\n'
        "enabled = false\n"
        f'material = "{MATERIAL}"\n[[groups]]\nname = "team"\n[[users]]\nname = "alice"\ngroups = ["team"]\n'
        f'policies.all = {ALLOW}\naccess_keys = [{{ id = "AKIAIOSFODNN7EXAMPLE", secret = "s" }}]'
    )
    first = sow(text)

    assert len(first.made) == 4
    assert sow(text) == Planted([], [], first.made)


def test_what_the_seed_says_anew_is_brought_up_to_date(kms: LocalKms, sow: Plant) -> None:
    sow(f'[[keys]]\nid = "{ID}"\ndescription = "old"\ntags = {{ a = "1" }}')
    done = sow(
        f'[[keys]]\nid = "{ID}"\ndescription = "new"\ntags = {{ a = "2" }}\nenabled = false\nrotation_days = 100\n'
        'aliases = ["alias/new"]'
    )

    assert done == Planted([], [ARN], [])
    metadata = kms.describe_key(KeyId="alias/new")["KeyMetadata"]
    assert (metadata["Description"], metadata["KeyState"]) == ("new", "Disabled")
    assert kms.list_resource_tags(KeyId=ID)["Tags"] == [{"TagKey": "a", "TagValue": "2"}]
    assert kms.get_key_rotation_status(KeyId=ID)["RotationPeriodInDays"] == 100


def test_what_the_seed_does_not_name_stays(kms: LocalKms, sow: Plant) -> None:
    sow(f'[[keys]]\nid = "{ID}"')
    kms.create_alias(AliasName="alias/own", TargetKeyId=ID)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    sow(f'[[keys]]\nid = "{ID}"')

    assert kms.describe_key(KeyId="alias/own")["KeyMetadata"]["KeyId"] == ID
    assert kms.describe_key(KeyId=other)["KeyMetadata"]["KeyState"] == "Enabled"


def test_a_key_without_an_id_is_found_by_its_alias(kms: LocalKms, sow: Plant) -> None:
    made = sow('[[keys]]\naliases = ["alias/app"]').made

    assert sow('[[keys]]\naliases = ["alias/app"]').unchanged == made
    assert len(kms.list_keys()["Keys"]) == 1


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ('spec = "HMAC_256"\nusage = "GENERATE_VERIFY_MAC"', "is a key SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT"),
        (f'material = "{base64.b64encode(bytes(32)).decode()}"', "is made of other material"),
    ],
)
def test_no_key_is_made_another(kms: LocalKms, sow: Plant, second: str, expected: str) -> None:
    sow(f'[[keys]]\nid = "{ID}"\nmaterial = "{MATERIAL}"')
    blob = kms.encrypt(KeyId=ID, Plaintext=b"x")["CiphertextBlob"]
    with pytest.raises(UsageError, match=f"kms.toml: the key {ID}: it is there, and {expected}"):
        sow(f'[[keys]]\nid = "{ID}"\n{second}')

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_key_that_waits_for_its_deletion_is_told(kms: LocalKms, sow: Plant) -> None:
    sow(f'[[keys]]\nid = "{ID}"')
    kms.schedule_key_deletion(KeyId=ID)
    with pytest.raises(UsageError, match="waits for its deletion"):
        sow(f'[[keys]]\nid = "{ID}"')


def test_material_that_was_rotated_is_still_that_of_the_seed(kms: LocalKms, sow: Plant) -> None:
    text = f'[[keys]]\nid = "{ID}"\nmaterial = "{MATERIAL}"'
    sow(text)
    kms.rotate_key_on_demand(KeyId=ID)

    assert sow(text).unchanged == [ARN]


def test_replicas_are_made_and_named_in_their_regions(kms: LocalKms, sow: Plant) -> None:
    sow(f'[[keys]]\nid = "{MRK}"\nreplicas = ["eu-west-1"]\naliases = ["alias/app"]')
    blob = kms.encrypt(KeyId="alias/app", Plaintext=b"x")["CiphertextBlob"]

    there = kms.in_region("eu-west-1")
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert there.describe_key(KeyId="alias/app")["KeyMetadata"]["MultiRegionConfiguration"]["MultiRegionKeyType"] == (
        "REPLICA"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('policy = { Version = "2012-10-17" }', "MalformedPolicyDocumentException"),
        ('tags = { "aws:x" = "1" }', "TagException: Tags beginning with aws: are reserved"),
        ("rotation_days = 5", "ValidationException"),
        ('aliases = ["alias/aws/mine"]', "NotAuthorizedException"),
    ],
)
def test_what_aws_would_refuse_is_refused_here(sow: Plant, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=f"kms.toml: the key {ID}: {expected}"):
        sow(f'[[keys]]\nid = "{ID}"\n{text}')


def test_a_policy_of_the_seed_decides(kms: LocalKms, sow: Plant) -> None:
    sow(
        f'[[users]]\nname = "alice"\n[[keys]]\nid = "{ID}"\npolicy = {{ Version = "2012-10-17", Statement = [{{ '
        f'Effect = "Allow", Principal = {{ AWS = "{USER}" }}, Action = "kms:Encrypt", Resource = "*" }}] }}'
    )
    kms.acting_as(USER).encrypt(KeyId=ID, Plaintext=b"x")
    with pytest.raises(KmsServiceError, match="AccessDenied"):
        kms.encrypt(KeyId=ID, Plaintext=b"x")


def test_users_have_the_policies_groups_tags_and_boundaries_of_the_seed(kms: LocalKms, sow: Plant) -> None:
    sow(
        f'[[groups]]\nname = "team"\npolicies.all = {ALLOW}\n[[users]]\nname = "alice"\ngroups = ["team"]\n'
        f'tags = {{ a = "1" }}\nboundary = {ALLOW}\n[[roles]]\nname = "app"\npath = "/service/"'
    )
    alice = kms.identities.get(USER)

    assert (alice.groups, alice.tags) == (("arn:aws:iam::000000000000:group/team",), {"a": "1"})
    assert alice.boundary is not None
    assert kms.identities.get("arn:aws:iam::000000000000:role/service/app").kind == "role"
    assert len(kms.acting_as(USER).list_keys()["Keys"]) == 0


def test_policies_that_the_seed_names_no_more_are_taken_away(kms: LocalKms, sow: Plant) -> None:
    sow(f'[[users]]\nname = "alice"\npolicies.all = {ALLOW}')
    assert sow('[[users]]\nname = "alice"').changed == [USER]

    with pytest.raises(KmsServiceError, match="AccessDenied"):
        kms.acting_as(USER).list_keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "al ice"', "the user al ice: a user cannot be called"),
        ('name = "alice"\ngroups = ["none"]', "the user alice: NoSuchEntity"),
        ('name = "alice"\npolicies.all = { Version = "2012" }', "the user alice: MalformedPolicyDocument"),
        ('name = ""', "users\\[0\\].name: a name is needed"),
        ('name = "alice"\npolicies = { all = 5 }', "users\\[0\\].policies: has to be a table of policies"),
        ('name = "alice"\naccess_keys = [{ id = "short", secret = "s" }]', "id: has to be 16 to 128 capital letters"),
        ('name = "alice"\naccess_keys = [{ id = "AKIAIOSFODNN7EXAMPLE" }]', "secret: a secret is needed"),
        ('name = "alice"\nkeys = []', "users\\[0\\].keys: nothing is called so here"),
    ],
)
def test_a_user_that_cannot_be_is_told(sow: Plant, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        sow(f"[[users]]\n{text}")


def test_an_access_key_of_somebody_else_is_told(sow: Plant) -> None:
    key = 'access_keys = [{ id = "AKIAIOSFODNN7EXAMPLE", secret = "s" }]'
    with pytest.raises(
        UsageError, match="the access key AKIAIOSFODNN7EXAMPLE is arn:aws:iam::000000000000:user/alice's"
    ):
        sow(f'[[users]]\nname = "alice"\n{key}\n[[users]]\nname = "bob"\n{key}')


def test_a_kms_in_memory_begins_with_a_seed(tmp_path: Path) -> None:
    (tmp_path / "kms.toml").write_text(f'region = "eu-west-1"\n[[keys]]\nid = "{ID}"\naliases = ["alias/app"]')

    with LocalKms.in_memory(seed=tmp_path / "kms.toml", region="eu-west-1") as kms:
        assert kms.describe_key(KeyId="alias/app")["KeyMetadata"]["KeyId"] == ID


def test_so_does_one_in_a_file_each_time_it_is_opened(tmp_path: Path, database: Path) -> None:
    seed = tmp_path / "kms.toml"
    seed.write_text(f'[[keys]]\nid = "{ID}"')
    LocalKms.open(database, seed=seed).close()
    seed.write_text(f'[[keys]]\nid = "{ID}"\ndescription = "new"')

    with LocalKms.open(database, seed=seed) as kms:
        assert kms.describe_key(KeyId=ID)["KeyMetadata"]["Description"] == "new"


def test_a_kms_whose_seed_cannot_be_planted_is_not_opened(database: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        LocalKms.open(database, seed=tmp_path / "nowhere.toml")
