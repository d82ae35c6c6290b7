"""Keys of other accounts: both sides have to allow it, and only some operations reach them."""

from __future__ import annotations

import inspect
from typing import Any

import botocore.session
import pytest
from testkit.kms_kinds import snake
from testkit.policies import BOB, OURS, ROOT, THEIR_ROOT, THEIRS, allow, deny, text

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.accounts import CROSS_ACCOUNT
from envelope_sdk.local_kms.service import OPERATIONS

CONTEXT = {"team": "blue"}
GHOST = f"arn:aws:kms:us-west-2:{OURS}:key/00000000-0000-4000-8000-000000000000"
_MODEL = botocore.session.get_session().get_service_model("kms")


def hidden(operation: str) -> str:
    """What AWS says of a key of another account that does not let the caller in, or that is not there."""
    return (
        f"User: {BOB} is not authorized to perform: kms:{operation} on this resource because the resource does not "
        "exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies "
        "access"
    )


@pytest.fixture
def shared(put_policy: Any) -> None:
    """The key's account lets the other account in."""
    put_policy(allow(to=ROOT), allow(to=THEIR_ROOT))


@pytest.fixture
def bob(kms: LocalKms) -> LocalKms:
    """A user of the other account, which lets him do everything."""
    kms.acting_as(THEIR_ROOT).identities.create_user("bob", policies={"all": text(allow())})
    return kms.acting_as(BOB)


@pytest.mark.usefixtures("shared")
def test_both_sides_have_to_allow_it(kms: LocalKms, arn: str, refused: Any) -> None:
    bob = kms.acting_as(BOB)
    with refused("AccessDeniedException"):
        bob.encrypt(KeyId=arn, Plaintext=b"x")
    kms.acting_as(THEIR_ROOT).identities.create_user("bob", policies={"use": text(allow("kms:Encrypt", on=arn))})

    assert bob.encrypt(KeyId=arn, Plaintext=b"x")["KeyId"] == arn


def test_its_own_account_alone_cannot_let_a_caller_in(bob: LocalKms, arn: str, refused: Any) -> None:
    with refused("AccessDeniedException", hidden("Encrypt")):
        bob.encrypt(KeyId=arn, Plaintext=b"x")


@pytest.mark.usefixtures("shared")
def test_a_key_is_found_by_the_ciphertext_alone(bob: LocalKms, arn: str, blob: bytes) -> None:
    answer = bob.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)

    assert (answer["Plaintext"], answer["KeyId"]) == (b"secret", arn)


def test_who_is_not_let_in_does_not_learn_that_there_is_a_key(bob: LocalKms, blob: bytes, refused: Any) -> None:
    with refused("AccessDeniedException") as _:
        bob.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)
    with refused(
        "AccessDeniedException",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
        "or you are not allowed to access.",
    ):
        bob.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)


@pytest.mark.usefixtures("shared")
def test_material_is_that_of_the_key_s_account(kms: LocalKms, bob: LocalKms, arn: str) -> None:
    data_key = bob.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=CONTEXT)

    answer = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert (answer["Plaintext"], answer["KeyMaterialId"]) == (data_key["Plaintext"], data_key["KeyMaterialId"])


@pytest.mark.usefixtures("shared")
def test_re_encryption_leads_from_one_account_to_another(kms: LocalKms, bob: LocalKms, arn: str, blob: bytes) -> None:
    own = kms.acting_as(THEIR_ROOT).create_key()["KeyMetadata"]["Arn"]
    answer = bob.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=CONTEXT, DestinationKeyId=own)

    assert (answer["SourceKeyId"], answer["KeyId"]) == (arn, own)
    assert bob.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == b"secret"


@pytest.mark.usefixtures("shared")
def test_an_alias_of_another_account_is_named_by_its_arn(kms: LocalKms, bob: LocalKms, arn: str, refused: Any) -> None:
    kms.create_alias(AliasName="alias/theirs", TargetKeyId=arn)

    assert bob.describe_key(KeyId=f"arn:aws:kms:us-west-2:{OURS}:alias/theirs")["KeyMetadata"]["Arn"] == arn
    with refused("NotFoundException", f"Alias arn:aws:kms:us-west-2:{THEIRS}:alias/theirs is not found."):
        bob.describe_key(KeyId="alias/theirs")
    with refused("AccessDeniedException", hidden("DescribeKey")):
        bob.describe_key(KeyId=f"arn:aws:kms:us-west-2:{OURS}:alias/nothing")


def _answers(bob: LocalKms, arn: str, ghost: str, operation: str, **parameters: Any) -> set[tuple[str, str]]:
    """Return what a caller is told of a key that is there, and of one that is not."""
    told: set[tuple[str, str]] = set()
    for name in (arn, ghost):
        with pytest.raises(KmsServiceError) as caught:
            getattr(bob, snake(operation))(
                **{key: name if value is ... else value for key, value in parameters.items()}
            )
        told.add((caught.value.code, caught.value.message))
    return told


_OF_A_KEY: dict[str, dict[str, Any]] = {
    "CreateAlias": {"AliasName": "alias/mine", "TargetKeyId": ...},
    "CreateGrant": {"KeyId": ..., "GranteePrincipal": BOB, "Operations": ["Encrypt"]},
    "DescribeKey": {"KeyId": ...},
    "DisableKey": {"KeyId": ...},
    "Encrypt": {"KeyId": ..., "Plaintext": b"x"},
    "GenerateDataKey": {"KeyId": ..., "KeySpec": "AES_256"},
    "ListAliases": {"KeyId": ...},
    "RetireGrant": {"KeyId": ..., "GrantId": "0" * 64},
    "RevokeGrant": {"KeyId": ..., "GrantId": "0" * 64},
}


@pytest.mark.parametrize("operation", _OF_A_KEY)
def test_who_is_not_let_in_is_told_the_same_of_a_key_that_is_not_there(bob: LocalKms, arn: str, operation: str) -> None:
    told = _answers(bob, arn, GHOST, operation, **_OF_A_KEY[operation])

    assert told == {("AccessDeniedException", hidden(operation))}


def test_nor_does_an_alias_tell(kms: LocalKms, bob: LocalKms, arn: str) -> None:
    kms.create_alias(AliasName="alias/there", TargetKeyId=arn)
    prefix = f"arn:aws:kms:us-west-2:{OURS}:alias/"
    told = _answers(bob, f"{prefix}there", f"{prefix}gone", "DescribeKey", KeyId=...)

    assert told == {("AccessDeniedException", hidden("DescribeKey"))}


def test_nor_does_a_denial_of_the_caller_s_own(kms: LocalKms, arn: str) -> None:
    policies = {"none": text(deny("kms:Encrypt"))}
    kms.acting_as(THEIR_ROOT).identities.create_user("bob", policies=policies)

    told = _answers(kms.acting_as(BOB), arn, GHOST, "Encrypt", KeyId=..., Plaintext=b"x")

    assert told == {("AccessDeniedException", hidden("Encrypt"))}


def test_nor_does_a_grant_token_that_is_none(bob: LocalKms, arn: str) -> None:
    told = _answers(bob, arn, GHOST, "Encrypt", KeyId=..., Plaintext=b"x", GrantTokens=["x"])

    assert {code for code, _ in told} == {"InvalidGrantTokenException"}
    assert len(told) == 1


def test_nor_does_the_token_of_a_grant(kms: LocalKms, bob: LocalKms, arn: str, refused: Any) -> None:
    grant = kms.create_grant(KeyId=arn, GranteePrincipal=ROOT, Operations=["Encrypt"])
    with refused("AccessDeniedException", hidden("RetireGrant")):
        bob.retire_grant(GrantToken=grant["GrantToken"])
    kms.revoke_grant(KeyId=arn, GrantId=grant["GrantId"])
    with refused("AccessDeniedException", hidden("RetireGrant")):
        bob.retire_grant(GrantToken=grant["GrantToken"])


def test_nor_does_the_order_of_the_two_keys_of_a_re_encryption(kms: LocalKms, bob: LocalKms, arn: str) -> None:
    own = kms.acting_as(THEIR_ROOT).create_key()["KeyMetadata"]["Arn"]
    mine = bob.encrypt(KeyId=own, Plaintext=b"x")["CiphertextBlob"]
    foreign = kms.encrypt(KeyId=arn, Plaintext=b"x")["CiphertextBlob"]

    to = _answers(bob, arn, GHOST, "ReEncrypt", CiphertextBlob=mine, DestinationKeyId=...)
    source = _answers(bob, arn, GHOST, "ReEncrypt", CiphertextBlob=mine, SourceKeyId=..., DestinationKeyId=own)
    both = _answers(bob, arn, GHOST, "ReEncrypt", CiphertextBlob=foreign, SourceKeyId=arn, DestinationKeyId=...)

    assert to == {("AccessDeniedException", hidden("ReEncryptTo"))}
    assert source == both == {("AccessDeniedException", hidden("ReEncryptFrom"))}


def test_a_key_id_means_one_s_own_account(bob: LocalKms, key_id: str, refused: Any) -> None:
    with refused("NotFoundException"):
        bob.describe_key(KeyId=key_id)


_ON_ONE_KEY = sorted(
    operation
    for operation in set(OPERATIONS) - CROSS_ACCOUNT
    if "KeyId" in inspect.signature(getattr(LocalKms, snake(operation))).parameters and operation != "ListAliases"
)


_MORE: dict[str, dict[str, Any]] = {
    "GetParametersForImport": {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
    "ImportKeyMaterial": {"ImportToken": b"x", "EncryptedKeyMaterial": b"x"},
    "PutKeyPolicy": {"Policy": "{}"},
    "ReplicateKey": {"ReplicaRegion": "eu-west-1"},
    "TagResource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
    "UntagResource": {"TagKeys": ["a"]},
    "UpdateKeyDescription": {"Description": "x"},
    "UpdatePrimaryRegion": {"PrimaryRegion": "eu-west-1"},
}


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("operation", _ON_ONE_KEY)
def test_other_operations_do_not_reach_other_accounts(
    bob: LocalKms, arn: str, blob: bytes, operation: str, refused: Any
) -> None:
    with refused("AccessDeniedException", hidden(operation)):
        getattr(bob, snake(operation))(KeyId=arn, **_MORE.get(operation, {}))


@pytest.mark.usefixtures("shared")
def test_an_alias_is_of_a_key_of_its_own_account(bob: LocalKms, arn: str, refused: Any) -> None:
    with refused("AccessDeniedException"):
        bob.create_alias(AliasName="alias/mine", TargetKeyId=arn)
    with refused("AccessDeniedException"):
        bob.list_aliases(KeyId=arn)


@pytest.mark.usefixtures("shared")
def test_a_key_of_another_region_is_not_reached(kms: LocalKms, arn: str, blob: bytes, refused: Any) -> None:
    elsewhere = kms.acting_as(ROOT, region="eu-west-1")
    with refused("NotFoundException", "Invalid arn us-west-2"):
        elsewhere.encrypt(KeyId=arn, Plaintext=b"x")
    with refused("AccessDeniedException"):
        elsewhere.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)


@pytest.mark.skipif("Encapsulate" not in _MODEL.operation_names, reason="botocore's model is older than this one")
def test_the_operations_are_those_that_the_api_reference_says() -> None:
    documented = {
        name
        for name in _MODEL.operation_names
        if "Cross-account use</b>: Yes" in _MODEL.operation_model(name).documentation
    }

    assert documented == CROSS_ACCOUNT
