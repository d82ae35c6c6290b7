"""Objects rotated in place: as they were but for their message, and never over another's change."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from testkit.guides import example
from testkit.s3 import BUCKET, Wire, answer, stored

from envelope_sdk import Client, bulk
from envelope_sdk.errors import AuthenticationError, KeyringError, StreamError
from envelope_sdk.integrations.s3 import S3Place
from envelope_sdk.keyrings import RawAesKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.keyrings.key_files import encode_aes_key_file

MIB = 2**20
PART = 5 * MIB
SIZES = {"a request": 1000, "parts": PART + 1}
KEY = "in/a"


@pytest.fixture
def new() -> Client:
    return Client(RawAesKeyring("test", "key-2", bytes(32)))


@pytest.fixture
def place(s3: Any) -> S3Place:
    return S3Place(BUCKET, "in/", s3=s3, part_size=PART)


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def message(request: pytest.FixtureRequest, s3: Any, client: Client) -> bytes:
    """A message under the old key, in the bucket."""
    data = client.encrypt(bytes(request.param)).ciphertext
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=data)
    return data


def put(s3: Any, client: Client, **described: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=client.encrypt(b"hello").ciphertext, **described)


def rotate(place: S3Place, client: Client, new: Client, **settings: Any) -> bulk.Result:
    items = [bulk.Item(entry.name, entry.name, entry.size) for entry in place.list()]
    [result] = bulk.run(items, bulk.Rotate(client, place, **settings), client=new)
    return result


def nothing_under_way(s3: Any) -> bool:
    return "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_a_bucket_is_a_place_that_can_replace(place: S3Place):
    assert isinstance(place, bulk.ReplacingPlace)


def test_an_object_gets_other_keys(place: S3Place, s3: Any, message: bytes, client: Client, new: Client):
    result = rotate(place, client, new)

    assert (result.error, result.bytes_in, result.bytes_out) == (None, len(message), len(stored(s3, KEY)))
    assert new.decrypt(stored(s3, KEY)).plaintext == client.decrypt(message).plaintext
    assert rotate(place, client, new).status is bulk.Status.SKIPPED
    assert nothing_under_way(s3)


def test_it_takes_a_request_to_look_and_another_to_replace(
    place: S3Place, s3: Any, client: Client, new: Client, wire: Wire
):
    put(s3, client)
    wire.clear()

    rotate(place, client, new)
    rotate(place, client, new)

    assert wire.operations == ["ListObjectsV2", "GetObject", "PutObject", "ListObjectsV2", "GetObject"]


# --- what stays ------------------------------------------------------------------------------------------------------

DESCRIBED: dict[str, Any] = {
    "CacheControl": "no-store",
    "ContentDisposition": "attachment",
    "ContentLanguage": "de",
    "ContentType": "text/csv",
    "Expires": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    "StorageClass": "STANDARD_IA",
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": "a-key",
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_what_an_object_is_described_and_stored_as_stays(
    place: S3Place, s3: Any, client: Client, new: Client, size: int
):
    tags = {"team": "blue red=1", "empty": ""}
    s3.put_object(
        Bucket=BUCKET,
        Key=KEY,
        Body=client.encrypt(bytes(size)).ciphertext,
        Metadata={"owner": "me"},
        Tagging=urllib.parse.urlencode(tags),
        **DESCRIBED,
    )

    assert rotate(place, client, new).error is None

    found = s3.head_object(Bucket=BUCKET, Key=KEY)
    assert {name: found.get(name) for name in DESCRIBED} == DESCRIBED
    assert found["Metadata"]["owner"] == "me"
    assert {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=BUCKET, Key=KEY)["TagSet"]} == tags


def test_parameters_of_the_place_come_first(s3: Any, client: Client, new: Client):
    put(s3, client, Tagging="a=b", **DESCRIBED)
    given = {"ContentType": "text/plain", "ServerSideEncryption": "AES256", "Tagging": "c=d"}

    assert rotate(S3Place(BUCKET, "in/", s3=s3, parameters=given), client, new).error is None

    found = s3.head_object(Bucket=BUCKET, Key=KEY)
    assert (found["ContentType"], found["ServerSideEncryption"]) == ("text/plain", "AES256")
    assert "SSEKMSKeyId" not in found
    assert found["StorageClass"] == "STANDARD_IA"
    assert s3.get_object_tagging(Bucket=BUCKET, Key=KEY)["TagSet"] == [{"Key": "c", "Value": "d"}]


def test_metadata_say_what_is_stored_now(place: S3Place, s3: Any, client: Client, new: Client):
    put(s3, client, Metadata={"envelope-message": "aws-encryption-sdk/1", "envelope-plaintext-length": "5"})

    rotate(place, client, new)

    metadata = s3.head_object(Bucket=BUCKET, Key=KEY)["Metadata"]
    assert metadata["envelope-message"] == "aws-encryption-sdk/2"
    assert metadata["envelope-plaintext-length"] == "5"


# --- what goes wrong -------------------------------------------------------------------------------------------------

LAST = {"PutObject", "CompleteMultipartUpload"}


class Meddling:
    """Has somebody else do something right before an object is replaced; S3 then does as S3 does.

    moto's knows no condition where an upload in parts ends.
    """

    def __init__(self, s3: Any, wire: Wire, meddle: Callable[[], object], at: str | None = None) -> None:
        self._s3, self._wire, self._meddle = s3, wire, meddle
        self._at = {at} if at is not None else LAST
        self._done = False

    def __call__(self, _number: int, operation: str) -> AWSResponse | None:
        if operation in self._at and not self._done:
            self._done = True
            condition = self._wire.headers[-1].get("if-match")
            self._meddle()
            if operation == "CompleteMultipartUpload" and condition not in (None, self._etag()):
                return answer(412, "PreconditionFailed")
        return None

    def _etag(self) -> str | None:
        for found in self._s3.list_objects_v2(Bucket=BUCKET, Prefix=KEY).get("Contents", ()):
            return str(found["ETag"])
        return None


def test_an_object_that_was_replaced_meanwhile_is_left(
    place: S3Place, s3: Any, message: bytes, client: Client, new: Client, wire: Wire
):
    """At the last moment: only S3 can tell."""
    wire.faults = Meddling(s3, wire, lambda: s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"theirs"))
    result = rotate(place, client, new)

    assert isinstance(result.error, StreamError)
    assert "was replaced or deleted meanwhile" in str(result.error)
    assert stored(s3, KEY) == b"theirs"
    assert nothing_under_way(s3)


def test_an_object_that_was_deleted_meanwhile_stays_deleted(
    place: S3Place, s3: Any, message: bytes, client: Client, new: Client, wire: Wire
):
    wire.faults = Meddling(s3, wire, lambda: s3.delete_object(Bucket=BUCKET, Key=KEY))
    result = rotate(place, client, new)

    assert isinstance(result.error, StreamError)
    assert place.entry("a") is None
    assert nothing_under_way(s3)


@pytest.mark.parametrize("theirs", [b"theirs", None], ids=["replaced", "deleted"])
def test_a_change_before_an_upload_ends_is_seen_whatever_the_store_knows(
    place: S3Place, s3: Any, client: Client, new: Client, wire: Wire, theirs: bytes | None
):
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=client.encrypt(bytes(PART + 1)).ciphertext)

    def meddle() -> None:
        s3.delete_object(Bucket=BUCKET, Key=KEY)
        if theirs is not None:
            s3.put_object(Bucket=BUCKET, Key=KEY, Body=theirs)

    wire.faults = Meddling(s3, wire, meddle, at="UploadPart")
    result = rotate(place, client, new)

    assert isinstance(result.error, StreamError)
    assert place.entry("a") is None if theirs is None else stored(s3, KEY) == theirs
    assert "CompleteMultipartUpload" not in wire.operations
    assert nothing_under_way(s3)


def test_a_conflict_at_the_same_moment_is_a_change_too(
    place: S3Place, s3: Any, message: bytes, client: Client, new: Client, wire: Wire
):
    wire.faults = lambda _number, operation: answer(409, "ConditionalRequestConflict") if operation in LAST else None

    assert isinstance(rotate(place, client, new).error, StreamError)
    wire.faults = lambda _number, _operation: None
    assert stored(s3, KEY) == message
    assert nothing_under_way(s3)


@pytest.mark.parametrize(
    "failing", ["GetObject", "GetObjectTagging", "PutObject", "UploadPart", "CompleteMultipartUpload"]
)
def test_s3_that_fails_leaves_the_object(
    place: S3Place, s3: Any, message: bytes, client: Client, new: Client, wire: Wire, failing: str
):
    s3.put_object_tagging(Bucket=BUCKET, Key=KEY, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    wire.faults = lambda _number, operation: answer(500, "InternalError") if operation == failing else None

    result = rotate(place, client, new)

    asked = failing in wire.operations
    wire.faults = lambda _number, _operation: None
    assert isinstance(result.error, OSError) if asked else result.error is None
    if asked:
        assert stored(s3, KEY) == message
    assert nothing_under_way(s3)


@pytest.mark.parametrize("again", [False, True], ids=["told of an error", "asked again"])
def test_an_object_whose_answer_was_lost_is_known(
    place: S3Place, s3: Any, message: bytes, client: Client, new: Client, again: bool
):
    """Asked again by botocore, S3 says that it was replaced: by what was sent before."""

    def lose(**_: Any) -> None:
        raise ConnectionClosedError(endpoint_url="https://s3.test")

    def refuse(parsed: dict[str, Any], http_response: Any, **_: Any) -> None:
        http_response.status_code = 412
        parsed.clear()
        parsed["Error"] = {"Code": "PreconditionFailed", "Message": "not any more"}
        parsed["ResponseMetadata"] = {"HTTPStatusCode": 412}

    for operation in LAST:
        s3.meta.events.register(f"after-call.s3.{operation}", refuse if again else lose)

    assert rotate(place, client, new).error is None
    assert new.decrypt(stored(s3, KEY)).plaintext == client.decrypt(message).plaintext


def test_a_damaged_message_is_left(place: S3Place, s3: Any, message: bytes, client: Client, new: Client, wire: Wire):
    damaged = message[:-1] + bytes([message[-1] ^ 1])
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=damaged)
    wire.clear()

    assert isinstance(rotate(place, client, new).error, AuthenticationError)

    assert not LAST & set(wire.operations)
    assert stored(s3, KEY) == damaged
    assert nothing_under_way(s3)


def test_new_keys_that_open_nothing(place: S3Place, s3: Any, message: bytes, client: Client, wire: Wire):
    from cryptography.hazmat.primitives.asymmetric import rsa

    public = rsa.generate_private_key(65537, 2048).public_key()
    wire.clear()

    result = rotate(place, client, Client(RawRsaKeyring("test", "rsa", RsaPadding.OAEP_SHA256, public_key=public)))

    assert isinstance(result.error, KeyringError)
    assert not LAST & set(wire.operations)
    assert stored(s3, KEY) == message
    assert nothing_under_way(s3)


def test_of_two_rotations_at_once_one_replaces(place: S3Place, s3: Any, client: Client, new: Client, wire: Wire):
    put(s3, client)
    item = bulk.Item("a", "a")
    inner: list[bulk.Result] = []

    def meddle(_number: int, operation: str) -> None:
        if operation == "PutObject" and not inner:
            inner.append(bulk.Result(item, bulk.Status.FAILED))
            inner[0] = next(iter(bulk.run([item], bulk.Rotate(client, place), client=new)))

    wire.faults = meddle
    outer = rotate(place, client, new)

    assert inner[0].error is None
    assert isinstance(outer.error, StreamError)
    assert rotate(place, client, new).status is bulk.Status.SKIPPED


def test_a_journal_knows_what_was_rotated(place: S3Place, s3: Any, client: Client, new: Client, tmp_path: Any):
    put(s3, client)
    options: dict[str, Any] = {"client": new, "journal": tmp_path / "journal"}
    items = [bulk.Item("a", "a")]
    operation = bulk.Rotate(client, place, again=True)

    assert [str(result.status) for result in bulk.run(items, operation, **options)] == ["done"]
    assert [str(result.status) for result in bulk.run(items, operation, **options)] == ["skipped"]


def test_from_one_bucket_to_another(place: S3Place, s3: Any, message: bytes, client: Client, new: Client):
    other = S3Place(BUCKET, "other/", s3=s3, part_size=PART)

    for error in (type(None), FileExistsError):
        [result] = bulk.run([bulk.Item("a", "a")], bulk.Rotate(client, place, other), client=new)
        assert isinstance(result.error, error)

    assert stored(s3, KEY) == message
    assert new.decrypt(stored(s3, "other/a")).plaintext == client.decrypt(message).plaintext


def test_the_example_of_the_page_runs(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    made = {}
    for name in ("old", "new"):
        Path(f"{name}.key").write_bytes(encode_aes_key_file("test", name, bytes(32)))
        Path(f"{name}.key").chmod(0o600)
        made[name] = bulk.ClientRecipe([f"{name}.key"]).open().client
    signer = bulk.ClientRecipe(["old.key"], sign=True).open().client
    for key, writer in (("sealed/a.enc", made["old"]), ("sealed/b.enc", signer)):
        s3.put_object(Bucket=BUCKET, Key=key, Body=writer.encrypt(b"hello").ciphertext)

    exec(example("bulk.md", "rotate"), {})

    assert capsys.readouterr().out == ("2 done, 0 as wanted already, 0 failed\n0 done, 2 as wanted already, 0 failed\n")
    found = [made["new"].decrypt(stored(s3, key)) for key in ("sealed/a.enc", "sealed/b.enc")]
    assert [result.plaintext for result in found] == [b"hello"] * 2
    assert [result.header.algorithm_suite.signed for result in found] == [False, True]
    assert {result.header.encryption_context["year"] for result in found} == {"2026"}
