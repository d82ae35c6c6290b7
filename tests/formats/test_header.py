"""Headers of both versions: parsing and encoding are each other's inverse, and strict."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import SUITES, Message, suite_name

from envelope_sdk import AlgorithmSuite, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import LimitExceededError, MessageError, UnsupportedMessageError, UsageError
from envelope_sdk.formats import ContentType, HeaderBody, UnverifiedHeader, parse_header
from envelope_sdk.formats.cursor import Cursor, NeedMoreBytes
from envelope_sdk.formats.edks import encode_encrypted_data_keys, parse_encrypted_data_keys
from envelope_sdk.formats.header import _usual_header, encode_header_body

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
EDKS = st.builds(EncryptedDataKey, TEXT, st.binary(max_size=9), st.binary(max_size=9))


@st.composite
def header_bodies(draw: st.DrawFn) -> HeaderBody:
    suite = draw(st.sampled_from(SUITES))
    framed = draw(st.booleans())
    return HeaderBody(
        suite,
        draw(st.binary(min_size=suite.message_id_length, max_size=suite.message_id_length)),
        EncryptionContext(draw(st.dictionaries(TEXT, TEXT, max_size=3))),
        tuple(draw(st.lists(EDKS, min_size=1, max_size=3))),
        ContentType.FRAMED if framed else ContentType.NON_FRAMED,
        draw(st.integers(1, 0xFFFFFFFF)) if framed else 0,
        draw(st.binary(min_size=suite.suite_data_length, max_size=suite.suite_data_length)),
    )


@st.composite
def headers(draw: st.DrawFn) -> UnverifiedHeader:
    body = draw(header_bodies())
    iv = draw(st.binary(min_size=12, max_size=12)) if body.algorithm_suite.message_version == 1 else bytes(12)
    return UnverifiedHeader(body, body.encode(), iv, draw(st.binary(min_size=16, max_size=16)))


@given(headers(), st.binary(max_size=20))
def test_parsing_what_was_encoded_gives_it_back_and_leaves_what_follows(header: UnverifiedHeader, rest: bytes):
    parsed = parse_header(header.encode() + rest)

    assert parsed == header
    assert parsed.length == len(header.encode())


@given(headers(), st.data())
def test_a_header_that_is_not_all_there_needs_more(header: UnverifiedHeader, data: st.DataObject):
    encoded = header.encode()
    end = data.draw(st.integers(0, len(encoded) - 1))

    with pytest.raises(NeedMoreBytes) as need:
        parse_header(encoded[:end])

    assert end < need.value.total <= len(encoded)


@given(headers(), st.data())
def test_whatever_parses_encodes_to_the_same_bytes(header: UnverifiedHeader, data: st.DataObject):
    altered = bytearray(header.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))

    try:
        parsed = parse_header(bytes(altered))
    except (MessageError, NeedMoreBytes):
        return
    assert parsed.encode() == altered[: parsed.length]
    assert parsed.body.encode() == parsed.raw


@given(headers(), st.integers(0, 5), st.none() | st.integers(1, 5), st.none() | st.integers(1, 400), st.data())
def test_the_quick_way_accepts_only_what_the_exact_one_does_and_reads_the_same(
    header: UnverifiedHeader, changes: int, max_keys: int | None, max_length: int | None, data: st.DataObject
):
    altered = bytearray(header.encode())
    for _ in range(changes):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.sampled_from([0, 1, 2, 255]))
    message = bytes(altered[: data.draw(st.integers(0, len(altered)))] if changes == 5 else altered)

    quick = _usual_header(message, max_keys, max_length)

    if quick is None:
        assert (
            changes
            or max_keys
            or max_length
            or header.body.algorithm_suite.message_version == 1
            or (header.body.content_type is ContentType.NON_FRAMED or len(message) > 4096)
        )
        return
    cursor = Cursor(message, "header", limit=max_length)
    assert HeaderBody.parse(cursor, max_encrypted_data_keys=max_keys) == quick.body
    assert (message[: cursor.position], cursor.take(16)) == (quick.raw, quick.tag)
    assert quick.encode() == message[: quick.length]


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused_with_a_documented_error(data: bytes):
    for start in (b"", b"\x01\x80\x01\x78", b"\x02\x04\x78"):
        with contextlib.suppress(MessageError, NeedMoreBytes):
            parse_header(start + data)


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_it_reads_what_the_other_writer_wrote(suite: AlgorithmSuite):
    order = Message(suite)

    header = parse_header(order.header())

    assert header.body.algorithm_suite is suite
    assert header.body.message_id == order.message_id
    assert header.body.encryption_context == {str(key): value for key, value in order.stored_pairs}
    assert header.body.encrypted_data_keys == (EncryptedDataKey("test-provider", b"test-info", b"wrapped"),)
    assert (header.body.content_type, header.body.frame_length) == (ContentType.FRAMED, 16)


GOOD = parse_header(Message(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY).header()).body


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_length": 0},
        {"frame_length": -1},
        {"frame_length": 2**32},
        {"content_type": ContentType.NON_FRAMED},
        {"content_type": ContentType.NON_FRAMED, "frame_length": -1},
        {"content_type": ContentType.NON_FRAMED, "frame_length": 2**32},
        {"message_id": bytes(16)},
        {"suite_data": b""},
        {"suite_data": bytes(33)},
        {"encrypted_data_keys": ()},
        {"encrypted_data_keys": (EncryptedDataKey("p", bytes(65_536), b""),)},
        {"encrypted_data_keys": (EncryptedDataKey("p", b"", bytes(65_536)),)},
        {"encrypted_data_keys": (EncryptedDataKey("p" * 65_536, b"", b""),)},
        {"encrypted_data_keys": (EncryptedDataKey("\ud800", b"", b""),)},
    ],
    ids=str,
)
def test_a_header_that_cannot_be_written_is_a_mistake(changes: dict[str, object]):
    with pytest.raises(UsageError):
        GOOD._replace(**changes).encode()  # type: ignore[arg-type]


@given(headers())
def test_a_header_is_the_same_from_fields_encoded_before(header: UnverifiedHeader):
    suite, message_id, context, keys, content_type, frame_length, suite_data = header.body
    middle = context.encode() + encode_encrypted_data_keys(keys)

    assert encode_header_body(suite, message_id, middle, content_type, frame_length, suite_data) == header.raw


KINDS = {"bytes": bytes, "bytearray": bytearray, "view": memoryview}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", [1, 4000, 4090, 5000, 30_000, 60_000])
def test_a_header_of_any_length_is_read_from_any_kind_of_bytes(kind, size: int):
    header = Message(SUITES[-1], edks=(("p", b"", bytes(size)), ("p", bytes(size), b""))).header()
    data = kind(header + bytes(100_000))

    parsed = parse_header(data, max_header_length=len(header))

    assert parsed.encode() == header
    for field in (parsed.raw, parsed.tag, parsed.body.message_id, parsed.body.encrypted_data_keys[0].ciphertext):
        assert type(field) is bytes
    with pytest.raises(NeedMoreBytes) as need:
        parse_header(kind(header[:-1]))
    assert need.value.total == len(header)


def test_a_field_of_a_data_key_may_take_65535_bytes():
    key = EncryptedDataKey("p" * 65_535, bytes(65_535), bytes(65_535))

    assert EncryptedDataKey.parse(Cursor(key.encode(), "test")) == key


@given(st.lists(EDKS, min_size=1, max_size=5))
def test_data_keys_keep_their_order(keys: list[EncryptedDataKey]):
    assert list(parse_encrypted_data_keys(Cursor(encode_encrypted_data_keys(keys), "test"), limit=None)) == keys


def test_base64_gets_words_of_its_own():
    with pytest.raises(UnsupportedMessageError, match="decode it first"):
        parse_header(b"AgR4")


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x01\x80", b"\x02\x04"])
def test_a_beginning_needs_more(data: bytes):
    with pytest.raises(NeedMoreBytes) as need:
        parse_header(data)

    assert need.value.as_truncated(len(data)).offset == len(data)


def test_a_bound_on_the_length_holds_even_where_the_bytes_are_there():
    header = Message(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY).header()

    assert parse_header(header, max_header_length=len(header)).length == len(header)
    with pytest.raises(LimitExceededError) as error:
        parse_header(header, max_header_length=len(header) - 1)
    assert error.value.limit == "max_header_length"


def test_a_bound_on_data_keys_is_checked_before_they_are_there():
    data = b"\x02\x04\x78" + bytes(32) + b"\0\0" + b"\0\2"

    with pytest.raises(LimitExceededError):
        parse_header(data, max_encrypted_data_keys=1)
    with pytest.raises(NeedMoreBytes):
        parse_header(data, max_encrypted_data_keys=2)
