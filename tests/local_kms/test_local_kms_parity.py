"""LocalKms against botocore's model of AWS KMS, and against boto3 where an emulator answers it."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Generator
from datetime import datetime
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator
from moto import mock_aws
from testkit.kms_kinds import available, snake

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.service import OPERATIONS, Service

ROOT = Requester(Scope("000000000000", "us-east-1"), Caller.parse("arn:aws:iam::000000000000:root"), "request")
_MODEL = botocore.session.get_session().get_service_model("kms")


_needs_new_model = pytest.mark.skipif(
    "Encapsulate" not in _MODEL.operation_names, reason="this botocore's model is older than the one followed here"
)


def _operation(name: str) -> OperationModel:
    return _MODEL.operation_model(name)


@_needs_new_model
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_method_takes_every_parameter_of_the_model_and_no_other(operation: str) -> None:
    method = inspect.signature(getattr(LocalKms, snake(operation)))
    shape: Any = _operation(operation).input_shape
    parameters = {name: parameter for name, parameter in method.parameters.items() if name != "self"}
    assert set(parameters) == set(shape.members)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters.values())


@_needs_new_model
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_method_requires_what_the_model_requires(operation: str) -> None:
    method = inspect.signature(getattr(LocalKms, snake(operation)))
    required = {name for name, parameter in method.parameters.items() if parameter.default is inspect.Parameter.empty}
    shape: Any = _operation(operation).input_shape
    assert required - {"self"} == set(shape.required_members)


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


def _own_script(kms: LocalKms) -> Generator[tuple[str, dict[str, Any]]]:
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
    if available("ML_KEM_768"):
        yield from _encapsulation_script(kms)


def _multi_region_script(kms: LocalKms) -> Generator[tuple[str, dict[str, Any]]]:
    key_id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    yield "ReplicateKey", kms.replicate_key(KeyId=key_id, ReplicaRegion="eu-west-1", Tags=[])
    yield "DescribeKey", kms.describe_key(KeyId=key_id)
    yield "ScheduleKeyDeletion", kms.schedule_key_deletion(KeyId=key_id)
    yield "DescribeKey", kms.describe_key(KeyId=key_id)
    yield "CancelKeyDeletion", kms.cancel_key_deletion(KeyId=key_id)
    kms.enable_key(KeyId=key_id)
    yield "UpdatePrimaryRegion", kms.update_primary_region(KeyId=key_id, PrimaryRegion="eu-west-1")


def _encapsulation_script(kms: LocalKms) -> Generator[tuple[str, dict[str, Any]]]:
    made = kms.create_key(KeySpec="ML_KEM_768", KeyUsage="ENCAPSULATE_DECAPSULATE")
    yield "CreateKey", made
    given = {"KeyId": made["KeyMetadata"]["KeyId"], "EncapsulationAlgorithm": "ML_KEM"}
    yield "GetPublicKey", kms.get_public_key(KeyId=given["KeyId"])
    enclosed = kms.encapsulate(**given)
    yield "Encapsulate", enclosed
    blob = enclosed["SharedSecretCiphertextBlob"]
    yield "Decapsulate", kms.decapsulate(**given, SharedSecretCiphertextBlob=blob)


def _shared_script(client: Any) -> Generator[tuple[str, dict[str, Any]]]:
    yield from _script(client)
    yield from _kinds_script(client)


def _whole_script(kms: LocalKms) -> Generator[tuple[str, dict[str, Any]]]:
    yield from _shared_script(kms)
    yield from _own_script(kms)


@_needs_new_model
def test_the_script_calls_every_operation(kms: LocalKms) -> None:
    left_out = {operation for operation in OPERATIONS if "CustomKeyStore" in operation}
    if not available("ML_KEM_768"):
        left_out |= {"Encapsulate", "Decapsulate"}
    assert {operation for operation, _ in _whole_script(kms)} == set(OPERATIONS) - left_out


def _problems(shape: Shape | None, value: dict[str, Any]) -> list[str]:
    if shape is None:
        return [f"{sorted(value)} answered, nothing modelled"] if value else []
    # botocore's validator knows types, lengths and ranges; enumerations and patterns it leaves to the service.
    report = ParamValidator().validate(value, shape)
    return [report.generate_report()] if report.has_errors() else _deep_problems(shape, value)


def _deep_problems(shape: Any, value: Any) -> list[str]:
    if shape.type_name == "structure":
        unknown = [f"{shape.name}.{name} is not modelled" for name in value if name not in shape.members]
        known = [(shape.members[name], item) for name, item in value.items() if name in shape.members]
        return unknown + [problem for member, item in known for problem in _deep_problems(member, item)]
    if shape.type_name == "list":
        return [problem for item in value for problem in _deep_problems(shape.member, item)]
    if shape.type_name == "string":
        allowed = shape.metadata.get("enum")
        pattern = shape.metadata.get("pattern")
        wrong = (allowed and value not in allowed) or (pattern and not re.search(pattern, value))
        return [f"{shape.name}: {value!r}"] if wrong else []
    if shape.type_name == "timestamp" and (not isinstance(value, datetime) or value.tzinfo is None):
        return [f"{shape.name} is no tz-aware time"]
    return []


@_needs_new_model
def test_every_answer_fits_the_model(kms: LocalKms) -> None:
    for operation, answer in _whole_script(kms):
        metadata = answer.pop("ResponseMetadata")
        assert metadata["HTTPStatusCode"] == 200
        assert _problems(_operation(operation).output_shape, answer) == []


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _types(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_types(value[0])] if value else []
    return type(value).__name__


# The emulator answers it, empty, for every key; AWS for keys that sign.
_ONLY_THERE = {"SigningAlgorithms"}


def _missing(theirs: Any, ours: Any, where: str) -> list[str]:
    """Return what they answer and we do not, or as something else. What only we answer, the model vouches for."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        names = sorted(set(theirs) - _ONLY_THERE)
        return [text for name in names for text in _missing(theirs[name], ours.get(name), f"{where}.{name}")]
    if isinstance(theirs, list) and isinstance(ours, list):
        return _missing(theirs[0], ours[0], where) if theirs and ours else []
    return [] if theirs == ours else [f"{where}: {theirs} there, {ours} here"]


@pytest.mark.slow
def test_boto3_under_moto_gets_answers_like_these(kms: LocalKms, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("kms", region_name="us-east-1")
        theirs = [(operation, _types(answer)) for operation, answer in _shared_script(client)]
    ours = [(operation, _types(answer)) for operation, answer in _shared_script(kms)]
    differences: list[str] = []
    for (operation, their_answer), (_, our_answer) in zip(theirs, ours, strict=True):
        del their_answer["ResponseMetadata"], our_answer["ResponseMetadata"]
        differences += _missing(their_answer, our_answer, operation)
    assert differences == []


def test_an_unknown_operation_is_refused(store: Any, refused: Any) -> None:
    with refused("UnknownOperationException", ""):
        Service(store).call("MakeCoffee", {}, ROOT)


def test_an_unknown_parameter_is_refused(store: Any, refused: Any) -> None:
    with refused("UnsupportedOperationException", "Sugar is not supported by the local KMS."):
        Service(store).call("ListKeys", {"Sugar": True}, ROOT)


def test_importing_the_local_kms_imports_no_boto3() -> None:
    code = "import sys, envelope_sdk.local_kms; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("dump", [pickle.dumps])
def test_it_is_not_pickled(kms: LocalKms, dump: Any) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        dump(kms)


def test_its_repr_shows_where_it_is_and_no_secret(kms: LocalKms) -> None:
    assert repr(kms) == "LocalKms(Service(SqliteStore(':memory:')), region='us-east-1', account='000000000000')"
