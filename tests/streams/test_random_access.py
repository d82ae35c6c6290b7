"""Reading at any position: as from a plain file, only what is touched, and never a byte that is not authentic."""

from __future__ import annotations

import contextlib
import copy
import io
import mmap
import os
import pickle
import random
import tempfile
import threading
import tracemalloc
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import Message, sample_bytes
from testkit.entry_points import reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.positional import CountingSource

from envelope_sdk import AlgorithmSuite, Client, EnvelopeError, Limits
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    LimitExceededError,
    MessageError,
    NoMatchingKeyError,
    SignatureError,
    SignedStreamError,
    StreamError,
    TrailingDataError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.primitives.aead import RELEASES_GIL
from envelope_sdk.streams import PositionalSource, RandomAccessReader, open_random_access
from envelope_sdk.streams.ends import first_bytes_of, read_beginning
from envelope_sdk.streams.positional import BytesSource, FileObjectSource

MIB = 2**20
FRAME = 64
STRIDE = FRAME + 32
READS = ["read", "read1", "readinto", "readinto1", "readline", "peek"]


@pytest.fixture
def message(client, plaintext):
    return client.encrypt(plaintext).ciphertext


@pytest.fixture
def header_length(client, message):
    return client.decrypt(message).header.length


@pytest.fixture
def source(message):
    return CountingSource(message)


@pytest.fixture
def reader(client, source):
    """A reader that keeps nothing, and asks for nothing in advance."""
    with client.random_access(source, cache_size=0) as reader:
        source.requests.clear()
        yield reader


@pytest.fixture
def path(tmp_path, message):
    path = tmp_path / "message"
    path.write_bytes(message)
    return path


def some(reader, name, size):
    """Read through one of the methods, and return what came."""
    if name.startswith("readinto"):
        buffer = bytearray(size)
        return bytes(buffer[: getattr(reader, name)(buffer)])
    return getattr(reader, name)(size)


# --- as from a plain file --------------------------------------------------------------------------------------------

positions = st.integers(-50, 350)
steps = st.one_of(
    st.tuples(st.just("seek"), positions, st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, 7])),
    st.tuples(st.sampled_from(READS), st.integers(-1, 350), st.just(0)),
    st.tuples(st.just("read_at"), st.integers(0, 350), st.integers(0, 350)),
)


@given(
    content=st.binary(max_size=300).map(lambda content: content.replace(b"\1", b"\n").replace(b"\0", b"\n")),
    every_step=st.lists(steps, max_size=25),
    frame_length=st.integers(1, 150),
    read_ahead=st.sampled_from([None, 0, 1, 100, 10_000]),
    cache_size=st.sampled_from([0, 300, 700, 10_000]),
)
def test_any_sequence_of_seeks_and_reads_gives_what_a_plain_file_gives(
    content, every_step, frame_length, read_ahead, cache_size
):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=frame_length)
    message = client.encrypt(content).ciphertext
    with (
        tempfile.TemporaryFile() as plain,
        client.random_access(message, read_ahead=read_ahead, cache_size=cache_size) as reader,
    ):
        plain.write(content)
        plain.seek(0)
        assert reader.size == len(content)
        for name, one, other in every_step:
            if name == "seek":
                assert outcome(reader.seek, one, other) == outcome(plain.seek, one, other)
            elif name == "read_at":
                assert reader.read_at(one, other) == os.pread(plain.fileno(), other, one)
            else:
                compare(reader, plain, name, one)
            assert reader.tell() == plain.tell()


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except (OSError, ValueError) as error:
        return type(error)


def compare(reader, plain, name, size):
    position = plain.tell()
    if name.startswith("readinto"):
        size = abs(size)
    found = some(reader, name, size)
    if name == "readline":
        assert found == plain.readline(size)
    elif name in ("read", "readinto"):
        assert found == plain.read(size)
    else:
        # These may return less, but not nothing.
        wanted = plain.read(max(size, len(found)))
        assert wanted.startswith(found)
        assert bool(found) == bool(wanted and size) or (
            name == "peek" and bool(found) == bool(plain_has(plain, position))
        )
        plain.seek(position if name == "peek" else position + len(found))


def plain_has(plain, position):
    plain.seek(position)
    return plain.read(1)


def test_positions_past_the_end_read_nothing(reader):
    assert reader.seek(10, os.SEEK_END) == 1010
    assert [some(reader, name, 10) for name in READS] == [b""] * 6
    assert reader.read_at(1000, 5) == reader.read_at(10**30, 5) == b""
    assert reader.read_at(995, 10**30) == reader.read_at(995, 5)
    assert reader.readinto_at(1000, bytearray(5)) == 0


def test_readinto_at_fills_a_buffer_and_leaves_the_position(reader, plaintext):
    buffer = bytearray(b"x" * 300)
    assert reader.readinto_at(800, buffer) == 200
    assert buffer == plaintext[800:] + b"x" * 100
    assert reader.tell() == 0


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -1), (-5, -5)])
def test_a_negative_range_is_a_mistake(offset, length, reader):
    with pytest.raises(UsageError, match="negative"):
        reader.read_at(offset, length)


def test_a_position_that_is_no_whole_number_is_a_type_error(reader):
    for action in (lambda: reader.seek(1.5), lambda: reader.read_at("1", 2), lambda: reader.read_at(1, None)):
        with pytest.raises(TypeError):
            action()


def test_it_says_what_it_can_do(reader, client, message):
    assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)
    assert reader.header == client.decrypt(message).header
    for action in (lambda: reader.write(b""), reader.fileno, reader.truncate, reader.detach):
        with pytest.raises(io.UnsupportedOperation):
            action()


def test_a_closed_reader_refuses_everything(client, message):
    reader = client.random_access(message)
    reader.close()
    reader.close()
    actions = [lambda name=name: some(reader, name, 1) for name in READS]
    actions += [lambda: reader.seek(0), reader.tell, lambda: reader.read_at(0, 1)]
    actions += [lambda: reader.readinto_at(0, bytearray(1)), reader.__enter__]
    for action in actions:
        with pytest.raises(ValueError, match="closed"):
            action()


def test_a_block_may_be_left_at_any_time(client, message, plaintext):
    with client.random_access(message) as reader:
        assert reader.read(10) == plaintext[:10]


@pytest.mark.parametrize("length", [0, 1, FRAME, 2 * FRAME])
def test_the_size_is_that_of_the_plaintext(length, client):
    assert client.random_access(client.encrypt(bytes(length)).ciphertext).size == length


def test_many_threads_read_at_positions_of_their_own(client, message, plaintext):
    reader = client.random_access(message, cache_size=500)
    start = threading.Barrier(8)
    wrong = []

    def work(seed):
        chance = random.Random(seed)
        start.wait()
        for _ in range(300):
            offset, length = chance.randrange(1000), chance.randrange(400)
            if reader.read_at(offset, length) != plaintext[offset : offset + length]:
                wrong.append((offset, length))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert reader.tell() == 0


def test_threads_that_share_the_position_read_every_byte_once(client):
    plaintext = b"".join(b"%06d\n" % number for number in range(5000))
    reader = client.random_access(client.encrypt(plaintext).ciphertext)
    lines: list[list[bytes]] = [[], [], []]

    def work(mine):
        while line := reader.readline():
            mine.append(line)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"".join(sorted(line for mine in lines for line in mine)) == plaintext


def test_closing_waits_for_the_line_that_another_thread_reads(client, source):
    source = CountingSource(client.encrypt(b"x" * 500 + b"\n").ciphertext)
    reader = client.random_access(source, read_ahead=0)
    reading, closed = threading.Event(), threading.Event()

    def before():
        if not reading.is_set():
            # Time for the other thread to close what is read from here.
            reading.set()
            closed.wait(0.05)

    source.before = before
    found = []
    thread = threading.Thread(target=lambda: found.append(reader.readline()))
    thread.start()
    assert reading.wait(60)
    reader.close()
    closed.set()
    thread.join()

    assert found == [b"x" * 500 + b"\n"]


# --- only what is touched --------------------------------------------------------------------------------------------


def frames(header_length, first, count):
    return header_length + (first - 1) * STRIDE, count * STRIDE


@pytest.mark.parametrize(
    ("offset", "length", "first", "count"), [(0, 1, 1, 1), (64, 64, 2, 1), (63, 2, 1, 2), (130, 500, 3, 8)]
)
def test_a_read_asks_once_for_just_the_frames_it_touches(
    offset, length, first, count, reader, source, plaintext, header_length
):
    assert reader.read_at(offset, length) == plaintext[offset : offset + length]

    assert source.requests == [frames(header_length, first, count)]


def test_reading_nothing_asks_for_nothing(reader, source):
    assert reader.read_at(10, 0) == reader.read_at(5000, 10) == b""
    assert reader.read(0) == b""
    assert source.requests == []


def test_opening_reads_the_header_and_the_final_frame(client):
    message = client.encrypt(bytes(100_000)).ciphertext
    source = CountingSource(message)
    client.random_access(source)

    final = 100_000 % FRAME + 40
    assert source.requests == [(0, 8192), (len(message) - final, final)]


def test_a_header_longer_than_most_is_asked_for_again(client, plaintext):
    source = CountingSource(client.encrypt(plaintext, encryption_context={"key": "x" * 30_000}).ciphertext)

    assert client.random_access(source).read() == plaintext
    assert len(source.requests) == 4


def test_frames_kept_are_not_asked_for_again(client, source, plaintext):
    reader = client.random_access(source, cache_size=10_000)
    source.requests.clear()
    for offset in range(0, 60, 10):
        assert reader.read_at(offset, 10) == plaintext[offset : offset + 10]
    assert len(source.requests) == 1
    # The final frame was read on opening.
    assert reader.read_at(970, 30) == plaintext[970:]
    assert len(source.requests) == 1


def test_small_reads_one_after_the_other_ask_for_much_at_a_time(client):
    plaintext = b"a line of some bytes\n" * 5000
    source = CountingSource(client.encrypt(plaintext).ciphertext)
    with client.random_access(source, read_ahead=20_000) as reader:
        assert b"".join(reader) == plaintext
    assert len(source.requests) <= 10


def test_the_source_says_how_much_to_ask_for(client):
    plaintext = bytes(100_000)
    source = CountingSource(client.encrypt(plaintext).ciphertext, read_ahead=50_000)
    with client.random_access(source) as reader:
        assert b"".join(iter(lambda: reader.read(10), b"")) == plaintext
    assert len(source.requests) <= 6


def test_a_seek_is_not_followed_by_reading_ahead(client, source, plaintext, header_length):
    reader = client.random_access(source, read_ahead=10_000, cache_size=0)
    source.requests.clear()
    reader.seek(500)
    assert reader.read(5) == plaintext[500:505]
    assert source.requests == [frames(header_length, 8, 1)]


def test_a_negative_cache_or_read_ahead_is_a_mistake(client, message):
    for options in ({"cache_size": -1}, {"read_ahead": -1}):
        with pytest.raises(UsageError):
            client.random_access(message, **options)


def test_an_edge_that_is_kept_is_not_asked_for_again(client, source, plaintext, header_length):
    reader = client.random_access(source)
    reader.read_at(300, 10)
    source.requests.clear()
    assert reader.read_at(150, 160) == plaintext[150:310]
    assert reader.read_at(310, 100) == plaintext[310:410]
    assert source.requests == [frames(header_length, 3, 2), frames(header_length, 6, 2)]


def test_a_mib_from_between_two_frames_is_asked_for_once(keyring):
    source = CountingSource(Client(keyring).encrypt(bytes(3 * MIB)).ciphertext)
    reader = Client(keyring).random_access(source)
    source.requests.clear()
    reader.read_at(1000, MIB)
    assert len(source.requests) == 1


def test_a_frame_longer_than_all_that_is_to_be_kept_is_asked_for_once_while_reads_stay_in_it(client, source, plaintext):
    reader = client.random_access(source, cache_size=1)
    source.requests.clear()
    for offset in (100, 64, 127, 80):
        assert reader.read_at(offset, 1) == plaintext[offset : offset + 1]
    assert len(source.requests) == 1


def test_frames_of_a_byte_are_not_asked_for_by_the_million(keyring):
    client = Client(keyring, frame_length=1)
    plaintext = random.Random(1).randbytes(80_000)
    source = CountingSource(client.encrypt(plaintext).ciphertext)
    reader = client.random_access(source)

    assert reader.read_at(1, 79_000) == plaintext[1:79_001]
    # Each takes 33 bytes in the message.
    assert max(length for _, length in source.requests) <= 2 * MIB + 33


def test_closing_drops_the_plaintext_that_was_kept(client, message):
    reader = client.random_access(message)
    reader.read_at(10, 10)
    assert reader._cache.size > 0
    reader.close()
    assert reader._cache.size == 0


@pytest.mark.skipif(
    not RELEASES_GIL, reason="this version of cryptography lets no other thread run meanwhile, so there is one"
)
def test_two_threads_read_a_long_range_at_once(keyring):
    client = Client(keyring, threads=2)
    source = CountingSource(client.encrypt(bytes(10 * MIB)).ciphertext)
    reader = client.random_access(source)
    together = threading.Barrier(2, timeout=60)
    first_two = threading.Semaphore(2)
    source.before = lambda: together.wait() if first_two.acquire(blocking=False) else None

    assert reader.read_at(0, 9 * MIB) == bytes(9 * MIB)


def test_long_reads_are_shared_by_threads(keyring):
    client = Client(keyring, threads=2)
    plaintext = random.Random(1).randbytes(10 * MIB)
    reader = client.random_access(client.encrypt(plaintext).ciphertext)

    assert reader.read_at(1000, 9 * MIB) == plaintext[1000 : 1000 + 9 * MIB]
    assert reader.read() == plaintext


def test_of_several_frames_altered_in_a_long_read_the_first_is_named(keyring):
    client = Client(keyring, threads=2)
    message = client.encrypt(bytes(10 * MIB)).ciphertext
    source = CountingSource(message)
    reader = client.random_access(source)
    for number in (150, 20, 90):
        source.flip(reader.header.length + (number - 1) * (65_536 + 32) + 500)

    with pytest.raises(AuthenticationError, match="frame 20 "):
        reader.read()


@pytest.mark.slow
@pytest.mark.parametrize("frame_length", [16, 4096, 65_536, MIB])
def test_reading_a_long_message_here_and_there_holds_little(frame_length, keyring, tmp_path):
    client = Client(keyring, frame_length=frame_length)
    size = (1 if frame_length == 16 else 32) * MIB
    with client.open(tmp_path / "message", "w") as writer:
        for _ in range(size // MIB):
            writer.write(bytes(MIB))
    chance = random.Random(frame_length)
    tracemalloc.start()
    try:
        with client.random_access(tmp_path / "message") as reader:
            for _ in range(200):
                reader.read_at(chance.randrange(size), 5000)
            reader.seek(size // 2)
            for _ in range(1000):
                reader.readline(4000)
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


# --- altered messages ------------------------------------------------------------------------------------------------


def test_wherever_a_byte_is_altered_no_other_byte_than_the_true_ones_comes_out(client, message, plaintext):
    for position in range(0, len(message), 5):
        altered = bytearray(message)
        altered[position] ^= 0x20
        refused = 0
        try:
            reader = client.random_access(altered)
        except EnvelopeError:
            continue
        for offset in range(0, 1000, 50):
            try:
                assert reader.read_at(offset, 50) == plaintext[offset : offset + 50]
            except EnvelopeError:
                refused += 1
        assert 1 <= refused <= 3


def test_every_byte_before_the_content_of_the_final_frame_counts(client, message):
    start = len(message) - (1000 % FRAME) - 40
    for position in range(start, start + 24):
        altered = bytearray(message)
        altered[position] ^= 1
        with pytest.raises((MessageError, AuthenticationError)):
            client.random_access(altered)


def test_a_frame_s_number_counts_although_its_tag_would_fit(client, message, header_length):
    altered = bytearray(message)
    altered[header_length + 3] ^= 4
    with pytest.raises(MessageError, match="frame 5 stands where frame 1 is due"):
        client.random_access(altered).read_at(0, 1)


def test_a_frame_altered_while_the_message_is_open_fails_the_reads_that_touch_it(
    reader, source, plaintext, header_length
):
    source.flip(header_length + 2 * STRIDE + 30)
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="frame 3 ") as error:
            reader.read_at(100, 100)
        assert error.value.section == "frame 3"
        assert reader.read_at(0, 128) == plaintext[:128]
        assert reader.read_at(192, 808) == plaintext[192:]


@pytest.mark.parametrize("name", READS)
def test_a_read_that_fails_leaves_the_position(name, reader, source, plaintext, header_length):
    source.flip(header_length + 2 * STRIDE + 30)
    reader.seek(128)
    with pytest.raises(AuthenticationError):
        some(reader, name, 100)
    assert reader.tell() == 128
    source.flip(header_length + 2 * STRIDE + 30)
    assert plaintext[128:].startswith(some(reader, name, 100))


def test_a_line_that_runs_into_an_altered_frame_fails_and_leaves_the_position(client, header_length):
    source = CountingSource(client.encrypt(b"x" * 500).ciphertext)
    reader = client.random_access(source)
    source.flip(header_length + 2 * STRIDE + 30)
    with pytest.raises(AuthenticationError):
        reader.readline()
    assert reader.tell() == 0


def test_the_final_frame_is_authenticated_again_when_it_is_read_again(reader, source):
    source.flip(source.size - 20)
    with pytest.raises(AuthenticationError, match="final frame"):
        reader.read_at(990, 10)


def test_another_frame_in_its_place_is_named(client, message, header_length):
    first, second = (message[header_length + index * STRIDE : header_length + (index + 1) * STRIDE] for index in (0, 1))
    reader = client.random_access(message[:header_length] + second + first + message[header_length + 2 * STRIDE :])
    with pytest.raises(MessageError, match="frame 2 stands where frame 1 is due") as error:
        reader.read_at(0, 1)
    assert (error.value.section, error.value.offset) == ("frame 1", header_length)
    assert len(reader.read_at(128, 500)) == 500


def test_a_frame_of_another_message_under_the_same_key_is_refused(client, message, plaintext, header_length):
    other = client.encrypt(plaintext).ciphertext
    span = slice(header_length, header_length + STRIDE)
    spliced = bytearray(message)
    spliced[span] = other[span]
    with pytest.raises(AuthenticationError, match="frame 1 "):
        client.random_access(spliced).read_at(0, 1)


@pytest.mark.parametrize("name", ["readinto", "readinto_at"])
def test_an_error_that_is_kept_keeps_nothing_of_the_callers_buffer(name, reader, source, header_length):
    source.flip(header_length + 30)
    buffer = bytearray(100)
    with pytest.raises(AuthenticationError) as caught:
        getattr(reader, name)(*([0] if name == "readinto_at" else []), buffer)
    # It could not be resized while somebody holds a view of it.
    buffer.clear()
    assert caught.value.section == "frame 1"


# --- the end proves the size -----------------------------------------------------------------------------------------


def test_a_message_cut_short_anywhere_is_refused_on_opening(client, message):
    for length in range(len(message)):
        with pytest.raises(TruncatedMessageError):
            client.random_access(message[:length])


@pytest.mark.parametrize("more", [1, 8, 40, FRAME, STRIDE, STRIDE + 40, 1000])
def test_bytes_behind_the_end_are_refused_on_opening(more, client, message):
    with pytest.raises(TrailingDataError):
        client.random_access(message + bytes(more))


def test_frames_cut_out_of_the_middle_are_noticed_on_opening(client, message, header_length):
    with pytest.raises(MessageError, match="out of order"):
        client.random_access(message[:header_length] + message[header_length + STRIDE :])


def test_what_is_wrong_with_a_long_message_is_found_at_its_end(keyring):
    client = Client(keyring, frame_length=4096)
    message = client.encrypt(bytes(8 * MIB)).ciphertext
    for fault, error in (
        (message[:-1], TruncatedMessageError),
        (message[:-MIB], TruncatedMessageError),
        (message + b"x", TrailingDataError),
        (message + bytes(2 * MIB), MessageError),
        (message[:-1] + bytes([message[-1] ^ 1]), AuthenticationError),
    ):
        source = CountingSource(fault)
        with pytest.raises(error):
            client.random_access(source)
        assert source.bytes_read < 2 * MIB


def test_a_long_signed_message_that_is_cut_short_is_refused_without_reading_it_all(keyring):
    client = Client(keyring, sign=True)
    source = CountingSource(client.encrypt(bytes(2 * MIB)).ciphertext[:-1000])
    with pytest.raises(MessageError, match="cut short, or bytes follow its end"):
        client.random_access(source, release_unverified_plaintext=True)
    assert source.bytes_read < MIB


def test_a_long_body_without_frames_that_is_cut_short_is_refused():
    order = Message(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, frame_length=0)
    reader = reader_of(StaticDataKeyring(order.data_key))
    with pytest.raises(MessageError, match="cut short, or bytes follow its end"):
        reader.random_access(order.whole(bytes(2 * MIB))[:-1])


@pytest.mark.parametrize("size", [2**38, 2**38 + 1])
def test_more_frames_than_a_message_has_are_refused_without_reading_them(size, keyring):
    class Endless(CountingSource):
        """A message that begins well, in frames of a byte, and has zeros to its end."""

        def readinto_at(self, offset, buffer, /):
            super().readinto_at(offset, buffer)
            return len(buffer)

    client = Client(keyring, frame_length=1)
    source = Endless(client.encrypt(b"ab").ciphertext)
    source.size = size
    with pytest.raises(MessageError, match="cut short, or bytes follow its end"):
        client.random_access(source)
    assert source.bytes_read < MIB


def test_an_empty_file_is_cut_short(client):
    with pytest.raises(TruncatedMessageError):
        client.random_access(b"")


# --- a message that changes ------------------------------------------------------------------------------------------


def test_a_file_written_to_meanwhile_is_refused(client, path, plaintext):
    with client.random_access(path, cache_size=0) as reader:
        assert reader.read_at(0, 5) == plaintext[:5]
        before = path.stat()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        for _ in range(2):
            with pytest.raises(StreamError, match="changed"):
                reader.read_at(0, 5)


@pytest.mark.parametrize("change", [-1, -500, 1])
def test_a_file_cut_short_or_grown_meanwhile_is_refused(change, client, path):
    with client.random_access(path, cache_size=0) as reader:
        os.truncate(path, path.stat().st_size + change)
        with pytest.raises(StreamError, match="changed"):
            reader.read_at(0, 5)


def test_a_file_grown_meanwhile_is_refused_even_if_its_time_of_change_is_put_back(client, path):
    before = path.stat()
    with client.random_access(path, cache_size=0) as reader:
        os.truncate(path, before.st_size + 1)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(StreamError, match="changed"):
            reader.read_at(0, 5)


def test_a_file_replaced_meanwhile_is_read_as_it_was_opened(client, path, plaintext):
    with client.random_access(path, cache_size=0) as reader:
        other = path.with_name("other")
        other.write_bytes(client.encrypt(b"another").ciphertext)
        other.replace(path)
        assert reader.read() == plaintext


def test_a_source_that_became_shorter_is_refused(reader, source, header_length):
    source.cut(header_length + 3 * STRIDE + 10)
    with pytest.raises(StreamError, match="became shorter"):
        reader.read_at(200, 10)


def test_an_error_of_the_source_is_raised_as_it_is_and_the_next_read_works(reader, source, plaintext):
    def fail():
        raise ConnectionResetError("the line is dead")

    source.before = fail
    with pytest.raises(ConnectionResetError, match="the line is dead"):
        reader.read(10)
    source.before = lambda: None
    assert reader.read(10) == plaintext[:10]


# --- sources ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path,
        lambda path: str(path),
        lambda path: path.read_bytes(),
        lambda path: bytearray(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()),
        lambda path: io.BytesIO(path.read_bytes()),
        lambda path: CountingSource(path.read_bytes()),
    ],
    ids=["Path", "str", "bytes", "bytearray", "memoryview", "BytesIO", "own"],
)
def test_sources_of_every_kind(make, client, path, plaintext):
    with client.random_access(make(path)) as reader:
        assert reader.read_at(500, 100) == plaintext[500:600]
        assert reader.read() == plaintext


@pytest.mark.parametrize("buffering", [0, -1], ids=["FileIO", "BufferedReader"])
def test_a_file_object_is_read_from_where_it_stands_and_neither_moved_nor_closed(buffering, client, path, plaintext):
    path.write_bytes(b"before" + path.read_bytes())
    with path.open("rb", buffering=buffering) as file:
        file.read(6)
        with client.random_access(file) as reader:
            assert reader.read_at(500, 100) == plaintext[500:600]
        assert file.tell() == 6
        assert not file.closed


def test_a_memory_map_is_read_as_a_file(client, path, plaintext):
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        client.random_access(mapped) as reader,
    ):
        assert reader.read_at(500, 100) == plaintext[500:600]


def test_a_file_object_that_adds_something_is_read_through(client, path, plaintext, tmp_path):
    import gzip

    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with gzip.open(packed) as file, client.random_access(file) as reader:
        assert reader.read_at(500, 100) == plaintext[500:600]


def test_a_file_object_need_not_say_where_seeking_leads(client, message, plaintext):
    class Silent(io.BytesIO):
        def seek(self, offset, whence=os.SEEK_SET, /):
            super().seek(offset, whence)

    assert client.random_access(Silent(message)).read_at(500, 100) == plaintext[500:600]


def test_a_message_in_a_message_is_read_at_any_position(client, message, plaintext):
    outer = client.encrypt(message).ciphertext
    with client.random_access(outer) as between, client.random_access(between) as reader:
        assert reader.read_at(500, 100) == plaintext[500:600]


def test_file_objects_are_read_by_one_thread_at_a_time(client, message, plaintext):
    class Watched(io.BytesIO):
        def readinto(self, buffer):
            alone.append(source._lock.locked())
            return super().readinto(buffer)

    alone = []
    source = FileObjectSource(Watched(message))
    reader = client.random_access(source, cache_size=0)
    wrong = []

    def work():
        for offset in range(0, 900, 5):
            if reader.read_at(offset, 5) != plaintext[offset : offset + 5]:
                wrong.append(offset)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(alone)
    assert len(alone) > 4 * 180


def test_a_file_object_that_hands_over_little_at_a_time_is_read_on(client, message, plaintext):
    class Little(io.BytesIO):
        def readinto(self, buffer):
            return super().readinto(memoryview(buffer)[:7])

    assert client.random_access(Little(message)).read_at(100, 500) == plaintext[100:600]


def test_a_path_is_closed_with_its_reader_and_where_opening_fails(client, path):
    before = len(list(Path("/dev/fd").iterdir()))
    with client.random_access(path):
        assert len(list(Path("/dev/fd").iterdir())) == before + 1
    other = Client(RawAesKeyring("test", "key-1", bytes(32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(NoMatchingKeyError) as caught:
            other.random_access(path)
    # The error keeps frames, and they keep what is in them, but the file is closed.
    assert caught.value.__traceback__ is not None
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_source_of_one_s_own_stays_open(client, source):
    client.random_access(source).close()
    assert not source.closed
    assert isinstance(source, PositionalSource)


def test_what_cannot_seek_is_refused(client, message, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDWR)
    reading, writing = os.pipe()
    try:
        with os.fdopen(reading, "rb") as pipe:
            for source in (pipe, tmp_path / "pipe", type("OnlyRead", (), {"read": lambda *_: b""})()):
                with pytest.raises(io.UnsupportedOperation):
                    client.random_access(source)
    finally:
        os.close(end)
        os.close(writing)


@pytest.mark.parametrize("source", [5, None, object()], ids=lambda source: type(source).__name__)
def test_what_is_nothing_of_the_kind_is_a_type_error(source, client):
    with pytest.raises(TypeError, match="a path, a binary file object, bytes"):
        client.random_access(source)


def test_a_missing_file_and_a_folder_are_the_system_s_errors(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        client.random_access(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        client.random_access(tmp_path)


# --- what is accepted ------------------------------------------------------------------------------------------------


def test_signed_messages_are_refused(signing_client, plaintext):
    with pytest.raises(SignedStreamError):
        signing_client.random_access(signing_client.encrypt(plaintext).ciphertext)


@pytest.mark.parametrize("option", ["verify_first", "release_unverified_plaintext"])
@pytest.mark.parametrize("length", [0, 1, FRAME, 1000])
def test_signed_messages_are_read_where_that_is_asked_for(option, length, signing_client, plaintext):
    message = signing_client.encrypt(plaintext[:length]).ciphertext
    with signing_client.random_access(message, **{option: True}) as reader:
        assert reader.size == length
        assert reader.read_at(500, 100) == plaintext[:length][500:600]
        assert reader.read() == plaintext[:length]


def test_the_pass_that_comes_first_checks_the_signature(signing_client, plaintext):
    message = bytearray(signing_client.encrypt(plaintext).ciphertext)
    message[-10] ^= 1
    with pytest.raises(SignatureError):
        signing_client.random_access(message, verify_first=True)
    # Whoever releases it unverified has been told so.
    assert signing_client.random_access(message, release_unverified_plaintext=True).read() == plaintext


def test_the_pass_that_comes_first_checks_every_frame_of_an_unsigned_message_too(client, message, header_length):
    altered = bytearray(message)
    altered[header_length + 5 * STRIDE + 40] ^= 1
    client.random_access(altered)
    with pytest.raises(AuthenticationError, match="frame 6 "):
        client.random_access(altered, verify_first=True)


@pytest.mark.parametrize("missing", [1, 50, 110, 150, 500])
def test_a_signed_message_cut_short_is_refused_whatever_is_asked_for(missing, signing_client, plaintext):
    message = signing_client.encrypt(plaintext).ciphertext[:-missing]
    for option in ("verify_first", "release_unverified_plaintext"):
        with pytest.raises(TruncatedMessageError):
            signing_client.random_access(message, **{option: True})


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: f"{suite.suite_id:04x}")
@pytest.mark.parametrize("length", [0, 1, 1000])
def test_a_body_without_frames_is_held_whole(suite, length):
    order = Message(suite, frame_length=0)
    source = CountingSource(order.whole(sample_bytes(length)))
    reader = reader_of(StaticDataKeyring(order.data_key)).random_access(source, release_unverified_plaintext=True)
    source.requests.clear()

    assert (reader.size, reader.read_at(500, 100)) == (length, sample_bytes(length)[500:600])
    assert reader.read() == sample_bytes(length)
    assert source.requests == []


def test_a_body_without_frames_is_asked_for_once_however_little_is_to_be_kept():
    order = Message(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, frame_length=0)
    source = CountingSource(order.whole(sample_bytes(1000)))
    reader = reader_of(StaticDataKeyring(order.data_key)).random_access(source, cache_size=1)
    source.requests.clear()

    assert reader.read_at(900, 10) + reader.read_at(5, 10) == sample_bytes(1000)[900:910] + sample_bytes(1000)[5:15]
    assert source.requests == []


@pytest.mark.parametrize(("limit", "refused"), [(1000, False), (999, True)])
def test_a_body_without_frames_keeps_to_the_limit(limit, refused):
    order = Message(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, frame_length=0)
    client = reader_of(StaticDataKeyring(order.data_key), limits=Limits(max_body_length=limit))
    source = CountingSource(order.whole(bytes(1000)))
    with pytest.raises(LimitExceededError) if refused else contextlib.nullcontext():
        client.random_access(source)


def test_a_frame_that_could_be_of_4_gib_takes_what_it_has(keyring):
    client = Client(keyring, frame_length=2**32 - 1)
    message = client.encrypt(bytes(1000)).ciphertext
    tracemalloc.start()
    try:
        assert client.random_access(message).read() == bytes(1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB


def test_the_context_has_to_be_the_required_one(client, plaintext):
    message = client.encrypt(plaintext, encryption_context={"purpose": "test"}).ciphertext
    assert client.random_access(message, encryption_context={"purpose": "test"}).size == 1000
    for options in ({"encryption_context": {"purpose": "other"}}, {"required_context_keys": ["tenant"]}):
        with pytest.raises(ContextMismatchError):
            client.random_access(message, **options)


def test_the_client_s_limits_hold(keyring, message):
    for limits in (Limits(max_body_length=63), Limits(max_header_length=10)):
        with pytest.raises(LimitExceededError):
            Client(keyring, limits=limits).random_access(message)


def test_the_key_is_looked_for_once(message, keyring, plaintext):
    class Counting:
        calls = 0

        def on_encrypt(self, materials):
            return keyring.on_encrypt(materials)

        def on_decrypt(self, materials, keys):
            self.calls += 1
            return keyring.on_decrypt(materials, keys)

    counting = Counting()
    with Client(counting).random_access(message) as reader:
        assert reader.read() == plaintext
    assert counting.calls == 1


def test_a_reader_shows_and_gives_away_no_key(client, message):
    reader = open_random_access(message, client=client)
    assert isinstance(reader, RandomAccessReader)
    assert repr(reader).startswith("<envelope_sdk.streams.ranges.RandomAccessReader object")
    for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            refuse(reader)
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            refuse(reader._frames)


def test_a_reader_that_could_not_be_made_leaves_the_source_to_its_caller(client, message):
    made = []

    class Kept(RandomAccessReader):
        def __init__(self, *arguments, **options):
            made.append(self)
            super().__init__(*arguments, **options)

    source = BytesSource(message)
    frames = read_beginning(first_bytes_of(source), client.decryptor())
    cut = BytesSource(message[:-1])
    with pytest.raises(TruncatedMessageError):
        Kept(cut, frames, close_source=True)
    # As dropping does.
    made[0].close()
    assert cut.readinto_at(0, memoryview(bytearray(4))) == 4


def test_a_named_pipe_is_refused_without_waiting_for_its_other_end(client, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(io.UnsupportedOperation, match="only a regular file"):
        client.random_access(tmp_path / "pipe")
