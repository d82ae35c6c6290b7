"""Objects that are put, got, asked about and deleted, with boto3's arguments and answers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from testkit.s3 import BUCKET, Wire, nothing_left, stored

from envelope_sdk import Client
from envelope_sdk.errors import (
    ContextMismatchError,
    NoMatchingKeyError,
    SignedStreamError,
    StreamError,
    UnsupportedMessageError,
    UsageError,
)
from envelope_sdk.integrations.s3 import EncryptedS3
from envelope_sdk.keyrings import RawAesKeyring

AT = {"Bucket": BUCKET, "Key": "key"}


@pytest.mark.parametrize("plaintext", [b"", b"plaintext", bytes(200_000)], ids=["empty", "short", "several frames"])
def test_what_is_put_is_got(objects: EncryptedS3, plaintext: bytes):
    objects.put_object(**AT, Body=plaintext)

    answer = objects.get_object(**AT)

    assert answer["ContentLength"] == len(plaintext)
    assert answer["Body"].read() == plaintext


@pytest.mark.parametrize("body", [bytearray(b"plaintext"), memoryview(b"plaintext"), io.BytesIO(b"plaintext")])
def test_a_body_is_bytes_of_any_kind_or_a_file_object(objects: EncryptedS3, body: Any):
    objects.put_object(**AT, Body=body)

    assert objects.get_object(**AT)["Body"].read() == b"plaintext"


@pytest.mark.parametrize("body", ["text", None, io.StringIO("text"), ["text"]], ids=lambda body: type(body).__name__)
def test_what_is_neither_bytes_nor_a_binary_file_object_is_refused(objects: EncryptedS3, body: Any, wire: Wire):
    with pytest.raises(TypeError, match=f"Body is .*, not {type(body).__name__}"):
        objects.put_object(**AT, Body=body)
    assert wire.requests == []


def test_what_is_stored_is_a_message_that_any_client_opens(objects: EncryptedS3, client: Client, s3: Any):
    objects.put_object(**AT, Body=b"plaintext", encryption_context={"tenant": "a"})

    result = client.decrypt(stored(s3), encryption_context={"tenant": "a"})

    assert result.plaintext == b"plaintext"


def test_a_message_that_others_stored_is_got(objects: EncryptedS3, client: Client, s3: Any):
    s3.put_object(**AT, Body=client.encrypt(b"plaintext").ciphertext)

    assert objects.get_object(**AT)["Body"].read() == b"plaintext"


def test_a_put_and_a_get_are_one_request_each(objects: EncryptedS3, wire: Wire):
    objects.put_object(**AT, Body=b"plaintext")
    objects.get_object(**AT)["Body"].read()

    assert wire.requests == [("PutObject", None), ("GetObject", None)]


def test_what_boto3_takes_and_answers_stays(objects: EncryptedS3):
    put = objects.put_object(**AT, Body=b"plaintext", ContentType="text/csv", Metadata={"owner": "me"})

    got = objects.get_object(**AT, IfMatch=put["ETag"])
    got["Body"].close()

    assert (got["ContentType"], got["Metadata"]["owner"], got["ETag"]) == ("text/csv", "me", put["ETag"])


def test_the_answer_to_a_get_has_no_checksums_of_what_is_stored(objects: EncryptedS3):
    objects.put_object(**AT, Body=b"plaintext")

    assert not [name for name in objects.get_object(**AT) if name.startswith("Checksum")]


def test_what_is_stored_says_what_it_is_and_how_long_the_plaintext_was(objects: EncryptedS3):
    objects.put_object(**AT, Body=b"plaintext")

    head = objects.head_object(**AT)

    assert head["PlaintextLength"] == 9
    assert head["Metadata"] == {"envelope-message": "aws-encryption-sdk/2", "envelope-plaintext-length": "9"}
    assert head["ContentLength"] > 9


@pytest.mark.parametrize("claim", ["-1", "9.5", "nine", "", "٩", "9" * 5000], ids=lambda claim: claim[:5])
def test_a_length_that_is_none_is_not_told(objects: EncryptedS3, claim: str, s3: Any):
    metadata = {"envelope-plaintext-length": claim} if claim.isascii() else {}
    s3.put_object(**AT, Body=b"", Metadata=metadata)

    assert objects.head_object(**AT)["PlaintextLength"] is None


def test_a_length_that_lies_is_believed_by_nothing(objects: EncryptedS3, client: Client, s3: Any):
    s3.put_object(**AT, Body=client.encrypt(b"plaintext").ciphertext, Metadata={"envelope-plaintext-length": "1000000"})

    assert objects.get_object(**AT)["ContentLength"] == 9
    assert objects.open(BUCKET, "key").size == 9
    assert objects.get_object(**AT)["Body"].read() == b"plaintext"


@pytest.mark.parametrize("name", ["envelope-message", "Envelope-Plaintext-Length"])
def test_metadata_of_the_same_name_are_refused(objects: EncryptedS3, name: str, s3: Any):
    with pytest.raises(UsageError, match="written by this package"):
        objects.put_object(**AT, Body=b"plaintext", Metadata={name: "x"})
    assert nothing_left(s3)


@pytest.mark.parametrize("name", ["ContentMD5", "ContentLength", "ChecksumCRC32", "ChecksumSHA256", "MpuObjectSize"])
def test_lengths_and_checksums_of_the_plaintext_are_refused(objects: EncryptedS3, name: str, s3: Any):
    with pytest.raises(UsageError, match=name):
        objects.put_object(**AT, Body=b"plaintext", **{name: "x"})
    with pytest.raises(UsageError, match=name):
        objects.upload_fileobj(io.BytesIO(b"plaintext"), BUCKET, "key", {name: "x"})
    assert nothing_left(s3)


def test_an_object_that_is_there_is_not_replaced_where_that_is_asked(objects: EncryptedS3):
    objects.put_object(**AT, Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as raised:
        objects.put_object(**AT, Body=b"second", IfNoneMatch="*")

    assert raised.value.response["Error"]["Code"] == "PreconditionFailed"
    assert objects.get_object(**AT)["Body"].read() == b"first"


def test_an_object_is_replaced_only_where_it_is_the_one_that_is_named(objects: EncryptedS3):
    first = objects.put_object(**AT, Body=b"first")["ETag"]
    objects.put_object(**AT, Body=b"second", IfMatch=first)

    with pytest.raises(ClientError) as raised:
        objects.put_object(**AT, Body=b"third", IfMatch=first)

    assert raised.value.response["Error"]["Code"] == "PreconditionFailed"
    assert objects.get_object(**AT)["Body"].read() == b"second"


def test_a_deleted_object_is_gone(objects: EncryptedS3, s3: Any):
    objects.put_object(**AT, Body=b"plaintext")

    objects.delete_object(**AT)

    assert nothing_left(s3)


@pytest.mark.parametrize("get", ["get_object", "head_object"])
def test_an_object_that_is_not_there_raises_what_boto3_raises(objects: EncryptedS3, get: str):
    with pytest.raises(ClientError) as raised:
        getattr(objects, get)(**AT)

    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_version_is_got_where_it_is_named(objects: EncryptedS3, s3: Any):
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = objects.put_object(**AT, Body=b"first")["VersionId"]
    objects.put_object(**AT, Body=b"second")

    assert objects.get_object(**AT, VersionId=first)["Body"].read() == b"first"
    assert objects.open(BUCKET, "key", VersionId=first).read() == b"first"
    assert objects.get_object(**AT, VersionId=first, Range="bytes=1-2")["Body"].read() == b"ir"


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_is_read_in_chunks_and_lines_as_boto3_s_are(objects: EncryptedS3):
    text = b"one\ntwo\r\nthree\n\nfour" * 100
    objects.put_object(**AT, Body=text)

    def body() -> Any:
        return objects.get_object(**AT)["Body"]

    assert b"".join(body().iter_chunks(7)) == text
    assert {len(chunk) for chunk in list(body().iter_chunks(7))[:-1]} == {7}
    assert list(body().iter_lines(chunk_size=64)) == text.splitlines()
    assert list(body().iter_lines(chunk_size=64, keepends=True)) == text.splitlines(keepends=True)
    assert list(objects.get_object(**AT, Range="bytes=0-")["Body"].iter_lines(chunk_size=64)) == text.splitlines()


@pytest.mark.parametrize("options", [{}, {"Range": "bytes=10-"}], ids=["whole", "range"])
def test_a_body_is_asked_for_bytes_and_tells_how_many_it_gave_as_boto3_s_does(
    objects: EncryptedS3, options: dict[str, str]
):
    objects.put_object(**AT, Body=bytes(range(100)))

    body = objects.get_object(**AT, **options)["Body"]

    first = body.read(amt=7)
    assert (len(first), body.tell()) == (7, 7)
    assert first + body.read(amt=None) == bytes(range(10 if options else 0, 100))
    assert body.read(amt=7) == b""


def test_a_body_that_is_left_before_its_end_says_so(objects: EncryptedS3):
    objects.put_object(**AT, Body=bytes(200_000))

    with pytest.raises(StreamError, match="left before its end"), objects.get_object(**AT)["Body"] as body:
        body.read(10)
    with objects.get_object(**AT, partial_read=True)["Body"] as body:
        body.read(10)


# --- objects of others -----------------------------------------------------------------------------------------------

READING: dict[str, Any] = {
    "get_object": lambda objects, _: objects.get_object(**AT),
    "range": lambda objects, _: objects.get_object(**AT, Range="bytes=0-3"),
    "open": lambda objects, _: objects.open(BUCKET, "key"),
    "download_file": lambda objects, folder: objects.download_file(BUCKET, "key", folder / "file"),
    "download_fileobj": lambda objects, _: objects.download_fileobj(BUCKET, "key", io.BytesIO()),
    "copy": lambda objects, _: objects.copy(AT, BUCKET, "copy"),
}
OTHERS = {
    "1": {"x-amz-key": "a2V5", "x-amz-iv": "aXY="},
    "2": {"x-amz-key-v2": "a2V5", "x-amz-iv": "aXY=", "x-amz-wrap-alg": "kms+context"},
    "3": {"x-amz-c": "115", "x-amz-3": "a2V5", "x-amz-d": "ZA==", "x-amz-i": "aQ=="},
}


@pytest.mark.parametrize("metadata", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("read", READING.values(), ids=READING)
def test_an_object_of_an_s3_encryption_client_is_called_one(
    objects: EncryptedS3, read: Any, metadata: dict[str, str], s3: Any, tmp_path: Path
):
    s3.put_object(**AT, Body=bytes(range(200, 248)), Metadata=metadata)

    with pytest.raises(UnsupportedMessageError, match=r"s3://bucket/key .*an Amazon S3 Encryption Client wrote it"):
        read(objects, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_message_may_have_the_metadata_of_what_it_was_before(objects: EncryptedS3, tmp_path: Path):
    objects.put_object(**AT, Body=b"plaintext", Metadata=OTHERS["2"])

    for read in READING.values():
        read(objects, tmp_path)
    assert (tmp_path / "file").read_bytes() == b"plaintext"


# --- signed messages, contexts, keys ---------------------------------------------------------------------------------


def test_a_signed_object_is_refused_unless_unverified_plaintext_is_asked_for(s3: Any, signing: Client):
    objects = EncryptedS3(s3, signing)
    objects.put_object(**AT, Body=b"plaintext")

    for options in ({}, {"Range": "bytes=0-3"}):
        with pytest.raises(SignedStreamError):
            objects.get_object(**AT, **options)
    with pytest.raises(SignedStreamError):
        objects.open(BUCKET, "key")
    answer = objects.get_object(**AT, release_unverified_plaintext=True)
    assert "ContentLength" not in answer
    assert answer["Body"].read() == b"plaintext"
    ranged = objects.get_object(**AT, release_unverified_plaintext=True, Range="bytes=0-3")
    assert ranged["Body"].read() == b"plai"
    assert objects.open(BUCKET, "key", verify_first=True).read_at(0, 4) == b"plai"


def test_a_refused_object_s_connection_is_closed(s3: Any, signing: Client, wire: Wire):
    from testkit.s3 import Breaking

    objects = EncryptedS3(s3, signing)
    objects.put_object(**AT, Body=b"plaintext")
    bodies: list[Breaking] = []
    wire.bodies = lambda _number, body: bodies.append(Breaking(body, 10**9)) or bodies[-1]

    with pytest.raises(SignedStreamError):
        objects.get_object(**AT)

    assert [body.closed for body in bodies] == [True]


def test_the_pairs_of_a_client_are_stored_and_demanded(s3: Any, client: Client):
    objects = EncryptedS3(s3, client, encryption_context={"tenant": "a"})
    objects.put_object(**AT, Body=b"plaintext", encryption_context={"kind": "note"})
    other = EncryptedS3(s3, client, encryption_context={"tenant": "b"})

    with objects.open(BUCKET, "key", required_context_keys=["kind"]) as reader:
        assert dict(reader.header.encryption_context) == {"tenant": "a", "kind": "note"}
    for read in (lambda: other.get_object(**AT), lambda: other.open(BUCKET, "key")):
        with pytest.raises(ContextMismatchError):
            read()
    with pytest.raises(ContextMismatchError):
        objects.get_object(**AT, required_context_keys=["missing"])
    with pytest.raises(ContextMismatchError):
        objects.get_object(**AT, encryption_context={"kind": "letter"})


def test_a_pair_of_the_client_s_cannot_be_given_another_value(s3: Any, client: Client):
    objects = EncryptedS3(s3, client, encryption_context={"tenant": "a"}, bind=["key"])

    for pairs in ({"tenant": "b"}, {"s3-key": "other"}):
        with pytest.raises(UsageError, match="another value"):
            objects.put_object(**AT, Body=b"", encryption_context=pairs)
    objects.put_object(**AT, Body=b"", encryption_context={"tenant": "a", "s3-key": "key"})


def test_a_key_that_does_not_fit_is_told(objects: EncryptedS3, s3: Any):
    objects.put_object(**AT, Body=b"plaintext")
    other = EncryptedS3(s3, Client(RawAesKeyring("test", "key-2", bytes(32))))

    for read in (lambda: other.get_object(**AT), lambda: other.open(BUCKET, "key")):
        with pytest.raises(NoMatchingKeyError):
            read()


# --- bound to their place --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["get_object", "range", "open", "download"])
def test_a_bound_object_that_was_renamed_is_refused(s3: Any, client: Client, way: str, tmp_path: Any):
    objects = EncryptedS3(s3, client, bind=["bucket", "key"])
    objects.put_object(**AT, Body=b"plaintext")
    s3.copy_object(Bucket=BUCKET, Key="renamed", CopySource=AT)
    s3.copy_object(Bucket=BUCKET, Key="kept", CopySource=AT)
    ways: dict[str, Any] = {
        "get_object": lambda key: objects.get_object(Bucket=BUCKET, Key=key)["Body"].read(),
        "range": lambda key: objects.get_object(Bucket=BUCKET, Key=key, Range="bytes=0-")["Body"].read(),
        "open": lambda key: objects.open(BUCKET, key).read(),
        "download": lambda key: objects.download_file(BUCKET, key, tmp_path / "file"),
    }

    with pytest.raises(ContextMismatchError, match="s3-key"):
        ways[way]("renamed")
    assert list(tmp_path.iterdir()) == []
    ways[way]("key")


def test_an_object_bound_to_its_key_alone_is_read_in_another_bucket(s3: Any, client: Client):
    s3.create_bucket(Bucket="replica")
    EncryptedS3(s3, client, bind=["key"]).put_object(**AT, Body=b"plaintext")
    s3.copy_object(Bucket="replica", Key="key", CopySource=AT)

    assert EncryptedS3(s3, client, bind=["key"]).get_object(Bucket="replica", Key="key")["Body"].read() == b"plaintext"
    with pytest.raises(NoMatchingKeyError, match="s3-bucket"):
        EncryptedS3(s3, client, bind=["bucket"]).get_object(Bucket="replica", Key="key")


@pytest.mark.parametrize("bind", ["key", ["version"]])
def test_only_bucket_and_key_can_be_bound(s3: Any, client: Client, bind: Any):
    with pytest.raises(UsageError, match="bind"):
        EncryptedS3(s3, client, bind=bind)


def test_a_limit_of_bandwidth_is_refused_rather_than_ignored(s3: Any, client: Client, objects: EncryptedS3):
    limited = TransferConfig(max_bandwidth=1000)

    with pytest.raises(UsageError, match="max_bandwidth"):
        EncryptedS3(s3, client, config=limited)
    with pytest.raises(UsageError, match="max_bandwidth"):
        objects.upload_fileobj(io.BytesIO(b""), BUCKET, "key", Config=limited)


@pytest.mark.parametrize("other", [Config(), {"max_concurrency": 4}], ids=lambda other: type(other).__name__)
def test_a_config_is_one_of_transfers(s3: Any, client: Client, objects: EncryptedS3, other: Any, tmp_path: Path):
    uses: list[Callable[[], object]] = [
        lambda: EncryptedS3(s3, client, config=other),
        lambda: objects.upload_fileobj(io.BytesIO(b""), BUCKET, "key", Config=other),
        lambda: objects.download_file(BUCKET, "key", tmp_path / "file", Config=other),
    ]

    for use in uses:
        with pytest.raises(TypeError, match="Config is boto3's TransferConfig"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_the_repr_shows_no_credentials(objects: EncryptedS3):
    assert repr(objects).startswith("EncryptedS3(Client(")
