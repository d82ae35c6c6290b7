"""AWS KMS ARNs and identifiers (framework/aws-kms/aws-kms-key-arn.md)."""

from __future__ import annotations

import pytest

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.kms.arn import KmsArn, check_key_arn, check_key_identifier

VALID = {
    "arn:aws:kms:us-east-1:2222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab": KmsArn(
        "aws", "us-east-1", "2222222222222", "key", "1234abcd-12ab-34cd-56ef-1234567890ab"
    ),
    "arn:aws:kms:us-east-1:2222222222222:key/mrk-4321abcd12ab34cd56ef1234567890ab": KmsArn(
        "aws", "us-east-1", "2222222222222", "key", "mrk-4321abcd12ab34cd56ef1234567890ab"
    ),
    "arn:aws:kms:us-west-2:111122223333:alias/test-key": KmsArn(
        "aws", "us-west-2", "111122223333", "alias", "test-key"
    ),
    "arn:aws-us-gov:kms:us-gov-west-1:1:key/a": KmsArn("aws-us-gov", "us-gov-west-1", "1", "key", "a"),
    "arn:aws:kms:us-west-2:111122223333:alias/mrk-not-a-key": KmsArn(
        "aws", "us-west-2", "111122223333", "alias", "mrk-not-a-key"
    ),
    "arn:aws:kms:us-west-2:111122223333:alias/with/more/slashes": KmsArn(
        "aws", "us-west-2", "111122223333", "alias", "with/more/slashes"
    ),
}

INVALID = {
    "empty": "",
    "no-arn": "1234abcd-12ab-34cd-56ef-1234567890ab",
    "alias": "alias/test-key",
    "another-start": "arm:aws:kms:us-east-1:2222222222222:key/1234abcd",
    "upper-case-start": "ARN:aws:kms:us-east-1:2222222222222:key/1234abcd",
    "leading-space": " arn:aws:kms:us-east-1:2222222222222:key/1234abcd",
    "no-partition": "arn::kms:us-east-1:2222222222222:key/1234abcd",
    "no-service": "arn:aws::us-east-1:2222222222222:key/1234abcd",
    "another-service": "arn:aws:s3:us-east-1:2222222222222:key/1234abcd",
    "upper-case-service": "arn:aws:KMS:us-east-1:2222222222222:key/1234abcd",
    "no-region": "arn:aws:kms::2222222222222:key/1234abcd",
    "no-account": "arn:aws:kms:us-east-1::key/1234abcd",
    "no-resource": "arn:aws:kms:us-east-1:2222222222222:",
    "another-resource-type": "arn:aws:kms:us-east-1:2222222222222:grant/1234abcd",
    "no-slash": "arn:aws:kms:us-east-1:2222222222222:key1234abcd",
    "colon-for-slash": "arn:aws:kms:us-east-1:2222222222222:key:1234abcd",
    "no-resource-type": "arn:aws:kms:us-east-1:2222222222222:/1234abcd",
    "no-key-id": "arn:aws:kms:us-east-1:2222222222222:key/",
    "no-alias-name": "arn:aws:kms:us-east-1:2222222222222:alias/",
    "five-parts": "arn:aws:kms:us-east-1:key/1234abcd",
    "seven-parts": "arn:aws:kms:us-east-1:2222222222222:key/1234abcd:more",
    "only-colons": ":::::",
}


@pytest.mark.parametrize("text", VALID)
def test_a_valid_arn_is_taken_apart_and_put_together_again(text):
    assert KmsArn.parse(text) == VALID[text]
    assert str(KmsArn.parse(text)) == text


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID.keys())
def test_what_is_no_kms_arn_is_refused(text):
    with pytest.raises(UsageError):
        KmsArn.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *VALID,
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "mrk-4321abcd12ab34cd56ef1234567890ab",
        "alias/test-key",
        "alias/aws/s3",
    ],
)
def test_keys_may_be_named_by_arn_alias_or_id(text):
    assert check_key_identifier(text) == text


@pytest.mark.parametrize(
    "text", ["", "alias/", "arn:aws:kms", "arn:aws:s3:us-east-1:1:key/a", "schlüssel", "arn:aws:kms:r:1:key/ü"]
)
def test_what_can_name_no_key_is_refused(text):
    with pytest.raises(UsageError):
        check_key_identifier(text)


@pytest.mark.parametrize("value", [None, b"alias/test", 5, object()], ids=lambda value: type(value).__name__)
def test_an_identifier_that_is_not_text_is_a_type_error(value):
    with pytest.raises(TypeError, match="a KMS key identifier is text"):
        check_key_identifier(value)


# --- keys, and only keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [text for text, arn in VALID.items() if arn.resource_type == "key"])
def test_the_arn_of_a_key_is_taken(text):
    assert check_key_arn(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "alias/test-key",
        "arn:aws:kms:us-west-2:111122223333:alias/test-key",
        "arn:aws:kms",
        "arn:aws:s3:us-east-1:1:key/a",
    ],
)
def test_what_is_not_the_arn_of_a_key_is_refused(text):
    with pytest.raises(UsageError):
        check_key_arn(text)


MULTI_REGION = KmsArn("aws", "us-east-1", "1", "key", "mrk-a")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (MULTI_REGION, True),
        (KmsArn("aws", "eu-west-1", "1", "key", "mrk-a"), True),
        (KmsArn("aws", "eu-west-1", "1", "key", "mrk-b"), False),
        (KmsArn("aws", "eu-west-1", "2", "key", "mrk-a"), False),
        (KmsArn("aws-cn", "eu-west-1", "1", "key", "mrk-a"), False),
        (KmsArn("aws", "eu-west-1", "1", "alias", "mrk-a"), False),
    ],
)
def test_replicas_of_a_multi_region_key_differ_in_their_region_alone(other, same):
    assert MULTI_REGION.same_multi_region_key(other) is same
    assert other.same_multi_region_key(MULTI_REGION) is same


@pytest.mark.parametrize(("kind", "name"), [("key", "a"), ("alias", "mrk-a")])
def test_keys_of_one_region_and_aliases_have_no_replicas(kind, name):
    arn = KmsArn("aws", "us-east-1", "1", kind, name)

    assert not arn.same_multi_region_key(arn)
