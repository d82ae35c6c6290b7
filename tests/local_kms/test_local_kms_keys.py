"""Making, describing, switching and deleting keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms import LocalKms


def _described(kms: LocalKms, key_id: str) -> dict[str, Any]:
    return kms.describe_key(KeyId=key_id)["KeyMetadata"]


def test_a_new_key_has_the_metadata_aws_gives_it(kms: LocalKms, clock: Any) -> None:
    metadata = kms.create_key(Description="for invoices")["KeyMetadata"]
    key_id = metadata.pop("KeyId")
    material_id = metadata.pop("CurrentKeyMaterialId")
    assert len(material_id) == 64
    assert metadata == {
        "AWSAccountId": "000000000000",
        "Arn": f"arn:aws:kms:us-east-1:000000000000:key/{key_id}",
        "CreationDate": datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC),
        "Enabled": True,
        "Description": "for invoices",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }


def test_describing_a_key_gives_what_creating_it_gave(kms: LocalKms) -> None:
    created = kms.create_key(Description="d", MultiRegion=True)["KeyMetadata"]
    assert _described(kms, created["KeyId"]) == created


def test_a_multi_region_key_is_a_primary_with_an_mrk_id(kms: LocalKms) -> None:
    metadata = kms.create_key(MultiRegion=True)["KeyMetadata"]
    assert metadata["KeyId"].startswith("mrk-")
    assert len(metadata["KeyId"]) == 36
    assert metadata["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": {"Arn": metadata["Arn"], "Region": "us-east-1"},
        "ReplicaKeys": [],
    }


def test_the_older_name_of_key_spec_is_taken(kms: LocalKms) -> None:
    metadata = kms.create_key(CustomerMasterKeySpec="SYMMETRIC_DEFAULT")["KeyMetadata"]
    assert metadata["KeySpec"] == "SYMMETRIC_DEFAULT"


def test_answers_carry_response_metadata_like_boto3s(kms: LocalKms) -> None:
    metadata = kms.list_keys()["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 200
    assert len(metadata["RequestId"]) == 36


def test_errors_carry_operation_and_response_like_botocores(kms: LocalKms) -> None:
    with pytest.raises(
        Exception, match=r"An error occurred \(NotFoundException\) when calling the DescribeKey"
    ) as info:
        kms.describe_key(KeyId="nothing")
    error: Any = info.value
    assert error.operation_name == "DescribeKey"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert len(error.response["ResponseMetadata"]["RequestId"]) == 36


_BAD_KEYS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"}, "UnsupportedOperationException", None),
    (
        {"KeySpec": "RSA_2048"},
        "ValidationException",
        "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
    ),
    (
        {"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"},
        "ValidationException",
        "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048",
    ),
    (
        {"KeyUsage": "SIGN_VERIFY"},
        "ValidationException",
        "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT",
    ),
    ({"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"}, "ValidationException", None),
    ({"KeySpec": "AES_512"}, "ValidationException", None),
    ({"Origin": "AWS_CLOUDHSM"}, "UnsupportedOperationException", None),
    ({"Origin": "EXTERNAL_KEY_STORE"}, "UnsupportedOperationException", None),
    ({"CustomKeyStoreId": "cks-1"}, "UnsupportedOperationException", None),
    ({"XksKeyId": "x"}, "UnsupportedOperationException", None),
    ({"Policy": "not json"}, "MalformedPolicyDocumentException", None),
    ({"Policy": "[]"}, "MalformedPolicyDocumentException", None),
    ({"Policy": ""}, "ValidationException", None),
    (
        {"Tags": [{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}]},
        "TagException",
        "Duplicate tag keys",
    ),
    ({"Tags": [{"TagKey": "aws:a", "TagValue": "1"}]}, "TagException", "Tags beginning with aws: are reserved"),
    ({"Tags": [{"TagKey": str(n), "TagValue": ""} for n in range(51)]}, "TagException", "Too many tags"),
    ({"Tags": [{"TagKey": "", "TagValue": ""}]}, "ValidationException", None),
    (
        {"Tags": [{"TagKey": "b", "TagValue": ""}, {"TagKey": "a"}]},
        "ValidationException",
        "1 validation error detected: Value null at 'tags.2.member.tagValue' failed to satisfy constraint: "
        "Member must not be null",
    ),
    (
        {"Tags": [{"TagKey": "a", "TagValue": "b", "Sugar": 1}]},
        "UnsupportedOperationException",
        "Sugar is not supported by the local KMS.",
    ),
    ({"Tags": "a"}, "SerializationException", None),
    ({"Tags": ["a"]}, "SerializationException", None),
    ({"Description": "x" * 8193}, "ValidationException", None),
    ({"Description": 5}, "SerializationException", None),
    ({"Description": "\ud800"}, "SerializationException", None),
    ({"MultiRegion": "yes"}, "SerializationException", None),
]


@pytest.mark.parametrize(("parameters", "code", "text"), _BAD_KEYS)
def test_create_key_refuses(
    kms: LocalKms, refused: Any, parameters: dict[str, Any], code: str, text: str | None
) -> None:
    with refused(code, text):
        kms.create_key(**parameters)
    assert kms.list_keys()["Keys"] == []


def test_every_failed_constraint_is_reported_in_one_text(kms: LocalKms, refused: Any) -> None:
    text = (
        "2 validation errors detected: "
        "Value 'X' at 'keyUsage' failed to satisfy constraint: Member must satisfy enum value set: "
        "[ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC, KEY_AGREEMENT, ENCAPSULATE_DECAPSULATE]; "
        "Value 'Y' at 'origin' failed to satisfy constraint: Member must satisfy enum value set: "
        "[AWS_KMS, EXTERNAL, AWS_CLOUDHSM, EXTERNAL_KEY_STORE]"
    )
    with refused("ValidationException", text):
        kms.create_key(KeyUsage="X", Origin="Y")


def test_text_outside_ascii_is_kept(kms: LocalKms) -> None:
    metadata = kms.create_key(Description="Schlüssel 鍵", Tags=[{"TagKey": "ü", "TagValue": "é"}])["KeyMetadata"]
    assert _described(kms, metadata["KeyId"])["Description"] == "Schlüssel 鍵"


def test_the_description_can_be_replaced(kms: LocalKms, key_id: str) -> None:
    kms.update_key_description(KeyId=key_id, Description="second")
    assert _described(kms, key_id)["Description"] == "second"


def test_a_disabled_key_says_so(kms: LocalKms, key_id: str) -> None:
    kms.disable_key(KeyId=key_id)
    assert (_described(kms, key_id)["KeyState"], _described(kms, key_id)["Enabled"]) == ("Disabled", False)
    kms.enable_key(KeyId=key_id)
    assert (_described(kms, key_id)["KeyState"], _described(kms, key_id)["Enabled"]) == ("Enabled", True)


def test_disabling_twice_is_no_error(kms: LocalKms, key_id: str) -> None:
    kms.disable_key(KeyId=key_id)
    kms.disable_key(KeyId=key_id)


def test_deletion_is_thirty_days_away_unless_said_otherwise(kms: LocalKms, key_id: str, arn: str, clock: Any) -> None:
    answer = kms.schedule_key_deletion(KeyId=key_id)
    del answer["ResponseMetadata"]
    assert answer == {
        "KeyId": arn,
        "DeletionDate": datetime(2026, 1, 31, 12, 0, 0, 123000, tzinfo=UTC),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": 30,
    }
    assert _described(kms, key_id)["DeletionDate"] == answer["DeletionDate"]


@pytest.mark.parametrize("days", [7, 30])
def test_the_deletion_window_may_be(kms: LocalKms, key_id: str, days: int) -> None:
    answer = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)
    assert answer["DeletionDate"] - _described(kms, key_id)["CreationDate"] == timedelta(days=days)


@pytest.mark.parametrize(("days", "rule"), [(6, "greater than or equal to 7"), (31, "less than or equal to 30")])
def test_the_deletion_window_may_not_be(kms: LocalKms, key_id: str, refused: Any, days: int, rule: str) -> None:
    text = (
        f"1 validation error detected: Value '{days}' at 'pendingWindowInDays' failed to satisfy constraint: "
        f"Member must have value {rule}"
    )
    with refused("ValidationException", text):
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)


def test_a_key_kept_after_all_comes_back_disabled(kms: LocalKms, key_id: str, arn: str) -> None:
    kms.schedule_key_deletion(KeyId=key_id)
    assert kms.cancel_key_deletion(KeyId=key_id)["KeyId"] == arn
    metadata = _described(kms, key_id)
    assert metadata["KeyState"] == "Disabled"
    assert "DeletionDate" not in metadata


def test_up_to_its_last_millisecond_a_key_can_be_kept(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clock.advance(days=7, milliseconds=-1)
    kms.cancel_key_deletion(KeyId=key_id)


def test_after_its_day_a_key_is_gone(kms: LocalKms, key_id: str, arn: str, clock: Any, refused: Any) -> None:
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clock.advance(days=7)
    with refused("NotFoundException", f"Key '{arn}' does not exist"):
        kms.describe_key(KeyId=key_id)
    assert kms.list_keys()["Keys"] == []


def test_a_key_that_is_gone_takes_its_aliases_along(kms: LocalKms, key_id: str, clock: Any) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clock.advance(days=7)
    assert "alias/a" not in {alias["AliasName"] for alias in kms.list_aliases()["Aliases"]}


def test_the_material_of_a_key_that_is_gone_decrypts_nothing(
    kms: LocalKms, key_id: str, clock: Any, refused: Any
) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clock.advance(days=7)
    with refused("AccessDeniedException"):
        kms.decrypt(CiphertextBlob=blob)


def test_another_key_outlives_one_that_is_gone(kms: LocalKms, key_id: str, clock: Any) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clock.advance(days=8)
    assert [entry["KeyId"] for entry in kms.list_keys()["Keys"]] == [other]


@pytest.mark.parametrize(
    "operation", ["enable_key", "disable_key", "schedule_key_deletion", "cancel_key_deletion", "describe_key"]
)
class TestNames:
    """Which names of a key which operation takes."""

    def test_an_arn_is_taken(self, kms: LocalKms, arn: str, operation: str) -> None:
        if operation == "cancel_key_deletion":
            kms.schedule_key_deletion(KeyId=arn)
        getattr(kms, operation)(KeyId=arn)

    def test_an_unknown_key_is_not_found(self, kms: LocalKms, refused: Any, operation: str) -> None:
        unknown = "00000000-0000-4000-8000-000000000000"
        text = f"Key 'arn:aws:kms:us-east-1:000000000000:key/{unknown}' does not exist"
        with refused("NotFoundException", text):
            getattr(kms, operation)(KeyId=unknown)

    def test_a_malformed_id_is_not_found(self, kms: LocalKms, refused: Any, operation: str) -> None:
        with refused("NotFoundException", "Invalid keyId 'nonsense'"):
            getattr(kms, operation)(KeyId="nonsense")

    def test_another_regions_arn_is_refused(self, kms: LocalKms, arn: str, refused: Any, operation: str) -> None:
        with refused("NotFoundException", "Invalid arn eu-west-1"):
            getattr(kms, operation)(KeyId=arn.replace("us-east-1", "eu-west-1"))

    def test_another_accounts_arn_tells_nothing(self, kms: LocalKms, arn: str, refused: Any, operation: str) -> None:
        action = "".join(map(str.capitalize, operation.split("_")))
        text = (
            f"User: arn:aws:iam::000000000000:root is not authorized to perform: kms:{action} on this resource because "
            "the resource does not exist in this Region, no resource-based policies allow access, or a resource-based "
            "policy explicitly denies access"
        )
        with refused("AccessDeniedException", text):
            getattr(kms, operation)(KeyId=arn.replace("000000000000", "111122223333"))

    @pytest.mark.parametrize(
        "text",
        ["arn:", "arn:aws:s3:::bucket", "arn:aws:kms:us-east-1:000000000000:table/x", "arn:aws-cn:kms:us-east-1"],
    )
    def test_an_arn_of_something_else_is_invalid(self, kms: LocalKms, refused: Any, operation: str, text: str) -> None:
        with refused("InvalidArnException", f"Invalid arn {text}"):
            getattr(kms, operation)(KeyId=text)

    def test_an_empty_name_fails_its_constraint(self, kms: LocalKms, refused: Any, operation: str) -> None:
        text = (
            "2 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1; Value '' at 'keyId' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: ^\p{ASCII}+$"
        )
        with refused("ValidationException", text):
            getattr(kms, operation)(KeyId="")

    def test_a_name_outside_ascii_fails_its_constraint(self, kms: LocalKms, refused: Any, operation: str) -> None:
        text = (
            "1 validation error detected: Value 'キー' at 'keyId' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: ^\p{ASCII}+$"
        )
        with refused("ValidationException", text):
            getattr(kms, operation)(KeyId="キー")

    def test_none_fails_its_constraint(self, kms: LocalKms, refused: Any, operation: str) -> None:
        text = (
            "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null"
        )
        with refused("ValidationException", text):
            getattr(kms, operation)(KeyId=None)


@pytest.mark.parametrize("operation", ["enable_key", "disable_key", "schedule_key_deletion", "cancel_key_deletion"])
@pytest.mark.parametrize("form", ["alias/a", "arn:aws:kms:us-east-1:000000000000:alias/a"])
def test_what_changes_a_key_takes_no_alias(kms: LocalKms, key_id: str, refused: Any, operation: str, form: str) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
        getattr(kms, operation)(KeyId=form)


_FORMS: list[Callable[[str, str], str]] = [
    lambda key_id, arn: key_id,
    lambda key_id, arn: arn,
    lambda key_id, arn: "alias/a",
    lambda key_id, arn: "arn:aws:kms:us-east-1:000000000000:alias/a",
]


@pytest.mark.parametrize("form", _FORMS, ids=["id", "arn", "alias", "alias-arn"])
class TestFourForms:
    """What uses a key takes all four names of it."""

    @pytest.fixture
    def name(self, kms: LocalKms, key_id: str, arn: str, form: Callable[[str, str], str]) -> str:
        kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
        return form(key_id, arn)

    def test_describe_key(self, kms: LocalKms, name: str, arn: str) -> None:
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"] == arn

    def test_encrypt_and_decrypt(self, kms: LocalKms, name: str, arn: str) -> None:
        blob = kms.encrypt(KeyId=name, Plaintext=b"x")["CiphertextBlob"]
        answer = kms.decrypt(CiphertextBlob=blob, KeyId=name)
        assert (answer["Plaintext"], answer["KeyId"]) == (b"x", arn)

    def test_generate_data_key(self, kms: LocalKms, name: str, arn: str) -> None:
        assert kms.generate_data_key(KeyId=name, KeySpec="AES_256")["KeyId"] == arn
        assert kms.generate_data_key_without_plaintext(KeyId=name, KeySpec="AES_256")["KeyId"] == arn

    def test_re_encrypt(self, kms: LocalKms, name: str, arn: str) -> None:
        blob = kms.encrypt(KeyId=name, Plaintext=b"x")["CiphertextBlob"]
        answer = kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=name, DestinationKeyId=name)
        assert (answer["SourceKeyId"], answer["KeyId"]) == (arn, arn)


def test_an_unknown_alias_is_not_found_by_its_arn(kms: LocalKms, refused: Any) -> None:
    with refused("NotFoundException", "Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found."):
        kms.encrypt(KeyId="alias/none", Plaintext=b"x")


def test_an_arn_of_something_else_is_not_found_where_the_model_has_no_invalid_arn(kms: LocalKms, refused: Any) -> None:
    with refused("NotFoundException", "Invalid arn arn:aws:s3:::bucket"):
        kms.encrypt(KeyId="arn:aws:s3:::bucket", Plaintext=b"x")


@pytest.mark.parametrize(
    ("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")]
)
def test_arns_name_region_account_and_partition(region: str, partition: str) -> None:
    with LocalKms.in_memory(region=region, account="111122223333") as kms:
        arn = kms.create_key()["KeyMetadata"]["Arn"]
        assert arn.startswith(f"arn:{partition}:kms:{region}:111122223333:key/")
        assert kms.describe_key(KeyId=arn)["KeyMetadata"]["Arn"] == arn


@pytest.mark.parametrize(("region", "account"), [("nowhere", "0" * 12), ("us-east-1", "1"), ("us-east-1", "x" * 12)])
def test_a_region_or_account_that_cannot_be_one_is_refused(region: str, account: str) -> None:
    with pytest.raises(ValueError, match="not '"):
        LocalKms.in_memory(region=region, account=account)


def test_a_deletion_after_the_last_date_there_is_is_refused(
    kms: LocalKms, key_id: str, clock: Any, refused: Any
) -> None:
    clock.now = datetime(9999, 12, 30, tzinfo=UTC)
    with refused("ValidationException", "There is no date 30 days from now."):
        kms.schedule_key_deletion(KeyId=key_id)


def test_a_clock_beyond_the_calendar_is_misuse() -> None:
    late = datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))
    with LocalKms.in_memory(clock=lambda: late) as kms, pytest.raises(UsageError, match="clock"):
        kms.create_key()
