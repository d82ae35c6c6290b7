"""Lengths that a message claims cost nothing until the bytes are there."""

from __future__ import annotations

import io
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import pytest
from testkit.builder import EDK, Message, edks_field, sample_bytes
from testkit.entry_points import ENTRY_POINTS, EntryPoint, chunks_of, feed, one_call, reader_of
from testkit.keyrings import StaticDataKeyring

import envelope_sdk
from envelope_sdk import AlgorithmSuite, EnvelopeError, Limits
from envelope_sdk.errors import LimitExceededError, MessageError, TruncatedMessageError, UsageError
from envelope_sdk.formats import parse_header
from envelope_sdk.formats.cursor import NeedMoreBytes

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
ORDER = Message(SUITE)
UNBOUNDED = Limits(max_encrypted_data_keys=None, max_header_length=None)
FEW_MIB = 4 * 2**20


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HOSTILE = {
    "65,535 context bytes": (
        Message(SUITE, changes={"context": b"\xff\xff\xff\xff"}).header()[:60],
        TruncatedMessageError,
        "encryption context",
    ),
    "65,535 data keys": (
        Message(SUITE, changes={"edks": edks_field((EDK,), count=0xFFFF)}).header(),
        TruncatedMessageError,
        "encrypted data keys",
    ),
    "a data key of 65,535 bytes": (
        Message(SUITE, changes={"edks": b"\0\1\0\1p\0\0\xff\xff"}).header(),
        TruncatedMessageError,
        "encrypted data keys",
    ),
    "a frame of 2^32 - 1 bytes": (
        replace(ORDER, frame_length=0xFFFFFFFF).header() + (1).to_bytes(4, "big") + bytes(12),
        TruncatedMessageError,
        "frame 1",
    ),
    "a final frame of 2^32 - 1 bytes": (
        replace(ORDER, frame_length=0xFFFFFFFF).header() + ORDER.final(1, b"", claimed=0xFFFFFFFF),
        TruncatedMessageError,
        "final frame",
    ),
    "a signed final frame of 2^32 - 1 bytes": (
        Message(SIGNED, frame_length=0xFFFFFFFF).header() + ORDER.final(1, b"", claimed=0xFFFFFFFF),
        TruncatedMessageError,
        "final frame",
    ),
    "a block of 2^36 - 32 bytes": (
        replace(ORDER, frame_length=0).header() + ORDER.block(b"", claimed=2**36 - 32),
        TruncatedMessageError,
        "body",
    ),
    "a block of 2^36 bytes": (
        replace(ORDER, frame_length=0).header() + ORDER.block(b"", claimed=2**36),
        MessageError,
        "body",
    ),
    "a signature of 65,535 bytes": (
        Message(SIGNED).header() + Message(SIGNED).body(b"") + b"\xff\xff",
        TruncatedMessageError,
        "footer",
    ),
}


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize(("message", "kind", "section"), HOSTILE.values(), ids=HOSTILE)
def test_a_claimed_length_allocates_nothing(message: bytes, kind: type[MessageError], section: str, enter: EntryPoint):
    suite = SIGNED if message[1] == 5 else SUITE
    client = reader_of(StaticDataKeyring(Message(suite).data_key), limits=UNBOUNDED)
    outcomes: list[EnvelopeError | None] = []

    peak = peak_of(lambda: outcomes.append(enter(client, message).error))

    (error,) = outcomes
    assert type(error) is kind
    assert error.section == section
    assert peak < FEW_MIB


def test_a_large_frame_that_comes_in_small_pieces_is_held_once():
    order = replace(ORDER, frame_length=2**20)
    message = order.whole(bytes(2**20))
    machine = reader_of(StaticDataKeyring(order.data_key)).decryptor()

    peak = peak_of(lambda: [machine.update(message[start : start + 512]) for start in range(0, len(message), 512)])

    assert machine.finished
    assert peak < 5 * 2**20


def test_a_call_that_cannot_complete_a_frame_asks_for_no_room():
    order = replace(ORDER, frame_length=2**16)
    message = order.whole(bytes(2**16))
    machine = reader_of(StaticDataKeyring(order.data_key)).decryptor()
    machine.update(message[: len(order.header()) + 30_000])

    assert machine.output_size(100) == 0
    assert machine.output_size(2**16) >= 2**16


def test_a_header_that_comes_in_pieces_is_parsed_at_most_once_a_piece():
    header = replace(ORDER, edks=(EDK,) * 100).header()
    machine = reader_of(StaticDataKeyring(ORDER.data_key)).decryptor()
    parses: list[int] = []

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is parse_header.__code__:
            parses.append(frame.f_lineno)

    sys.setprofile(watch)
    try:
        for piece in chunks_of(header, 500):
            machine.update(piece)
    finally:
        sys.setprofile(None)

    assert machine.header is not None
    assert 1 <= len(parses) <= len(header) // 500 + 1


# --- the bounds of Limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_the_count_of_data_keys_is_refused_before_one_is_read(enter: EntryPoint):
    header = Message(SUITE, pairs=(), changes={"edks": b"\xff\xff"}).header()
    until_count = header[: 1 + 2 + 32 + 2 + 2]

    error = enter(reader_of(StaticDataKeyring(ORDER.data_key)), until_count).error

    assert isinstance(error, LimitExceededError)
    assert error.limit == "max_encrypted_data_keys"


@pytest.mark.parametrize(
    ("count", "limit", "refused"), [(1, 1, False), (2, 1, True), (100, 100, False), (101, 100, True)]
)
def test_just_as_many_data_keys_as_allowed_are_read(count: int, limit: int, refused: bool):
    message = replace(ORDER, edks=(EDK,) * count).whole(b"x")
    client = reader_of(StaticDataKeyring(ORDER.data_key), limits=Limits(max_encrypted_data_keys=limit))

    assert isinstance(one_call(client, message).error, LimitExceededError) is refused


def test_without_a_bound_65535_data_keys_are_read():
    message = replace(ORDER, edks=(("p", b"", b""),) * 0xFFFF).whole(b"x")
    client = reader_of(StaticDataKeyring(ORDER.data_key), limits=UNBOUNDED)

    assert one_call(client, message).released == b"x"


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_a_header_may_be_just_as_long_as_allowed(beyond: int, enter: EntryPoint):
    limits = Limits(max_header_length=len(ORDER.header()) - beyond)

    error = enter(reader_of(StaticDataKeyring(ORDER.data_key), limits=limits), ORDER.whole(b"x")).error

    assert getattr(error, "limit", None) == ("max_header_length" if beyond else None)


@pytest.mark.parametrize("frame_length", [16, 0])
@pytest.mark.parametrize(("limit", "refused"), [(16, False), (15, True)])
@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_a_frame_or_block_may_be_just_as_long_as_allowed(
    frame_length: int, limit: int, refused: bool, enter: EntryPoint
):
    message = replace(ORDER, frame_length=frame_length).whole(sample_bytes(16))
    client = reader_of(StaticDataKeyring(ORDER.data_key), limits=Limits(max_body_length=limit))

    error = enter(client, message).error

    assert getattr(error, "limit", None) == ("max_body_length" if refused else None)


def test_a_frame_length_above_the_limit_is_refused_before_a_data_key_is_unwrapped():
    keyring = StaticDataKeyring(ORDER.data_key)

    one_call(reader_of(keyring, limits=Limits(max_body_length=15)), ORDER.whole(b"x"))

    assert keyring.unwraps == 0


def test_the_default_limits_read_a_block_of_any_length():
    message = replace(ORDER, frame_length=0).whole(bytes(2**21))

    assert one_call(reader_of(StaticDataKeyring(ORDER.data_key)), message).released == bytes(2**21)


@pytest.mark.parametrize("name", ["max_encrypted_data_keys", "max_header_length", "max_body_length"])
def test_a_limit_below_one_is_a_mistake(name: str):
    with pytest.raises(UsageError, match=name):
        Limits(**{name: 0})


def test_more_data_keys_than_the_format_counts_are_a_mistake():
    with pytest.raises(UsageError, match="max_encrypted_data_keys"):
        Limits(max_encrypted_data_keys=65_536)


def test_the_parser_wants_the_bytes_of_all_data_keys_before_it_reads_the_first():
    header = Message(SUITE, changes={"edks": edks_field((EDK,), count=0xFFFF)}).header()

    with pytest.raises(NeedMoreBytes) as need:
        parse_header(header)

    assert need.value.total > 6 * 0xFFFF


def test_reading_a_header_does_not_copy_the_message():
    message = memoryview(ORDER.header() + bytes(2**24))

    assert peak_of(lambda: parse_header(message)) < 2**16


def test_the_reader_holds_what_a_frame_needs_and_not_what_it_claims():
    message = replace(ORDER, frame_length=0xFFFFFFFF).whole(bytes(1000))
    client = reader_of(StaticDataKeyring(ORDER.data_key))

    def read() -> None:
        with envelope_sdk.open(io.BytesIO(message), client=client) as stream:
            assert stream.read() == bytes(1000)

    assert peak_of(read) < FEW_MIB


def test_a_message_in_one_call_releases_nothing_with_any_failure():
    order = Message(SIGNED)
    message = order.signed(order.header() + order.body(sample_bytes(40)), b"0")

    assert feed(reader_of(StaticDataKeyring(order.data_key)), [message]).released == b""
