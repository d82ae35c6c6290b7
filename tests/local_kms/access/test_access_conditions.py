"""Condition keys in force: each operation's requests have those of its parameters, its key and its requester."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from testkit.policies import ALICE, OURS, ROOT, allow, deny, text

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.access.condition_values import BY_REQUEST, Asked, condition_values
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.policy import CONDITION_KEYS, Caller, ConditionValue, keys_of
from envelope_sdk.local_kms.service import Service

HERE = Scope(OURS, "us-west-2")


def when(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


def _values(kms: LocalKms, action: str, parameters: dict[str, object], key_id: str | None = None) -> dict[str, Any]:
    requester = Requester(HERE, Caller.parse(ALICE), "request", via_service="s3.us-west-2.amazonaws.com")
    call = kms._service.preview(action, parameters, requester)
    key = None if key_id is None else call.view.key(HERE, key_id)
    found: dict[str, ConditionValue] = condition_values(Asked(call, action, key))
    return {name: value for name, value in found.items() if name.startswith("kms:")}


# Of operations on a key: what a policy may ask for with these parameters, beside what follows from the key.
_PARAMETERS: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "an algorithm": (
        "Decrypt",
        {"EncryptionAlgorithm": "RSAES_OAEP_SHA_1"},
        {"EncryptionAlgorithm": "RSAES_OAEP_SHA_1"},
    ),
    "no algorithm": ("Decrypt", {}, {"EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}),
    "of the source": (
        "ReEncryptFrom",
        {"SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "SourceKeyId": "alias/a"},
        {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256", "RequestAlias": "alias/a"},
    ),
    "of the destination": (
        "ReEncryptTo",
        {"SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "DestinationKeyId": "alias/b"},
        {"EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "RequestAlias": "alias/b"},
    ),
    "an alias ARN": (
        "GenerateDataKey",
        {"KeyId": f"arn:aws:kms:us-west-2:{OURS}:alias/a"},
        {"EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "RequestAlias": "alias/a"},
    ),
    "a pair": (
        "GenerateDataKeyPair",
        {"KeyPairSpec": "RSA_2048"},
        {"EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "DataKeyPairSpec": "RSA_2048"},
    ),
    "a signature": (
        "Sign",
        {"SigningAlgorithm": "ECDSA_SHA_256"},
        {"SigningAlgorithm": "ECDSA_SHA_256", "MessageType": "RAW"},
    ),
    "a digest": (
        "Verify",
        {"SigningAlgorithm": "ECDSA_SHA_256", "MessageType": "DIGEST"},
        {"SigningAlgorithm": "ECDSA_SHA_256", "MessageType": "DIGEST"},
    ),
    "a MAC": ("GenerateMac", {"MacAlgorithm": "HMAC_SHA_256"}, {"MacAlgorithm": "HMAC_SHA_256"}),
    "a shared secret": ("DeriveSharedSecret", {"KeyAgreementAlgorithm": "ECDH"}, {"KeyAgreementAlgorithm": "ECDH"}),
    "a deletion": ("ScheduleKeyDeletion", {"PendingWindowInDays": 7}, {"ScheduleKeyDeletionPendingWindowInDays": 7}),
    "a deletion by default": ("ScheduleKeyDeletion", {}, {"ScheduleKeyDeletionPendingWindowInDays": 30}),
    "a rotation": ("EnableKeyRotation", {"RotationPeriodInDays": 90}, {"RotationPeriodInDays": 90}),
    "a rotation by default": ("EnableKeyRotation", {}, {"RotationPeriodInDays": 365}),
    "an import": (
        "ImportKeyMaterial",
        {"ValidTo": datetime(2030, 1, 1, tzinfo=UTC)},
        {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": datetime(2030, 1, 1, tzinfo=UTC)},
    ),
    "import parameters": (
        "GetParametersForImport",
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_4096"},
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_4096"},
    ),
    "a replica": (
        "ReplicateKey",
        {"ReplicaRegion": "eu-west-1"},
        {"ReplicaRegion": "eu-west-1", "BypassPolicyLockoutSafetyCheck": False},
    ),
    "another primary": ("UpdatePrimaryRegion", {"PrimaryRegion": "eu-west-1"}, {"PrimaryRegion": "eu-west-1"}),
    "a policy": (
        "PutKeyPolicy",
        {"BypassPolicyLockoutSafetyCheck": True},
        {"BypassPolicyLockoutSafetyCheck": True, "PolicyName": "default"},
    ),
    "a grant": (
        "CreateGrant",
        {
            "Operations": ["Encrypt", "Decrypt"],
            "GranteePrincipal": ALICE,
            "RetiringPrincipal": ROOT,
            "Constraints": {"EncryptionContextSubset": {"a": "b"}},
        },
        {
            "GrantConstraintType": ("EncryptionContextSubset",),
            "GrantIsForAWSResource": True,
            "GrantOperations": ("Encrypt", "Decrypt"),
            "GranteePrincipal": ALICE,
            "RetiringPrincipal": ROOT,
        },
    ),
    "a revocation": ("RevokeGrant", {}, {"GrantIsForAWSResource": True}),
    "nothing": ("DisableKey", {}, {}),
}


@pytest.mark.parametrize(("action", "parameters", "expected"), _PARAMETERS.values(), ids=_PARAMETERS)
def test_condition_keys_of_a_call(
    kms: LocalKms, key_id: str, action: str, parameters: dict[str, object], expected: dict[str, object]
) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    of_the_key = {
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "CustomerMasterKeyUsage": "ENCRYPT_DECRYPT",
        "KeyOrigin": "AWS_KMS",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": False,
        "ResourceAliases": ("alias/a",),
        "ViaService": "s3.us-west-2.amazonaws.com",
    }

    assert _values(kms, action, parameters, key_id) == {
        f"kms:{name}": value for name, value in (of_the_key | expected).items()
    }


def test_condition_keys_of_a_key_to_be_made(kms: LocalKms) -> None:
    assert _values(kms, "CreateKey", {}) == {
        "kms:BypassPolicyLockoutSafetyCheck": False,
        "kms:CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "kms:CustomerMasterKeyUsage": "ENCRYPT_DECRYPT",
        "kms:KeyOrigin": "AWS_KMS",
        "kms:KeySpec": "SYMMETRIC_DEFAULT",
        "kms:KeyUsage": "ENCRYPT_DECRYPT",
        "kms:MultiRegion": False,
    }
    given: dict[str, object] = {"MultiRegion": True, "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
    found = _values(kms, "CreateKey", given)
    assert (found["kms:KeySpec"], found["kms:KeyUsage"]) == ("HMAC_256", "GENERATE_VERIFY_MAC")
    assert (found["kms:MultiRegion"], found["kms:MultiRegionKeyType"]) == (True, "PRIMARY")


def test_a_multi_region_key_says_what_it_is(kms: LocalKms) -> None:
    key_id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    found = _values(kms, "Encrypt", {}, key_id)

    assert (found["kms:MultiRegion"], found["kms:MultiRegionKeyType"]) == (True, "PRIMARY")


@pytest.mark.parametrize("action", sorted(set().union(*(key.operations for key in CONDITION_KEYS))))
def test_no_call_has_a_key_that_is_not_documented_for_it(kms: LocalKms, key_id: str, action: str) -> None:
    assert set(_values(kms, action, {}, key_id)) <= keys_of(action) - BY_REQUEST


# --- in force --------------------------------------------------------------------------------------------------------


@pytest.fixture
def alice(kms: LocalKms) -> LocalKms:
    return kms.acting_as(ALICE)


def test_the_encryption_context_can_be_asked_for(
    kms: LocalKms, put_policy: Any, key_id: str, blob: bytes, alice: LocalKms, refused: Any
) -> None:
    put_policy(allow(to=ROOT), allow(to=ALICE, **when("StringEquals", "kms:EncryptionContext:team", "blue")))

    alice.decrypt(CiphertextBlob=blob, EncryptionContext={"team": "blue"})
    for context in ({"team": "red"}, {"Team2": "blue"}, None):
        with refused("AccessDeniedException"):
            alice.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=context)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_grant(KeyId=other, GranteePrincipal=ALICE, Operations=["ReEncryptTo"])
    call: dict[str, Any] = {"CiphertextBlob": blob, "SourceEncryptionContext": {"team": "blue"}}
    alice.re_encrypt(**call, DestinationKeyId=other)
    with refused("AccessDeniedException"):
        alice.re_encrypt(**call, DestinationKeyId=key_id, DestinationEncryptionContext={"team": "red"})


def test_the_names_of_a_context_can_be_asked_for(put_policy: Any, key_id: str, alice: LocalKms, refused: Any) -> None:
    put_policy(
        allow(to=ROOT), allow(to=ALICE, **when("ForAllValues:StringEquals", "kms:EncryptionContextKeys", ["a", "b"]))
    )
    alice.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "1", "b": "2"})
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "1", "c": "2"})


def test_a_grant_s_constraint_is_its_context(put_policy: Any, key_id: str, alice: LocalKms, refused: Any) -> None:
    put_policy(
        allow(to=ROOT),
        allow("kms:CreateGrant", to=ALICE, **when("StringEquals", "kms:EncryptionContext:team", "blue")),
    )
    wanted: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": ALICE, "Operations": ["Encrypt"]}
    alice.create_grant(**wanted, Constraints={"EncryptionContextSubset": {"team": "blue"}})
    with refused("AccessDeniedException"):
        alice.create_grant(**wanted)


def test_a_key_may_be_for_one_service(kms: LocalKms, put_policy: Any, key_id: str, refused: Any) -> None:
    put_policy(allow(to=ROOT), allow(to=ALICE, **when("StringLike", "kms:ViaService", "s3.*.amazonaws.com")))
    call: dict[str, Any] = {"KeyId": key_id, "KeySpec": "AES_256"}

    kms.acting_as(ALICE, via_service="s3.us-west-2.amazonaws.com").generate_data_key(**call)
    for service in ("ec2.us-west-2.amazonaws.com", None):
        with refused("AccessDeniedException"):
            kms.acting_as(ALICE, via_service=service).generate_data_key(**call)


def test_a_key_is_permitted_by_its_tags(kms: LocalKms, alice: LocalKms, refused: Any) -> None:
    kms.identities.create_user(
        "alice",
        tags={"team": "blue"},
        policies={"own": text(allow(**when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")))},
    )
    keys = [
        kms.create_key(Tags=[{"TagKey": "team", "TagValue": team}])["KeyMetadata"]["KeyId"] for team in ("blue", "red")
    ]
    alice.encrypt(KeyId=keys[0], Plaintext=b"x")
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=keys[1], Plaintext=b"x")
    kms.identities.set_tags(ALICE, {"team": "red"})
    alice.disable_key(KeyId=keys[1])
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=keys[0], Plaintext=b"x")


def test_a_key_is_permitted_by_its_aliases(kms: LocalKms, key_id: str, alice: LocalKms, refused: Any) -> None:
    own = allow(["kms:Encrypt"], **when("ForAnyValue:StringLike", "kms:ResourceAliases", "alias/project/*"))
    kms.identities.create_user("alice", policies={"own": text(own)})
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")
    kms.create_alias(AliasName="alias/project/one", TargetKeyId=key_id)
    alice.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_change_may_depend_on_the_aliases_of_its_key(kms: LocalKms, key_id: str, alice: LocalKms) -> None:
    for number in range(3):
        kms.create_alias(AliasName=f"alias/a{number}", TargetKeyId=key_id)
    own = allow("kms:DisableKey", **when("ForAnyValue:StringEquals", "kms:ResourceAliases", "alias/a2"))
    kms.identities.create_user("alice", policies={"own": text(own)})

    alice.disable_key(KeyId=key_id)


def test_a_key_is_permitted_by_the_alias_that_the_request_names(
    kms: LocalKms, key_id: str, alice: LocalKms, refused: Any
) -> None:
    own = allow("kms:Encrypt", **when("StringEquals", "kms:RequestAlias", "alias/a"))
    kms.identities.create_user("alice", policies={"own": text(own)})
    for name in ("a", "b"):
        kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key_id)
    alice.encrypt(KeyId="alias/a", Plaintext=b"x")
    for name in ("alias/b", key_id):
        with refused("AccessDeniedException"):
            alice.encrypt(KeyId=name, Plaintext=b"x")


def test_re_encryption_within_one_key_can_be_told(kms: LocalKms, key_id: str, blob: bytes, refused: Any) -> None:
    kms.identities.create_user("alice", policies={"own": text(allow(**when("Bool", "kms:ReEncryptOnSameKey", "true")))})
    alice, other = kms.acting_as(ALICE), kms.create_key()["KeyMetadata"]["KeyId"]
    call: dict[str, Any] = {"CiphertextBlob": blob, "SourceEncryptionContext": {"team": "blue"}}
    alice.re_encrypt(**call, DestinationKeyId=key_id)
    with refused("AccessDeniedException"):
        alice.re_encrypt(**call, DestinationKeyId=other)


def test_numbers_and_dates_are_compared(
    kms: LocalKms, put_policy: Any, key_id: str, alice: LocalKms, clock: Any, refused: Any
) -> None:
    put_policy(
        allow(to=ROOT),
        allow(
            "kms:ScheduleKeyDeletion",
            to=ALICE,
            Condition={
                "NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": 14},
                "DateLessThan": {"aws:CurrentTime": "2026-02-01T00:00:00Z"},
            },
        ),
    )
    with refused("AccessDeniedException"):
        alice.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    alice.schedule_key_deletion(KeyId=key_id)
    kms.cancel_key_deletion(KeyId=key_id)
    clock.now += timedelta(days=40)
    with refused("AccessDeniedException"):
        alice.schedule_key_deletion(KeyId=key_id)


def test_the_requester_s_address_and_whatever_else_it_brings(
    kms: LocalKms, put_policy: Any, key_id: str, refused: Any
) -> None:
    put_policy(
        allow(to=ROOT),
        allow(to=ALICE, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        deny(to="*", **when("Bool", "aws:MultiFactorAuthPresent", "false")),
    )
    kms.acting_as(ALICE, source_ip="10.1.2.3").describe_key(KeyId=key_id)
    for way in (
        {"source_ip": "192.0.2.1"},
        {},
        {"source_ip": "10.1.2.3", "conditions": {"aws:MultiFactorAuthPresent": False}},
    ):
        with refused("AccessDeniedException"):
            kms.acting_as(ALICE, **way).describe_key(KeyId=key_id)  # type: ignore[arg-type]


def test_conditions_bind_the_root_user(kms: LocalKms, put_policy: Any, key_id: str, refused: Any) -> None:
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    put_policy(allow(to=ROOT, **when("StringEquals", "kms:EncryptionContext:team", "blue")))

    kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"team": "blue"})
    with refused("AccessDeniedException"):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_every_condition_key_has_a_source(kms: LocalKms) -> None:
    service = kms._service
    assert isinstance(service, Service)
    requester = Requester(HERE, Caller.parse(ROOT), "request")
    for key in CONDITION_KEYS:
        for action in key.operations:
            condition_values(Asked(service.preview(action, {}, requester), action, None))
