"""Who may replicate a key and move its primary: permissions in both Regions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.access.identity_documents import IdentityDocument, IdentityKind
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Identity
from envelope_sdk.local_kms.policy import Caller, default_key_policy
from envelope_sdk.local_kms.service import Service

ACCOUNT, EAST, WEST = "000000000000", "us-east-1", "us-west-2"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
REPLICATE = {"Action": "kms:ReplicateKey"}
CREATE = {"Action": "kms:CreateKey"}
TAG = {"Action": "kms:TagResource"}

Ask = Callable[..., Any]


@pytest.fixture
def primary(kms: LocalKms) -> str:
    return str(kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"])


@pytest.fixture
def alice(store: Any) -> Callable[..., Ask]:
    """Lets a user do what the statements say, and returns what calls in her name."""

    def allow(*statements: dict[str, Any]) -> Ask:
        filled = [{"Effect": "Allow", "Resource": "*", **statement} for statement in statements]
        document = IdentityDocument(
            kind=IdentityKind.USER,
            name="alice",
            path="/",
            unique_id="AIDAAAAAAAAAAAAAAAAAA",
            policies={"own": json.dumps({"Version": "2012-10-17", "Statement": filled})},
        )
        with store.write() as transaction:
            transaction.put_identity(Identity(ACCOUNT, ALICE, datetime(2026, 1, 1, tzinfo=UTC), document.text()))
        requester = Requester(Scope(ACCOUNT, EAST), Caller.parse(ALICE), "request")
        return lambda operation, **parameters: Service(store).call(operation, parameters, requester)

    return allow


def _where(region: str) -> dict[str, Any]:
    return {"Condition": {"StringEquals": {"aws:RequestedRegion": region}}}


def test_who_may_replicate_it_and_make_keys_there_may(alice: Callable[..., Ask], kms: LocalKms, primary: str) -> None:
    alice(REPLICATE, CREATE)("ReplicateKey", KeyId=primary, ReplicaRegion=WEST)
    kms.in_region(WEST).describe_key(KeyId=primary)


@pytest.mark.parametrize(
    ("statements", "missing"),
    [
        ([CREATE], "kms:ReplicateKey"),
        ([REPLICATE], "kms:CreateKey"),
        ([REPLICATE, CREATE | _where(EAST)], "kms:CreateKey"),
        ([REPLICATE | _where(WEST), CREATE], "kms:ReplicateKey"),
    ],
    ids=["not the primary", "no keys", "no keys there", "not from here"],
)
def test_who_lacks_one_of_the_two_may_not(
    alice: Callable[..., Ask], kms: LocalKms, primary: str, refused: Any, statements: list[Any], missing: str
) -> None:
    ask = alice(*statements)
    with pytest.raises(Exception, match=f"not authorized to perform: {missing} "):
        ask("ReplicateKey", KeyId=primary, ReplicaRegion=WEST)
    assert kms.in_region(WEST).list_keys()["Keys"] == []


def test_each_is_asked_for_in_its_region(alice: Callable[..., Ask], primary: str) -> None:
    alice(REPLICATE | _where(EAST), CREATE | _where(WEST))("ReplicateKey", KeyId=primary, ReplicaRegion=WEST)


def test_a_policy_may_name_the_regions_that_replicas_are_for(
    alice: Callable[..., Ask], primary: str, refused: Any
) -> None:
    only = {"Condition": {"StringEquals": {"kms:ReplicaRegion": WEST}}}
    ask = alice(REPLICATE | only, CREATE)
    with refused("AccessDeniedException"):
        ask("ReplicateKey", KeyId=primary, ReplicaRegion="eu-west-1")
    ask("ReplicateKey", KeyId=primary, ReplicaRegion=WEST)


def test_tags_have_to_be_permitted_as_well(alice: Callable[..., Ask], primary: str, refused: Any) -> None:
    given = {"KeyId": primary, "ReplicaRegion": WEST, "Tags": [{"TagKey": "a", "TagValue": "b"}]}
    with refused("AccessDeniedException"):
        alice(REPLICATE, CREATE)("ReplicateKey", **given)
    alice(REPLICATE, CREATE, TAG)("ReplicateKey", **given)


def test_a_replicas_policy_has_to_let_its_giver_replace_it(kms: LocalKms, primary: str, refused: Any) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with refused("MalformedPolicyDocumentException"):
        kms.replicate_key(KeyId=primary, ReplicaRegion=WEST, Policy=policy)
    kms.replicate_key(KeyId=primary, ReplicaRegion=WEST, Policy=policy, BypassPolicyLockoutSafetyCheck=True)


@pytest.mark.parametrize("denying", [EAST, WEST])
def test_both_keys_have_to_let_the_primary_move(kms: LocalKms, primary: str, refused: Any, denying: str) -> None:
    kms.replicate_key(KeyId=primary, ReplicaRegion=WEST)
    document = json.loads(default_key_policy(Scope(ACCOUNT, denying)))
    denial = {"Effect": "Deny", "Principal": "*", "Action": "kms:UpdatePrimaryRegion", "Resource": "*"}
    document["Statement"].append(denial)
    kms.in_region(denying).put_key_policy(KeyId=primary, PolicyName="default", Policy=json.dumps(document))
    with refused("AccessDeniedException"):
        kms.update_primary_region(KeyId=primary, PrimaryRegion=WEST)


def test_a_key_policy_may_keep_tags_from_being_changed(kms: LocalKms, key_id: str, refused: Any) -> None:
    document = json.loads(default_key_policy(Scope(ACCOUNT, EAST)))
    denial = {"Effect": "Deny", "Principal": "*", "Action": ["kms:TagResource", "kms:UntagResource"], "Resource": "*"}
    document["Statement"].append(denial)
    kms.put_key_policy(KeyId=key_id, Policy=json.dumps(document))
    with refused("AccessDeniedException"):
        kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}])
    with refused("AccessDeniedException"):
        kms.untag_resource(KeyId=key_id, TagKeys=["a"])
    assert kms.list_resource_tags(KeyId=key_id)["Tags"] == []
