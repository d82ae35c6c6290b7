"""AWS managed keys: made when first asked for, and nobody's to change."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.managed import PREDEFINED, managed_policy
from envelope_sdk.local_kms.policy import Caller, Policies, Policy, Request, evaluate
from envelope_sdk.local_kms.service import Service

ALIAS = "alias/aws/s3"
SCOPE = Scope("000000000000", "us-east-1")
ROOT = Caller.parse("arn:aws:iam::000000000000:root")


def metadata(kms: LocalKms, name: str = ALIAS) -> dict[str, Any]:
    return kms.describe_key(KeyId=name)["KeyMetadata"]


def test_before_its_first_use_only_the_alias_is_there(kms: LocalKms) -> None:
    assert kms.list_keys()["Keys"] == []
    assert {
        "AliasName": ALIAS,
        "AliasArn": f"arn:aws:kms:us-east-1:000000000000:{ALIAS}",
    } in kms.list_aliases()["Aliases"]


def test_describing_it_makes_it(kms: LocalKms) -> None:
    made = metadata(kms)
    assert (made["KeyManager"], made["KeyState"], made["Origin"]) == ("AWS", "Enabled", "AWS_KMS")
    assert made["Description"] == "Default key that protects my S3 objects when no other key is defined"
    assert [key["KeyId"] for key in kms.list_keys()["Keys"]] == [made["KeyId"]]
    (alias,) = kms.list_aliases(KeyId=made["KeyId"])["Aliases"]
    assert (alias["AliasName"], alias["TargetKeyId"]) == (ALIAS, made["KeyId"])


def test_it_is_made_once(kms: LocalKms) -> None:
    assert metadata(kms) == metadata(kms, f"arn:aws:kms:us-east-1:000000000000:{ALIAS}")
    assert len([alias for alias in kms.list_aliases()["Aliases"] if alias["AliasName"] == ALIAS]) == 1


def test_its_service_uses_it_for_the_account_and_so_makes_it(kms: LocalKms, store: Any) -> None:
    service = Service(store)
    through = Requester(SCOPE, ROOT, "request", via_service="s3.us-east-1.amazonaws.com")
    answer = service.call("GenerateDataKey", {"KeyId": ALIAS, "KeySpec": "AES_256"}, through)
    assert answer["KeyId"] == metadata(kms)["Arn"]
    opened = service.call("Decrypt", {"CiphertextBlob": answer["CiphertextBlob"]}, through)
    assert opened["Plaintext"] == answer["Plaintext"]


def test_nobody_else_uses_it(kms: LocalKms, refused: Any) -> None:
    with refused("AccessDeniedException"):
        kms.generate_data_key(KeyId=ALIAS, KeySpec="AES_256")


def test_another_account_has_no_use_for_its_alias(kms: LocalKms, refused: Any) -> None:
    foreign = f"arn:aws:kms:us-east-1:111122223333:{ALIAS}"
    with refused("AccessDeniedException"):
        kms.describe_key(KeyId=foreign)
    assert kms.in_region("us-east-1", account="111122223333").list_keys()["Keys"] == []


@pytest.mark.parametrize("alias", PREDEFINED)
def test_there_is_one_for_each_service(kms: LocalKms, alias: str) -> None:
    assert metadata(kms, alias)["KeyManager"] == "AWS"


def test_each_account_and_region_has_its_own(kms: LocalKms) -> None:
    places = [kms, kms.in_region("eu-west-1"), kms.in_region("us-east-1", account="111122223333")]
    assert len({metadata(place)["KeyId"] for place in places}) == 3


def test_two_processes_make_one(tmp_path: Path) -> None:
    with LocalKms.open(tmp_path / "keys.db") as first, LocalKms.open(tmp_path / "keys.db") as second:
        assert metadata(first) == metadata(second)


@pytest.mark.parametrize("name", ["alias/aws/", "alias/aws/nothing", "alias/aws/S3", "alias/awss3"])
def test_other_names_are_no_services(kms: LocalKms, refused: Any, name: str) -> None:
    with refused("NotFoundException", f"Alias arn:aws:kms:us-east-1:000000000000:{name} is not found."):
        kms.describe_key(KeyId=name)


def test_what_takes_no_aliases_makes_none(kms: LocalKms, refused: Any) -> None:
    with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
        kms.disable_key(KeyId=ALIAS)
    assert kms.list_keys()["Keys"] == []


_CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("CancelKeyDeletion", {}),
    ("DisableKey", {}),
    ("EnableKey", {}),
    ("ReplicateKey", {"ReplicaRegion": "eu-west-1"}),
    ("ScheduleKeyDeletion", {}),
    ("TagResource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
    ("UntagResource", {"TagKeys": ["a"]}),
    ("UpdateKeyDescription", {"Description": "mine"}),
    ("UpdatePrimaryRegion", {"PrimaryRegion": "eu-west-1"}),
]


@pytest.mark.parametrize(("operation", "parameters"), _CHANGES, ids=[operation for operation, _ in _CHANGES])
def test_it_cannot_be_changed(kms: LocalKms, refused: Any, operation: str, parameters: dict[str, Any]) -> None:
    before = metadata(kms)
    text = (
        f"User: arn:aws:iam::000000000000:root is not authorized to perform: kms:{operation} on resource: "
        f"{before['Arn']} because no resource-based policy allows the kms:{operation} action"
    )
    with refused("AccessDeniedException", text):
        kms._call(operation, KeyId=before["KeyId"], **parameters)
    assert metadata(kms) == before


def test_it_gets_no_alias_of_a_customers(kms: LocalKms, key_id: str, refused: Any) -> None:
    managed = metadata(kms)["KeyId"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=key_id)
    with refused("AccessDeniedException"):
        kms.create_alias(AliasName="alias/s3", TargetKeyId=managed)
    with refused("AccessDeniedException"):
        kms.update_alias(AliasName="alias/mine", TargetKeyId=managed)


@pytest.mark.parametrize("name", [ALIAS, "alias/aws/mine"])
def test_its_alias_is_not_a_customers_to_make_move_or_delete(
    kms: LocalKms, key_id: str, refused: Any, name: str
) -> None:
    with refused("NotAuthorizedException"):
        kms.create_alias(AliasName=name, TargetKeyId=key_id)
    with refused("NotAuthorizedException"):
        kms.update_alias(AliasName=name, TargetKeyId=key_id)
    with refused("NotAuthorizedException"):
        kms.delete_alias(AliasName=name)


def test_its_material_rotates_every_year(kms: LocalKms, store: Any) -> None:
    made = metadata(kms)
    with store.read() as transaction:
        key = transaction.key(SCOPE, made["KeyId"])
    assert (key.rotation_days, key.next_rotation) == (365, made["CreationDate"] + timedelta(days=365))


@pytest.mark.parametrize(
    ("account", "via", "action", "allowed"),
    [
        ("000000000000", "s3.us-east-1.amazonaws.com", "kms:Decrypt", True),
        ("000000000000", "s3.us-east-1.amazonaws.com", "kms:ReEncryptFrom", True),
        ("000000000000", "ec2.us-east-1.amazonaws.com", "kms:Decrypt", False),
        ("000000000000", "s3.eu-west-1.amazonaws.com", "kms:Decrypt", False),
        ("111122223333", "s3.us-east-1.amazonaws.com", "kms:Decrypt", False),
        ("000000000000", None, "kms:Decrypt", False),
        ("000000000000", None, "kms:DescribeKey", True),
        ("000000000000", None, "kms:GetKeyPolicy", True),
        ("000000000000", None, "kms:PutKeyPolicy", False),
        ("000000000000", None, "kms:DisableKey", False),
        ("000000000000", None, "kms:ScheduleKeyDeletion", False),
    ],
)
def test_its_policy_lets_the_service_use_it_for_the_account(
    kms: LocalKms, account: str, via: str | None, action: str, allowed: bool
) -> None:
    caller = Caller.parse(f"arn:aws:iam::{account}:root")
    context = {} if via is None else {"kms:ViaService": via}
    request = Request(action, metadata(kms)["Arn"], caller, context)
    policy = Policy.parse(managed_policy(SCOPE, ALIAS))
    assert evaluate(request, Policies(key=policy)).allowed is allowed


def test_its_policy_names_the_services_that_are_called_otherwise(kms: LocalKms) -> None:
    document = json.loads(managed_policy(Scope("111122223333", "cn-north-1"), "alias/aws/ebs"))
    assert document["Id"] == "auto-ebs-2"
    assert document["Statement"][0]["Condition"]["StringEquals"] == {
        "kms:CallerAccount": "111122223333",
        "kms:ViaService": "ec2.cn-north-1.amazonaws.com.cn",
    }
    assert document["Statement"][1]["Principal"] == {"AWS": "arn:aws-cn:iam::111122223333:root"}
