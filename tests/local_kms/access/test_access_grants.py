"""Grants: what they allow, to whom, with which token, and how they end."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from testkit.policies import ALICE, APP, APP_ROLE, BOB, OURS, ROOT, S3, THEIR_ROOT, THEIRS, allow, deny, text

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.store.sqlite import SqliteStore

CAROL = f"arn:aws:iam::{OURS}:user/carol"
CONTEXT = {"team": "blue"}


@pytest.fixture
def slow(store: SqliteStore, clock: Any, random: Any) -> Generator[LocalKms]:
    """A KMS in which grants take five minutes to spread."""
    with LocalKms(store, account=OURS, region="us-west-2", clock=clock, random=random, grant_propagation=300) as kms:
        yield kms


@pytest.fixture
def alice(kms: LocalKms) -> LocalKms:
    return kms.acting_as(ALICE)


def grant(kms: LocalKms, key: str, *operations: str, to: str = ALICE, **more: Any) -> dict[str, Any]:
    return kms.create_grant(KeyId=key, GranteePrincipal=to, Operations=operations or ("Encrypt",), **more)


# --- what a grant allows ---------------------------------------------------------------------------------------------


def test_a_grant_alone_lets_its_grantee_in(kms: LocalKms, key_id: str, alice: LocalKms, refused: Any) -> None:
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")
    grant(kms, key_id, "Encrypt", "DescribeKey")

    alice.encrypt(KeyId=key_id, Plaintext=b"x")
    alice.describe_key(KeyId=key_id)
    with refused("AccessDeniedException"):
        alice.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    with refused("AccessDeniedException"):
        kms.acting_as(CAROL).encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_denial_beats_a_grant(kms: LocalKms, key_id: str, alice: LocalKms, refused: Any) -> None:
    grant(kms, key_id)
    kms.identities.create_user("alice", policies={"no": text(deny("kms:Encrypt"))})
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_grant_to_a_role_is_for_its_sessions(kms: LocalKms, key_id: str) -> None:
    grant(kms, key_id, to=APP_ROLE)

    kms.acting_as(APP).encrypt(KeyId=key_id, Plaintext=b"x")


def test_re_encryption_by_grants_takes_both_ends(kms: LocalKms, key_id: str, blob: bytes, alice: LocalKms) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    grant(kms, key_id, "ReEncryptFrom")
    grant(kms, other, "ReEncryptTo")

    alice.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=CONTEXT, DestinationKeyId=other)


@pytest.mark.parametrize(
    ("constraint", "context", "fits"),
    [
        ("EncryptionContextEquals", CONTEXT, True),
        ("EncryptionContextEquals", {**CONTEXT, "more": "x"}, False),
        ("EncryptionContextEquals", {"team": "Blue"}, False),
        ("EncryptionContextSubset", {**CONTEXT, "more": "x"}, True),
        ("EncryptionContextSubset", {"more": "x"}, False),
        ("EncryptionContextSubset", None, False),
    ],
)
def test_constraints_bind_the_encryption_context(
    kms: LocalKms,
    key_id: str,
    alice: LocalKms,
    constraint: str,
    context: dict[str, str] | None,
    fits: bool,
    refused: Any,
) -> None:
    grant(kms, key_id, "Encrypt", "DescribeKey", Constraints={constraint: CONTEXT})
    alice.describe_key(KeyId=key_id)
    if fits:
        alice.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=context)
        return
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=context)


def test_a_service_acts_for_the_resource_of_its_grant(kms: LocalKms, key_id: str, refused: Any) -> None:
    bucket = f"arn:aws:s3:us-west-2:{OURS}:bucket"
    kms.create_grant(
        KeyId=key_id,
        GranteeServicePrincipal=S3,
        RetiringServicePrincipal=S3,
        Operations=["GenerateDataKey"],
        Constraints={"SourceArn": bucket},
    )
    kms.acting_as(S3, conditions={"aws:SourceArn": bucket}).generate_data_key(KeyId=key_id, KeySpec="AES_256")
    for conditions in (None, {"aws:SourceArn": bucket + "2"}):
        with refused("AccessDeniedException"):
            kms.acting_as(S3, conditions=conditions).generate_data_key(KeyId=key_id, KeySpec="AES_256")
    entry = kms.list_grants(KeyId=key_id)["Grants"][0]
    assert (entry["GranteeServicePrincipal"], entry["RetiringServicePrincipal"]) == (S3, S3)


def test_a_grantee_may_pass_on_no_more_than_it_has(kms: LocalKms, key_id: str, alice: LocalKms, refused: Any) -> None:
    grant(kms, key_id, "CreateGrant", "Encrypt", Constraints={"EncryptionContextSubset": CONTEXT})
    grant(alice, key_id, "Encrypt", to=CAROL, Constraints={"EncryptionContextEquals": {**CONTEXT, "more": "x"}})
    for operations, constraints in (
        (["Encrypt"], None),
        (["Decrypt"], {"EncryptionContextSubset": CONTEXT}),
        (["Encrypt"], {"EncryptionContextSubset": {"team": "red"}}),
    ):
        with refused("AccessDeniedException"):
            alice.create_grant(KeyId=key_id, GranteePrincipal=CAROL, Operations=operations, Constraints=constraints)


def test_another_account_s_grantee_needs_its_own_policies_too(
    kms: LocalKms, key_id: str, arn: str, refused: Any
) -> None:
    grant(kms, key_id, to=BOB)
    bob = kms.acting_as(BOB)
    with refused("AccessDeniedException"):
        bob.encrypt(KeyId=arn, Plaintext=b"x")
    kms.acting_as(THEIR_ROOT).identities.create_user("bob", policies={"use": text(allow("kms:Encrypt"))})
    bob.encrypt(KeyId=arn, Plaintext=b"x")


# --- CreateGrant -----------------------------------------------------------------------------------------------------


def test_the_same_grant_again_under_its_name_is_the_same_with_another_token(kms: LocalKms, key_id: str) -> None:
    first = grant(kms, key_id, "Encrypt", "Decrypt", Name="one")
    again = grant(kms, key_id, "Decrypt", "Encrypt", Name="one")
    others = [
        grant(kms, key_id, "Encrypt", Name="one"),
        grant(kms, key_id, "Encrypt", "Decrypt", Name="two"),
        grant(kms, key_id, "Encrypt", "Decrypt", Name="one", to=CAROL),
        grant(kms, key_id, "Encrypt", "Decrypt", Name="one", RetiringPrincipal=CAROL),
        grant(kms, key_id, "Encrypt", "Decrypt", Name="one", Constraints={"EncryptionContextEquals": CONTEXT}),
    ]

    assert first["GrantId"] == again["GrantId"]
    assert first["GrantToken"] != again["GrantToken"]
    assert len({first["GrantId"], *(other["GrantId"] for other in others)}) == 6


def test_without_a_name_every_grant_is_another(kms: LocalKms, key_id: str) -> None:
    assert grant(kms, key_id)["GrantId"] != grant(kms, key_id)["GrantId"]
    assert len(kms.list_grants(KeyId=key_id)["Grants"]) == 2


def test_a_key_has_only_so_many_grants(store: SqliteStore, clock: Any, refused: Any) -> None:
    with LocalKms(store, account=OURS, clock=clock, limits=ResourceQuotas(grants_per_key=2)) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        named = grant(kms, key_id, Name="one")
        grant(kms, key_id)
        with refused("LimitExceededException"):
            grant(kms, key_id)

        assert grant(kms, key_id, Name="one")["GrantId"] == named["GrantId"]


def test_a_dry_run_makes_no_grant(kms: LocalKms, key_id: str, refused: Any) -> None:
    with refused("DryRunOperationException"):
        grant(kms, key_id, DryRun=True)
    assert kms.list_grants(KeyId=key_id)["Grants"] == []


_ARN = ALICE
_BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "no grantee": ("ValidationException", {"GranteePrincipal": None}),
    "two grantees": ("ValidationException", {"GranteeServicePrincipal": S3}),
    "two who may retire it": (
        "ValidationException",
        {"RetiringPrincipal": ALICE, "RetiringServicePrincipal": S3},
    ),
    "no operations": ("ValidationException", {"Operations": []}),
    "operations left out": ("ValidationException", {"Operations": None}),
    "an unknown operation": ("ValidationException", {"Operations": ["Brew"]}),
    "an operation of other keys": ("ValidationException", {"Operations": ["Sign"]}),
    "a service without resource": (
        "ValidationException",
        {"GranteePrincipal": None, "GranteeServicePrincipal": S3, "RetiringPrincipal": ALICE},
    ),
    "nine pairs": (
        "ValidationException",
        {"Constraints": {"EncryptionContextEquals": {str(number): "" for number in range(9)}}},
    ),
    "a long context": ("ValidationException", {"Constraints": {"EncryptionContextSubset": {"k": "v" * 384}}}),
    "an unknown constraint": ("UnsupportedOperationException", {"Constraints": {"Weather": "fine"}}),
    "constraints that are none": ("SerializationException", {"Constraints": "none"}),
    "a source that is no ARN": ("ValidationException", {"Constraints": {"SourceArn": "bucket" * 5}}),
    "a grantee that is no principal": ("InvalidArnException", {"GranteePrincipal": "alice"}),
    "somebody to retire it who is none": ("InvalidArnException", {"RetiringPrincipal": f"arn:aws:iam::{OURS}:alice"}),
    "a name with spaces": ("ValidationException", {"Name": "my grant"}),
    "an alias": ("InvalidArnException", {"KeyId": "alias/a"}),
    "a token that is none": ("InvalidGrantTokenException", {"GrantTokens": ["token"]}),
}


@pytest.mark.parametrize(("code", "changes"), _BAD.values(), ids=_BAD)
def test_what_create_grant_refuses(
    kms: LocalKms, key_id: str, code: str, changes: dict[str, Any], refused: Any
) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    call: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": ALICE, "Operations": ["Encrypt"]} | changes
    with refused(code):
        kms.create_grant(**call)
    assert kms.list_grants(KeyId=key_id)["Grants"] == []


@pytest.mark.parametrize(
    ("spec", "usage", "fitting", "unfit"),
    [
        ("HMAC_256", "GENERATE_VERIFY_MAC", ["GenerateMac", "VerifyMac", "DescribeKey"], "GetPublicKey"),
        ("ECC_NIST_P256", "SIGN_VERIFY", ["Sign", "Verify", "GetPublicKey", "CreateGrant"], "Encrypt"),
        ("ECC_NIST_P256", "KEY_AGREEMENT", ["DeriveSharedSecret", "GetPublicKey", "RetireGrant"], "Sign"),
    ],
)
def test_the_operations_are_some_that_the_key_has(
    kms: LocalKms, spec: str, usage: str, fitting: list[str], unfit: str, refused: Any
) -> None:
    key_id = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    grant(kms, key_id, *fitting)
    with refused("ValidationException"):
        grant(kms, key_id, *fitting, unfit)
    with refused("ValidationException"):
        grant(kms, key_id, *fitting, Constraints={"EncryptionContextEquals": CONTEXT})


def test_principals_have_to_exist_where_the_account_has_any(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.identities.create_user("carol")
    grant(kms, key_id, to=CAROL, RetiringPrincipal=ROOT)
    grant(kms, key_id, to=BOB)
    with refused("InvalidArnException"):
        grant(kms, key_id, to=ALICE)
    with refused("InvalidArnException"):
        grant(kms, key_id, to=CAROL, RetiringPrincipal=ALICE)


# --- ListGrants and ListRetirableGrants ------------------------------------------------------------------------------


def test_a_grant_is_listed_as_it_was_given(kms: LocalKms, key_id: str, arn: str, clock: Any) -> None:
    made = grant(
        kms,
        key_id,
        "Decrypt",
        "Encrypt",
        Name="one",
        RetiringPrincipal=CAROL,
        Constraints={"EncryptionContextSubset": CONTEXT},
    )

    answer = kms.list_grants(KeyId=arn)
    assert answer["Truncated"] is False
    assert answer["Grants"] == [
        {
            "KeyId": arn,
            "GrantId": made["GrantId"],
            "Name": "one",
            "CreationDate": clock.now.replace(microsecond=123000),
            "IssuingAccount": ROOT,
            "GranteePrincipal": ALICE,
            "RetiringPrincipal": CAROL,
            "Operations": ["Decrypt", "Encrypt"],
            "Constraints": {"EncryptionContextSubset": CONTEXT},
        }
    ]


def test_grants_are_listed_in_pages(kms: LocalKms, key_id: str) -> None:
    made = {grant(kms, key_id)["GrantId"] for _ in range(5)}
    found: list[str] = []
    marker: dict[str, str] = {}
    for _ in range(3):
        page = kms.list_grants(KeyId=key_id, Limit=2, **marker)
        found += [entry["GrantId"] for entry in page["Grants"]]
        marker = {"Marker": page.get("NextMarker", "")}

    assert sorted(made) == found
    assert page["Truncated"] is False


def test_grants_are_filtered(kms: LocalKms, key_id: str, refused: Any) -> None:
    one, other = grant(kms, key_id)["GrantId"], grant(kms, key_id, to=CAROL)["GrantId"]

    def ids(**wanted: str) -> list[str]:
        return [entry["GrantId"] for entry in kms.list_grants(KeyId=key_id, **wanted)["Grants"]]

    assert ids(GrantId=one) == [one]
    assert ids(GranteePrincipal=CAROL) == [other]
    assert ids(GranteePrincipal=CAROL, GrantId=one) == []
    assert ids(GrantId="0" * 64) == []
    with refused("InvalidGrantIdException"):
        ids(GrantId="one")
    with refused("ValidationException"):
        ids(GranteeServicePrincipal=S3)


def test_a_marker_is_of_its_own_list(kms: LocalKms, key_id: str, refused: Any) -> None:
    grant(kms, key_id, RetiringPrincipal=ALICE)
    grant(kms, key_id, RetiringPrincipal=ALICE)
    marker = kms.list_grants(KeyId=key_id, Limit=1)["NextMarker"]
    with refused("InvalidMarkerException"):
        kms.list_retirable_grants(RetiringPrincipal=ALICE, Marker=marker)


def test_retirable_grants_are_those_of_all_accounts(kms: LocalKms, key_id: str, arn: str, refused: Any) -> None:
    theirs = kms.acting_as(THEIR_ROOT)
    other = theirs.create_key()["KeyMetadata"]["Arn"]
    grant(kms, key_id, RetiringPrincipal=BOB)
    grant(theirs, other, RetiringPrincipal=BOB)
    grant(theirs, other, RetiringPrincipal=THEIR_ROOT)

    found = []
    marker: dict[str, str] = {}
    for _ in range(2):
        page = theirs.list_retirable_grants(RetiringPrincipal=BOB, Limit=1, **marker)
        found += [entry["KeyId"] for entry in page["Grants"]]
        marker = {"Marker": page.get("NextMarker", "")}
    assert found == [arn, other]
    assert page["Truncated"] is False
    with refused("AccessDeniedException"):
        kms.list_retirable_grants(RetiringPrincipal=BOB)
    with refused("AccessDeniedException"):
        kms.list_retirable_grants(RetiringPrincipal=f"arn:aws:iam::{THEIRS}:user/x::{OURS}:/bob")
    with refused("ValidationException"):
        kms.list_retirable_grants()
    with refused("ValidationException"):
        kms.list_retirable_grants(RetiringServicePrincipal=S3)
    assert kms.acting_as(S3).list_retirable_grants(RetiringServicePrincipal=S3)["Grants"] == []


def test_listing_retirable_grants_takes_an_identity_policy(kms: LocalKms, alice: LocalKms, refused: Any) -> None:
    with refused("AccessDeniedException"):
        alice.list_retirable_grants(RetiringPrincipal=ALICE)
    kms.identities.create_user("alice", policies={"list": text(allow("kms:ListRetirableGrants"))})
    assert alice.list_retirable_grants(RetiringPrincipal=ALICE)["Grants"] == []


# --- the end of grants -----------------------------------------------------------------------------------------------


def test_who_may_revoke_is_a_matter_of_policies(kms: LocalKms, key_id: str, alice: LocalKms, refused: Any) -> None:
    grant_id = grant(kms, key_id, "Encrypt", "RetireGrant")["GrantId"]
    with refused("AccessDeniedException"):
        alice.revoke_grant(KeyId=key_id, GrantId=grant_id)
    with refused("DryRunOperationException"):
        kms.revoke_grant(KeyId=key_id, GrantId=grant_id, DryRun=True)
    alice.encrypt(KeyId=key_id, Plaintext=b"x")
    kms.revoke_grant(KeyId=key_id, GrantId=grant_id)
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("NotFoundException"):
        kms.revoke_grant(KeyId=key_id, GrantId=grant_id)
    with refused("InvalidGrantIdException"):
        kms.revoke_grant(KeyId=key_id, GrantId="one")


def _retirements() -> dict[str, tuple[str, dict[str, Any], bool]]:
    return {
        "the root user": (ROOT, {}, True),
        "whom it names to retire it": (CAROL, {"RetiringPrincipal": CAROL}, True),
        "somebody else": (CAROL, {}, False),
        "the grantee": (ALICE, {}, False),
        "the grantee with the operation": (ALICE, {"Operations": ["Encrypt", "RetireGrant"]}, True),
        "a session of the role it names": (APP, {"RetiringPrincipal": APP_ROLE}, True),
        "another account's user whom it names": (BOB, {"RetiringPrincipal": BOB}, True),
        "another account's user": (BOB, {"RetiringPrincipal": THEIR_ROOT}, False),
        "another account's root user": (THEIR_ROOT, {"RetiringPrincipal": THEIR_ROOT}, True),
        "another root user": (THEIR_ROOT, {}, False),
    }


@pytest.mark.parametrize(("who", "more", "may"), _retirements().values(), ids=_retirements())
def test_the_grant_says_who_may_retire_it(
    kms: LocalKms, put_policy: Any, key_id: str, arn: str, who: str, more: dict[str, Any], may: bool, refused: Any
) -> None:
    # The key policy's permission to do so is without effect.
    put_policy(allow(to=ROOT), allow("kms:RetireGrant", to="*"))
    wanted: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": ALICE, "Operations": ["Encrypt"]} | more
    grant_id = kms.create_grant(**wanted)["GrantId"]
    caller = kms.acting_as(who)
    if may:
        with refused("DryRunOperationException"):
            caller.retire_grant(KeyId=arn, GrantId=grant_id, DryRun=True)
        caller.retire_grant(KeyId=arn, GrantId=grant_id)
    else:
        with refused("AccessDeniedException"):
            caller.retire_grant(KeyId=arn, GrantId=grant_id)

    assert [entry["GrantId"] for entry in kms.list_grants(KeyId=key_id)["Grants"]] == ([] if may else [grant_id])


def test_the_account_may_delegate_retirement(kms: LocalKms, key_id: str, refused: Any) -> None:
    grant_id = grant(kms, key_id)["GrantId"]
    kms.identities.create_user("carol", policies={"retire": text(allow("kms:RetireGrant"))})
    kms.identities.set_boundary(CAROL, text(allow("kms:Encrypt")))
    with refused("AccessDeniedException"):
        kms.acting_as(CAROL).retire_grant(KeyId=key_id, GrantId=grant_id)
    kms.identities.set_boundary(CAROL, None)
    kms.acting_as(CAROL).retire_grant(KeyId=key_id, GrantId=grant_id)


def test_retirement_can_be_denied_to_whom_the_grant_names(kms: LocalKms, key_id: str, refused: Any) -> None:
    grant_id = grant(kms, key_id, RetiringPrincipal=CAROL)["GrantId"]
    kms.identities.create_user("carol", policies={"no": text(deny("kms:RetireGrant"))})
    with refused("AccessDeniedException"):
        kms.acting_as(CAROL).retire_grant(KeyId=key_id, GrantId=grant_id)


def test_a_grant_is_retired_by_its_token(kms: LocalKms, key_id: str, refused: Any) -> None:
    first = grant(kms, key_id, Name="one", RetiringPrincipal=CAROL)
    grant(kms, key_id, Name="one", RetiringPrincipal=CAROL)
    kms.acting_as(CAROL).retire_grant(GrantToken=first["GrantToken"])

    assert kms.list_grants(KeyId=key_id)["Grants"] == []
    with refused("NotFoundException"):
        kms.retire_grant(GrantToken=first["GrantToken"])


@pytest.mark.parametrize("names", [(), ("KeyId",), ("GrantId",), ("GrantToken", "KeyId"), ("GrantToken", "GrantId")])
def test_a_grant_to_be_retired_is_named_in_one_way(
    kms: LocalKms, key_id: str, names: tuple[str, ...], refused: Any
) -> None:
    made = {"KeyId": key_id} | grant(kms, key_id)
    with refused("ValidationException"):
        kms.retire_grant(**{name: made[name] for name in names})


def test_grants_die_with_their_key(kms: LocalKms, key_id: str, clock: Any) -> None:
    grant(kms, key_id, RetiringPrincipal=ALICE)
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clock.advance(days=8)

    assert kms.list_retirable_grants(RetiringPrincipal=ALICE)["Grants"] == []


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_new_grant_counts_at_once_for_who_gives_its_token(slow: LocalKms, clock: Any, refused: Any) -> None:
    key_id = slow.create_key()["KeyMetadata"]["KeyId"]
    alice = slow.acting_as(ALICE)
    token = grant(slow, key_id)["GrantToken"]
    call: dict[str, Any] = {"KeyId": key_id, "Plaintext": b"x"}
    with refused("AccessDeniedException"):
        alice.encrypt(**call)
    alice.encrypt(**call, GrantTokens=[token])
    clock.advance(seconds=299)
    with refused("AccessDeniedException"):
        alice.encrypt(**call)
    clock.advance(seconds=1)
    alice.encrypt(**call)


def test_every_token_of_a_grant_will_do(slow: LocalKms) -> None:
    key_id = slow.create_key()["KeyMetadata"]["KeyId"]
    first = grant(slow, key_id, Name="one")["GrantToken"]
    grant(slow, key_id, Name="one")

    slow.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[first])


def test_a_token_is_of_use_to_its_grantee_only(slow: LocalKms, refused: Any) -> None:
    key_id = slow.create_key()["KeyMetadata"]["KeyId"]
    other = slow.create_key()["KeyMetadata"]["KeyId"]
    token = grant(slow, key_id)["GrantToken"]
    with refused("AccessDeniedException"):
        slow.acting_as(CAROL).encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[token])
    with refused("AccessDeniedException"):
        slow.acting_as(ALICE).encrypt(KeyId=other, Plaintext=b"x", GrantTokens=[token])


def test_a_token_lets_a_grant_be_passed_on_at_once(slow: LocalKms, refused: Any) -> None:
    key_id = slow.create_key()["KeyMetadata"]["KeyId"]
    token = grant(slow, key_id, "CreateGrant", "Encrypt")["GrantToken"]
    alice = slow.acting_as(ALICE)
    with refused("AccessDeniedException"):
        grant(alice, key_id, to=CAROL)
    passed = grant(alice, key_id, to=CAROL, GrantTokens=[token])["GrantToken"]
    slow.acting_as(CAROL).encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[passed])


def test_the_token_of_a_revoked_grant_gives_nothing(slow: LocalKms, refused: Any) -> None:
    key_id = slow.create_key()["KeyMetadata"]["KeyId"]
    made = grant(slow, key_id)
    slow.revoke_grant(KeyId=key_id, GrantId=made["GrantId"])
    with refused("AccessDeniedException"):
        slow.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[made["GrantToken"]])


def test_a_token_altered_anywhere_is_no_token(kms: LocalKms, key_id: str, refused: Any) -> None:
    content = base64.b64decode(grant(kms, key_id)["GrantToken"])
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= 1
        token = base64.b64encode(bytes(altered)).decode()
        for call in (
            lambda token=token: kms.retire_grant(GrantToken=token),
            lambda token=token: kms.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[token]),
        ):
            with refused("InvalidGrantTokenException"):
                call()


@pytest.mark.parametrize("token", ["x", "é", "AQpA", "====", " "])
def test_what_is_no_token_is_refused_of_the_root_user_too(kms: LocalKms, key_id: str, token: str, refused: Any) -> None:
    with refused("InvalidGrantTokenException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[token])
    with refused("InvalidGrantTokenException"):
        kms.retire_grant(GrantToken=token)


@pytest.mark.parametrize("seconds", [-1, 86_401, float("inf"), float("nan")])
def test_the_time_to_spread_has_bounds(seconds: float) -> None:
    with pytest.raises(UsageError, match="to spread"):
        LocalKms.in_memory(grant_propagation=seconds)


def test_the_time_is_that_of_the_grant_s_making(slow: LocalKms, store: SqliteStore, clock: Any) -> None:
    key_id = slow.create_key()["KeyMetadata"]["KeyId"]
    grant(slow, key_id)
    with store.read() as look:
        record = look.grants(slow._scope, key_id)[0]

    assert record.effective - record.created == timedelta(seconds=300)
    assert json.loads(record.document)["operations"] == ["Encrypt"]
    assert THEIRS not in record.document
