"""Which KMS keys the four configurations use."""

from __future__ import annotations

import pytest

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.hierarchical import KmsDiscovery, KmsKeyArn, KmsMrkArn, KmsMrkDiscovery

PLAIN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ELSEWHERE = PLAIN.replace("eu-west-1", "us-east-1")
MRK = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
REPLICA = MRK.replace("eu-west-1", "us-east-1")
ALIAS = "arn:aws:kms:eu-west-1:111122223333:alias/name"

USED = {
    "the very key": (KmsKeyArn(PLAIN), PLAIN, PLAIN),
    "the very multi-Region key": (KmsKeyArn(MRK), MRK, MRK),
    "a replica": (KmsMrkArn(MRK), REPLICA, MRK),
    "a multi-Region key itself": (KmsMrkArn(MRK), MRK, MRK),
    "a key of one Region by KmsMrkArn": (KmsMrkArn(PLAIN), PLAIN, PLAIN),
    "discovered": (KmsDiscovery(), PLAIN, PLAIN),
    "a discovered replica": (KmsDiscovery(), REPLICA, REPLICA),
    "discovered in one Region": (KmsMrkDiscovery("eu-west-1"), ELSEWHERE, ELSEWHERE),
    "a replica discovered in one Region": (KmsMrkDiscovery("eu-west-1"), REPLICA, MRK),
}
REFUSED = {
    "another key": (KmsKeyArn(PLAIN), MRK),
    "another Region": (KmsKeyArn(PLAIN), ELSEWHERE),
    "a replica": (KmsKeyArn(MRK), REPLICA),
    "another multi-Region key": (KmsMrkArn(MRK), REPLICA[:-1] + "c"),
    "a key of one Region elsewhere": (KmsMrkArn(PLAIN), ELSEWHERE),
    "another account": (KmsMrkArn(MRK), REPLICA.replace("1111", "4444")),
    "no ARN": (KmsMrkArn(MRK), "key"),
    "an alias, by discovery": (KmsDiscovery(), ALIAS),
    "no ARN, by discovery": (KmsMrkDiscovery("eu-west-1"), "key"),
}


@pytest.mark.parametrize(("configuration", "recorded", "asked"), USED.values(), ids=USED)
def test_the_key_that_is_asked_for(configuration, recorded: str, asked: str):
    assert configuration.key_for(recorded) == asked


@pytest.mark.parametrize(("configuration", "recorded"), REFUSED.values(), ids=REFUSED)
def test_a_record_may_not_name(configuration, recorded: str):
    with pytest.raises(KeyringError, match=r"record names|configured for"):
        configuration.key_for(recorded)


@pytest.mark.parametrize("kind", [KmsKeyArn, KmsMrkArn])
@pytest.mark.parametrize("text", [ALIAS, "alias/name", "1234", ""])
def test_a_configured_key_is_named_by_its_arn(kind, text: str):
    with pytest.raises(UsageError):
        kind(text)


@pytest.mark.parametrize("region", ["", "a:b"])
def test_a_region_is_one(region: str):
    with pytest.raises(UsageError, match="not a Region"):
        KmsMrkDiscovery(region)


@pytest.mark.parametrize("configuration", [KmsKeyArn, KmsMrkArn, KmsMrkDiscovery])
@pytest.mark.parametrize("value", [None, b"eu-west-1", 5])
def test_keys_and_regions_are_text(configuration: type, value: object) -> None:
    with pytest.raises(TypeError, match="is text, not"):
        configuration(value)
