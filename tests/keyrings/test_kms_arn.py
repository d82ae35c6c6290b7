"""AWS KMS ARNs and identifiers (framework/aws-kms/aws-kms-key-arn.md)."""

from __future__ import annotations

import pytest

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.kms.arn import KmsArn, check_key_identifier

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
