"""Copies across keys and Regions: decrypted and encrypted anew on the way, or, with multi-Region keys, just copied."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from testkit.s3 import BUCKET, Breaking, Wire, answer, client_of, stored

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    MessageError,
    NoMatchingKeyError,
    SignatureError,
    UsageError,
)
from envelope_sdk.integrations.s3 import EncryptedS3
from envelope_sdk.keyrings import KmsKeyring, KmsMrkKeyring, RawAesKeyring
from envelope_sdk.local_kms import LocalKms

AT = {"Bucket": BUCKET, "Key": "key"}
MIB = 2**20
PLAIN = bytes(range(256)) * (11 * MIB // 512) + b"the end"
"""A part of 5 MiB, which are the shortest, and another; read in three pieces."""


@pytest.fixture
def config() -> TransferConfig:
    return TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=2 * MIB, max_concurrency=3)


@pytest.fixture
def there(s3: Any) -> Any:
    """A client of another Region, with a bucket there."""
    there = client_of("eu-west-1")
    there.create_bucket(Bucket="there", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return there


@pytest.fixture
def other() -> Client:
    return Client(RawAesKeyring("test", "key-2", bytes(32)))


@pytest.fixture
def target(there: Any, other: Client, config: TransferConfig) -> EncryptedS3:
    return EncryptedS3(there, other, config=config)


def is_empty(there: Any) -> bool:
    return "Contents" not in there.list_objects_v2(Bucket="there") and "Uploads" not in there.list_multipart_uploads(
        Bucket="there"
    )


@pytest.mark.parametrize("size", [0, 100, 5 * MIB, len(PLAIN)])
def test_a_copy_is_under_the_other_key_and_in_the_other_region(
    objects: EncryptedS3, target: EncryptedS3, client: Client, other: Client, there: Any, size: int
):
    objects.put_object(**AT, Body=PLAIN[:size])

    objects.copy(AT, "there", "copy", target=target)

    message = there.get_object(Bucket="there", Key="copy")["Body"].read()
    assert other.decrypt(message).plaintext == PLAIN[:size]
    with pytest.raises(NoMatchingKeyError):
        client.decrypt(message)
    assert target.head_object(Bucket="there", Key="copy")["PlaintextLength"] == size


def test_a_copy_may_stay_where_it_is(objects: EncryptedS3, client: Client, s3: Any):
    objects.put_object(**AT, Body=PLAIN)

    objects.copy(AT, BUCKET, "copy")

    first, second = (client.decrypt(stored(s3, key)) for key in ("key", "copy"))
    assert first.plaintext == second.plaintext == PLAIN
    assert first.header.message_id != second.header.message_id


def test_type_and_metadata_are_taken_over_unless_others_are_given(objects: EncryptedS3, target: EncryptedS3):
    objects.put_object(**AT, Body=b"plaintext", ContentType="text/csv", CacheControl="no-store", Metadata={"a": "b"})

    objects.copy(AT, "there", "same", target=target)
    objects.copy(AT, "there", "other", {"ContentType": "text/plain", "Metadata": {"c": "d"}}, target=target)

    same, other = (target.head_object(Bucket="there", Key=key) for key in ("same", "other"))
    assert (same["ContentType"], same["CacheControl"], same["Metadata"]["a"]) == ("text/csv", "no-store", "b")
    assert (other["ContentType"], other["CacheControl"], other["Metadata"]["c"]) == ("text/plain", "no-store", "d")
    assert "a" not in other["Metadata"]


def test_the_time_at_which_it_expires_is_taken_over(objects: EncryptedS3, target: EncryptedS3):
    expires = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
    objects.put_object(**AT, Body=b"plaintext", Expires=expires)

    objects.copy(AT, "there", "copy", target=target)

    assert target.head_object(Bucket="there", Key="copy")["Expires"] == expires


@pytest.mark.parametrize("source", ["bucket/key", {"Bucket": BUCKET}, {"Key": "key"}, None], ids=str)
def test_a_source_without_bucket_and_key_is_refused(objects: EncryptedS3, source: Any, wire: Wire):
    with pytest.raises(UsageError, match="CopySource is a mapping"):
        objects.copy(source, BUCKET, "copy")
    assert wire.requests == []


def test_a_store_may_spell_the_names_of_metadata_in_its_own_way(objects: EncryptedS3, target: EncryptedS3, s3: Any):
    """As MinIO does: names of HTTP headers have no case."""

    def title(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Metadata"] = {name.title(): value for name, value in parsed["Metadata"].items()}

    objects.put_object(**AT, Body=b"plaintext", Metadata={"a": "b"})
    for operation in ("GetObject", "HeadObject"):
        s3.meta.events.register(f"after-call.s3.{operation}", title)

    objects.copy(AT, "there", "copy", target=target)

    assert objects.head_object(**AT)["PlaintextLength"] == 9
    copied = target.head_object(Bucket="there", Key="copy")
    assert copied["PlaintextLength"] == 9
    assert {name.lower() for name in copied["Metadata"]} == {"a", "envelope-message", "envelope-plaintext-length"}


def test_the_context_is_taken_over_unless_another_is_given(objects: EncryptedS3, target: EncryptedS3):
    objects.put_object(**AT, Body=b"plaintext", encryption_context={"tenant": "a"})

    objects.copy(AT, "there", "same", target=target, source_context={"tenant": "a"})
    objects.copy(AT, "there", "other", target=target, encryption_context={"owner": "me"})

    contexts = [dict(target.open("there", key).header.encryption_context) for key in ("same", "other")]
    assert contexts == [{"tenant": "a"}, {"owner": "me"}]
    with pytest.raises(ContextMismatchError):
        objects.copy(AT, "there", "third", target=target, source_context={"tenant": "b"})


def test_a_copy_is_bound_to_its_own_place(s3: Any, there: Any, client: Client, other: Client):
    source = EncryptedS3(s3, client, bind=["bucket", "key"], encryption_context={"side": "here"})
    target = EncryptedS3(there, other, bind=["key"], encryption_context={"side": "there"})
    source.put_object(**AT, Body=b"plaintext")

    source.copy(AT, "there", "copy", target=target)

    assert dict(target.open("there", "copy").header.encryption_context) == {"side": "there", "s3-key": "copy"}


def test_the_place_of_the_old_message_is_not_taken_over_by_a_client_that_binds_nothing_either(
    s3: Any, client: Client, objects: EncryptedS3
):
    bound = EncryptedS3(s3, client, bind=["bucket", "key"])
    bound.put_object(**AT, Body=b"plaintext", encryption_context={"tenant": "a"})
    s3.create_bucket(Bucket="another")

    objects.copy(AT, "another", "copy")
    objects.copy(AT, BUCKET, "copy", target=bound)

    assert dict(objects.open("another", "copy").header.encryption_context) == {"tenant": "a"}
    assert bound.open(BUCKET, "copy").read() == b"plaintext"


def test_pairs_of_these_names_that_are_not_its_place_are_taken_over(objects: EncryptedS3):
    objects.put_object(**AT, Body=b"plaintext", encryption_context={"s3-key": "of something else"})

    objects.copy(AT, BUCKET, "copy")

    assert dict(objects.open(BUCKET, "copy").header.encryption_context) == {"s3-key": "of something else"}


def test_a_version_is_copied_where_it_is_named(objects: EncryptedS3, target: EncryptedS3, s3: Any):
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = objects.put_object(**AT, Body=b"first")["VersionId"]
    objects.put_object(**AT, Body=b"second")

    objects.copy({**AT, "VersionId": first}, "there", "copy", target=target)

    assert target.get_object(Bucket="there", Key="copy")["Body"].read() == b"first"


def test_a_signed_object_is_copied_once_its_signature_holds(
    s3: Any, signing: Client, target: EncryptedS3, there: Any, config: TransferConfig
):
    source = EncryptedS3(s3, signing, config=config)
    source.put_object(**AT, Body=PLAIN, encryption_context={"tenant": "a"})
    message = bytearray(stored(s3))

    source.copy(AT, "there", "copy", target=target)
    with target.open("there", "copy") as copy:
        assert copy.read() == PLAIN
        assert dict(copy.header.encryption_context) == {"tenant": "a"}
    target.delete_object(Bucket="there", Key="copy")

    message[-1] ^= 1
    s3.put_object(**AT, Body=bytes(message))
    with pytest.raises(SignatureError):
        source.copy(AT, "there", "copy", target=target)
    assert is_empty(there)


@pytest.mark.parametrize("position", [2_000, 3 * MIB, -1], ids=["beginning", "middle", "end"])
def test_an_object_that_is_not_authentic_leaves_no_copy(
    objects: EncryptedS3, target: EncryptedS3, client: Client, s3: Any, there: Any, position: int
):
    message = bytearray(client.encrypt(PLAIN).ciphertext)
    message[position] ^= 1
    s3.put_object(**AT, Body=bytes(message))

    with pytest.raises(AuthenticationError):
        objects.copy(AT, "there", "copy", target=target)
    assert is_empty(there)


def test_an_object_that_was_cut_leaves_no_copy(
    objects: EncryptedS3, target: EncryptedS3, client: Client, s3: Any, there: Any
):
    s3.put_object(**AT, Body=client.encrypt(PLAIN).ciphertext[: 3 * MIB])

    with pytest.raises((AuthenticationError, MessageError)):
        objects.copy(AT, "there", "copy", target=target)
    assert is_empty(there)


@pytest.mark.parametrize("step", range(4), ids=["create", "part 1", "part 2", "complete"])
def test_wherever_writing_a_copy_fails_nothing_is_left(
    objects: EncryptedS3, target: EncryptedS3, there: Any, step: int
):
    objects.put_object(**AT, Body=PLAIN)
    Wire(there).faults = lambda number, _operation: answer(503, "SlowDown") if number == step else None

    with pytest.raises(ClientError) as raised:
        objects.copy(AT, "there", "copy", target=target)

    assert raised.value.response["Error"]["Code"] == "SlowDown"
    assert is_empty(there)


@pytest.mark.parametrize("step", range(3))
def test_wherever_reading_for_a_copy_fails_nothing_is_left(
    objects: EncryptedS3, target: EncryptedS3, wire: Wire, there: Any, step: int
):
    objects.put_object(**AT, Body=PLAIN)
    wire.clear()
    wire.faults = lambda number, _operation: answer(403, "AccessDenied") if number == step else None

    with pytest.raises(ClientError):
        objects.copy(AT, "there", "copy", target=target)
    assert is_empty(there)


def test_a_connection_that_breaks_on_the_way_is_read_again(objects: EncryptedS3, target: EncryptedS3, wire: Wire):
    objects.put_object(**AT, Body=PLAIN)
    wire.bodies = lambda number, body: Breaking(body, MIB) if number in (1, 2) else body

    objects.copy(AT, "there", "copy", target=target)

    assert target.open("there", "copy").read() == PLAIN


# --- replication -----------------------------------------------------------------------------------------------------


def test_with_a_multi_region_key_a_replicated_object_opens_as_it_is(s3: Any, there: Any):
    with LocalKms.in_memory(region="us-east-1") as east:
        west = east.in_region("eu-west-1")
        primary = east.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
        replica = east.replicate_key(KeyId=primary, ReplicaRegion="eu-west-1")["ReplicaKeyMetadata"]["Arn"]
        here = EncryptedS3(s3, Client(KmsMrkKeyring(east, primary)), bind=["key"])
        replicated = EncryptedS3(there, Client(KmsMrkKeyring(west, replica)), bind=["key"])
        here.put_object(**AT, Body=PLAIN)

        # What S3's replication does: the same bytes, under the same key, in the other bucket.
        there.put_object(Bucket="there", Key="key", Body=stored(s3))

        assert replicated.get_object(Bucket="there", Key="key")["Body"].read() == PLAIN
        assert replicated.open("there", "key").read_at(3 * MIB, 100) == PLAIN[3 * MIB : 3 * MIB + 100]


def test_with_keys_of_single_regions_a_copy_is_made_for_the_other(s3: Any, there: Any, config: TransferConfig):
    with LocalKms.in_memory(region="us-east-1") as east:
        west = east.in_region("eu-west-1")
        keys = [kms.create_key()["KeyMetadata"]["Arn"] for kms in (east, west)]
        here = EncryptedS3(s3, Client(KmsKeyring(east, keys[0])), config=config)
        target = EncryptedS3(there, Client(KmsKeyring(west, keys[1])), config=config)
        here.put_object(**AT, Body=PLAIN)

        here.copy(AT, "there", "key", target=target)

        assert target.get_object(Bucket="there", Key="key")["Body"].read() == PLAIN
