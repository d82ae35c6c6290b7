"""Key policies and identity policies in force: who may call what, through the operations themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from testkit.policies import ALICE, APP, APP_ROLE, OURS, ROOT, S3, allow, deny, text

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope

BOB_AT_HOME = f"arn:aws:iam::{OURS}:user/bob"
CONTEXT = {"team": "blue"}


def denied(who: str, action: str, arn: str, because: str) -> str:
    return f"User: {who} is not authorized to perform: kms:{action} on resource: {arn} {because}"


# --- key policies ----------------------------------------------------------------------------------------------------


def test_a_user_whom_the_key_policy_names_needs_nothing_else(kms: LocalKms, put_policy: Any, blob: bytes) -> None:
    put_policy(allow("kms:Decrypt", to=ALICE))

    answer = kms.acting_as(ALICE).decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)

    assert answer["Plaintext"] == b"secret"


def test_whom_it_does_not_name_it_keeps_out(
    kms: LocalKms, put_policy: Any, key_id: str, arn: str, refused: Any
) -> None:
    put_policy(allow("kms:Decrypt", to=ALICE))

    because = "because no resource-based policy allows the kms:Encrypt action"
    with refused("AccessDeniedException", denied(ALICE, "Encrypt", arn, because)):
        kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")
    because = "because no resource-based policy allows the kms:DescribeKey action"
    with refused("AccessDeniedException", denied(BOB_AT_HOME, "DescribeKey", arn, because)):
        kms.acting_as(BOB_AT_HOME).describe_key(KeyId=key_id)


def test_the_root_user_obeys_key_policies(kms: LocalKms, put_policy: Any, key_id: str, arn: str, refused: Any) -> None:
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    put_policy(allow(to=ROOT), deny("kms:Encrypt", to="*"))

    with refused(
        "AccessDeniedException",
        denied(ROOT, "Encrypt", arn, "with an explicit deny in a resource-based policy"),
    ):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
    kms.describe_key(KeyId=key_id)


def test_the_root_user_is_kept_out_of_a_key_for_others(
    kms: LocalKms, put_policy: Any, key_id: str, refused: Any
) -> None:
    put_policy(allow(to=ALICE))

    for call in (kms.describe_key, kms.disable_key, kms.get_key_policy, kms.schedule_key_deletion, kms.list_grants):
        with refused("AccessDeniedException"):
            call(KeyId=key_id)


def test_a_statement_about_another_key_lets_nobody_in(
    kms: LocalKms, put_policy: Any, key_id: str, arn: str, refused: Any
) -> None:
    put_policy(allow(to=ROOT, on=arn))
    kms.describe_key(KeyId=key_id)
    put_policy(allow(to=ROOT, on=arn.replace(key_id, "*-another")))
    with refused("AccessDeniedException"):
        kms.describe_key(KeyId=key_id)


def test_a_service_may_be_named(kms: LocalKms, put_policy: Any, key_id: str, refused: Any) -> None:
    put_policy(allow("kms:GenerateDataKey", to={"Service": S3}))

    kms.acting_as(S3).generate_data_key(KeyId=key_id, KeySpec="AES_256")
    with refused("AccessDeniedException"):
        kms.acting_as("logs.amazonaws.com").generate_data_key(KeyId=key_id, KeySpec="AES_256")


def test_who_may_not_use_a_key_does_not_learn_its_state(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.disable_key(KeyId=key_id)
    with refused("AccessDeniedException"):
        kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("DisabledException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_dry_run_of_what_is_denied_is_denied(kms: LocalKms, key_id: str, refused: Any) -> None:
    alice = kms.acting_as(ALICE)
    for call in (
        lambda: alice.encrypt(KeyId=key_id, Plaintext=b"x", DryRun=True),
        lambda: alice.generate_data_key(KeyId=key_id, KeySpec="AES_256", DryRun=True),
        lambda: alice.create_grant(KeyId=key_id, GranteePrincipal=ALICE, Operations=["Encrypt"], DryRun=True),
    ):
        with refused("AccessDeniedException"):
            call()


def test_a_policy_changed_elsewhere_is_in_force_at_the_next_call(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "keys.db"
    with LocalKms.open(path, account=OURS) as here, LocalKms.open(path, account=OURS) as there:
        key_id = here.create_key()["KeyMetadata"]["KeyId"]
        alice = there.acting_as(ALICE)
        with refused("AccessDeniedException"):
            alice.encrypt(KeyId=key_id, Plaintext=b"x")
        here.put_key_policy(KeyId=key_id, Policy=text(allow(to=ROOT), allow("kms:Encrypt", to=ALICE)))
        alice.encrypt(KeyId=key_id, Plaintext=b"x")
        here.put_key_policy(KeyId=key_id, Policy=text(allow(to=ROOT)))
        with refused("AccessDeniedException"):
            alice.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_key_with_an_unreadable_policy_is_left_to_the_root_user(
    kms: LocalKms, key_id: str, store: Any, refused: Any
) -> None:
    # Earlier versions took any JSON object.
    with store.write() as transaction:
        key = transaction.key(Scope(OURS, "us-west-2"), key_id)
        transaction.update_key(replace(key, policy='{"anything": "goes"}'))
    kms.identities.create_user("alice", policies={"all": text(allow())})

    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("AccessDeniedException"):
        kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")
    kms.put_key_policy(KeyId=key_id, Policy=text(allow(to=ROOT)))
    kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")


# --- identity policies -----------------------------------------------------------------------------------------------


def test_the_default_policy_leaves_it_to_identity_policies(kms: LocalKms, key_id: str, arn: str, refused: Any) -> None:
    alice = kms.acting_as(ALICE)
    because = "because no identity-based policy allows the kms:Encrypt action"
    with refused("AccessDeniedException", denied(ALICE, "Encrypt", arn, because)):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")
    kms.identities.create_user("alice", policies={"use": text(allow("kms:Encrypt", on=arn))})

    assert alice.encrypt(KeyId=key_id, Plaintext=b"x")["KeyId"] == arn
    with refused("AccessDeniedException"):
        alice.generate_data_key(KeyId=key_id, KeySpec="AES_256")


def test_an_identity_policy_alone_is_not_enough(kms: LocalKms, put_policy: Any, key_id: str, refused: Any) -> None:
    kms.identities.create_user("alice", policies={"all": text(allow())})
    kms.identities.create_user("bob")
    put_policy(allow(to=BOB_AT_HOME))

    with refused("AccessDeniedException"):
        kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_denial_in_an_identity_policy_beats_the_key_policy(
    kms: LocalKms, put_policy: Any, key_id: str, arn: str, refused: Any
) -> None:
    kms.identities.create_user("alice", policies={"no": text(deny("kms:Encrypt"))})
    put_policy(allow(to=ALICE))

    with refused(
        "AccessDeniedException", denied(ALICE, "Encrypt", arn, "with an explicit deny in an identity-based policy")
    ):
        kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")


def test_permissions_for_what_has_no_key_come_from_identity_policies(kms: LocalKms, refused: Any) -> None:
    alice = kms.acting_as(ALICE)
    for call in (
        lambda: alice.create_key(),
        lambda: alice.list_keys(),
        lambda: alice.list_aliases(),
        lambda: alice.generate_random(NumberOfBytes=1),
    ):
        with refused("AccessDeniedException"):
            call()
    own = allow(["kms:CreateKey", "kms:ListKeys", "kms:ListAliases", "kms:GenerateRandom"])
    kms.identities.create_user("alice", policies={"own": text(own)})

    alice.create_key()
    assert len(alice.list_keys()["Keys"]) == 1
    assert not any("TargetKeyId" in alias for alias in alice.list_aliases()["Aliases"])
    alice.generate_random(NumberOfBytes=1)


def test_tags_at_creation_take_the_permission_to_tag(kms: LocalKms, refused: Any) -> None:
    kms.identities.create_user("alice", policies={"make": text(allow("kms:CreateKey"))})
    alice, tags = kms.acting_as(ALICE), [{"TagKey": "team", "TagValue": "blue"}]
    with refused("AccessDeniedException"):
        alice.create_key(Tags=tags)
    tagging = allow(
        "kms:TagResource",
        on=f"arn:aws:kms:*:{OURS}:key/*",
        Condition={"StringEquals": {"aws:RequestTag/team": "blue"}},
    )
    kms.identities.attach_policy(ALICE, "tag", text(tagging))

    alice.create_key(Tags=tags)
    with refused("AccessDeniedException"):
        alice.create_key(Tags=[{"TagKey": "team", "TagValue": "red"}])


def test_an_alias_takes_permissions_for_itself_and_for_its_keys(kms: LocalKms, key_id: str, refused: Any) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    here = f"arn:aws:kms:us-west-2:{OURS}"
    alice = kms.acting_as(ALICE)
    kms.identities.create_user("alice", policies={"keys": text(allow(on=f"{here}:key/{key_id}"))})
    with refused("AccessDeniedException"):
        alice.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    kms.identities.attach_policy(ALICE, "aliases", text(allow(on=f"{here}:alias/a")))
    alice.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("AccessDeniedException"):
        alice.create_alias(AliasName="alias/b", TargetKeyId=key_id)
    with refused("AccessDeniedException"):
        alice.update_alias(AliasName="alias/a", TargetKeyId=other)
    kms.identities.attach_policy(ALICE, "other", text(allow(on=f"{here}:key/{other}")))
    alice.update_alias(AliasName="alias/a", TargetKeyId=other)
    kms.identities.detach_policy(ALICE, "other")
    with refused("AccessDeniedException"):
        alice.update_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("AccessDeniedException"):
        alice.delete_alias(AliasName="alias/a")


def test_re_encryption_takes_a_permission_at_either_end(kms: LocalKms, key_id: str, blob: bytes, refused: Any) -> None:
    other = kms.create_key()["KeyMetadata"]["Arn"]
    alice = kms.acting_as(ALICE)
    kms.identities.create_user("alice", policies={"from": text(allow("kms:ReEncryptFrom"))})
    call = {"CiphertextBlob": blob, "SourceEncryptionContext": CONTEXT, "DestinationKeyId": other}
    because = "because no identity-based policy allows the kms:ReEncryptTo action"
    with refused("AccessDeniedException", denied(ALICE, "ReEncryptTo", other, because)):
        alice.re_encrypt(**call)
    kms.identities.attach_policy(ALICE, "from", text(allow("kms:ReEncryptTo")))
    with refused("AccessDeniedException"):
        alice.re_encrypt(**call, SourceKeyId=key_id)
    kms.identities.attach_policy(ALICE, "both", text(allow("kms:ReEncrypt*")))

    assert alice.re_encrypt(**call)["KeyId"] == other


# --- whom Decrypt tells what -----------------------------------------------------------------------------------------

HIDDEN = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
    "or you are not allowed to access."
)


def test_a_caller_who_names_no_key_does_not_learn_that_there_is_one(kms: LocalKms, blob: bytes, refused: Any) -> None:
    alice = kms.acting_as(ALICE)
    with refused("AccessDeniedException", HIDDEN):
        alice.decrypt(CiphertextBlob=blob)
    altered = bytearray(blob)
    altered[7] ^= 1
    with refused("AccessDeniedException", HIDDEN):
        alice.decrypt(CiphertextBlob=bytes(altered))
    with refused("AccessDeniedException", HIDDEN):
        alice.re_encrypt(CiphertextBlob=blob, DestinationKeyId=kms.create_key()["KeyMetadata"]["KeyId"])


def test_a_caller_who_names_the_key_is_told_why(
    kms: LocalKms, key_id: str, arn: str, blob: bytes, refused: Any
) -> None:
    because = "because no identity-based policy allows the kms:Decrypt action"
    with refused("AccessDeniedException", denied(ALICE, "Decrypt", arn, because)):
        kms.acting_as(ALICE).decrypt(CiphertextBlob=blob, KeyId=key_id)


def test_permission_comes_before_whether_the_key_is_the_right_one(kms: LocalKms, blob: bytes, refused: Any) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    with refused("AccessDeniedException"):
        kms.acting_as(ALICE).decrypt(CiphertextBlob=blob, KeyId=other)
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=other)


# --- GetKeyPolicy, PutKeyPolicy, ListKeyPolicies ---------------------------------------------------------------------


def test_a_key_made_without_policy_has_the_default_one(kms: LocalKms, key_id: str) -> None:
    answer = kms.get_key_policy(KeyId=key_id)

    assert answer["PolicyName"] == "default"
    assert json.loads(answer["Policy"])["Statement"] == [
        {
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": ROOT},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    assert answer["Policy"].startswith('{\n  "Version" : "2012-10-17",\n  "Id" : "key-default-1",')


def test_a_policy_comes_back_as_it_was_put(kms: LocalKms, key_id: str) -> None:
    document = text(allow(to=ROOT), allow("kms:Decrypt", to=ALICE))
    kms.put_key_policy(KeyId=key_id, Policy=document, PolicyName="default")

    assert kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"] == document
    made = kms.create_key(Policy=document)["KeyMetadata"]["KeyId"]
    assert kms.get_key_policy(KeyId=made)["Policy"] == document


def test_every_key_has_one_policy(kms: LocalKms, key_id: str, refused: Any) -> None:
    answer = kms.list_key_policies(KeyId=key_id)

    assert (answer["PolicyNames"], answer["Truncated"]) == (["default"], False)
    for call in (
        lambda: kms.get_key_policy(KeyId=key_id, PolicyName="other"),
        lambda: kms.put_key_policy(KeyId=key_id, PolicyName="other", Policy=text(allow(to=ROOT))),
    ):
        with refused("NotFoundException", "No such policy exists"):
            call()


@pytest.mark.parametrize("operation", ["get_key_policy", "list_key_policies"])
def test_policies_are_not_found_by_alias(kms: LocalKms, key_id: str, operation: str, refused: Any) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
        getattr(kms, operation)(KeyId="alias/a")


_LOCKOUT = "The new key policy will not allow you to update the key policy in the future."
_REFUSED = {
    "no JSON": ("{", "MalformedPolicyDocumentException", None),
    "no policy": ("[]", "MalformedPolicyDocumentException", "Syntax errors in policy."),
    "no such principal": (
        text(allow(to="alice")),
        "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
    ),
    "too long": (text(allow(to=ROOT), Id="i" * 32768), "LimitExceededException", None),
    "locks its giver out": (text(allow("kms:Decrypt", to=ROOT)), "MalformedPolicyDocumentException", _LOCKOUT),
    "for somebody else": (text(allow(to=ALICE)), "MalformedPolicyDocumentException", _LOCKOUT),
    "on a condition that the giver fails": (
        text(allow(to=ROOT, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})),
        "MalformedPolicyDocumentException",
        _LOCKOUT,
    ),
}


@pytest.mark.parametrize(("document", "code", "message"), _REFUSED.values(), ids=_REFUSED)
def test_a_policy_is_checked_before_a_key_gets_it(
    kms: LocalKms, key_id: str, document: str, code: str, message: str | None, refused: Any
) -> None:
    before = kms.get_key_policy(KeyId=key_id)["Policy"]
    with refused(code, message):
        kms.put_key_policy(KeyId=key_id, Policy=document)
    with refused(code, message):
        kms.create_key(Policy=document)

    assert kms.get_key_policy(KeyId=key_id)["Policy"] == before
    assert len(kms.list_keys()["Keys"]) == 1


def test_the_check_against_locking_oneself_out_can_be_left_out(kms: LocalKms, key_id: str, refused: Any) -> None:
    document = text(allow("kms:Decrypt", to=ROOT))
    kms.put_key_policy(KeyId=key_id, Policy=document, BypassPolicyLockoutSafetyCheck=True)
    kms.create_key(Policy=document, BypassPolicyLockoutSafetyCheck=True)

    with refused("AccessDeniedException"):
        kms.put_key_policy(KeyId=key_id, Policy=text(allow(to=ROOT)))


def test_a_user_may_only_give_a_policy_that_it_could_replace(kms: LocalKms, key_id: str, refused: Any) -> None:
    own = allow(["kms:PutKeyPolicy", "kms:CreateKey"])
    kms.identities.create_user("alice", policies={"own": text(own)})
    kms.identities.create_role("app")
    alice = kms.acting_as(ALICE)
    alice.put_key_policy(KeyId=key_id, Policy=text(allow(to=ROOT)))
    with refused("MalformedPolicyDocumentException", _LOCKOUT):
        alice.put_key_policy(KeyId=key_id, Policy=text(allow(to=APP_ROLE)))
    with refused("MalformedPolicyDocumentException", _LOCKOUT):
        alice.create_key(Policy=text(allow(to=APP_ROLE)))


def test_principals_have_to_exist_where_the_account_has_any(kms: LocalKms, key_id: str, refused: Any) -> None:
    unknown = ["AIDACKCEVSQ6C2EXAMPLE", ALICE, APP]
    kms.put_key_policy(KeyId=key_id, Policy=text(allow(to=ROOT), allow(to=unknown)))
    kms.identities.create_role("app", path="/team/")
    for ghost in (ALICE, APP_ROLE, "AIDACKCEVSQ6C2EXAMPLE", f"arn:aws:sts::{OURS}:assumed-role/other/one"):
        with refused(
            "MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals."
        ):
            kms.put_key_policy(KeyId=key_id, Policy=text(allow(to=ROOT), allow(to=ghost)))
    user = kms.identities.create_user("alice")
    kms.put_key_policy(
        KeyId=key_id,
        Policy=text(allow(to=[ROOT, ALICE, APP, user.unique_id]), allow(to={"Service": S3})),
    )


def test_the_permission_to_bypass_the_check_can_be_denied(kms: LocalKms, key_id: str, refused: Any) -> None:
    own = [allow(), deny("kms:*", Condition={"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}})]
    kms.identities.create_user("alice", policies={"own": text(*own)})
    alice, document = kms.acting_as(ALICE), text(allow(to=ROOT))
    alice.put_key_policy(KeyId=key_id, Policy=document)
    with refused("AccessDeniedException"):
        alice.put_key_policy(KeyId=key_id, Policy=document, BypassPolicyLockoutSafetyCheck=True)
