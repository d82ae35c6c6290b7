"""Why a call would be allowed or denied, statement by statement, without the call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testkit.policies import ALICE, BOB, OURS, ROOT, S3, THEIR_ROOT, allow, deny, text

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms


def test_it_names_every_statement_and_grant(kms: LocalKms, put_policy: Any, key_id: str, arn: str) -> None:
    put_policy(allow(to=ROOT, Sid="Account"), deny("kms:Encrypt", to=BOB, Sid="NotBob"))
    kms.identities.create_user("alice", policies={"read": text(allow("kms:Decrypt"))})
    grant_id = kms.create_grant(KeyId=key_id, GranteePrincipal=ALICE, Operations=["Encrypt"])["GrantId"]
    found = kms.simulate(ALICE, "kms:Encrypt", key_id)

    assert (found.allowed, found.message) == (True, "")
    assert (found.principal, found.action, found.resource) == (ALICE, "kms:Encrypt", arn)
    assert [(step.source, step.label, step.effect, step.applies) for step in found.steps] == [
        ("resource-based policy", "statement Account", "Allow", True),
        ("resource-based policy", "statement NotBob", "Deny", False),
        ("grant", grant_id, "Allow", True),
        ("identity-based policy read of user alice", "statement 1", "Allow", False),
    ]
    assert str(found).splitlines()[-1] == f"allowed by grant {grant_id}"
    assert json.loads(json.dumps(found.as_dict()))["steps"][0]["label"] == "statement Account"


def test_a_denial_comes_with_what_aws_would_say(kms: LocalKms, key_id: str, arn: str) -> None:
    found = kms.simulate(ALICE, "Decrypt", arn)

    assert found.allowed is False
    assert found.conclusion == "denied: no identity-based policy allows it"
    assert found.message == (
        f"User: {ALICE} is not authorized to perform: kms:Decrypt on resource: {arn} "
        "because no identity-based policy allows the kms:Decrypt action"
    )


def test_conditions_are_shown_with_what_the_request_has(kms: LocalKms, put_policy: Any, key_id: str) -> None:
    wanted = {"StringEquals": {"kms:EncryptionContext:team": "blue", "kms:ViaService": "s3.us-west-2.amazonaws.com"}}
    put_policy(allow(to=ALICE, Condition=wanted))
    via = {"via_service": "s3.us-west-2.amazonaws.com"}

    assert kms.simulate(ALICE, "kms:Decrypt", key_id, encryption_context={"team": "blue"}, **via).allowed
    red = kms.simulate(ALICE, "kms:Decrypt", key_id, encryption_context={"team": "red"}, **via)
    assert "wants 'blue'; the request has 'red'" in str(red)
    assert not kms.simulate(ALICE, "kms:Decrypt", key_id, encryption_context={"team": "blue"}).allowed
    for end in ("From", "To"):
        found = kms.simulate(ALICE, f"kms:ReEncrypt{end}", key_id, encryption_context={"team": "blue"}, **via)
        assert found.allowed


def test_any_condition_key_can_be_given(kms: LocalKms, put_policy: Any, key_id: str) -> None:
    put_policy(
        allow("kms:Encrypt", to=ALICE, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}),
        allow("kms:CreateGrant", to=ALICE, Condition={"StringEquals": {"kms:GranteePrincipal": BOB}}),
        allow("kms:DescribeKey", to=ALICE, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
    )
    assert kms.simulate(ALICE, "kms:Encrypt", key_id, conditions={"aws:MultiFactorAuthPresent": "true"}).allowed
    assert not kms.simulate(ALICE, "kms:Encrypt", key_id).allowed
    assert kms.simulate(ALICE, "kms:CreateGrant", key_id, conditions={"kms:GranteePrincipal": BOB}).allowed
    assert kms.simulate(ALICE, "kms:DescribeKey", key_id, source_ip="10.0.0.1").allowed


def test_a_grant_to_make_grants_allows_to_make_them(kms: LocalKms, key_id: str) -> None:
    kms.create_grant(KeyId=key_id, GranteePrincipal=ALICE, Operations=["CreateGrant"])

    assert kms.simulate(ALICE, "kms:CreateGrant", key_id).allowed


def test_a_token_counts(store: Any, clock: Any) -> None:
    with LocalKms(store, account=OURS, clock=clock, grant_propagation=60) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        token = kms.create_grant(KeyId=key_id, GranteePrincipal=ALICE, Operations=["Encrypt"])["GrantToken"]

        assert not kms.simulate(ALICE, "kms:Encrypt", key_id).allowed
        assert kms.simulate(ALICE, "kms:Encrypt", key_id, grant_tokens=[token]).allowed
        with pytest.raises(KmsServiceError) as caught:
            kms.simulate(ALICE, "kms:Encrypt", key_id, grant_tokens=["x"])
        assert caught.value.code == "InvalidGrantTokenException"


def test_an_alias_means_its_key_but_for_actions_on_aliases(kms: LocalKms, key_id: str, arn: str) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    own = allow(["kms:DeleteAlias"], on=f"arn:aws:kms:us-west-2:{OURS}:alias/a")
    kms.identities.create_user("alice", policies={"own": text(own)})

    assert kms.simulate(ROOT, "kms:Encrypt", "alias/a").resource == arn
    on_alias = kms.simulate(ALICE, "kms:DeleteAlias", "alias/a")
    assert (on_alias.allowed, on_alias.resource) == (True, f"arn:aws:kms:us-west-2:{OURS}:alias/a")
    assert not kms.simulate(ALICE, "kms:DeleteAlias", key_id).allowed


def test_what_is_done_to_no_key(kms: LocalKms) -> None:
    found = kms.simulate(ALICE, "kms:CreateKey")

    assert (found.allowed, found.resource) == (False, "*")
    assert kms.simulate(ROOT, "KMS:listkeys").allowed


def test_retirable_grants_are_one_s_own(kms: LocalKms) -> None:
    kms.identities.create_user("alice", policies={"list": text(allow("kms:ListRetirableGrants", on=ALICE))})
    found = kms.simulate(ALICE, "kms:ListRetirableGrants")

    assert (found.allowed, found.resource) == (True, ALICE)
    assert kms.acting_as(ALICE).list_retirable_grants(RetiringPrincipal=ALICE)["Grants"] == []


def test_permissions_that_reach_no_other_account(kms: LocalKms, put_policy: Any, arn: str) -> None:
    put_policy(allow(to=[ROOT, THEIR_ROOT]))

    assert kms.simulate(THEIR_ROOT, "kms:Decrypt", arn).allowed
    found = kms.simulate(THEIR_ROOT, "kms:DisableKey", arn)
    assert (found.allowed, found.steps) == (False, ())
    assert found.conclusion == "denied: kms:DisableKey has no effect on keys of other accounts"


def test_services_are_asked_about_by_name(kms: LocalKms, put_policy: Any, key_id: str) -> None:
    put_policy(allow(to={"Service": S3}))

    assert kms.simulate(S3, "kms:Decrypt", key_id).allowed


@pytest.mark.parametrize(
    ("action", "key", "said"),
    [
        ("kms:Brew", None, "no permission"),
        ("s3:GetObject", None, "no permission"),
        ("kms:ReEncrypt", "alias/a", "no permission"),
        ("kms:RetireGrant", "alias/a", "no permission"),
        ("kms:Decrypt", None, "name one"),
        ("kms:CreateKey", "alias/a", "name none"),
    ],
)
def test_what_cannot_be_asked(kms: LocalKms, action: str, key: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        kms.simulate(ALICE, action, key)


def test_an_action_without_encryption_context_takes_none(kms: LocalKms, key_id: str) -> None:
    with pytest.raises(UsageError, match="no encryption context"):
        kms.simulate(ALICE, "kms:DescribeKey", key_id, encryption_context={"a": "b"})


def test_a_key_that_is_not_there(kms: LocalKms) -> None:
    for name in ("alias/a", "00000000-0000-4000-8000-000000000000", "x", "arn:aws:kms:x"):
        with pytest.raises(KmsServiceError) as caught:
            kms.simulate(ALICE, "kms:Decrypt", name)
        assert caught.value.code in ("NotFoundException", "InvalidArnException")


def test_nothing_is_done(kms: LocalKms, key_id: str) -> None:
    assert kms.simulate(ROOT, "kms:DisableKey", key_id).allowed
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"] is True
