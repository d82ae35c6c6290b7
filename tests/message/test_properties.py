"""What holds for any plaintext, any frame length, any way of cutting, and any damage."""

from __future__ import annotations

import itertools
import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from testkit.builder import SIGNED, SUITES, UNSIGNED, Message, sample_bytes, suite_name
from testkit.entry_points import ENTRY_POINTS, EntryPoint, feed, one_call, reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.machines import encryptor_for, pushed

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.formats.geometry import footer_length, framed_body_length

ANY_SUITE = st.sampled_from(SUITES)
FRAME_LENGTHS = st.sampled_from([1, 2, 7, 16, 33, 64, 1000, 2**32 - 1])
PLAINTEXTS = st.integers(0, 200).map(sample_bytes)


def cuts(data: bytes, draw: st.DrawFn) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in itertools.pairwise([0, *places, len(data)])]


@st.composite
def cut_plaintexts(draw: st.DrawFn) -> list[bytes]:
    return cuts(draw(PLAINTEXTS), draw)


def client_of(suite: AlgorithmSuite) -> Client:
    return reader_of(StaticDataKeyring(Message(suite).data_key))


# --- writing ---------------------------------------------------------------------------------------------------------


@given(st.sampled_from(UNSIGNED), FRAME_LENGTHS, cut_plaintexts(), st.booleans(), st.booleans())
def test_how_the_plaintext_is_cut_does_not_change_a_byte(
    suite: AlgorithmSuite, frame_length: int, chunks: list[bytes], announce: bool, last_with_finish: bool
):
    plaintext = b"".join(chunks)
    machine = encryptor_for(suite, frame_length, length=len(plaintext) if announce else None)

    message = pushed(machine, chunks[:-1], chunks[-1]) if last_with_finish else pushed(machine, chunks)

    assert message == Message(suite, frame_length=frame_length).whole(plaintext)


@given(st.sampled_from(SIGNED), FRAME_LENGTHS, cut_plaintexts(), st.booleans())
def test_a_signature_holds_however_the_plaintext_was_cut(
    suite: AlgorithmSuite, frame_length: int, chunks: list[bytes], announce: bool
):
    plaintext = b"".join(chunks)
    message = pushed(encryptor_for(suite, frame_length, length=len(plaintext) if announce else None), chunks)

    outcome = one_call(client_of(suite), message)

    assert (outcome.released, outcome.error) == (plaintext, None)


@given(ANY_SUITE, FRAME_LENGTHS, cut_plaintexts())
def test_writing_into_a_buffer_fills_just_the_output_size(
    suite: AlgorithmSuite, frame_length: int, chunks: list[bytes]
):
    machine = encryptor_for(suite, frame_length)
    start = machine.start()
    total = len(start)
    for chunk in chunks:
        out = bytearray(machine.output_size(len(chunk)))
        assert machine.update_into(chunk, memoryview(out)) == len(out)
        total += len(out)
    out = bytearray(machine.output_size(0, last=True))
    assert machine.finish_into(b"", memoryview(out)) == len(out)
    plaintext_length = sum(map(len, chunks))
    assert total + len(out) == len(start) + framed_body_length(plaintext_length, frame_length) + footer_length(suite)


# --- reading ---------------------------------------------------------------------------------------------------------


@given(ANY_SUITE, FRAME_LENGTHS | st.just(0), PLAINTEXTS, st.data())
def test_how_the_message_is_cut_does_not_matter(
    suite: AlgorithmSuite, frame_length: int, plaintext: bytes, data: st.DataObject
):
    message = Message(suite, frame_length=frame_length).whole(plaintext)

    outcome = feed(client_of(suite), data.draw(st.composite(lambda draw: cuts(message, draw))()))

    assert (outcome.released, outcome.error) == (plaintext, None)


@given(ANY_SUITE, FRAME_LENGTHS | st.just(0), PLAINTEXTS, st.data())
def test_reading_into_a_buffer_never_writes_past_what_it_returns(
    suite: AlgorithmSuite, frame_length: int, plaintext: bytes, data: st.DataObject
):
    message = Message(suite, frame_length=frame_length).whole(plaintext)
    machine = client_of(suite).decryptor()
    released = bytearray()
    for chunk in data.draw(st.composite(lambda draw: cuts(message, draw))()):
        size = machine.output_size(len(chunk))
        out = bytearray(size) + b"\xaa" * 8
        count = machine.update_into(chunk, memoryview(out))
        assert count <= size
        assert out[size:] == b"\xaa" * 8
        released += out[:count]
    machine.finish()
    assert released == plaintext


# --- damage ----------------------------------------------------------------------------------------------------------


@cache
def intact(suite: AlgorithmSuite, frame_length: int) -> bytes:
    return Message(suite, frame_length=frame_length).whole(sample_bytes(70))


@st.composite
def damaged(draw: st.DrawFn, message: bytes) -> bytes:
    """One to three bytes altered, or a slice cut out, put in, or repeated elsewhere."""
    out = bytearray(message)
    position = st.integers(0, len(message) - 1)
    match draw(st.sampled_from(["alter", "cut", "insert", "repeat", "swap"])):
        case "alter":
            for place in draw(st.lists(position, min_size=1, max_size=3, unique=True)):
                out[place] ^= draw(st.integers(1, 255))
        case "cut":
            start = draw(position)
            del out[start : start + draw(st.integers(1, 60))]
        case "insert":
            start = draw(position)
            out[start:start] = draw(st.binary(min_size=1, max_size=60))
        case "repeat":
            start, target = draw(position), draw(position)
            out[target:target] = out[start : start + draw(st.integers(1, 60))]
        case _:
            one, two, size = draw(position), draw(position), draw(st.integers(1, 48))
            out[one : one + size], out[two : two + size] = out[two : two + size], out[one : one + size]
    return bytes(out)


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@settings(max_examples=400)
@given(suite=ANY_SUITE, frame_length=st.sampled_from([16, 0]), data=st.data())
def test_damage_is_refused_and_releases_only_a_prefix_of_the_truth(
    enter: EntryPoint, suite: AlgorithmSuite, frame_length: int, data: st.DataObject
):
    message = intact(suite, frame_length)
    altered = data.draw(damaged(message))

    # Anything that is not one of the package's own errors leaves this call and fails the test.
    outcome = enter(client_of(suite), altered)

    assert sample_bytes(70).startswith(outcome.released)
    assert (outcome.error is None) is (altered == message)


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_a_thousand_random_mutations_raise_only_documented_errors(suite: AlgorithmSuite):
    chance = random.Random(suite.suite_id)
    client = client_of(suite)
    message = intact(suite, 16)
    for _ in range(1000):
        altered = bytearray(message)
        for _ in range(chance.randint(1, 3)):
            altered[chance.randrange(min(len(altered), 400))] = chance.randrange(256)

        outcome = one_call(client, bytes(altered))

        assert (outcome.error is None) is (altered == message)


# --- both machines, back to back -------------------------------------------------------------------------------------


class Pipe(RuleBasedStateMachine):
    """Writes plaintext in at one end and compares what the other end lets out."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.read = b""
        self.in_transit = b""
        self.suite: AlgorithmSuite | None = None

    @precondition(lambda self: self.suite is None)
    @rule(suite=ANY_SUITE, frame_length=st.sampled_from([1, 5, 16]))
    def start(self, suite: AlgorithmSuite, frame_length: int) -> None:
        self.suite = suite
        self.frame_length = frame_length
        self.encryptor = encryptor_for(suite, frame_length)
        self.decryptor = client_of(suite).decryptor()
        self.in_transit = self.encryptor.start()

    @precondition(lambda self: self.suite is not None)
    @rule(count=st.integers(0, 50))
    def write(self, count: int) -> None:
        chunk = sample_bytes(count, str(len(self.written)))
        size = self.encryptor.output_size(count)
        frames = self.encryptor.update(chunk)
        assert len(frames) == size
        self.written += chunk
        self.in_transit += frames

    @precondition(lambda self: self.suite is not None)
    @rule(count=st.integers(0, 80))
    def carry(self, count: int) -> None:
        moved, self.in_transit = self.in_transit[:count], self.in_transit[count:]
        self.read += self.decryptor.update(moved)
        assert self.written.startswith(self.read)
        assert not self.decryptor.finished

    @precondition(lambda self: self.suite is not None)
    @rule()
    def carry_all(self) -> None:
        self.carry(len(self.in_transit))
        # Only the last frame, full or not, is still on the other side.
        assert len(self.written) - len(self.read) <= self.frame_length

    def teardown(self) -> None:
        if self.suite is not None:
            self.read += self.decryptor.update(self.in_transit + self.encryptor.finish())
            self.decryptor.finish()
            assert self.decryptor.finished
            assert self.read == self.written


TestPipe = Pipe.TestCase
TestPipe.settings = settings(max_examples=60, stateful_step_count=20)
