"""Key policies and grants; rotation and imported key material."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from testkit.kms_conformance.calls import SIGNING, method
from testkit.kms_conformance.lab import UNKNOWN_ID, Case, Lab, outcome, said

_GRANTEE = "arn:aws:iam::{account}:root"
_NO_IMPORT = "UnsupportedOperationException"


def cases() -> Iterator[Case]:
    """Return the questions."""
    for rows in (_policy_rows(), _grant_rows(), _rotation_rows(), _import_rows()):
        for operation, name, expected, source, ask in rows:
            yield Case(operation, name, expected, source, ask)


Rows = Iterator[tuple[str, str, str, str, Callable[[Lab], str]]]


def _policy_rows() -> Rows:
    get, put, malformed = (
        "API reference, GetKeyPolicy",
        "API reference, PutKeyPolicy",
        "MalformedPolicyDocumentException",
    )
    yield "GetKeyPolicy", "of a key made without", "key-default-1", "recorded", _ask_default_policy
    yield "GetKeyPolicy", "of an unknown key", "NotFoundException", get, partial(_ask_unknown, "GetKeyPolicy")
    yield "GetKeyPolicy", "of another name", "NotFoundException", get, _ask_other_policy
    yield "ListKeyPolicies", "names", "default", "API reference, ListKeyPolicies", _ask_policy_names
    yield "PutKeyPolicy", "that is no JSON", malformed, put, partial(_ask_put, "not json")
    yield "PutKeyPolicy", "without statements", malformed, put, partial(_ask_put, '{"Version": "2012-10-17"}')
    yield "PutKeyPolicy", "that locks the caller out", malformed, put, _ask_lock_out
    yield "PutKeyPolicy", "that denies kms:Encrypt, then Encrypt", "AccessDeniedException", put, _ask_denied
    yield "PutKeyPolicy", "that denies kms:Encrypt, then Decrypt", "ok", put, _ask_not_denied


def _grant_rows() -> Rows:
    create = "API reference, CreateGrant"
    yield "CreateGrant", "length of the id", "64", create, _ask_grant_id
    yield "CreateGrant", "the same again by its name", "yes", create, _ask_same_grant
    yield "CreateGrant", "an operation there is not", "ValidationException", create, _ask_no_operation
    yield "CreateGrant", "for a disabled key", "DisabledException", "developer guide, Key states", _ask_grant_disabled
    yield "CreateGrant", "with DryRun", "DryRunOperationException", create, _ask_grant_dry
    yield "ListGrants", "of a key with two", "2", "API reference, ListGrants", _ask_grants
    yield "ListGrants", "of an unknown key", "NotFoundException", "API reference", partial(_ask_unknown, "ListGrants")
    yield "RevokeGrant", "leaves", "0", "API reference, RevokeGrant", _ask_revoked
    yield "RevokeGrant", "that is not there", "NotFoundException", "API reference, RevokeGrant", _ask_revoke_none
    yield "RetireGrant", "by its token leaves", "0", "API reference, RetireGrant", _ask_retired
    yield "ListRetirableGrants", "of a retiring principal", "1", "API reference, ListRetirableGrants", _ask_retirable


def _rotation_rows() -> Rows:
    enable, on_demand = "API reference, EnableKeyRotation", "API reference, RotateKeyOnDemand; recorded"
    yield "GetKeyRotationStatus", "of a new key", "False", "API reference", _ask_rotation
    yield "EnableKeyRotation", "status afterwards", "True 365", enable, partial(_ask_enabled, None)
    yield "EnableKeyRotation", "every 90 days", "True 90", enable, partial(_ask_enabled, 90)
    yield "EnableKeyRotation", "every 89 days", "ValidationException", enable, partial(_ask_period, 89)
    yield "EnableKeyRotation", "every 2561 days", "ValidationException", enable, partial(_ask_period, 2561)
    yield "EnableKeyRotation", "of a key pair", _NO_IMPORT, enable, _ask_enable_pair
    yield "DisableKeyRotation", "of a disabled key", "DisabledException", "developer guide", _ask_rotation_off
    yield "RotateKeyOnDemand", "changes the key material", "yes", on_demand, _ask_rotated
    yield "RotateKeyOnDemand", "what was encrypted before decrypts", "ok", on_demand, _ask_before
    yield "RotateKeyOnDemand", "of a disabled key", "DisabledException", on_demand, _ask_rotate_disabled
    yield "RotateKeyOnDemand", "of a key pair", _NO_IMPORT, on_demand, _ask_rotate_pair
    yield "ListKeyRotations", "after one", "1", "API reference, ListKeyRotations", _ask_rotations
    yield "GetKeyLastUsage", "of an unknown key", "NotFoundException", "API", partial(_ask_unknown, "GetKeyLastUsage")


def _import_rows() -> Rows:
    source = "API reference; recorded"
    yield "ImportKeyMaterial", "state of a key before", "PendingImport", source, _ask_external
    yield "ImportKeyMaterial", "Encrypt before", "KMSInvalidStateException", source, _ask_before_import
    yield "GetParametersForImport", "of a key of AWS_KMS", _NO_IMPORT, source, _ask_parameters
    yield "DeleteImportedKeyMaterial", "of a key of AWS_KMS", _NO_IMPORT, source, _ask_delete_material


def _ask_unknown(operation: str, lab: Lab) -> str:
    return outcome(lambda: method(lab.kms, operation)(KeyId=UNKNOWN_ID))


def _ask_default_policy(lab: Lab) -> str:
    return str(json.loads(lab.kms.get_key_policy(KeyId=lab.key(), PolicyName="default")["Policy"])["Id"])


def _ask_other_policy(lab: Lab) -> str:
    return outcome(lambda: lab.kms.get_key_policy(KeyId=lab.key(), PolicyName="other"))


def _ask_policy_names(lab: Lab) -> str:
    return ",".join(lab.kms.list_key_policies(KeyId=lab.key())["PolicyNames"])


def _ask_put(policy: str, lab: Lab) -> str:
    key_id = lab.create()
    return outcome(lambda: lab.kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=policy))


def _document(lab: Lab, *statements: dict[str, Any]) -> str:
    account = lab.metadata()["AWSAccountId"]
    principal = {"AWS": _GRANTEE.format(account=account)}
    filled = [{"Resource": "*", "Principal": principal, **statement} for statement in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": filled})


def _ask_lock_out(lab: Lab) -> str:
    return _ask_put(_document(lab, {"Effect": "Allow", "Action": "kms:Encrypt"}), lab)


def _denied(lab: Lab) -> tuple[str, bytes]:
    key_id = lab.create()
    blob = lab.kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    statements = ({"Effect": "Allow", "Action": "kms:*"}, {"Effect": "Deny", "Action": "kms:Encrypt"})
    lab.kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=_document(lab, *statements))
    return key_id, blob


def _ask_denied(lab: Lab) -> str:
    key_id, _ = _denied(lab)
    return outcome(lambda: lab.kms.encrypt(KeyId=key_id, Plaintext=b"x"))


def _ask_not_denied(lab: Lab) -> str:
    _, blob = _denied(lab)
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob))


def _grant(lab: Lab, key_id: str, **more: Any) -> Any:
    grantee = _GRANTEE.format(account=lab.metadata()["AWSAccountId"])
    return lab.kms.create_grant(**{"KeyId": key_id, "GranteePrincipal": grantee, "Operations": ["Decrypt"], **more})


def _ask_grant_id(lab: Lab) -> str:
    return str(len(_grant(lab, lab.create())["GrantId"]))


def _ask_same_grant(lab: Lab) -> str:
    key_id = lab.create()
    return said(_grant(lab, key_id, Name="name")["GrantId"] == _grant(lab, key_id, Name="name")["GrantId"])


def _ask_no_operation(lab: Lab) -> str:
    return outcome(lambda: _grant(lab, lab.key(), Operations=["Coffee"]))


def _ask_grant_disabled(lab: Lab) -> str:
    return outcome(lambda: _grant(lab, lab.key(state="Disabled")))


def _ask_grant_dry(lab: Lab) -> str:
    return outcome(lambda: _grant(lab, lab.key(), DryRun=True))


def _left(lab: Lab, key_id: str) -> str:
    return str(len(lab.kms.list_grants(KeyId=key_id)["Grants"]))


def _ask_grants(lab: Lab) -> str:
    key_id = lab.create()
    _grant(lab, key_id, Name="one")
    _grant(lab, key_id, Name="two")
    return _left(lab, key_id)


def _ask_revoked(lab: Lab) -> str:
    key_id = lab.create()
    lab.kms.revoke_grant(KeyId=key_id, GrantId=_grant(lab, key_id)["GrantId"])
    return _left(lab, key_id)


def _ask_revoke_none(lab: Lab) -> str:
    return outcome(lambda: lab.kms.revoke_grant(KeyId=lab.key(), GrantId="0" * 64))


def _ask_retired(lab: Lab) -> str:
    key_id = lab.create()
    lab.kms.retire_grant(GrantToken=_grant(lab, key_id)["GrantToken"])
    return _left(lab, key_id)


def _ask_retirable(lab: Lab) -> str:
    key_id = lab.create()
    principal = _GRANTEE.format(account=lab.metadata()["AWSAccountId"])
    _grant(lab, key_id, RetiringPrincipal=principal)
    grants = lab.kms.list_retirable_grants(RetiringPrincipal=principal)["Grants"]
    return str(len([grant for grant in grants if grant["KeyId"].endswith(key_id)]))


def _status(lab: Lab, key_id: str) -> str:
    answer = lab.kms.get_key_rotation_status(KeyId=key_id)
    return f"{answer['KeyRotationEnabled']} {answer.get('RotationPeriodInDays', '')}".strip()


def _ask_rotation(lab: Lab) -> str:
    return _status(lab, lab.key())


def _ask_enabled(days: int | None, lab: Lab) -> str:
    key_id = lab.create()
    lab.kms.enable_key_rotation(KeyId=key_id, **({} if days is None else {"RotationPeriodInDays": days}))
    return _status(lab, key_id)


def _ask_period(days: int, lab: Lab) -> str:
    return outcome(lambda: lab.kms.enable_key_rotation(KeyId=lab.key(), RotationPeriodInDays=days))


def _ask_enable_pair(lab: Lab) -> str:
    return outcome(lambda: lab.kms.enable_key_rotation(KeyId=lab.key(*SIGNING)))


def _ask_rotation_off(lab: Lab) -> str:
    return outcome(lambda: lab.kms.disable_key_rotation(KeyId=lab.key(state="Disabled")))


def _material(lab: Lab, key_id: str) -> str:
    return str(lab.kms.describe_key(KeyId=key_id)["KeyMetadata"].get("CurrentKeyMaterialId"))


def _ask_rotated(lab: Lab) -> str:
    key_id = lab.create()
    before = _material(lab, key_id)
    lab.kms.rotate_key_on_demand(KeyId=key_id)
    return said(_material(lab, key_id) != before)


def _ask_before(lab: Lab) -> str:
    key_id = lab.create()
    blob = lab.kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    lab.kms.rotate_key_on_demand(KeyId=key_id)
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob))


def _ask_rotate_disabled(lab: Lab) -> str:
    return outcome(lambda: lab.kms.rotate_key_on_demand(KeyId=lab.key(state="Disabled")))


def _ask_rotate_pair(lab: Lab) -> str:
    return outcome(lambda: lab.kms.rotate_key_on_demand(KeyId=lab.key(*SIGNING)))


def _ask_rotations(lab: Lab) -> str:
    key_id = lab.create()
    lab.kms.rotate_key_on_demand(KeyId=key_id)
    return str(len(lab.kms.list_key_rotations(KeyId=key_id)["Rotations"]))


def _ask_external(lab: Lab) -> str:
    return str(lab.kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyState"])


def _ask_before_import(lab: Lab) -> str:
    key_id = lab.create(Origin="EXTERNAL")
    return outcome(lambda: lab.kms.encrypt(KeyId=key_id, Plaintext=b"x"))


def _ask_parameters(lab: Lab) -> str:
    given = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    return outcome(lambda: lab.kms.get_parameters_for_import(KeyId=lab.key(), **given))


def _ask_delete_material(lab: Lab) -> str:
    return outcome(lambda: lab.kms.delete_imported_key_material(KeyId=lab.key()))
