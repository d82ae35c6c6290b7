"""Frames, blocks and footers on the wire, and where they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import SINGLE_BLOCK, SUITES, Message, sample_bytes, suite_name
from testkit.machines import client_for

from envelope_sdk import AlgorithmSuite
from envelope_sdk.errors import MessageError, SignatureError, UsageError
from envelope_sdk.formats import parse_header
from envelope_sdk.formats.body import (
    BLOCK_OVERHEAD,
    FINAL_FRAME_OVERHEAD,
    FRAME_OVERHEAD,
    MAX_BLOCK_LENGTH,
    MAX_FRAMES,
    BlockHead,
    FinalFrameHead,
    FrameAads,
    block_aad,
    final_frame_aad,
    final_frame_start,
    frame_iv,
    leading_run,
    number_frames,
    sequence_numbers,
)
from envelope_sdk.formats.cursor import Cursor, NeedMoreBytes
from envelope_sdk.formats.footer import encode_footer, parse_footer
from envelope_sdk.formats.geometry import (
    FramedLayout,
    block_body_length,
    footer_length,
    frame_count,
    framed_body_length,
    layout_of_body,
)

IVS = st.binary(min_size=12, max_size=12)
U32 = st.integers(0, 0xFFFFFFFF)


# --- heads -----------------------------------------------------------------------------------------------------------


@given(U32, IVS, U32)
def test_the_final_frames_head_parses_as_it_was_encoded(number: int, iv: bytes, length: int):
    head = FinalFrameHead(number, iv, length)

    parsed = FinalFrameHead.parse(Cursor(head.encode(), "test"), expected=number, frame_length=length or 1, offset=0)

    assert parsed == head
    assert head.encode()[:4] == b"\xff\xff\xff\xff"


@given(IVS, st.integers(0, MAX_BLOCK_LENGTH))
def test_the_blocks_head_parses_as_it_was_encoded(iv: bytes, length: int):
    assert BlockHead.parse(Cursor(BlockHead(iv, length).encode(), "test"), offset=0) == BlockHead(iv, length)


@pytest.mark.parametrize("length", [2**36 - 31, 2**36, 2**64 - 1])
def test_a_block_is_at_most_2_to_the_36_less_32_bytes(length: int):
    with pytest.raises(MessageError) as error:
        BlockHead.parse(Cursor(BlockHead(bytes(12), length).encode(), "test"), offset=100)

    assert (error.value.section, error.value.offset) == ("body", 112)


@pytest.mark.parametrize(("expected", "frame_length", "offset"), [(6, 100, 1004), (5, 99, 1020)])
def test_a_final_frame_with_another_number_or_too_long_is_refused(expected: int, frame_length: int, offset: int):
    head = FinalFrameHead(5, bytes(12), 100).encode()

    with pytest.raises(MessageError) as error:
        FinalFrameHead.parse(Cursor(head, "test"), expected=expected, frame_length=frame_length, offset=1000)

    assert (error.value.section, error.value.offset) == ("final frame", offset)


@pytest.mark.parametrize("end", range(24))
def test_half_a_head_needs_more(end: int):
    head = FinalFrameHead(1, bytes(12), 1).encode()[:end]

    with pytest.raises(NeedMoreBytes) as need:
        FinalFrameHead.parse(Cursor(head, "test"), expected=1, frame_length=1, offset=0)

    assert need.value.total == 24


def test_writers_use_the_sequence_number_as_iv():
    assert frame_iv(1) == bytes(11) + b"\1"
    assert frame_iv(0xFFFFFFFF) == bytes(8) + b"\xff" * 4


@given(st.binary(max_size=32), st.integers(1, MAX_FRAMES), U32)
def test_a_final_frame_starts_as_its_parts_say(message_id: bytes, number: int, length: int):
    head, iv, aad = final_frame_start(message_id, number, length)

    assert (head, iv) == (FinalFrameHead(number, frame_iv(number), length).encode(), frame_iv(number))
    assert aad == final_frame_aad(message_id, number, length)


# --- what tags cover -------------------------------------------------------------------------------------------------


def test_the_tag_of_a_regular_frame_covers_message_id_name_number_and_length():
    aads = FrameAads(b"sixteen byte id.", 0x10203)

    assert list(aads.numbered(sequence_numbers(7, 2))) == [
        (frame_iv(number), b"sixteen byte id.AWSKMSEncryptionClient Frame\0\0\0%c\0\0\0\0\0\1\2\3" % number)
        for number in (7, 8)
    ]


def test_the_tag_of_the_final_frame_covers_message_id_name_number_and_length():
    assert final_frame_aad(b"ID", 7, 9) == b"IDAWSKMSEncryptionClient Final Frame\0\0\0\7\0\0\0\0\0\0\0\x09"


def test_the_tag_of_a_block_covers_message_id_name_the_number_one_and_length():
    assert block_aad(b"ID", 2**33) == b"ID" + SINGLE_BLOCK + b"\0\0\0\1\0\0\0\2\0\0\0\0"


# --- runs of frames --------------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 0xFFFFFF00), st.integers(0, 20))
def test_numbered_frames_are_a_run(frame_length: int, first: int, count: int):
    out = bytearray(b"\xaa" * (count * (frame_length + FRAME_OVERHEAD)))

    number_frames(memoryview(out), frame_length, sequence_numbers(first, count))

    assert leading_run(memoryview(out), frame_length, first, count) == count
    for index in range(count):
        start = index * (frame_length + FRAME_OVERHEAD)
        assert out[start : start + 4] == (first + index).to_bytes(4, "big")
        assert out[start + 4 : start + 16] == frame_iv(first + index)
        assert set(out[start + 16 : start + frame_length + FRAME_OVERHEAD]) == {0xAA}


@given(st.integers(1, 9), st.integers(1, 1000), st.integers(1, 20), st.data())
def test_a_run_ends_at_the_first_other_number(frame_length: int, first: int, count: int, data: st.DataObject):
    out = bytearray(count * (frame_length + FRAME_OVERHEAD))
    number_frames(memoryview(out), frame_length, sequence_numbers(first, count))
    wrong = data.draw(st.integers(0, count - 1))
    out[wrong * (frame_length + FRAME_OVERHEAD) + data.draw(st.integers(0, 3))] ^= 0x40

    assert leading_run(memoryview(out), frame_length, first, count) == wrong


@pytest.mark.parametrize(("first", "run"), [(0xFFFFFFFD, 2), (0xFFFFFFFE, 1), (0xFFFFFFFF, 0)])
def test_the_final_frames_marker_is_no_regular_frames_number(first: int, run: int):
    frames = b"".join((first + index).to_bytes(5, "big")[1:] + bytes(FRAME_OVERHEAD - 3) for index in range(4))

    assert leading_run(memoryview(frames), 1, first, 4) == run


# --- footer ----------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=200))
def test_the_footer_parses_as_it_was_encoded(signature: bytes):
    assert parse_footer(Cursor(encode_footer(signature), "test")) == signature


def test_an_empty_footer_is_a_missing_signature():
    with pytest.raises(SignatureError):
        parse_footer(Cursor(b"\0\0", "test"))


def test_a_footer_that_is_not_all_there_needs_more():
    with pytest.raises(NeedMoreBytes) as need:
        parse_footer(Cursor(b"\0\x47", "test"))

    assert (need.value.total, need.value.section) == (2 + 0x47, "footer")


def test_a_signature_that_the_footer_cannot_hold_is_a_mistake():
    with pytest.raises(UsageError):
        encode_footer(bytes(65_536))


# --- geometry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_the_sizes_are_those_of_messages_really_written(suite: AlgorithmSuite):
    for frame_length in (1, 7, 16, 100):
        client = client_for(suite, frame_length=frame_length)
        for plaintext_length in (0, 1, 6, 7, 8, 14, 15, 16, 17, 32, 99, 100, 101):
            result = client.encrypt(sample_bytes(plaintext_length))
            body = framed_body_length(plaintext_length, frame_length)
            layout = layout_of_body(result.header.length, body, frame_length)

            assert len(result.ciphertext) == result.header.length + body + footer_length(suite)
            assert layout.plaintext_length == plaintext_length
            assert layout.regular_frames + 1 == frame_count(plaintext_length, frame_length)
            assert layout.body_end == result.header.length + body
            final = layout.frame_offset(layout.regular_frames + 1)
            assert result.ciphertext[final : final + 4] == b"\xff\xff\xff\xff"
            for number in range(1, layout.regular_frames + 1):
                start = layout.frame_offset(number)
                assert result.ciphertext[start : start + 4] == number.to_bytes(4, "big")


def test_the_size_of_a_block_is_that_of_one_really_written():
    order = Message(SUITES[0], frame_length=0)
    message = order.whole(sample_bytes(40))

    assert len(message) == parse_header(message).length + block_body_length(40)
    assert BLOCK_OVERHEAD == 36


@given(st.integers(1, 50), st.integers(0, 300))
def test_a_layout_with_an_empty_final_frame_is_told_from_one_with_a_full_one(frame_length: int, regular: int):
    stride = frame_length + FRAME_OVERHEAD

    empty = layout_of_body(10, regular * stride + FINAL_FRAME_OVERHEAD, frame_length)
    full = layout_of_body(10, regular * stride + FINAL_FRAME_OVERHEAD + frame_length, frame_length)

    assert (empty.regular_frames, empty.final_length) == (regular, 0)
    assert (full.regular_frames, full.final_length) == (regular, frame_length)


@given(st.integers(1, 50), st.integers(0, 2000))
def test_lengths_that_no_frames_fill_are_refused(frame_length: int, body_length: int):
    stride = frame_length + FRAME_OVERHEAD
    possible = {
        FINAL_FRAME_OVERHEAD + regular * stride + rest for regular in range(70) for rest in range(frame_length + 1)
    }

    if body_length in possible:
        assert layout_of_body(0, body_length, frame_length).body_end == body_length
    else:
        with pytest.raises(MessageError):
            layout_of_body(0, body_length, frame_length)


@given(st.integers(1, 9), st.integers(0, 60), st.integers(0, 70), st.integers(-1, 70))
def test_the_frames_of_a_range_are_those_that_hold_its_bytes(frame_length: int, length: int, start: int, count: int):
    regular = frame_count(length, frame_length) - 1
    layout = FramedLayout(100, frame_length, regular, length - regular * frame_length)

    holding = {min(offset // frame_length, regular) + 1 for offset in range(start, min(start + count, length))}

    assert set(layout.frames_of(start, count)) == holding


def test_a_message_has_at_most_2_to_the_32_less_1_frames():
    assert frame_count(MAX_FRAMES * 4, 4) == MAX_FRAMES
    with pytest.raises(UsageError, match="larger frame length"):
        frame_count(MAX_FRAMES * 4 + 1, 4)
    with pytest.raises(UsageError):
        framed_body_length(MAX_FRAMES * 4 + 1, 4)


def test_a_body_of_more_frames_than_numbers_is_refused():
    most = (MAX_FRAMES - 1) * 33 + FINAL_FRAME_OVERHEAD + 1

    assert layout_of_body(0, most, 1).regular_frames == MAX_FRAMES - 1
    with pytest.raises(MessageError):
        layout_of_body(0, most + 33, 1)
