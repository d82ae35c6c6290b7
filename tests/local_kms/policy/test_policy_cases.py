"""Cases that AWS's documentation describes: the KMS developer guide and the IAM user guide, in a table.

Each row has the request, the statements at hand, and how AWS decides: ``allowed``, or the last words of its message.
"""

from __future__ import annotations

from typing import Any

import pytest
from testkit.policies import (
    ALIAS,
    ALICE,
    APP,
    APP_ROLE,
    BOB,
    CAROL,
    KEY,
    OURS,
    ROOT,
    S3,
    THEIR_APP,
    THEIR_ROLE,
    THEIR_ROOT,
    THEIRS,
    allow,
    decide,
    deny,
)

from envelope_sdk.local_kms.policy import Caller, Grant

ALLOWED = "allowed"
NO_KEY_POLICY = "because no resource-based policy allows the {} action"
NO_IDENTITY = "because no identity-based policy allows the {} action"
NO_BOUNDARY = "because no permissions boundary allows the {} action"
NO_SESSION = "because no session policy allows the {} action"
HIDDEN = (
    "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based "
    "policy explicitly denies access"
)
BY_KEY_POLICY = "with an explicit deny in a resource-based policy"
BY_IDENTITY = "with an explicit deny in an identity-based policy"
BY_BOUNDARY = "with an explicit deny in a permissions boundary"
BY_SESSION = "with an explicit deny in a session policy"

DEFAULT = [allow(to=ROOT)]
GRANT = Grant("g", ALICE, frozenset({"Decrypt", "DescribeKey"}))


def _when(operator: str, **keys: Any) -> dict[str, Any]:
    """Return a Condition element; in the keys two underscores stand for a colon."""
    return {"Condition": {operator: {key.replace("__", ":").replace("_SLASH_", "/"): v for key, v in keys.items()}}}


def _grant(**changes: Any) -> Grant:
    return Grant("g", changes.pop("to", ALICE), frozenset(changes.pop("operations", {"Decrypt"})), **changes)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    # --- the default key policy and IAM policies ---
    "root, by the default key policy": (ALLOWED, {"who": ROOT, "key": DEFAULT}),
    "a user with an IAM policy, by the default key policy": (ALLOWED, {"key": DEFAULT, "own": [allow()]}),
    "the default key policy alone gives a user nothing": (NO_IDENTITY, {"key": DEFAULT}),
    "an IAM policy alone is not enough": (NO_KEY_POLICY, {"key": [allow(to=BOB)], "own": [allow()]}),
    "root has no way around the key policy": (NO_KEY_POLICY, {"who": ROOT, "key": [allow(to=ALICE)]}),
    "the account as twelve digits": (ALLOWED, {"key": [allow(to=OURS)], "own": [allow()]}),
    "the account enables IAM for some actions only": (
        NO_KEY_POLICY,
        {"key": [allow("kms:Encrypt", to=ROOT)], "own": [allow()]},
    ),
    "a condition on the account's statement narrows what IAM can give": (
        NO_KEY_POLICY,
        {
            "key": [allow(to=ROOT, **_when("StringEquals", kms__ViaService="ec2.us-west-2.amazonaws.com"))],
            "own": [allow()],
        },
    ),
    # --- principals ---
    "a user in the key policy needs no IAM policy": (ALLOWED, {"key": [allow(to=ALICE)]}),
    "another user in the key policy": (NO_KEY_POLICY, {"key": [allow(to=f"arn:aws:iam::{OURS}:user/dave")]}),
    "a user's path is part of its ARN": (NO_KEY_POLICY, {"key": [allow(to=f"arn:aws:iam::{OURS}:user/team/alice")]}),
    "a role lets its sessions in": (ALLOWED, {"who": APP, "key": [allow(to=APP_ROLE)]}),
    "one session of a role": (ALLOWED, {"who": APP, "key": [allow(to=APP)]}),
    "another session of the role": (NO_KEY_POLICY, {"who": APP, "key": [allow(to=APP + "7")]}),
    "a role with a path": (
        ALLOWED,
        {
            "who": Caller.parse(APP, role_path="/service/"),
            "key": [allow(to=f"arn:aws:iam::{OURS}:role/service/app")],
        },
    ),
    "a federated user by name": (ALLOWED, {"who": CAROL, "key": [allow(to=CAROL)]}),
    "a user by its unique id": (
        ALLOWED,
        {"who": Caller.parse(ALICE, unique_id="AIDACKCEVSQ6C2EXAMPLE"), "key": [allow(to="AIDACKCEVSQ6C2EXAMPLE")]},
    ),
    "a role by its unique id": (
        ALLOWED,
        {"who": Caller.parse(APP, unique_id="AROACKCEVSQ6C2EXAMPLE"), "key": [allow(to="AROACKCEVSQ6C2EXAMPLE")]},
    ),
    "everyone but the sessions of a provider": (
        ALLOWED,
        {
            "who": Caller.parse(APP, provider="www.amazon.com"),
            "key": [allow(to="*"), deny(NotPrincipal={"Federated": "www.amazon.com"})],
        },
    ),
    "a service by name": (ALLOWED, {"who": S3, "key": [allow(to={"Service": S3})]}),
    "another service": (NO_KEY_POLICY, {"who": S3, "key": [allow(to={"Service": "logs.amazonaws.com"})]}),
    "an account is no service": (NO_KEY_POLICY, {"who": S3, "key": DEFAULT}),
    "a federated role session by its provider": (
        ALLOWED,
        {
            "who": Caller.parse(APP, provider="cognito-identity.amazonaws.com"),
            "key": [allow(to={"Federated": "cognito-identity.amazonaws.com"})],
        },
    ),
    "everyone in the account": (ALLOWED, {"key": [allow(to="*")]}),
    "everyone, but of one account": (
        HIDDEN,
        {"who": BOB, "key": [allow(to="*", **_when("StringEquals", kms__CallerAccount=OURS))], "own": [allow()]},
    ),
    "everyone, as AWS writes it in lists": (ALLOWED, {"key": [allow(to=["*"])]}),
    # --- explicit deny ---
    "a deny in the key policy beats its own allow": (BY_KEY_POLICY, {"key": [allow(to=ALICE), deny(to=ALICE)]}),
    "a deny for the account means all of it": (BY_KEY_POLICY, {"key": [allow(to=ALICE), deny(to=ROOT)]}),
    "a deny for the role means its sessions": (BY_KEY_POLICY, {"who": APP, "key": [allow(to=APP), deny(to=APP_ROLE)]}),
    "a deny in an IAM policy beats the key policy": (BY_IDENTITY, {"key": [allow(to=ALICE)], "own": [deny()]}),
    "a deny beats a grant": (BY_IDENTITY, {"key": DEFAULT, "own": [deny("kms:Decrypt")], "grants": [GRANT]}),
    "root obeys the key policy's deny": (BY_KEY_POLICY, {"who": ROOT, "key": [*DEFAULT, deny(to="*")]}),
    "a deny in a boundary": (BY_BOUNDARY, {"key": [allow(to=ALICE)], "boundary": [deny(), allow("s3:*")]}),
    "a deny in a session policy": (BY_SESSION, {"who": APP, "key": [allow(to=APP)], "session": [deny()]}),
    "a deny of other actions": (ALLOWED, {"key": [allow(to=ALICE), deny("kms:Encrypt", to=ALICE)]}),
    "everyone but one user and the account": (
        ALLOWED,
        {"key": [allow(to="*"), deny(NotPrincipal={"AWS": [ALICE, ROOT]})]},
    ),
    "everyone but the account denies its users": (
        BY_KEY_POLICY,
        {"key": [allow(to="*"), deny(NotPrincipal={"AWS": ROOT})]},
    ),
    "everyone but a session, without its role": (
        BY_KEY_POLICY,
        {"who": APP, "key": [allow(to="*"), deny(NotPrincipal={"AWS": [APP, ROOT]})]},
    ),
    "everyone but a session, its role and account": (
        ALLOWED,
        {"who": APP, "key": [allow(to="*"), deny(NotPrincipal={"AWS": [APP, APP_ROLE, ROOT]})]},
    ),
    # --- permissions boundaries and session policies ---
    "a boundary caps an IAM policy": (NO_BOUNDARY, {"key": DEFAULT, "own": [allow()], "boundary": [allow("s3:*")]}),
    "a boundary gives nothing itself": (NO_IDENTITY, {"key": DEFAULT, "boundary": [allow()]}),
    "a boundary does not cap what names the user": (ALLOWED, {"key": [allow(to=ALICE)], "boundary": [allow("s3:*")]}),
    "a boundary caps what names the role": (
        NO_BOUNDARY,
        {"who": APP, "key": [allow(to=APP_ROLE)], "boundary": [allow("s3:*")]},
    ),
    "a session policy caps what names the role": (
        NO_SESSION,
        {"who": APP, "key": [allow(to=APP_ROLE)], "session": [allow("kms:Encrypt")]},
    ),
    "a session policy does not cap what names the session": (
        ALLOWED,
        {"who": APP, "key": [allow(to=APP)], "session": [allow("kms:Encrypt")]},
    ),
    "neither caps what is for everyone": (
        ALLOWED,
        {
            "who": APP,
            "key": [allow(to="*", **_when("ArnEquals", aws__PrincipalArn=APP_ROLE))],
            "boundary": [allow("s3:*")],
            "session": [allow("s3:*")],
        },
    ),
    "a session policy caps an IAM policy": (
        NO_SESSION,
        {"who": APP, "key": DEFAULT, "own": [allow()], "session": [allow("kms:Encrypt")]},
    ),
    "a federated user has what both its user and its session are given": (
        ALLOWED,
        {"who": CAROL, "key": DEFAULT, "own": [allow()], "session": [allow("kms:Decrypt")]},
    ),
    "a federated user without session policy has nothing of its user's": (
        NO_SESSION,
        {"who": CAROL, "key": DEFAULT, "own": [allow()]},
    ),
    # --- other accounts ---
    "another account, allowed on both sides": (
        ALLOWED,
        {"who": BOB, "key": [allow(to=THEIR_ROOT)], "own": [allow(on=KEY)]},
    ),
    "another account, without IAM policy": (NO_IDENTITY, {"who": BOB, "key": [allow(to=THEIR_ROOT)]}),
    "another account, without key policy": (HIDDEN, {"who": BOB, "key": DEFAULT, "own": [allow(on=KEY)]}),
    "a user of another account needs its IAM policy too": (NO_IDENTITY, {"who": BOB, "key": [allow(to=BOB)]}),
    "a role of another account needs its IAM policy too": (
        NO_IDENTITY,
        {"who": THEIR_APP, "key": [allow(to=THEIR_ROLE)]},
    ),
    "the root user of another account": (ALLOWED, {"who": THEIR_ROOT, "key": [allow(to=THEIRS)]}),
    "everyone, from another account": (NO_IDENTITY, {"who": BOB, "key": [allow(to="*")]}),
    "another account's boundary": (
        NO_BOUNDARY,
        {"who": BOB, "key": [allow(to=BOB)], "own": [allow()], "boundary": [allow("s3:*")]},
    ),
    # --- no key ---
    "CreateKey by IAM policy": (ALLOWED, {"action": "kms:CreateKey", "resource": "*", "own": [allow("kms:CreateKey")]}),
    "CreateKey without": (NO_IDENTITY, {"action": "kms:CreateKey", "resource": "*"}),
    "ListKeys with a key as resource": (
        NO_IDENTITY,
        {"action": "kms:ListKeys", "resource": "*", "own": [allow(on=KEY)]},
    ),
    "GenerateRandom by root": (ALLOWED, {"who": ROOT, "action": "kms:GenerateRandom", "resource": "*"}),
    "CreateAlias on the alias": (
        ALLOWED,
        {"action": "kms:CreateAlias", "resource": ALIAS, "own": [allow("kms:*Alias", on=ALIAS)]},
    ),
    # --- actions and resources ---
    "actions in another case": (ALLOWED, {"key": [allow("KMS:decRYPT", to=ALICE)]}),
    "a wildcard at the end": (
        ALLOWED,
        {"action": "kms:GenerateDataKeyPair", "key": [allow("kms:GenerateDataKey*", to=ALICE)]},
    ),
    "a wildcard in the middle": (ALLOWED, {"action": "kms:ReEncryptTo", "key": [allow("kms:Re*To", to=ALICE)]}),
    "a question mark is one character": (NO_KEY_POLICY, {"key": [allow("kms:?crypt", to=ALICE)]}),
    "NotAction leaves the rest": (ALLOWED, {"key": [allow(to=ALICE, NotAction="kms:Put*")]}),
    "NotAction leaves out": (
        NO_KEY_POLICY,
        {"action": "kms:PutKeyPolicy", "key": [allow(to=ALICE, NotAction="kms:Put*")]},
    ),
    "all keys of an account and Region": (
        ALLOWED,
        {"key": DEFAULT, "own": [allow(on=f"arn:aws:kms:us-west-2:{OURS}:key/*")]},
    ),
    "keys of another Region": (NO_IDENTITY, {"key": DEFAULT, "own": [allow(on=f"arn:aws:kms:us-east-1:{OURS}:key/*")]}),
    "an alias as resource is no way to its key": (NO_IDENTITY, {"key": DEFAULT, "own": [allow(on=ALIAS)]}),
    "NotResource": (NO_IDENTITY, {"key": DEFAULT, "own": [allow(NotResource=KEY)]}),
    "a deny of all keys but one": (ALLOWED, {"key": DEFAULT, "own": [allow(), deny(NotResource=KEY)]}),
    # --- KMS's condition keys ---
    "ViaService, through the service": (
        ALLOWED,
        {
            "key": [allow(to=ALICE, **_when("StringEquals", kms__ViaService="s3.us-west-2.amazonaws.com"))],
            "context": {"kms:ViaService": "s3.us-west-2.amazonaws.com"},
        },
    ),
    "ViaService, asked directly": (
        NO_KEY_POLICY,
        {"key": [allow(to=ALICE, **_when("StringEquals", kms__ViaService="s3.us-west-2.amazonaws.com"))]},
    ),
    "a deny with ViaService lets direct requests pass": (
        ALLOWED,
        {
            "key": [
                allow(to=ALICE),
                deny(to=ALICE, **_when("StringEquals", kms__ViaService="lambda.us-west-2.amazonaws.com")),
            ]
        },
    ),
    "an encryption context pair": (
        ALLOWED,
        {
            "key": [allow(to=ALICE, **_when("StringEquals", kms__EncryptionContext__AppName="ExampleApp"))],
            "pairs": {"AppName": "ExampleApp", "FilePath": "/var"},
        },
    ),
    "the value of a pair has a case": (
        NO_KEY_POLICY,
        {
            "key": [allow(to=ALICE, **_when("StringEquals", kms__EncryptionContext__AppName="ExampleApp"))],
            "pairs": {"AppName": "exampleapp"},
        },
    ),
    "the name of a pair has none": (
        ALLOWED,
        {
            "key": [allow(to=ALICE, **_when("StringEquals", kms__EncryptionContext__appname="ExampleApp"))],
            "pairs": {"AppName": "ExampleApp"},
        },
    ),
    "a pair with a pattern for its value": (
        ALLOWED,
        {
            "key": [allow(to=ALICE, **_when("StringLike", kms__EncryptionContext__Project="Alpha*"))],
            "pairs": {"Project": "Alpha-7"},
        },
    ),
    "only pairs of these names": (
        NO_KEY_POLICY,
        {
            "key": [allow(to=ALICE, **_when("ForAllValues:StringEquals", kms__EncryptionContextKeys=["AppName"]))],
            "pairs": {"AppName": "x", "FilePath": "/var"},
        },
    ),
    "only pairs of these names, and none at all": (
        ALLOWED,
        {"key": [allow(to=ALICE, **_when("ForAllValues:StringEquals", kms__EncryptionContextKeys=["AppName"]))]},
    ),
    "at least one pair of these names": (
        ALLOWED,
        {
            "key": [allow(to=ALICE, **_when("ForAnyValue:StringEquals", kms__EncryptionContextKeys="AppName"))],
            "pairs": {"AppName": "x", "FilePath": "/var"},
        },
    ),
    "a pair named like the user": (
        ALLOWED,
        {
            "key": [allow(to=ROOT)],
            "own": [allow(**_when("StringEquals", kms__EncryptionContext__user="${aws:username}"))],
            "pairs": {"user": "alice"},
        },
    ),
    "a request must have some context": (
        BY_KEY_POLICY,
        {"key": [allow(to=ALICE), deny(to=ALICE, **_when("Null", kms__EncryptionContextKeys="true"))]},
    ),
    "by one of the key's aliases": (
        ALLOWED,
        {
            "key": DEFAULT,
            "own": [allow(**_when("ForAnyValue:StringLike", kms__ResourceAliases="alias/finance*"))],
            "context": {"kms:ResourceAliases": ["alias/other", "alias/finance-key"]},
        },
    ),
    "by the alias in the request": (
        NO_KEY_POLICY,
        {
            "key": [allow(to=ALICE, **_when("StringEquals", kms__RequestAlias="alias/finance-key"))],
            "context": {"kms:ResourceAliases": ["alias/finance-key"]},
        },
    ),
    "only for AWS services' grants": (
        NO_KEY_POLICY,
        {
            "action": "kms:CreateGrant",
            "key": [allow(to=ALICE, **_when("Bool", kms__GrantIsForAWSResource=True))],
            "context": {"kms:GrantIsForAWSResource": False},
        },
    ),
    "grants of these operations only": (
        NO_KEY_POLICY,
        {
            "action": "kms:CreateGrant",
            "key": [
                allow(to=ALICE, **_when("ForAllValues:StringEquals", kms__GrantOperations=["Encrypt", "ReEncryptTo"]))
            ],
            "context": {"kms:GrantOperations": ["Encrypt", "Decrypt"]},
        },
    ),
    "a deletion window that is long enough": (
        BY_IDENTITY,
        {
            "action": "kms:ScheduleKeyDeletion",
            "key": DEFAULT,
            "own": [allow(), deny(**_when("NumericLessThan", kms__ScheduleKeyDeletionPendingWindowInDays="21"))],
            "context": {"kms:ScheduleKeyDeletionPendingWindowInDays": 7},
        },
    ),
    "imported material that expires in time": (
        ALLOWED,
        {
            "action": "kms:ImportKeyMaterial",
            "key": [allow(to=ALICE, **_when("DateLessThanEquals", kms__ValidTo="2027-12-31T23:59:59Z"))],
            "context": {"kms:ValidTo": "2027-06-01T00:00:00Z"},
        },
    ),
    "keys of one spec": (
        NO_IDENTITY,
        {
            "action": "kms:CreateKey",
            "resource": "*",
            "own": [allow(**_when("StringEquals", kms__KeySpec="RSA_4096"))],
            "context": {"kms:KeySpec": "SYMMETRIC_DEFAULT"},
        },
    ),
    "lockout checks may not be skipped": (
        BY_IDENTITY,
        {
            "action": "kms:PutKeyPolicy",
            "key": DEFAULT,
            "own": [allow(), deny(**_when("Bool", kms__BypassPolicyLockoutSafetyCheck=True))],
            "context": {"kms:BypassPolicyLockoutSafetyCheck": True},
        },
    ),
    # --- tags and global keys ---
    "a tag of the key": (
        ALLOWED,
        {
            "key": DEFAULT,
            "own": [allow(**_when("StringEquals", aws__ResourceTag_SLASH_Purpose="Test"))],
            "context": {"aws:ResourceTag/Purpose": "Test"},
        },
    ),
    "the same tag on caller and key": (
        ALLOWED,
        {
            "who": Caller.parse(ALICE, tags={"team": "blue"}),
            "key": DEFAULT,
            "own": [allow(**_when("StringEquals", aws__ResourceTag_SLASH_team="${aws:PrincipalTag/team}"))],
            "context": {"aws:ResourceTag/team": "blue"},
        },
    ),
    "a tag that the caller lacks matches nothing": (
        NO_IDENTITY,
        {
            "key": DEFAULT,
            "own": [allow(**_when("StringEquals", aws__ResourceTag_SLASH_team="${aws:PrincipalTag/team}"))],
            "context": {"aws:ResourceTag/team": "blue"},
        },
    ),
    "a tag that the caller lacks is unlike any": (
        BY_IDENTITY,
        {
            "key": DEFAULT,
            "own": [allow(), deny(**_when("StringNotEquals", aws__ResourceTag_SLASH_team="${aws:PrincipalTag/team}"))],
            "context": {"aws:ResourceTag/team": "blue"},
        },
    ),
    "a default for a missing tag": (
        ALLOWED,
        {
            "key": DEFAULT,
            "own": [allow(**_when("StringEquals", aws__ResourceTag_SLASH_team="${aws:PrincipalTag/team, 'blue'}"))],
            "context": {"aws:ResourceTag/team": "blue"},
        },
    ),
    "a variable in the resource": (
        ALLOWED,
        {
            "who": Caller.parse(ALICE, tags={"key": "1234abcd"}),
            "key": DEFAULT,
            "own": [allow(on=f"arn:aws:kms:*:{OURS}:key/${{aws:PrincipalTag/key}}-*")],
        },
    ),
    "a variable with several values has none": (
        NO_IDENTITY,
        {
            "key": DEFAULT,
            "own": [allow(**_when("StringEquals", kms__KeySpec="${aws:TagKeys}"))],
            "context": {"kms:KeySpec": "a", "aws:TagKeys": ["a", "a"]},
        },
    ),
    "a condition on a role holds for its sessions": (
        ALLOWED,
        {"who": APP, "key": [allow(to="*", **_when("ArnLike", aws__PrincipalArn=f"arn:aws:iam::{OURS}:role/*"))]},
    ),
    "from these addresses only": (
        BY_IDENTITY,
        {
            "key": DEFAULT,
            "own": [allow(), deny(**_when("NotIpAddress", aws__SourceIp=["192.0.2.0/24", "203.0.113.0/24"]))],
            "context": {"aws:SourceIp": "198.51.100.9"},
        },
    ),
    "not through services, but by people": (
        ALLOWED,
        {"key": [allow(to=ALICE), deny(to="*", **_when("Bool", aws__PrincipalIsAWSService="true"))]},
    ),
    "a confused deputy": (
        NO_KEY_POLICY,
        {
            "who": S3,
            "key": [allow(to={"Service": S3}, **_when("StringEquals", aws__SourceAccount=OURS))],
            "context": {"aws:SourceAccount": THEIRS},
        },
    ),
    # --- grants ---
    "a grant needs no policy": (ALLOWED, {"key": [allow(to=BOB)], "grants": [GRANT]}),
    "a grant is for its operations": (
        NO_IDENTITY,
        {"action": "kms:Encrypt", "key": DEFAULT, "grants": [GRANT]},
    ),
    "a grant is for its grantee": (NO_KEY_POLICY, {"who": APP, "key": [allow(to=BOB)], "grants": [GRANT]}),
    "a grant to a role": (ALLOWED, {"who": APP, "key": DEFAULT, "grants": [_grant(to=APP_ROLE)]}),
    "a grant to an account leaves it to IAM": (NO_IDENTITY, {"key": [allow(to=BOB)], "grants": [_grant(to=ROOT)]}),
    "a grant to another account's user, without IAM policy": (
        NO_IDENTITY,
        {"who": BOB, "key": DEFAULT, "grants": [_grant(to=BOB)]},
    ),
    "a grant to another account's user": (
        ALLOWED,
        {"who": BOB, "key": DEFAULT, "own": [allow(on=KEY)], "grants": [_grant(to=BOB)]},
    ),
    "exactly the context of a grant": (
        ALLOWED,
        {"key": DEFAULT, "grants": [_grant(context_equals={"a": "b"})], "pairs": {"a": "b"}},
    ),
    "more than the context of a grant": (
        NO_IDENTITY,
        {"key": DEFAULT, "grants": [_grant(context_equals={"a": "b"})], "pairs": {"a": "b", "c": "d"}},
    ),
    "a subset of the context": (
        ALLOWED,
        {"key": DEFAULT, "grants": [_grant(context_subset={"a": "b"})], "pairs": {"a": "b", "c": "d"}},
    ),
    "a subset in another case": (
        NO_IDENTITY,
        {"key": DEFAULT, "grants": [_grant(context_subset={"a": "b"})], "pairs": {"A": "b"}},
    ),
    "DescribeKey has no context to constrain": (
        ALLOWED,
        {
            "action": "kms:DescribeKey",
            "key": DEFAULT,
            "grants": [_grant(operations={"DescribeKey"}, context_equals={"a": "b"})],
        },
    ),
    "a service's grant, for the resource": (
        ALLOWED,
        {
            "who": S3,
            "key": DEFAULT,
            "grants": [_grant(to=S3, source_arn=f"arn:aws:s3:us-west-2:{OURS}:bucket")],
            "context": {"aws:SourceArn": f"arn:aws:s3:us-west-2:{OURS}:bucket"},
        },
    ),
    "a grant of CreateGrant alone makes no unknown grant": (
        NO_IDENTITY,
        {"action": "kms:CreateGrant", "key": DEFAULT, "grants": [_grant(operations={"CreateGrant"})]},
    ),
    "RetireGrant has no source to constrain": (
        ALLOWED,
        {
            "action": "kms:RetireGrant",
            "key": DEFAULT,
            "grants": [_grant(operations={"RetireGrant"}, source_arn=f"arn:aws:s3:us-west-2:{OURS}:bucket")],
        },
    ),
    "a grant to everyone is one to nobody": (NO_IDENTITY, {"key": DEFAULT, "grants": [_grant(to="*")]}),
    "a service's grant, for another resource": (
        NO_KEY_POLICY,
        {
            "who": S3,
            "key": DEFAULT,
            "grants": [_grant(to=S3, source_arn=f"arn:aws:s3:us-west-2:{OURS}:bucket")],
            "context": {"aws:SourceArn": f"arn:aws:s3:us-west-2:{OURS}:other"},
        },
    ),
}


@pytest.mark.parametrize(("expected", "case"), CASES.values(), ids=CASES)
def test_documented_case(expected: str, case: dict[str, Any]) -> None:
    decision = decide(**case)

    wanted = expected.format(decision.request.action)
    # What is another account's and not for the caller is not named.
    resource = "this resource" if expected == HIDDEN else decision.request.resource
    assert wanted == (ALLOWED if decision.allowed else decision.message.partition(f"{resource} ")[2])


def test_there_are_enough_cases() -> None:
    """Sixty are what the package promises."""
    assert len(CASES) >= 60
