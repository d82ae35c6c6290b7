"""Messages of every suite, cut, altered or extended at every byte: refused, and nothing false released."""

from __future__ import annotations

from functools import cache

import pytest
from testkit.builder import SIGNED, SUITES, Message, sample_bytes, suite_name
from testkit.entry_points import ENTRY_POINTS, EntryPoint, feed, one_call, reader_of
from testkit.keyrings import StaticDataKeyring

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import (
    AuthenticationError,
    MessageError,
    PolicyError,
    SignatureError,
    TrailingDataError,
    TruncatedMessageError,
)

TRUTH = sample_bytes(40)
FRAME_LENGTHS = (16, 0)


@cache
def message_of(suite: AlgorithmSuite, frame_length: int) -> bytes:
    return Message(suite, frame_length=frame_length).whole(TRUTH)


def client_of(suite: AlgorithmSuite) -> Client:
    return reader_of(StaticDataKeyring(Message(suite).data_key))


@pytest.mark.parametrize("frame_length", FRAME_LENGTHS)
@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_cut_at_any_byte_it_is_truncated_whole_and_piece_by_piece(suite: AlgorithmSuite, frame_length: int):
    client = client_of(suite)
    message = message_of(suite, frame_length)
    for end in range(len(message)):
        whole = one_call(client, message[:end])
        pieces = feed(client, [message[: end // 2], message[end // 2 : end]])

        assert type(whole.error) is type(pieces.error) is TruncatedMessageError
        assert whole.error.offset == pieces.error.offset == end
        assert whole.error.section == pieces.error.section
        assert TRUTH.startswith(pieces.released)


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_cut_at_any_byte_a_signed_message_does_not_give_its_last_frame(suite: AlgorithmSuite):
    client = client_of(suite)
    message = message_of(suite, 16)
    for end in range(len(message)):
        assert len(feed(client, [message[:end]]).released) <= 32


@pytest.mark.parametrize("frame_length", FRAME_LENGTHS)
@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_a_flipped_bit_anywhere_is_noticed(suite: AlgorithmSuite, frame_length: int):
    client = client_of(suite)
    message = message_of(suite, frame_length)
    for position in range(len(message)):
        altered = bytearray(message)
        altered[position] ^= 1 << position % 8

        error = one_call(client, bytes(altered)).error

        assert isinstance(error, MessageError | AuthenticationError | PolicyError), (position, error)


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_a_flipped_bit_anywhere_lets_out_nothing_false(suite: AlgorithmSuite):
    client = client_of(suite)
    message = message_of(suite, 16)
    for position in range(len(message)):
        altered = bytearray(message)
        altered[position] ^= 0x80 >> position % 8

        outcome = feed(client, [bytes(altered[:60]), bytes(altered[60:])])

        assert outcome.error is not None
        assert TRUTH.startswith(outcome.released)


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_a_flipped_bit_in_the_footer_keeps_the_last_frame_back(suite: AlgorithmSuite):
    order = Message(suite)
    message = order.whole(TRUTH)
    for position in range(len(order.header() + order.body(TRUTH)), len(message)):
        altered = bytearray(message)
        altered[position] ^= 1

        outcome = feed(client_of(suite), [bytes(altered)])

        assert isinstance(outcome.error, SignatureError | MessageError)
        assert len(outcome.released) <= 32


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("frame_length", FRAME_LENGTHS)
@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_a_byte_after_the_end_is_refused(suite: AlgorithmSuite, frame_length: int, enter: EntryPoint):
    message = message_of(suite, frame_length)

    error = enter(client_of(suite), message + b"\0").error

    assert type(error) is TrailingDataError
    assert error.offset == len(message)


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_a_message_handed_over_after_its_end_is_refused(suite: AlgorithmSuite):
    machine = client_of(suite).decryptor()
    machine.update(message_of(suite, 16))

    with pytest.raises(TrailingDataError):
        machine.update(b"\0")


@pytest.mark.parametrize("frame_length", FRAME_LENGTHS)
@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_another_data_key_does_not_open_it(suite: AlgorithmSuite, frame_length: int):
    other = reader_of(StaticDataKeyring(bytes(suite.key_length)))

    error = one_call(other, message_of(suite, frame_length)).error

    assert isinstance(error, AuthenticationError)
    assert error.section == "header"
