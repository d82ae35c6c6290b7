"""Keys, aliases, tags, lists, several Regions, and what only needs an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from testkit.kms_conformance.calls import method
from testkit.kms_conformance.lab import THERE, Case, Lab, outcome, said, text_of

_CREATE: list[tuple[str, dict[str, Any], str]] = [
    ("without a KeyUsage for RSA_2048", {"KeySpec": "RSA_2048"}, "ValidationException"),
    ("without a KeyUsage for HMAC_256", {"KeySpec": "HMAC_256"}, "ValidationException"),
    ("RSA_2048 for key agreement", {"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"}, "ValidationException"),
    ("ECC_NIST_P256 to encrypt", {"KeySpec": "ECC_NIST_P256", "KeyUsage": "ENCRYPT_DECRYPT"}, "ValidationException"),
    ("HMAC_256 to sign", {"KeySpec": "HMAC_256", "KeyUsage": "SIGN_VERIFY"}, "ValidationException"),
    ("a symmetric key to sign", {"KeyUsage": "SIGN_VERIFY"}, "ValidationException"),
    ("a KeySpec there is not", {"KeySpec": "AES_512"}, "ValidationException"),
    ("a KeyUsage there is not", {"KeyUsage": "COFFEE"}, "ValidationException"),
    ("an Origin there is not", {"Origin": "COFFEE"}, "ValidationException"),
    ("a policy that is no JSON", {"Policy": "not json"}, "MalformedPolicyDocumentException"),
    ("a description of 8192 characters", {"Description": "x" * 8192}, "ok"),
    ("a description of 8193 characters", {"Description": "x" * 8193}, "ValidationException"),
    ("50 tags", {"Tags": [{"TagKey": str(number), "TagValue": ""} for number in range(50)]}, "ok"),
    ("51 tags", {"Tags": [{"TagKey": str(number), "TagValue": ""} for number in range(51)]}, "TagException"),
    ("a tag twice", {"Tags": [{"TagKey": "a", "TagValue": value} for value in "bc"]}, "TagException"),
    ("a tag of AWS's", {"Tags": [{"TagKey": "aws:a", "TagValue": ""}]}, "TagException"),
    ("a tag of AWS's in capitals", {"Tags": [{"TagKey": "AWS:a", "TagValue": ""}]}, "TagException"),
    ("a tag key of 129 characters", {"Tags": [{"TagKey": "a" * 129, "TagValue": ""}]}, "ValidationException"),
    ("a tag value of 257 characters", {"Tags": [{"TagKey": "a", "TagValue": "v" * 257}]}, "ValidationException"),
]
_ALIASES: list[tuple[str, str, str]] = [
    ("without the prefix", "name", "ValidationException"),
    ("of AWS's", "alias/aws/mine", "NotAuthorizedException"),
    ("with a space", "alias/a b", "ValidationException"),
    ("of 256 characters", "alias/" + "x" * 250, "ok"),
    ("of 257 characters", "alias/" + "x" * 251, "ValidationException"),
    ("with slashes", "alias/a/b/c", "ok"),
]
_WINDOWS = [(7, "ok"), (30, "ok"), (6, "ValidationException"), (31, "ValidationException"), (0, "ValidationException")]
_TAGS: list[tuple[str, list[dict[str, str]], str]] = [
    ("twice the same", [{"TagKey": "a", "TagValue": "b"}] * 2, "TagException"),
    ("one of AWS's", [{"TagKey": "aws:a", "TagValue": "b"}], "TagException"),
    ("an empty value", [{"TagKey": "a", "TagValue": ""}], "ok"),
    ("an empty key", [{"TagKey": "", "TagValue": ""}], "ValidationException"),
    ("51", [{"TagKey": str(number), "TagValue": ""} for number in range(51)], "TagException"),
]
_LIMITS = [(0, "ValidationException"), (1, "ok"), (1000, "ok"), (1001, "ValidationException")]
_RECORDED = "recorded"


def cases() -> Iterator[Case]:
    """Return the questions."""
    for name, given, expected in _CREATE:
        yield Case("CreateKey", name, expected, "API reference, CreateKey; recorded", partial(_ask_create, given))
    for name, alias, expected in _ALIASES:
        yield Case("CreateAlias", f"a name {name}", expected, "API reference, AliasName", partial(_ask_alias, alias))
    for days, expected in _WINDOWS:
        source = "API reference, PendingWindowInDays"
        yield Case("ScheduleKeyDeletion", f"in {days} days", expected, source, partial(_ask_window, days))
    for name, tags, expected in _TAGS:
        yield Case("TagResource", name, expected, "API reference, TagResource; recorded", partial(_ask_tags, tags))
    for operation in ("ListKeys", "ListAliases"):
        for limit, expected in _LIMITS:
            ask = partial(_ask_limit, operation, limit)
            yield Case(operation, f"a Limit of {limit}", expected, f"API reference, {operation}", ask)
        ask = partial(_ask_marker, operation)
        yield Case(operation, "a Marker of nobody's", "InvalidMarkerException", f"API reference, {operation}", ask)
    yield from _plain_cases()
    yield from _text_cases()


def _plain_cases() -> Iterator[Case]:
    rows: list[tuple[str, str, str, str, Callable[[Lab], str]]] = [
        ("CreateAlias", "twice", "AlreadyExistsException", "API reference, CreateAlias", _ask_alias_twice),
        ("DeleteAlias", "that is not there", "NotFoundException", "API reference, DeleteAlias", _ask_delete_alias),
        ("UpdateAlias", "that is not there", "NotFoundException", "API reference, UpdateAlias", _ask_update_alias),
        ("DeleteAlias", "of AWS's", "NotAuthorizedException", "developer guide, Aliases", _ask_delete_reserved),
        ("ListKeys", "in pages of one", "yes", "API reference, ListKeys", _ask_pages),
        ("ListKeys", "of another Region", "no", "developer guide, Keys are regional", _ask_list_elsewhere),
        ("DescribeKey", "from another Region by id", "NotFoundException", _RECORDED, _ask_elsewhere),
        ("CancelKeyDeletion", "state afterwards", "Disabled", "API reference, CancelKeyDeletion", _ask_cancelled),
        ("ScheduleKeyDeletion", "answers the date", "yes", "API reference, ScheduleKeyDeletion", _ask_date),
        ("DescribeKey", "Enabled of a disabled key", "False", "API reference, KeyMetadata", _ask_enabled),
        ("UntagResource", "a tag that is not there", "ok", "API reference, UntagResource", _ask_untag),
        ("TagResource", "replaces the value", "new", _RECORDED, _ask_retag),
        ("CreateKey", "id of a multi-Region key", "mrk-", "developer guide, Multi-Region keys", _ask_mrk_id),
        ("ReplicateKey", "state answered", "Creating", _RECORDED, _ask_replica_state),
        ("ReplicateKey", "the primary stays the primary", "PRIMARY", _RECORDED, _ask_primary_role),
        ("ReplicateKey", "the replica is a replica", "REPLICA", _RECORDED, _ask_replica_role),
        ("ReplicateKey", "both sides name the replica", "yes", _RECORDED, _ask_both_sides),
        ("ReplicateKey", "decrypts at home", "ok", "developer guide, Multi-Region keys", _ask_mrk_home),
        ("ReplicateKey", "decrypts in the replica's Region", "ok", "developer guide, Multi-Region keys", _ask_mrk_away),
        ("ReplicateKey", "twice", "AlreadyExistsException", "API reference, ReplicateKey", _ask_replicate_twice),
        ("ReplicateKey", "of one Region", "UnsupportedOperationException", "API reference", _ask_replicate_single),
        ("ReplicateKey", "a replica", "UnsupportedOperationException", _RECORDED, _ask_replicate_replica),
        ("ReplicateKey", "a Region that is none", "ValidationException", "API reference", _ask_replicate_nowhere),
        ("ReplicateKey", "tags of the replica's own", "yes", "API reference, ReplicateKey", _ask_replica_tags),
        (
            "ScheduleKeyDeletion",
            "a primary with replicas",
            "PendingReplicaDeletion",
            "API reference",
            _ask_primary_gone,
        ),
        ("ScheduleKeyDeletion", "a replica", "PendingDeletion", "API reference", _ask_replica_gone),
        ("UpdatePrimaryRegion", "roles afterwards", "yes", "API reference, UpdatePrimaryRegion", _ask_moved),
        (
            "UpdatePrimaryRegion",
            "from a replica",
            "UnsupportedOperationException",
            "API reference",
            _ask_moved_by_replica,
        ),
        ("DescribeKey", "alias/aws/s3 before its first use", "AWS", "API reference, DescribeKey", _ask_managed),
        ("ListAliases", "alias/aws/s3 before its first use", "no key", "API reference, ListAliases", _ask_predefined),
        ("DisableKey", "an AWS managed key", "AccessDeniedException", _RECORDED, _ask_managed_disabled),
        ("GetPublicKey", "spki of a P-256 key", "91", "RFC 5480", _ask_public_length),
    ]
    for operation, name, expected, source, ask in rows:
        yield Case(operation, name, expected, source, ask)


def _text_cases() -> Iterator[Case]:
    unknown = "11111111-2222-4333-8444-555555555555"
    rows: list[tuple[str, dict[str, Any], str]] = [
        ("DescribeKey", {"KeyId": "fake-key-id"}, "Invalid keyId 'fake-key-id'"),
        ("DescribeKey", {"KeyId": unknown}, f"Key 'arn:aws:kms:us-east-1:ACCOUNT:key/{unknown}' does not exist"),
        ("DescribeKey", {"KeyId": "alias/x"}, "Alias arn:aws:kms:us-east-1:ACCOUNT:alias/x is not found."),
        ("GenerateRandom", {}, "NumberOfBytes is required."),
        (
            "GenerateRandom",
            {"NumberOfBytes": 1025},
            "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must "
            "have value less than or equal to 1024",
        ),
        (
            "CreateAlias",
            {"AliasName": "x", "TargetKeyId": unknown},
            'Alias must start with the prefix "alias/". '
            "Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ),
        (
            "CreateKey",
            {"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"},
            "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048",
        ),
        (
            "CreateKey",
            {"KeySpec": "HMAC_256"},
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        ),
        ("CreateKey", {"Tags": [{"TagKey": "a", "TagValue": "b"}] * 2}, "Duplicate tag keys"),
        ("CreateKey", {"Tags": [{"TagKey": "aws:a", "TagValue": "b"}]}, "Tags beginning with aws: are reserved"),
    ]
    for operation, given, expected in rows:
        what = json.dumps(given).replace("|", "/")
        yield Case(operation, f"text for {what}", expected, _RECORDED, partial(_ask_text, operation, given))


def _ask_text(operation: str, given: dict[str, Any], lab: Lab) -> str:
    account = lab.metadata()["AWSAccountId"]
    return text_of(lambda: method(lab.kms, operation)(**given)).replace(account, "ACCOUNT")


def _ask_create(given: dict[str, Any], lab: Lab) -> str:
    return outcome(lambda: lab.kms.create_key(**given))


def _ask_alias(alias: str, lab: Lab) -> str:
    return outcome(lambda: lab.kms.create_alias(AliasName=alias, TargetKeyId=lab.key()))


def _ask_window(days: int, lab: Lab) -> str:
    key_id = lab.create()
    return outcome(lambda: lab.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days))


def _ask_tags(tags: list[dict[str, str]], lab: Lab) -> str:
    return outcome(lambda: lab.kms.tag_resource(KeyId=lab.create(), Tags=tags))


def _ask_limit(operation: str, limit: int, lab: Lab) -> str:
    return outcome(lambda: method(lab.kms, operation)(Limit=limit))


def _ask_marker(operation: str, lab: Lab) -> str:
    return outcome(lambda: method(lab.kms, operation)(Marker="nobody's"))


def _ask_alias_twice(lab: Lab) -> str:
    given = {"AliasName": lab.alias(), "TargetKeyId": lab.key()}
    lab.kms.create_alias(**given)
    return outcome(lambda: lab.kms.create_alias(**given))


def _ask_delete_alias(lab: Lab) -> str:
    return outcome(lambda: lab.kms.delete_alias(AliasName="alias/absent"))


def _ask_update_alias(lab: Lab) -> str:
    return outcome(lambda: lab.kms.update_alias(AliasName="alias/absent", TargetKeyId=lab.key()))


def _ask_delete_reserved(lab: Lab) -> str:
    return outcome(lambda: lab.kms.delete_alias(AliasName="alias/aws/s3"))


def _ask_pages(lab: Lab) -> str:
    lab.create()
    lab.create()
    answer = lab.kms.list_keys(Limit=1)
    return said(len(answer["Keys"]) == 1 and answer["Truncated"] and "NextMarker" in answer)


def _ask_list_elsewhere(lab: Lab) -> str:
    key_id = lab.key()
    return said(key_id in [key["KeyId"] for key in lab.elsewhere().list_keys()["Keys"]])


def _ask_elsewhere(lab: Lab) -> str:
    key_id = lab.key()
    return outcome(lambda: lab.elsewhere().describe_key(KeyId=key_id))


def _ask_cancelled(lab: Lab) -> str:
    key_id = lab.create()
    lab.put(key_id, "PendingDeletion")
    lab.kms.cancel_key_deletion(KeyId=key_id)
    return str(lab.kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"])


def _ask_date(lab: Lab) -> str:
    answer = lab.kms.schedule_key_deletion(KeyId=lab.create())
    return said("DeletionDate" in answer and answer.get("PendingWindowInDays") == 30)


def _ask_enabled(lab: Lab) -> str:
    return str(lab.kms.describe_key(KeyId=lab.key(state="Disabled"))["KeyMetadata"]["Enabled"])


def _ask_untag(lab: Lab) -> str:
    return outcome(lambda: lab.kms.untag_resource(KeyId=lab.key(), TagKeys=["absent"]))


def _ask_retag(lab: Lab) -> str:
    key_id = lab.create(Tags=[{"TagKey": "a", "TagValue": "old"}])
    lab.kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "new"}])
    return ",".join(tag["TagValue"] for tag in lab.kms.list_resource_tags(KeyId=key_id)["Tags"])


def _ask_mrk_id(lab: Lab) -> str:
    return lab.create(MultiRegion=True)[:4]


def _replicated(lab: Lab) -> str:
    key_id = lab.create(MultiRegion=True)
    lab.kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    return key_id


def _configuration(kms: Any, key_id: str) -> Any:
    return kms.describe_key(KeyId=key_id)["KeyMetadata"].get("MultiRegionConfiguration", {})


def _ask_replica_state(lab: Lab) -> str:
    answer = lab.kms.replicate_key(KeyId=lab.create(MultiRegion=True), ReplicaRegion=THERE)
    return str(answer["ReplicaKeyMetadata"]["KeyState"])


def _ask_primary_role(lab: Lab) -> str:
    return str(_configuration(lab.kms, _replicated(lab)).get("MultiRegionKeyType"))


def _ask_replica_role(lab: Lab) -> str:
    return str(_configuration(lab.elsewhere(), _replicated(lab)).get("MultiRegionKeyType"))


def _ask_both_sides(lab: Lab) -> str:
    key_id = _replicated(lab)
    sides = [_configuration(kms, key_id).get("ReplicaKeys", []) for kms in (lab.kms, lab.elsewhere())]
    return said(all([key["Region"] for key in side] == [THERE] for side in sides))


def _ask_mrk_home(lab: Lab) -> str:
    blob = lab.kms.encrypt(KeyId=_replicated(lab), Plaintext=b"x")["CiphertextBlob"]
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob))


def _ask_mrk_away(lab: Lab) -> str:
    blob = lab.kms.encrypt(KeyId=_replicated(lab), Plaintext=b"x")["CiphertextBlob"]
    return outcome(lambda: lab.elsewhere().decrypt(CiphertextBlob=blob))


def _ask_replicate_twice(lab: Lab) -> str:
    key_id = _replicated(lab)
    return outcome(lambda: lab.kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE))


def _ask_replicate_single(lab: Lab) -> str:
    return outcome(lambda: lab.kms.replicate_key(KeyId=lab.key(), ReplicaRegion=THERE))


def _ask_replicate_replica(lab: Lab) -> str:
    key_id = _replicated(lab)
    return outcome(lambda: lab.elsewhere().replicate_key(KeyId=key_id, ReplicaRegion="ap-southeast-1"))


def _ask_replicate_nowhere(lab: Lab) -> str:
    key_id = lab.create(MultiRegion=True)
    return outcome(lambda: lab.kms.replicate_key(KeyId=key_id, ReplicaRegion="nowhere"))


def _ask_replica_tags(lab: Lab) -> str:
    key_id = lab.create(MultiRegion=True, Tags=[{"TagKey": "a", "TagValue": "b"}])
    lab.kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    return said(lab.elsewhere().list_resource_tags(KeyId=key_id)["Tags"] == [])


def _ask_primary_gone(lab: Lab) -> str:
    return str(lab.kms.schedule_key_deletion(KeyId=_replicated(lab))["KeyState"])


def _ask_replica_gone(lab: Lab) -> str:
    return str(lab.elsewhere().schedule_key_deletion(KeyId=_replicated(lab))["KeyState"])


def _ask_moved(lab: Lab) -> str:
    key_id = _replicated(lab)
    lab.kms.update_primary_region(KeyId=key_id, PrimaryRegion=THERE)
    roles = [_configuration(kms, key_id)["MultiRegionKeyType"] for kms in (lab.kms, lab.elsewhere())]
    return said(roles == ["REPLICA", "PRIMARY"])


def _ask_moved_by_replica(lab: Lab) -> str:
    key_id = _replicated(lab)
    return outcome(lambda: lab.elsewhere().update_primary_region(KeyId=key_id, PrimaryRegion="us-east-1"))


def _ask_managed(lab: Lab) -> str:
    return str(lab.kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyManager"])


def _ask_predefined(lab: Lab) -> str:
    found = [alias for alias in lab.elsewhere().list_aliases()["Aliases"] if alias["AliasName"] == "alias/aws/s3"]
    if not found:
        return "no alias"
    return "a key" if "TargetKeyId" in found[0] else "no key"


def _ask_managed_disabled(lab: Lab) -> str:
    key_id = lab.kms.describe_key(KeyId="alias/aws/ssm")["KeyMetadata"]["KeyId"]
    return outcome(lambda: lab.kms.disable_key(KeyId=key_id))


def _ask_public_length(lab: Lab) -> str:
    return str(len(lab.kms.get_public_key(KeyId=lab.key("ECC_NIST_P256", "SIGN_VERIFY"))["PublicKey"]))
