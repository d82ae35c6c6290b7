"""Calls of every operation, as users of boto3 make them: for ``LocalKms`` and for any boto3 client."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from testkit.key_material import wrap
from testkit.kms_kinds import available


def _script(client: Any) -> Generator[tuple[str, dict[str, Any]]]:
    """Call every operation once or more, as any user of boto3 might."""
    made = client.create_key(Description="first", Tags=[{"TagKey": "a", "TagValue": "b"}])
    yield "CreateKey", made
    yield "CreateKey", client.create_key(MultiRegion=True)
    key_id = made["KeyMetadata"]["KeyId"]
    yield "CreateAlias", client.create_alias(AliasName="alias/one", TargetKeyId=key_id)
    yield "UpdateAlias", client.update_alias(AliasName="alias/one", TargetKeyId=key_id)
    yield "DescribeKey", client.describe_key(KeyId="alias/one")
    yield "ListKeys", client.list_keys(Limit=1)
    yield "ListKeys", client.list_keys()
    yield "ListAliases", client.list_aliases(KeyId=key_id)
    encrypted = client.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "b"})
    yield "Encrypt", encrypted
    blob = encrypted["CiphertextBlob"]
    yield "Decrypt", client.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})
    yield (
        "ReEncrypt",
        client.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"a": "b"}, DestinationKeyId=key_id),
    )
    yield "GenerateDataKey", client.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    yield "GenerateDataKeyWithoutPlaintext", client.generate_data_key_without_plaintext(KeyId=key_id, NumberOfBytes=7)
    yield "GenerateRandom", client.generate_random(NumberOfBytes=9)
    yield "GetKeyPolicy", client.get_key_policy(KeyId=key_id, PolicyName="default")
    yield "ListKeyPolicies", client.list_key_policies(KeyId=key_id)
    yield from _grants_script(client, key_id)
    yield "TagResource", client.tag_resource(KeyId=key_id, Tags=[{"TagKey": "c", "TagValue": "d"}])
    yield "ListResourceTags", client.list_resource_tags(KeyId=key_id)
    yield "UntagResource", client.untag_resource(KeyId=key_id, TagKeys=["a", "e"])
    yield "UpdateKeyDescription", client.update_key_description(KeyId=key_id, Description="second")
    yield "DisableKey", client.disable_key(KeyId=key_id)
    yield "EnableKey", client.enable_key(KeyId=key_id)
    yield "ScheduleKeyDeletion", client.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    yield "DescribeKey", client.describe_key(KeyId=key_id)
    yield "CancelKeyDeletion", client.cancel_key_deletion(KeyId=key_id)
    yield "DeleteAlias", client.delete_alias(AliasName="alias/one")


def _grants_script(client: Any, key_id: str) -> Generator[tuple[str, dict[str, Any]]]:
    root = "arn:aws:iam::123456789012:root"
    wanted: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": root, "RetiringPrincipal": root, "Name": "one"}
    wanted["Constraints"] = {"EncryptionContextSubset": {"a": "b"}}
    first = client.create_grant(**wanted, Operations=["Decrypt", "RetireGrant"])
    yield "CreateGrant", first
    yield "ListGrants", client.list_grants(KeyId=key_id)
    yield "RetireGrant", client.retire_grant(GrantToken=first["GrantToken"])
    second = client.create_grant(**wanted, Operations=["Encrypt"])
    yield "RevokeGrant", client.revoke_grant(KeyId=key_id, GrantId=second["GrantId"])


def _kinds_script(client: Any) -> Generator[tuple[str, dict[str, Any]]]:
    """Call the operations on keys of other kinds that both have, as far as the emulator answers as AWS does."""
    signing = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    yield "CreateKey", signing
    key_id = signing["KeyMetadata"]["KeyId"]
    yield "GetPublicKey", client.get_public_key(KeyId=key_id)
    call = {"KeyId": key_id, "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    signed = client.sign(**call)
    yield "Sign", signed
    yield "Verify", client.verify(**call, Signature=signed["Signature"])
    # The emulator says of such a key that it encrypts.
    made = client.create_key(KeySpec="HMAC_384", KeyUsage="GENERATE_VERIFY_MAC")
    call = {"KeyId": made["KeyMetadata"]["KeyId"], "Message": b"x", "MacAlgorithm": "HMAC_SHA_384"}
    mac = client.generate_mac(**call)
    yield "GenerateMac", mac
    yield "VerifyMac", client.verify_mac(**call, Mac=mac["Mac"])


def _own_script(kms: Any) -> Generator[tuple[str, dict[str, Any]]]:
    """Call what the emulator has not, or answers unlike AWS."""
    root = "arn:aws:iam::000000000000:root"
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = kms.get_key_policy(KeyId=key_id)["Policy"]
    yield "PutKeyPolicy", kms.put_key_policy(KeyId=key_id, Policy=policy)
    grant: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": root, "RetiringPrincipal": root}
    yield "CreateGrant", kms.create_grant(**grant, Operations=["Encrypt"])
    yield "ListRetirableGrants", kms.list_retirable_grants(RetiringPrincipal=root)
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    symmetric = kms.create_key()["KeyMetadata"]["KeyId"]
    yield "GetKeyLastUsage", kms.get_key_last_usage(KeyId=symmetric)
    kms.encrypt(KeyId=symmetric, Plaintext=b"x")
    yield "GetKeyLastUsage", kms.get_key_last_usage(KeyId=symmetric)
    yield "GetPublicKey", kms.get_public_key(KeyId=rsa)
    given = {"KeyId": rsa, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    encrypted = kms.encrypt(**given, Plaintext=b"x")
    yield "Encrypt", encrypted
    yield "Decrypt", kms.decrypt(**given, CiphertextBlob=encrypted["CiphertextBlob"])
    yield (
        "ReEncrypt",
        kms.re_encrypt(
            CiphertextBlob=encrypted["CiphertextBlob"],
            SourceKeyId=rsa,
            SourceEncryptionAlgorithm="RSAES_OAEP_SHA_256",
            DestinationKeyId=symmetric,
        ),
    )
    agreeing = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
    public = kms.get_public_key(KeyId=agreeing)
    yield "GetPublicKey", public
    given = {"KeyId": agreeing, "KeyAgreementAlgorithm": "ECDH"}
    yield "DeriveSharedSecret", kms.derive_shared_secret(**given, PublicKey=public["PublicKey"])
    given = {"KeyId": symmetric, "KeyPairSpec": "ECC_NIST_P256"}
    yield "GenerateDataKeyPair", kms.generate_data_key_pair(**given)
    yield "GenerateDataKeyPairWithoutPlaintext", kms.generate_data_key_pair_without_plaintext(**given)
    yield from _multi_region_script(kms)
    yield "DescribeKey", kms.describe_key(KeyId="alias/aws/s3")
    yield "ListAliases", kms.list_aliases()
    yield from _rotation_script(kms, symmetric)
    yield from _import_script(kms)
    if available("ML_KEM_768"):
        yield from _encapsulation_script(kms)


def _rotation_script(kms: Any, key_id: str) -> Generator[tuple[str, dict[str, Any]]]:
    yield "GetKeyRotationStatus", kms.get_key_rotation_status(KeyId=key_id)
    yield "EnableKeyRotation", kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    yield "GetKeyRotationStatus", kms.get_key_rotation_status(KeyId=key_id)
    yield "RotateKeyOnDemand", kms.rotate_key_on_demand(KeyId=key_id)
    yield "ListKeyRotations", kms.list_key_rotations(KeyId=key_id)
    yield "ListKeyRotations", kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL", Limit=1)
    yield "DisableKeyRotation", kms.disable_key_rotation(KeyId=key_id)


def _import_script(kms: Any) -> Generator[tuple[str, dict[str, Any]]]:
    made = kms.create_key(Origin="EXTERNAL")
    yield "CreateKey", made
    key_id = made["KeyMetadata"]["KeyId"]
    yield "DeleteImportedKeyMaterial", kms.delete_imported_key_material(KeyId=key_id)
    issued = kms.get_parameters_for_import(
        KeyId=key_id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    yield "GetParametersForImport", issued
    expiry = issued["ParametersValidTo"]
    yield (
        "ImportKeyMaterial",
        kms.import_key_material(
            KeyId=key_id,
            ImportToken=issued["ImportToken"],
            EncryptedKeyMaterial=wrap(issued["PublicKey"], "RSAES_OAEP_SHA_256", bytes(32)),
            ValidTo=expiry,
            KeyMaterialDescription="first",
        ),
    )
    yield "DescribeKey", kms.describe_key(KeyId=key_id)
    given = {"KeyId": key_id, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
    yield "ListKeyRotations", kms.list_key_rotations(**given)
    yield "DeleteImportedKeyMaterial", kms.delete_imported_key_material(KeyId=key_id)
    yield "DescribeKey", kms.describe_key(KeyId=key_id)
    yield "ListKeyRotations", kms.list_key_rotations(**given)


def _multi_region_script(kms: Any) -> Generator[tuple[str, dict[str, Any]]]:
    key_id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    yield "ReplicateKey", kms.replicate_key(KeyId=key_id, ReplicaRegion="eu-west-1", Tags=[])
    yield "DescribeKey", kms.describe_key(KeyId=key_id)
    yield "ScheduleKeyDeletion", kms.schedule_key_deletion(KeyId=key_id)
    yield "DescribeKey", kms.describe_key(KeyId=key_id)
    yield "CancelKeyDeletion", kms.cancel_key_deletion(KeyId=key_id)
    kms.enable_key(KeyId=key_id)
    yield "UpdatePrimaryRegion", kms.update_primary_region(KeyId=key_id, PrimaryRegion="eu-west-1")


def _encapsulation_script(kms: Any) -> Generator[tuple[str, dict[str, Any]]]:
    made = kms.create_key(KeySpec="ML_KEM_768", KeyUsage="ENCAPSULATE_DECAPSULATE")
    yield "CreateKey", made
    given = {"KeyId": made["KeyMetadata"]["KeyId"], "EncapsulationAlgorithm": "ML_KEM"}
    yield "GetPublicKey", kms.get_public_key(KeyId=given["KeyId"])
    enclosed = kms.encapsulate(**given)
    yield "Encapsulate", enclosed
    blob = enclosed["SharedSecretCiphertextBlob"]
    yield "Decapsulate", kms.decapsulate(**given, SharedSecretCiphertextBlob=blob)


def shared_script(client: Any) -> Generator[tuple[str, dict[str, Any]]]:
    """Call what an emulator has too."""
    yield from _script(client)
    yield from _kinds_script(client)


def whole_script(kms: Any) -> Generator[tuple[str, dict[str, Any]]]:
    """Call every operation once or more, and yield each one's name and answer."""
    yield from shared_script(kms)
    yield from _own_script(kms)
