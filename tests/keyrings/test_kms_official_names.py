"""Which KMS keyrings take which data keys of the official messages, whose keys never leave AWS.

The messages name real keys, among them the two replicas of a multi-Region key. A KMS that refuses everything tells
which of them a keyring asks for.
"""

from __future__ import annotations

import pytest
from testkit.official import vectors

from envelope_sdk.errors import KmsServiceError, NoMatchingKeyError
from envelope_sdk.formats import parse_header
from envelope_sdk.keyrings import (
    DiscoveryFilter,
    KmsDiscoveryKeyring,
    KmsKeyring,
    KmsMrkDiscoveryKeyring,
    KmsMrkKeyring,
)
from envelope_sdk.materials import DecryptionMaterials

ACCOUNT = "658956600833"
SINGLE = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/b3537ef1-d8dc-4780-9f5a-55776cbb2f7f"
EAST = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/mrk-80bd8ecdcd4342aebd84b7dc9da498a7"
WEST = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/mrk-80bd8ecdcd4342aebd84b7dc9da498a7"
KEYS = {"us-west-2-decryptable": SINGLE, "us-east-1-mrk": EAST, "us-west-2-mrk": WEST}
OURS, OTHERS = DiscoveryFilter("aws", [ACCOUNT]), DiscoveryFilter("aws", ["370957321024"])

MESSAGES = [vector for vector in vectors(expect="ok", offline=False) if vector.fields["key"]["type"] == "kms"]


class Refusing:
    """Refuses every call, and remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def decrypt(self, *, KeyId, CiphertextBlob, EncryptionContext, GrantTokens=()):  # noqa: N803
        self.asked.append((KeyId, CiphertextBlob, EncryptionContext))
        raise KmsServiceError("AccessDeniedException", "because", operation="Decrypt")


def header_of(vector):
    return parse_header(vector.message).body


def symmetric(vector):
    return all(key.provider_id == "aws-kms" for key in header_of(vector).encrypted_data_keys)


def configured(kms, description):
    """The keyring that the vector says opens its message."""
    match description["type"]:
        case "aws-kms":
            return KmsKeyring(kms, KEYS[description["key"]])
        case "aws-kms-mrk-aware":
            return KmsMrkKeyring(kms, KEYS[description["key"]])
        case "aws-kms-mrk-aware-discovery":
            given = description.get("aws-kms-discovery-filter")
            return KmsMrkDiscoveryKeyring(
                kms,
                description["default-mrk-region"],
                discovery_filter=given and DiscoveryFilter(given["partition"], given["account-ids"]),
            )
        case other:
            raise AssertionError(other)


def asked_for(make, vector):
    """What a keyring asks KMS for to open a message; each failure but the service's fails the test."""
    kms = Refusing()
    body = header_of(vector)
    materials = DecryptionMaterials(body.algorithm_suite, body.encryption_context)
    with pytest.raises(NoMatchingKeyError):
        make(kms).on_decrypt(materials, body.encrypted_data_keys)
    for (_, blob, context), key in zip(kms.asked, body.encrypted_data_keys, strict=False):
        assert (blob, context) == (key.ciphertext, dict(body.encryption_context))
    return [key_id for key_id, _, _ in kms.asked]


def named(vector):
    (key,) = header_of(vector).encrypted_data_keys
    return key.provider_info.decode()


SYMMETRIC = [vector for vector in MESSAGES if symmetric(vector)]
DESCRIBED = [vector for vector in SYMMETRIC if "desc" in vector.fields["key"]]
OTHER_KINDS = [vector for vector in MESSAGES if not symmetric(vector)]
ONE_OF_EACH_NAME = {named(vector): vector for vector in SYMMETRIC}


def test_the_messages_name_the_keys_of_this_table():
    assert (len(SYMMETRIC), len(DESCRIBED), len(OTHER_KINDS)) == (119, 110, 80)
    assert set(ONE_OF_EACH_NAME) == {SINGLE, EAST, WEST}


@pytest.mark.parametrize("vector", DESCRIBED, ids=lambda vector: vector.id)
def test_the_keyring_of_the_vector_asks_for_its_data_key_once_and_in_its_own_region(vector):
    description = vector.fields["key"]["desc"]
    (asked,) = asked_for(lambda kms: configured(kms, description), vector)

    region = description.get("default-mrk-region")
    assert asked == (KEYS[description["key"]] if region is None else named(vector).replace("us-east-1", region))


KEYRINGS = {
    "single": (lambda kms: KmsKeyring(kms, SINGLE), {SINGLE: SINGLE}),
    "east": (lambda kms: KmsKeyring(kms, EAST), {EAST: EAST}),
    "west": (lambda kms: KmsKeyring(kms, WEST), {WEST: WEST}),
    "mrk-single": (lambda kms: KmsMrkKeyring(kms, SINGLE), {SINGLE: SINGLE}),
    "mrk-east": (lambda kms: KmsMrkKeyring(kms, EAST), {EAST: EAST, WEST: EAST}),
    "mrk-west": (lambda kms: KmsMrkKeyring(kms, WEST), {EAST: WEST, WEST: WEST}),
    "mrk-alias": (lambda kms: KmsMrkKeyring(kms, WEST.replace(":key/", ":alias/")), {}),
    "mrk-bare": (lambda kms: KmsMrkKeyring(kms, WEST.split("/")[1]), {}),
    "discovery": (KmsDiscoveryKeyring, {SINGLE: SINGLE, EAST: EAST, WEST: WEST}),
    "discovery-of-us": (
        lambda kms: KmsDiscoveryKeyring(kms, discovery_filter=OURS),
        {SINGLE: SINGLE, EAST: EAST, WEST: WEST},
    ),
    "discovery-of-others": (lambda kms: KmsDiscoveryKeyring(kms, discovery_filter=OTHERS), {}),
    "mrk-discovery-west": (
        lambda kms: KmsMrkDiscoveryKeyring(kms, "us-west-2"),
        {SINGLE: SINGLE, EAST: WEST, WEST: WEST},
    ),
    "mrk-discovery-east": (lambda kms: KmsMrkDiscoveryKeyring(kms, "us-east-1"), {EAST: EAST, WEST: EAST}),
    "mrk-discovery-elsewhere": (
        lambda kms: KmsMrkDiscoveryKeyring(kms, "eu-west-1", discovery_filter=OURS),
        {name: WEST.replace("us-west-2", "eu-west-1") for name in (EAST, WEST)},
    ),
    "mrk-discovery-of-others": (
        lambda kms: KmsMrkDiscoveryKeyring(kms, "us-west-2", discovery_filter=OTHERS),
        {},
    ),
}


@pytest.mark.parametrize(("make", "takes"), KEYRINGS.values(), ids=KEYRINGS.keys())
def test_each_keyring_asks_for_just_the_keys_that_it_may(make, takes):
    for name, vector in ONE_OF_EACH_NAME.items():
        assert asked_for(make, vector) == ([takes[name]] if name in takes else [])


@pytest.mark.parametrize("make", [make for make, _ in KEYRINGS.values()], ids=KEYRINGS.keys())
def test_data_keys_of_asymmetric_kms_keys_are_nobody_s_here(make):
    for vector in OTHER_KINDS[::11]:
        assert asked_for(make, vector) == []
