"""The table of key states: every operation in every state, with AWS's code and words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from testkit.key_material import import_parameters
from testkit.kms_kinds import available, snake

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.access.grants import make_token
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import KeyState
from envelope_sdk.local_kms.service import OPERATIONS
from envelope_sdk.primitives.entropy import system_random

_OK = ""
_ROOT = "arn:aws:iam::000000000000:root"
_TOKEN = make_token("0" * 64, "arn:aws:kms:us-east-1:000000000000:key/of-a-grant-that-is-not-needed", system_random)
_STATES = ["Enabled", "Disabled", "PendingDeletion", "PendingImport", "Unavailable", "Creating", "Updating"]
_DELETION, _NOT_DELETION = "is pending deletion.", "is not pending deletion."
_IMPORT, _UNAVAILABLE, _CREATING, _UPDATING = "is pending import.", "is unavailable.", "is creating.", "is updating."
_DISABLED = "is disabled."

# One row for each operation, in the order of _STATES, as the AWS developer guide's table has them.
_CRYPTOGRAPHY = [_OK, _DISABLED, _DELETION, _IMPORT, _UNAVAILABLE, _CREATING, _OK]
_SWITCHING = [_OK, _OK, _DELETION, _IMPORT, _OK, _CREATING, _UPDATING]
_NAMING = [_OK, _OK, _DELETION, _OK, _OK, _OK, _OK]
_ALWAYS = [_OK] * 7
_TABLE: dict[str, list[str]] = {
    "CancelKeyDeletion": [_NOT_DELETION, _NOT_DELETION, _OK, *[_NOT_DELETION] * 4],
    "CreateAlias": _NAMING,
    "CreateGrant": [_OK, _DISABLED, _DELETION, _IMPORT, _OK, _CREATING, _OK],
    "Decrypt": _CRYPTOGRAPHY,
    "DeleteAlias": _ALWAYS,
    "DescribeKey": _ALWAYS,
    "DisableKey": _SWITCHING,
    "DisableKeyRotation": _CRYPTOGRAPHY,
    "EnableKey": _SWITCHING,
    "EnableKeyRotation": _CRYPTOGRAPHY,
    "Encrypt": _CRYPTOGRAPHY,
    "GenerateDataKey": _CRYPTOGRAPHY,
    "GenerateDataKeyWithoutPlaintext": _CRYPTOGRAPHY,
    "GenerateDataKeyPair": _CRYPTOGRAPHY,
    "GenerateDataKeyPairWithoutPlaintext": _CRYPTOGRAPHY,
    "GetKeyLastUsage": _ALWAYS,
    "GetKeyPolicy": _ALWAYS,
    "GetKeyRotationStatus": _ALWAYS,
    "ListAliases": _ALWAYS,
    "ListGrants": _ALWAYS,
    "ListKeyPolicies": _ALWAYS,
    "ListKeyRotations": _ALWAYS,
    "PutKeyPolicy": _ALWAYS,
    "RetireGrant": _ALWAYS,
    "RevokeGrant": _ALWAYS,
    "RotateKeyOnDemand": _CRYPTOGRAPHY,
    "ListResourceTags": _ALWAYS,
    "ReEncrypt source": _CRYPTOGRAPHY,
    "ReEncrypt destination": _CRYPTOGRAPHY,
    "ReplicateKey": [_OK, _DISABLED, _DELETION, _IMPORT, _UNAVAILABLE, _CREATING, _UPDATING],
    "ScheduleKeyDeletion": [_OK, _OK, _DELETION, _OK, _OK, _OK, _UPDATING],
    "TagResource": _NAMING,
    "UntagResource": _NAMING,
    "UpdateAlias": _NAMING,
    "UpdateKeyDescription": _NAMING,
    "UpdatePrimaryRegion": _CRYPTOGRAPHY,
}
# Operations on other keys than symmetric ones, which the table has no cells for where such keys cannot be in a state.
_KINDS = {
    "Decapsulate": ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    "DeriveSharedSecret": ("ECC_NIST_P256", "KEY_AGREEMENT"),
    "Encapsulate": ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    "GenerateMac": ("HMAC_256", "GENERATE_VERIFY_MAC"),
    "GetPublicKey": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "Sign": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "Verify": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "VerifyMac": ("HMAC_256", "GENERATE_VERIFY_MAC"),
}
# Operations on keys whose material is imported.
_IMPORTS = {
    "DeleteImportedKeyMaterial": [_OK, _OK, _OK, _OK, _OK, _CREATING, _UPDATING],
    "GetParametersForImport": [_OK, _OK, _DELETION, _OK, _UNAVAILABLE, _CREATING, _UPDATING],
    "ImportKeyMaterial": [_OK, _OK, _DELETION, _OK, _UNAVAILABLE, _CREATING, _OK],
}
_IMPORT_CELLS = [
    (name, state, text) for name, row in _IMPORTS.items() for state, text in zip(_STATES, row, strict=True)
]
_KIND_CELLS = [
    pytest.param(name, state, text, marks=pytest.mark.skipif(not available(_KINDS[name][0]), reason="not here"))
    for name in _KINDS
    for state, text in zip(_STATES, _CRYPTOGRAPHY, strict=True)
]
_OF_PRIMARIES = ("ReplicateKey", "UpdatePrimaryRegion")
_WITHOUT_KEY = {"CreateKey", "GenerateRandom", "ListKeys", "ListRetirableGrants"} | {
    name for name in OPERATIONS if "CustomKeyStore" in name
}
_CELLS = [(name, state, text) for name, row in _TABLE.items() for state, text in zip(_STATES, row, strict=True)]


def _calls(kms: LocalKms, key_id: str, other: str) -> dict[str, Callable[[], Any]]:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    other_blob = kms.encrypt(KeyId=other, Plaintext=b"x")["CiphertextBlob"]
    kms.create_alias(AliasName="alias/here", TargetKeyId=key_id)
    kms.create_alias(AliasName="alias/there", TargetKeyId=other)
    grant: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": _ROOT, "Operations": ["Encrypt"]}
    grant_id = kms.create_grant(**grant)["GrantId"]
    policy = kms.get_key_policy(KeyId=key_id)["Policy"]
    return {
        "CancelKeyDeletion": lambda: kms.cancel_key_deletion(KeyId=key_id),
        "CreateAlias": lambda: kms.create_alias(AliasName="alias/new", TargetKeyId=key_id),
        "CreateGrant": lambda: kms.create_grant(**grant),
        "Decrypt": lambda: kms.decrypt(CiphertextBlob=blob),
        "DeleteAlias": lambda: kms.delete_alias(AliasName="alias/here"),
        "DescribeKey": lambda: kms.describe_key(KeyId=key_id),
        "DisableKey": lambda: kms.disable_key(KeyId=key_id),
        "EnableKey": lambda: kms.enable_key(KeyId=key_id),
        "Encrypt": lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x"),
        "GenerateDataKey": lambda: kms.generate_data_key(KeyId=key_id, KeySpec="AES_256"),
        "GenerateDataKeyWithoutPlaintext": lambda: kms.generate_data_key_without_plaintext(
            KeyId=key_id, KeySpec="AES_256"
        ),
        "GenerateDataKeyPair": lambda: kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256"),
        "GenerateDataKeyPairWithoutPlaintext": lambda: kms.generate_data_key_pair_without_plaintext(
            KeyId=key_id, KeyPairSpec="ECC_NIST_P256"
        ),
        "GetKeyLastUsage": lambda: kms.get_key_last_usage(KeyId=key_id),
        "DisableKeyRotation": lambda: kms.disable_key_rotation(KeyId=key_id),
        "EnableKeyRotation": lambda: kms.enable_key_rotation(KeyId=key_id),
        "GetKeyPolicy": lambda: kms.get_key_policy(KeyId=key_id),
        "GetKeyRotationStatus": lambda: kms.get_key_rotation_status(KeyId=key_id),
        "ListAliases": lambda: kms.list_aliases(KeyId=key_id),
        "ListGrants": lambda: kms.list_grants(KeyId=key_id),
        "ListKeyPolicies": lambda: kms.list_key_policies(KeyId=key_id),
        "ListKeyRotations": lambda: kms.list_key_rotations(KeyId=key_id),
        "PutKeyPolicy": lambda: kms.put_key_policy(KeyId=key_id, Policy=policy),
        "RetireGrant": lambda: kms.retire_grant(KeyId=key_id, GrantId=grant_id),
        "RevokeGrant": lambda: kms.revoke_grant(KeyId=key_id, GrantId=grant_id),
        "RotateKeyOnDemand": lambda: kms.rotate_key_on_demand(KeyId=key_id),
        "ListResourceTags": lambda: kms.list_resource_tags(KeyId=key_id),
        "ReEncrypt source": lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other),
        "ReEncrypt destination": lambda: kms.re_encrypt(CiphertextBlob=other_blob, DestinationKeyId=key_id),
        "ReplicateKey": lambda: kms.replicate_key(KeyId=key_id, ReplicaRegion="eu-west-1"),
        "ScheduleKeyDeletion": lambda: kms.schedule_key_deletion(KeyId=key_id),
        "TagResource": lambda: kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}]),
        "UntagResource": lambda: kms.untag_resource(KeyId=key_id, TagKeys=["a"]),
        "UpdateAlias": lambda: kms.update_alias(AliasName="alias/there", TargetKeyId=key_id),
        "UpdateKeyDescription": lambda: kms.update_key_description(KeyId=key_id, Description="new"),
        "UpdatePrimaryRegion": lambda: kms.update_primary_region(KeyId=key_id, PrimaryRegion="us-west-2"),
    }


def _kind_call(kms: LocalKms, operation: str, key_id: str) -> Callable[[], Any]:
    """Return the operation, with parameters that are right for the key as long as it is enabled."""
    given: dict[str, Any] = {"KeyId": key_id, "GrantTokens": [_TOKEN]}
    if operation in ("Sign", "Verify"):
        given |= {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    if operation == "Verify":
        given["Signature"] = kms.sign(**given)["Signature"]
    if operation in ("GenerateMac", "VerifyMac"):
        given |= {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
    if operation == "VerifyMac":
        given["Mac"] = kms.generate_mac(**given)["Mac"]
    if operation == "DeriveSharedSecret":
        given |= {"KeyAgreementAlgorithm": "ECDH", "PublicKey": kms.get_public_key(KeyId=key_id)["PublicKey"]}
    if operation in ("Encapsulate", "Decapsulate"):
        given["EncapsulationAlgorithm"] = "ML_KEM"
    if operation == "Decapsulate":
        given["SharedSecretCiphertextBlob"] = kms.encapsulate(**given)["SharedSecretCiphertextBlob"]
    return lambda: getattr(kms, snake(operation))(**given)


@pytest.mark.parametrize(("operation", "state", "text"), _KIND_CELLS)
def test_table_for_keys_of_other_kinds(
    kms: LocalKms, refused: Any, force_state: Any, operation: str, state: str, text: str
) -> None:
    spec, usage = _KINDS[operation]
    metadata = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    call = _kind_call(kms, operation, metadata["KeyId"])
    force_state(metadata["KeyId"], KeyState(state))
    if text == _OK:
        call()
        return
    code = "DisabledException" if text == _DISABLED else "KMSInvalidStateException"
    with refused(code, f"{metadata['Arn']} {text}"):
        call()


@pytest.mark.parametrize(("operation", "state", "text"), _IMPORT_CELLS)
def test_table_for_keys_with_imported_material(
    kms: LocalKms, refused: Any, force_state: Any, operation: str, state: str, text: str
) -> None:
    metadata = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    imported = import_parameters(kms, metadata["KeyId"], bytes(32))
    kms.import_key_material(**imported)
    given: dict[str, Any] = {
        "DeleteImportedKeyMaterial": {"KeyId": metadata["KeyId"]},
        "GetParametersForImport": {
            "KeyId": metadata["KeyId"],
            "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
            "WrappingKeySpec": "RSA_2048",
        },
        "ImportKeyMaterial": imported,
    }
    force_state(metadata["KeyId"], KeyState(state))
    if text == _OK:
        getattr(kms, snake(operation))(**given[operation])
        return
    with refused("KMSInvalidStateException", f"{metadata['Arn']} {text}"):
        getattr(kms, snake(operation))(**given[operation])


@pytest.mark.parametrize("operation", _IMPORTS)
@pytest.mark.parametrize("state", _STATES)
def test_a_key_made_here_is_refused_for_its_origin_whatever_its_state(
    kms: LocalKms, key_id: str, arn: str, refused: Any, force_state: Any, operation: str, state: str
) -> None:
    given: dict[str, Any] = {
        "DeleteImportedKeyMaterial": {},
        "GetParametersForImport": {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        "ImportKeyMaterial": {
            "ImportToken": b"x",
            "EncryptedKeyMaterial": b"x",
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        },
    }
    force_state(key_id, KeyState(state))
    with refused("UnsupportedOperationException", f"{arn} origin is AWS_KMS which is not valid for this operation."):
        getattr(kms, snake(operation))(KeyId=key_id, **given[operation])


@pytest.mark.parametrize("operation", ["EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus"])
@pytest.mark.parametrize("state", _STATES)
def test_a_key_with_imported_material_is_not_rotated_by_itself_whatever_its_state(
    kms: LocalKms, refused: Any, force_state: Any, operation: str, state: str
) -> None:
    metadata = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    force_state(metadata["KeyId"], KeyState(state))
    text = f"{metadata['Arn']} origin is EXTERNAL which is not valid for this operation."
    with refused("UnsupportedOperationException", text):
        getattr(kms, snake(operation))(KeyId=metadata["KeyId"])


@pytest.mark.parametrize(("operation", "state", "text"), _CELLS)
def test_table(
    kms: LocalKms, key_id: str, arn: str, refused: Any, force_state: Any, operation: str, state: str, text: str
) -> None:
    if operation in _OF_PRIMARIES:
        metadata = kms.create_key(MultiRegion=True)["KeyMetadata"]
        key_id, arn = metadata["KeyId"], metadata["Arn"]
        kms.replicate_key(KeyId=key_id, ReplicaRegion="us-west-2")
    call = _calls(kms, key_id, kms.create_key()["KeyMetadata"]["KeyId"])[operation]
    force_state(key_id, KeyState(state))
    if text == _OK:
        call()
        return
    code = "DisabledException" if text == _DISABLED else "KMSInvalidStateException"
    with refused(code, f"{arn} {text}"):
        call()
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == state


def test_a_key_whose_replicas_are_pending_deletion_says_so(
    kms: LocalKms, key_id: str, arn: str, refused: Any, force_state: Any
) -> None:
    force_state(key_id, KeyState.PENDING_REPLICA_DELETION)
    with refused("KMSInvalidStateException", f"{arn} is pending replica deletion."):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_every_operation_on_a_key_is_in_the_table() -> None:
    rows = {name.split()[0] for name in _TABLE}
    assert rows | set(_KINDS) | set(_IMPORTS) | _WITHOUT_KEY == set(OPERATIONS)


def test_an_unavailable_key_stays_so_when_switched(kms: LocalKms, key_id: str, force_state: Any) -> None:
    force_state(key_id, KeyState.UNAVAILABLE)
    kms.enable_key(KeyId=key_id)
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Unavailable"


def test_a_key_for_something_else_does_not_encrypt(
    kms: LocalKms, key_id: str, arn: str, refused: Any, store: Any
) -> None:
    with store.write() as transaction:
        key = transaction.key(Scope(kms.account, kms.region), key_id)
        transaction.update_key(replace(key, usage="SIGN_VERIFY"))
    with refused("InvalidKeyUsageException", f"{arn} key usage is SIGN_VERIFY which is not valid for GenerateDataKey."):
        kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
