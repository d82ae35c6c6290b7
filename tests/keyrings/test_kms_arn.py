"""AWS KMS ARNs and identifiers (framework/aws-kms/aws-kms-key-arn.md)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.kms.arn import (
    KmsArn,
    check_arn_part,
    check_key_arn,
    check_key_identifier,
    check_multi_region_keys_are_unique,
    is_multi_region,
    matches_for_decrypt,
    region_of,
)

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
    "text",
    [
        "",
        "alias/",
        "arn:aws:kms",
        "arn:aws:s3:us-east-1:1:key/a",
        "schlüssel",
        "arn:aws:kms:r:1:key/ü",
        "key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "alia/test-key",
        "arn:aws:kms:us-east-1:1:key/a\n",
        "arn:aws:kms:us-east-1:1:key/a ",
        "arn:aws:kms:us east 1:1:key/a",
        "1234abcd-12ab-34cd-56ef-1234567890ab\r\n",
        "alias/test\tkey",
        "\0",
        "a" * 2049,
    ],
    ids=lambda text: repr(text[:50]),
)
def test_what_can_name_no_key_is_refused(text):
    with pytest.raises(UsageError):
        check_key_identifier(text)


def test_the_resource_of_a_key_arn_is_told_from_other_text_with_a_slash():
    with pytest.raises(UsageError, match="a KMS key id stands without 'key/' before it"):
        check_key_identifier("key/1234abcd-12ab-34cd-56ef-1234567890ab")


@pytest.mark.parametrize("value", [None, b"alias/test", 5, object()], ids=lambda value: type(value).__name__)
def test_an_identifier_that_is_not_text_is_a_type_error(value):
    with pytest.raises(TypeError, match="a KMS key identifier is text"):
        check_key_identifier(value)


# --- multi-Region keys -----------------------------------------------------------------------------------------------

SINGLE = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EAST = "arn:aws:kms:us-east-1:111122223333:key/mrk-4321abcd12ab34cd56ef1234567890ab"
WEST = "arn:aws:kms:us-west-2:111122223333:key/mrk-4321abcd12ab34cd56ef1234567890ab"
OTHER = "arn:aws:kms:us-west-2:111122223333:key/mrk-00000000000000000000000000000000"
ALIAS = "arn:aws:kms:us-east-1:111122223333:alias/mrk-not-a-key"
BARE = "mrk-4321abcd12ab34cd56ef1234567890ab"

KINDS = {
    "key-arn": (SINGLE, False),
    "multi-region-key-arn": (EAST, True),
    "alias-arn": (ALIAS, False),
    "key-id": ("1234abcd-12ab-34cd-56ef-1234567890ab", False),
    "multi-region-key-id": (BARE, True),
    "alias": ("alias/mrk-not-a-key", False),
    "mrk-later-in-the-id": ("arn:aws:kms:us-east-1:111122223333:key/a-mrk-b", False),
    "upper-case": ("arn:aws:kms:us-east-1:111122223333:key/MRK-4321", False),
    "only-the-prefix": ("mrk-", True),
    "without-the-hyphen": ("mrk4321", False),
}


@pytest.mark.parametrize(("identifier", "expected"), KINDS.values(), ids=KINDS.keys())
def test_multi_region_keys_are_told_by_their_id(identifier, expected):
    assert is_multi_region(identifier) is expected


def test_an_invalid_arn_is_not_told_at_all():
    with pytest.raises(UsageError):
        is_multi_region("arn:aws:kms:us-east-1:111122223333:mrk-1")


MATCHES = {
    "the-same-single-region-key": (SINGLE, SINGLE, True),
    "the-same-multi-region-key": (EAST, EAST, True),
    "a-replica": (EAST, WEST, True),
    "another-multi-region-key": (WEST, OTHER, False),
    "a-single-region-key-elsewhere": (SINGLE, SINGLE.replace("us-east-1", "us-west-2"), False),
    "a-multi-region-and-a-single-region-key": (EAST, SINGLE, False),
    "a-single-region-and-a-multi-region-key": (SINGLE, EAST, False),
    "another-account": (EAST, WEST.replace("111122223333", "444455556666"), False),
    "another-partition": (EAST, WEST.replace("arn:aws:", "arn:aws-cn:"), False),
    "an-id-that-begins-alike": (EAST, WEST + "0", False),
    "an-alias-that-looks-alike": (
        "arn:aws:kms:us-east-1:111122223333:alias/mrk-1",
        "arn:aws:kms:us-west-2:111122223333:alias/mrk-1",
        False,
    ),
    "an-alias-and-a-key-of-its-name": (EAST.replace(":key/", ":alias/"), WEST, False),
    "a-bare-id": (BARE, EAST, False),
    "an-alias": ("alias/mrk-4321abcd12ab34cd56ef1234567890ab", EAST, False),
    "the-same-bare-id": (BARE, BARE, True),
}


@pytest.mark.parametrize(("configured", "named", "expected"), MATCHES.values(), ids=MATCHES.keys())
def test_keys_match_for_decryption_when_they_differ_in_the_region_at_most(configured, named, expected):
    assert matches_for_decrypt(configured, named) is expected
    assert matches_for_decrypt(named, configured) is expected


@pytest.mark.parametrize(
    "identifiers",
    [
        [],
        [SINGLE, SINGLE],
        [SINGLE, SINGLE.replace("us-east-1", "us-west-2")],
        [EAST],
        [EAST, OTHER, SINGLE, ALIAS, "alias/mrk-not-a-key"],
        [ALIAS, ALIAS.replace("us-east-1", "us-west-2")],
        ["alias/mrk-1", "mrk-1"],
    ],
    ids=["none", "single-twice", "single-elsewhere", "one", "different", "aliases", "alias-and-id"],
)
def test_multi_region_keys_that_are_different_may_stand_together(identifiers):
    check_multi_region_keys_are_unique(identifiers)


@pytest.mark.parametrize(
    ("identifiers", "repeated"),
    [
        ([EAST, EAST], [EAST, EAST]),
        ([EAST, SINGLE, WEST], [EAST, WEST]),
        ([BARE, OTHER, WEST], [BARE, WEST]),
        ([EAST, WEST.replace("111122223333", "444455556666")], [EAST, WEST.replace("111122223333", "444455556666")]),
        ([OTHER, EAST, WEST, OTHER], [OTHER, EAST, WEST, OTHER]),
    ],
    ids=["twice", "two-regions", "bare-and-arn", "two-accounts", "two-pairs"],
)
def test_all_names_of_a_multi_region_key_given_twice_are_told(identifiers, repeated):
    with pytest.raises(UsageError) as caught:
        check_multi_region_keys_are_unique(identifiers)
    assert str(caught.value).endswith(": " + ", ".join(repeated))


def test_a_replica_is_named_by_its_region():
    assert str(KmsArn.parse(EAST).in_region("us-west-2")) == WEST
    assert str(KmsArn.parse(EAST)) == EAST


@pytest.mark.parametrize(
    ("identifier", "region"), [(EAST, "us-east-1"), (ALIAS, "us-east-1"), (BARE, ""), ("alias/arn:aws:kms", "")]
)
def test_only_arns_say_the_region(identifier, region):
    assert region_of(identifier) == region


@pytest.mark.parametrize("text", ["", " ", "\n", "a:b", "a b", " aws", "aws\n", "aws\0", "\u200baws"])
def test_what_can_be_no_part_of_an_arn_is_refused(text):
    with pytest.raises(UsageError, match="the account is"):
        check_arn_part("account", text)


@pytest.mark.parametrize("value", [None, 111122223333, b"aws"])
def test_a_part_of_an_arn_that_is_not_text_is_a_type_error(value):
    with pytest.raises(TypeError, match="the account is text, not"):
        check_arn_part("account", value)


part = st.text(st.characters(codec="utf-8", exclude_characters=":/"), min_size=1)


@given(part, part, part, st.sampled_from(["key", "alias"]), st.text(st.characters(exclude_characters=":"), min_size=1))
def test_an_arn_of_whatever_parts_is_taken_apart_into_them(partition, region, account, kind, resource):
    arn = KmsArn(partition, region, account, kind, resource)

    assert KmsArn.parse(str(arn)) == arn
    assert matches_for_decrypt(str(arn), str(arn.in_region("elsewhere"))) is (
        arn.is_multi_region or region == "elsewhere"
    )


@given(st.text())
def test_any_text_is_an_identifier_or_a_usage_error(text):
    try:
        check_key_identifier(text)
    except UsageError:
        return
    region_of(text)
    is_multi_region(text)


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
