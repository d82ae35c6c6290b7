"""What surrounds a decision: its words, its explanation, grants, the lockout check and the default policy."""

from __future__ import annotations

import json

import botocore.session
import pytest
from testkit.policies import ALICE, APP, APP_ROLE, BOB, CAROL, KEY, OURS, ROOT, S3, allow, caller, decide, deny, policy

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.policy import (
    CONDITION_KEYS,
    GRANT_OPERATIONS,
    Caller,
    CallerKind,
    Grant,
    Policies,
    Policy,
    PolicyKind,
    Request,
    check_not_locked_out,
    check_principals,
    default_key_policy,
    evaluate,
    explain,
    keys_of,
)
from envelope_sdk.local_kms.policy.condition_keys import KEY_OPERATIONS

SCOPE = Scope(OURS, "us-west-2")

# --- the words -------------------------------------------------------------------------------------------------------


def test_an_implicit_denial_in_aws_words() -> None:
    error = decide(APP, key=[allow(to=ALICE)]).error()

    assert error.code == "AccessDeniedException"
    assert error.message == (
        f"User: {APP} is not authorized to perform: kms:Decrypt on resource: {KEY} "
        "because no resource-based policy allows the kms:Decrypt action"
    )


def test_an_explicit_denial_in_aws_words() -> None:
    error = decide(key=[allow(to=ROOT)], own=[allow(), deny()]).error()

    assert error.message == (
        f"User: {ALICE} is not authorized to perform: kms:Decrypt on resource: {KEY} "
        "with an explicit deny in an identity-based policy"
    )


def test_an_allowed_request_has_no_message() -> None:
    assert decide(key=[allow(to="*")]).message == ""


def test_a_decision_names_the_statement_that_denies() -> None:
    decision = decide(key=[allow(to="*"), deny(to="*", Sid="NotAlice")])

    assert decision.statement is not None
    assert decision.statement.sid == "NotAlice"


def test_a_decision_names_the_grant_that_allows() -> None:
    grant = Grant("g-1", ALICE, frozenset({"Decrypt"}))

    assert decide(key=[allow(to=ROOT)], grants=[grant]).grant is grant
    assert decide(key=[allow(to=ALICE)], grants=[grant]).grant is None


# --- the explanation -------------------------------------------------------------------------------------------------


def test_an_explanation_goes_statement_by_statement() -> None:
    via = {"StringEquals": {"kms:ViaService": ["s3.us-west-2.amazonaws.com"]}}
    decision = decide(
        key=[allow(to=ROOT, Sid="Account"), allow(to=BOB), deny("kms:Put*", to="*"), deny(to=ALICE, Condition=via)],
        own=[allow("kms:Encrypt"), allow(on=KEY[:-1])],
        grants=[Grant("g-1", BOB, frozenset({"Decrypt"}))],
    )

    assert str(explain(decision)).splitlines() == [
        "resource-based policy, statement Account: Allow applies: "
        "names the caller's account, which leaves it to identity policies",
        f"resource-based policy, statement 2: Allow does not apply: the principal is not {ALICE}",
        "resource-based policy, statement 3: Deny does not apply: the action is not kms:Decrypt",
        "resource-based policy, statement 4: Deny does not apply: "
        "StringEquals kms:ViaService wants 's3.us-west-2.amazonaws.com'; the request has none",
        "grant, g-1: Allow does not apply: the grantee, the operations or the constraints are not the request's",
        "identity-based policy, statement 1: Allow does not apply: the action is not kms:Decrypt",
        f"identity-based policy, statement 2: Allow does not apply: the resource is not {KEY}",
        "denied: no identity-based policy allows it",
    ]


def test_an_explanation_shows_what_the_request_has() -> None:
    block = {"StringEquals": {"kms:KeySpec": "RSA_2048"}}
    steps = explain(decide(key=[allow(to="*", Condition=block)], context={"kms:KeySpec": "HMAC_256"})).steps

    assert steps[0].reason == "StringEquals kms:KeySpec wants 'RSA_2048'; the request has 'HMAC_256'"


def test_an_explanation_names_policies_and_what_limits_them() -> None:
    named = policy(allow(), kind=PolicyKind.IDENTITY, name="Admins")
    capped = policy(allow("s3:*"), kind=PolicyKind.BOUNDARY)
    session = policy(allow(), kind=PolicyKind.SESSION)
    request = Request("kms:Decrypt", KEY, caller(APP))
    explanation = explain(evaluate(request, Policies(policy(allow(to=ROOT)), [named], capped, [session])))

    assert [step.source for step in explanation.steps] == [
        "resource-based policy",
        "identity-based policy Admins",
        "permissions boundary",
        "session policy",
    ]
    assert explanation.conclusion == "denied: no permissions boundary allows it"


CONCLUSIONS = {
    "allowed": decide(key=[allow(to="*")]),
    "allowed by grant g": decide(key=[allow(to=ROOT)], grants=[Grant("g", ALICE, frozenset({"Decrypt"}))]),
    "denied: neither the key policy nor a grant allows it": decide(key=[allow(to=BOB)]),
    "denied: statement Never of a resource-based policy denies it": decide(key=[deny(to="*", Sid="Never")]),
}


@pytest.mark.parametrize("conclusion", CONCLUSIONS)
def test_a_conclusion(conclusion: str) -> None:
    assert conclusion == explain(CONCLUSIONS[conclusion]).conclusion


def test_what_is_asked_is_shown_without_its_context() -> None:
    request = Request("kms:Decrypt", KEY, caller(ALICE), encryption_context={"patient": "Doe"})

    assert repr(request) == f"Request('kms:Decrypt', '{KEY}', Caller('{ALICE}'))"


# --- callers ---------------------------------------------------------------------------------------------------------

KINDS = {
    ROOT: CallerKind.ROOT,
    ALICE: CallerKind.USER,
    APP: CallerKind.ROLE_SESSION,
    APP_ROLE: CallerKind.ROLE_SESSION,
    CAROL: CallerKind.FEDERATED_USER,
}


@pytest.mark.parametrize(("arn", "kind"), KINDS.items())
def test_a_caller_by_its_arn(arn: str, kind: CallerKind) -> None:
    parsed = Caller.parse(arn)

    assert (kind, arn, OURS) == (parsed.kind, parsed.arn, parsed.account)


@pytest.mark.parametrize(
    "arn",
    ["", "alice", KEY, f"arn:aws:iam::{OURS}:group/a", f"arn:aws:iam::{OURS}:user/", f"arn:aws:iam::{OURS}:role",
     f"arn:aws:sts::{OURS}:assumed-role/app", "arn:aws:iam::1:root", f"arn:aws:sts::{OURS}:root"],
)  # fmt: skip
def test_an_arn_that_names_no_caller(arn: str) -> None:
    with pytest.raises(UsageError, match="not the ARN"):
        Caller.parse(arn)


def test_a_caller_says_who_it_is() -> None:
    app = Caller.parse(APP, role_path="/svc/", unique_id="AROA1", tags={"Team": "blue"}, provider="accounts.google.com")

    assert app.keys == {
        "aws:principalisawsservice": ("false",),
        "aws:principaltype": ("AssumedRole",),
        "aws:principalarn": (f"arn:aws:iam::{OURS}:role/svc/app",),
        "aws:principalaccount": (OURS,),
        "kms:calleraccount": (OURS,),
        "aws:userid": ("AROA1:run-7",),
        "aws:federatedprovider": ("accounts.google.com",),
        "aws:principaltag/team": ("blue",),
    }


def test_a_service_says_who_it_is() -> None:
    assert Caller.service(S3).keys["aws:principalservicename"] == (S3,)


def test_ids_of_callers() -> None:
    ids = [Caller.parse(arn, unique_id="AIDA1").keys.get("aws:userid") for arn in (ROOT, ALICE, CAROL)]

    assert ids == [(OURS,), ("AIDA1",), (f"{OURS}:carol",)]


# --- grants that make grants -----------------------------------------------------------------------------------------


def _grant(*operations: str, equals: dict[str, str] | None = None, subset: dict[str, str] | None = None) -> Grant:
    return Grant("g", ALICE, frozenset(operations), equals, subset)


CHILDREN: dict[str, tuple[Grant, Grant, bool]] = {
    "fewer operations": (_grant("CreateGrant", "Decrypt", "Encrypt"), _grant("Decrypt"), True),
    "more operations": (_grant("CreateGrant", "Decrypt"), _grant("Decrypt", "Encrypt"), False),
    "the same context": (_grant("CreateGrant", equals={"a": "b"}), _grant(equals={"a": "b"}), True),
    "no context": (_grant("CreateGrant", equals={"a": "b"}), _grant(), False),
    "a subset of an exact context": (_grant("CreateGrant", equals={"a": "b"}), _grant(subset={"a": "b"}), False),
    "more of a subset": (_grant("CreateGrant", subset={"a": "b"}), _grant(subset={"a": "b", "c": "d"}), True),
    "less of a subset": (_grant("CreateGrant", subset={"a": "b", "c": "d"}), _grant(subset={"a": "b"}), False),
    "exact for a subset": (_grant("CreateGrant", subset={"a": "b"}), _grant(equals={"a": "b", "c": "d"}), True),
}


@pytest.mark.parametrize(("own", "child", "expected"), CHILDREN.values(), ids=CHILDREN)
def test_a_grant_makes_grants_as_strict_as_itself(own: Grant, child: Grant, expected: bool) -> None:
    decision = decide(action="kms:CreateGrant", key=[allow(to=ROOT)], grants=[own], new_grant=child)

    assert expected is decision.allowed


def test_a_policy_that_allows_create_grant_allows_any() -> None:
    child = _grant("Decrypt", "Sign")

    assert decide(action="kms:CreateGrant", key=[allow(to=ALICE)], new_grant=child).allowed


def test_a_grant_of_a_source_makes_no_grants_for_others() -> None:
    own = Grant("g", ALICE, frozenset({"Decrypt"}), source_arn=KEY)

    assert own.covers(own)
    assert not own.covers(_grant("Decrypt"))


# --- the lockout check -----------------------------------------------------------------------------------------------

ADMIN = Policies(identity=[policy(allow(), kind=PolicyKind.IDENTITY)])
KEPT = {
    "root by the account": ([allow(to=ROOT)], ROOT, None),
    "an administrator by the account": ([allow(to=ROOT)], ALICE, ADMIN),
    "a role by name": ([allow("kms:PutKeyPolicy", to=APP_ROLE)], APP, None),
}
LOST = {
    "nobody of the account": ([allow(to=BOB)], ROOT, None),
    "a user without policies by the account": ([allow(to=ROOT)], ALICE, None),
    "all but PutKeyPolicy": ([allow(to="*", NotAction="kms:Put*")], ROOT, None),
    "a deny": ([allow(to=ROOT), deny("kms:PutKeyPolicy", to="*")], ROOT, None),
    "another administrator": ([allow(to=APP_ROLE)], ALICE, ADMIN),
}


@pytest.mark.parametrize(("statements", "who", "own"), KEPT.values(), ids=KEPT)
def test_who_can_put_another_policy_is_not_locked_out(
    statements: list[dict[str, object]], who: str, own: Policies | None
) -> None:
    check_not_locked_out(policy(*statements), KEY, caller(who), own)


@pytest.mark.parametrize(("statements", "who", "own"), LOST.values(), ids=LOST)
def test_who_cannot_put_another_policy_is_locked_out(
    statements: list[dict[str, object]], who: str, own: Policies | None
) -> None:
    with pytest.raises(KmsServiceError) as caught:
        check_not_locked_out(policy(*statements), KEY, caller(who), own)

    assert caught.value.code == "MalformedPolicyDocumentException"
    assert caught.value.message == "The new key policy will not allow you to update the key policy in the future."


def test_the_lockout_check_knows_the_request() -> None:
    block = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    new = policy(allow(to=ROOT, Condition=block))

    check_not_locked_out(new, KEY, caller(ROOT), None, {"aws:SourceIp": "192.0.2.1"})
    with pytest.raises(KmsServiceError):
        check_not_locked_out(new, KEY, caller(ROOT), None, {"aws:SourceIp": "198.51.100.1"})


def test_principals_have_to_exist() -> None:
    asked: list[str] = []
    people = policy(allow(to=["*", OURS, ALICE]), allow(to={"Service": S3}), deny(NotPrincipal={"AWS": [BOB, ROOT]}))

    check_principals(people, lambda name: not asked.append(name))
    assert asked == [ROOT, ALICE, S3, ROOT, BOB]


def test_identity_policies_have_no_principals_to_check() -> None:
    check_principals(policy(allow(), kind=PolicyKind.IDENTITY), lambda _: False)


def test_a_principal_that_does_not_exist() -> None:
    with pytest.raises(KmsServiceError) as caught:
        check_principals(policy(allow(to=[ROOT, ALICE])), lambda name: name != ALICE)

    assert caught.value.message == "Policy contains a statement with one or more invalid principals."


# --- the default policy and the table of keys ------------------------------------------------------------------------


def test_the_default_policy_is_aws_own() -> None:
    assert json.loads(default_key_policy(SCOPE)) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{OURS}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }


def test_the_default_policy_of_another_partition() -> None:
    assert f"arn:aws-cn:iam::{OURS}:root" in default_key_policy(Scope(OURS, "cn-north-1"))


def test_the_default_policy_lets_root_in() -> None:
    request = Request("kms:PutKeyPolicy", KEY, caller(ROOT))

    assert evaluate(request, Policies(Policy.parse(default_key_policy(SCOPE)))).allowed


_MODEL = botocore.session.get_session().get_service_model("kms")
today_s_model = pytest.mark.skipif(
    "Encapsulate" not in _MODEL.operation_names, reason="this botocore's model is older than the one followed here"
)


def _actions() -> set[str]:
    return (set(_MODEL.operation_names) - {"ReEncrypt"}) | {"ReEncryptFrom", "ReEncryptTo"}


@today_s_model
def test_grant_operations_are_those_of_the_service_model() -> None:
    assert set(_MODEL.shape_for("GrantOperation").enum) == GRANT_OPERATIONS


@today_s_model
def test_condition_keys_are_of_known_actions() -> None:
    assert frozenset().union(*(key.operations for key in CONDITION_KEYS)) <= _actions()
    assert _actions() > KEY_OPERATIONS


def test_condition_keys_of_an_action() -> None:
    assert "kms:EncryptionContext:KEY" in keys_of("Decrypt")
    assert "kms:EncryptionContext:KEY" not in keys_of("Sign")
    assert keys_of("ListKeys") == frozenset()
