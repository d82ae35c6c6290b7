"""Parts of objects: only the frames touched are fetched, and what comes out is what a plain slice would be."""

from __future__ import annotations

import random
import threading
from functools import cache
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from testkit.s3 import BUCKET, Still, Wire, answer

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    MessageError,
    StreamError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.integrations.s3 import EncryptedS3, S3Source
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams import PositionalSource

AT = {"Bucket": BUCKET, "Key": "key"}
FRAME = 65_536
STRIDE = FRAME + 32
LONG = random.Random(1).randbytes(3_000_000)
SHORT = random.Random(2).randbytes(1_000)


@pytest.fixture
def long(objects: EncryptedS3, wire: Wire) -> Wire:
    objects.put_object(**AT, Body=LONG)
    wire.clear()
    return wire


def test_a_source_is_one(objects: EncryptedS3, s3: Any):
    objects.put_object(**AT, Body=b"plaintext")

    assert isinstance(S3Source(s3, BUCKET, "key"), PositionalSource)


def test_a_source_reads_to_its_end_and_nothing_past_it(s3: Any, wire: Wire):
    s3.put_object(**AT, Body=LONG)
    source = S3Source(s3, BUCKET, "key")
    wire.clear()
    buffer = memoryview(bytearray(10))

    assert source.readinto_at(len(LONG) - 3, buffer) == 3
    assert buffer[:3] == LONG[-3:]
    assert [source.readinto_at(len(LONG), buffer), source.readinto_at(len(LONG) + 5, buffer)] == [0, 0]
    assert len(wire.requests) == 1


def test_a_range_costs_three_requests_and_the_frames_it_touches(objects: EncryptedS3, long: Wire):
    body = objects.get_object(**AT, Range="bytes=2000000-2000099")["Body"]

    assert body.read() == LONG[2_000_000:2_000_100]
    assert long.operations == ["GetObject"] * 3
    assert long.received <= 65_536 + STRIDE + STRIDE


def test_an_open_reader_costs_one_request_a_read(objects: EncryptedS3, long: Wire):
    with objects.open(BUCKET, "key", cache_size=0) as reader:
        assert len(long.requests) == 2
        for offset in (2_500_000, 100_000, 2_999_990):
            long.clear()
            assert reader.read_at(offset, 10) == LONG[offset : offset + 10]
            assert len(long.requests) == 1
            assert long.received <= STRIDE


@pytest.mark.parametrize("length", [10, FRAME, 200_000])
def test_a_read_after_a_seek_costs_the_frames_it_touches_and_the_one_after_it_reads_ahead(
    objects: EncryptedS3, long: Wire, length: int
):
    with objects.open(BUCKET, "key", cache_size=0) as reader:
        for offset in (1_000_000, 500_000, 2_000_000 - 5):
            long.clear()
            reader.seek(offset)
            assert reader.read(length) == LONG[offset : offset + length]
            assert len(long.requests) == 1
            assert long.received <= (length // FRAME + 2) * STRIDE

        assert reader.read(FRAME) == LONG[offset + length : offset + length + FRAME]
        assert len(long.requests) == 2
        assert reader.read() == LONG[offset + length + FRAME :]
        assert len(long.requests) == 2


def test_a_short_object_costs_one_request_for_all_that_is_ever_read(objects: EncryptedS3, wire: Wire):
    objects.put_object(**AT, Body=SHORT)
    wire.clear()

    with objects.open(BUCKET, "key", cache_size=0) as reader:
        assert [reader.read_at(0, 10), reader.read_at(990, 99), reader.read()] == [SHORT[:10], SHORT[990:], SHORT]

    assert wire.ranges == ["bytes=0-65535"]


def test_every_request_but_the_first_names_the_etag(objects: EncryptedS3, long: Wire):
    etag = objects.head_object(**AT)["ETag"]
    long.clear()

    objects.open(BUCKET, "key").read()

    assert [headers.get("if-match") for headers in long.headers] == [None] + [etag] * (len(long.headers) - 1)


def test_reading_on_asks_for_much_at_once(objects: EncryptedS3, long: Wire):
    with objects.open(BUCKET, "key", read_ahead=2**20) as reader:
        long.clear()
        while reader.read(1000):
            pass

    assert len(long.requests) <= 6


def test_the_size_is_the_message_s_and_not_the_metadata_s(objects: EncryptedS3, long: Wire):
    assert objects.open(BUCKET, "key").size == len(LONG)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", SHORT[:1]),
        ("bytes=10-19", SHORT[10:20]),
        ("bytes=990-", SHORT[990:]),
        ("bytes=990-5000", SHORT[990:]),
        ("bytes=-10", SHORT[-10:]),
        ("bytes=-5000", SHORT),
    ],
)
def test_ranges_are_those_of_http_over_the_plaintext(objects: EncryptedS3, asked: str, expected: bytes):
    objects.put_object(**AT, Body=SHORT, ContentType="text/csv")

    got = objects.get_object(**AT, Range=asked)

    assert got["Body"].read() == expected
    start = SHORT.index(expected)
    assert got["ContentRange"] == f"bytes {start}-{start + len(expected) - 1}/1000"
    assert (got["ContentLength"], got["ContentType"]) == (len(expected), "text/csv")


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_past_the_end_is_refused_as_s3_refuses_it(objects: EncryptedS3, asked: str):
    objects.put_object(**AT, Body=SHORT)

    with pytest.raises(ClientError) as raised:
        objects.get_object(**AT, Range=asked)

    assert raised.value.response["Error"]["Code"] == "InvalidRange"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 416


@pytest.mark.parametrize(
    "asked",
    [
        *("", "bytes=-", "bytes=5-1", "bytes=1-2,4-5", "items=0-1", "bytes=a-b", "0-5"),
        *("bytes=\u0665-", f"bytes={'9' * 5000}-"),
    ],
    ids=lambda asked: asked[:20],
)
def test_what_is_no_range_is_a_usage_error(objects: EncryptedS3, asked: str):
    objects.put_object(**AT, Body=SHORT)

    with pytest.raises(UsageError, match="range"):
        objects.get_object(**AT, Range=asked)


@pytest.mark.parametrize("options", [{"PartNumber": 1}, {"PartNumber": 1, "Range": "bytes=0-1"}])
def test_parts_of_the_object_are_not_parts_of_the_plaintext(objects: EncryptedS3, options: dict[str, Any]):
    with pytest.raises(UsageError, match="PartNumber"):
        objects.get_object(**AT, **options)
    with pytest.raises(UsageError, match="PartNumber"):
        objects.open(BUCKET, "key", PartNumber=1)


def test_a_range_s_body_reads_as_a_file_and_ends_where_the_range_does(objects: EncryptedS3, long: Wire):
    with objects.get_object(**AT, Range="bytes=100000-2099999")["Body"] as body:
        pieces = list(iter(lambda: body.read(300_000), b""))

    assert b"".join(pieces) == LONG[100_000:2_100_000]
    assert len(long.requests) <= 4


# --- held against plain bytes ----------------------------------------------------------------------------------------


MANY = random.Random(3).randbytes(150_001)
"""Longer than what the first request brings, in many frames."""


@cache
def many() -> EncryptedS3:
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=1000)
    return EncryptedS3(Still(client.encrypt(MANY).ciphertext), client)


@given(start=st.integers(0, 150_000), length=st.integers(1, 150_001))
def test_any_range_is_the_slice(start: int, length: int):
    got = many().get_object(**AT, Range=f"bytes={start}-{start + length - 1}")

    assert got["Body"].read() == MANY[start : start + length]


@given(length=st.integers(1, 200_000))
def test_any_range_at_the_end_is_the_slice(length: int):
    got = many().get_object(**AT, Range=f"bytes=-{length}")

    assert got["Body"].read() == MANY[-length:]


@given(reads=st.lists(st.tuples(st.integers(0, 160_000), st.integers(0, 70_000)), min_size=1, max_size=8))
def test_any_seeks_and_reads_are_those_of_a_plain_file(reads: list[tuple[int, int]]):
    with many().open(BUCKET, "key") as reader:
        for offset, length in reads:
            reader.seek(offset)
            assert reader.read(length) == MANY[offset : offset + length]


def test_threads_share_one_reader(objects: EncryptedS3, long: Wire):
    reader = objects.open(BUCKET, "key", cache_size=0)
    together = threading.Barrier(4)
    wrong: list[int] = []

    def work(number: int) -> None:
        together.wait()
        for step in range(5):
            offset = (number * 700_001 + step * 131_071) % 2_900_000
            if reader.read_at(offset, 50_000) != LONG[offset : offset + 50_000]:
                wrong.append(offset)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert len(long.requests) == 2 + 20


# --- what changes meanwhile, and what is wrong -----------------------------------------------------------------------


def test_an_object_replaced_between_two_reads_is_told(objects: EncryptedS3, long: Wire):
    reader = objects.open(BUCKET, "key", cache_size=0)
    assert reader.read_at(2_000_000, 10) == LONG[2_000_000:2_000_010]
    objects.put_object(**AT, Body=LONG)

    with pytest.raises(StreamError, match=r"s3://bucket/key was replaced since it was opened"):
        reader.read_at(2_000_000, 10)


def test_an_object_deleted_between_two_reads_is_told(objects: EncryptedS3, long: Wire):
    reader = objects.open(BUCKET, "key", cache_size=0)
    objects.delete_object(**AT)

    with pytest.raises(StreamError, match=r"s3://bucket/key was deleted since it was opened"):
        reader.read_at(2_000_000, 10)


def test_a_read_that_s3_refuses_raises_what_boto3_raises_and_the_next_one_works(objects: EncryptedS3, long: Wire):
    reader = objects.open(BUCKET, "key", cache_size=0)
    long.faults = lambda _number, _operation: answer(503, "SlowDown")
    with pytest.raises(ClientError) as raised:
        reader.read_at(2_000_000, 10)
    long.faults = lambda _number, _operation: None

    assert raised.value.response["Error"]["Code"] == "SlowDown"
    assert reader.read_at(2_000_000, 10) == LONG[2_000_000:2_000_010]


def test_an_altered_frame_fails_the_reads_that_touch_it(objects: EncryptedS3, client: Client, s3: Any):
    message = bytearray(client.encrypt(LONG).ciphertext)
    message[2_000_000] ^= 1
    s3.put_object(**AT, Body=bytes(message))
    reader = objects.open(BUCKET, "key")

    with pytest.raises(AuthenticationError):
        reader.read_at(1_999_000, 10)
    assert reader.read_at(10, 10) == LONG[10:20]


@pytest.mark.parametrize("left", [2_000_000, 3_001_000])
def test_an_object_that_was_cut_short_is_not_opened(objects: EncryptedS3, client: Client, left: int, s3: Any):
    s3.put_object(**AT, Body=client.encrypt(LONG).ciphertext[:left])

    with pytest.raises((MessageError, AuthenticationError)):
        objects.open(BUCKET, "key")
    with pytest.raises((MessageError, AuthenticationError)):
        objects.get_object(**AT, Range="bytes=0-9")


def test_an_empty_object_is_a_truncated_message(objects: EncryptedS3, s3: Any):
    s3.put_object(**AT, Body=b"")

    with pytest.raises(TruncatedMessageError):
        objects.open(BUCKET, "key")
    with pytest.raises(TruncatedMessageError):
        objects.get_object(**AT)


def test_an_empty_object_is_one_by_whatever_name_a_store_refuses_its_first_byte(objects: EncryptedS3, wire: Wire):
    wire.faults = lambda _number, _operation: answer(416, "RequestedRangeNotSatisfiable")

    with pytest.raises(TruncatedMessageError):
        objects.open(BUCKET, "key")


def test_an_object_that_is_no_message_is_told(objects: EncryptedS3, s3: Any):
    s3.put_object(**AT, Body=b"id,amount\n" * 100)

    with pytest.raises(MessageError):
        objects.open(BUCKET, "key")
    with pytest.raises(MessageError):
        objects.get_object(**AT)


def test_an_object_that_is_not_there_raises_what_boto3_raises(objects: EncryptedS3):
    with pytest.raises(ClientError) as raised:
        objects.open(BUCKET, "key")

    assert raised.value.response["Error"]["Code"] == "NoSuchKey"


@pytest.mark.parametrize("spoil", [{"ContentRange": "bytes 0-9/10"}, {"ETag": '"another"'}])
def test_a_store_that_answers_with_something_else_is_not_believed(
    objects: EncryptedS3, long: Wire, spoil: dict[str, str], s3: Any
):
    reader = objects.open(BUCKET, "key", cache_size=0)
    s3.meta.events.register("after-call.s3.GetObject", lambda parsed, **_: parsed.update(spoil))

    with pytest.raises(StreamError, match="other bytes"):
        reader.read_at(2_000_000, 10)


@pytest.mark.parametrize(("lacking", "text"), [("ETag", "no ETag"), ("ContentRange", "did not answer with the range")])
def test_a_store_without_what_this_needs_is_not_read(
    objects: EncryptedS3, long: Wire, lacking: str, text: str, s3: Any
):
    s3.meta.events.register("after-call.s3.GetObject", lambda parsed, **_: parsed.pop(lacking, None))

    with pytest.raises(StreamError, match=text):
        objects.open(BUCKET, "key")


def test_conditions_hold_for_the_first_request_only(objects: EncryptedS3, long: Wire):
    with objects.open(BUCKET, "key", IfNoneMatch='"another"') as reader:
        assert reader.read_at(2_000_000, 10) == LONG[2_000_000:2_000_010]
    with pytest.raises(ClientError):
        objects.open(BUCKET, "key", IfMatch='"another"')
