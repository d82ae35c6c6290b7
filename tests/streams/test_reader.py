"""Reading: an encrypted file is a file, and what it returns is authentic or not returned."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import tarfile
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    EnvelopeError,
    MessageError,
    SignatureError,
    SignedStreamError,
    StreamError,
    TrailingDataError,
    TruncatedMessageError,
)
from envelope_sdk.keyrings import RawAesKeyring

MIB = 2**20
FRAME = 64


@pytest.fixture
def message(client, plaintext):
    return client.encrypt(plaintext).ciphertext


@pytest.fixture
def reader(client, message):
    with client.open(io.BytesIO(message), partial_read=True) as reader:
        yield reader


class OneByte(io.RawIOBase):
    """A raw file that hands over one byte at a time."""

    def __init__(self, content):
        self._content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._content.readinto(memoryview(buffer)[:1])


class OnlyRead:
    """The least of a file: ``read`` and nothing else."""

    def __init__(self, content, piece=7):
        self._content = io.BytesIO(content)
        self._piece = piece

    def read(self, size=-1):
        return self._content.read(min(size, self._piece))


def drain(client, file, released):
    """Add to ``released`` whatever comes out, piece by piece, signed or not."""
    with client.open(file, release_unverified_plaintext=True) as reader:
        while piece := reader.read1(10):
            released += piece


# --- reading as from any file ----------------------------------------------------------------------------------------


def test_read_returns_all(reader, plaintext):
    assert reader.read() == plaintext
    assert reader.read() == b""


@pytest.mark.parametrize("size", [1, 7, 63, 64, 65, 999, 1000, 1001])
def test_read_returns_just_as_much_as_asked_for(size, reader, plaintext):
    pieces = list(iter(lambda: reader.read(size), b""))

    assert pieces == [plaintext[start : start + size] for start in range(0, len(plaintext), size)]


def test_read_none_returns_all(reader, plaintext):
    assert reader.read(None) == plaintext


def test_read_zero_returns_nothing(reader, plaintext):
    assert reader.read(0) == b""
    assert reader.read1(0) == b""
    assert reader.readinto(bytearray()) == 0
    assert reader.read() == plaintext


@pytest.mark.parametrize("size", [-1, 1, 100, 5000])
def test_read1_returns_some(size, reader, plaintext):
    assert b"".join(iter(lambda: reader.read1(size), b"")) == plaintext


@pytest.mark.parametrize("name", ["readinto", "readinto1"])
@pytest.mark.parametrize("size", [1, 100, 5000])
def test_readinto_fills_a_buffer(name, size, reader, plaintext):
    buffer = bytearray(size)
    result = bytearray()
    while count := getattr(reader, name)(buffer):
        result += buffer[:count]
    assert result == plaintext


def test_peek_shows_what_read_returns_next(reader, plaintext):
    assert reader.peek(10)[:10] == plaintext[:10]
    assert reader.tell() == 0
    assert reader.read(10) == plaintext[:10]
    reader.read()
    assert reader.peek() == b""


def test_read_view_returns_plaintext_without_a_copy(reader, plaintext):
    pieces = bytearray()
    while view := reader.read_view(100):
        assert isinstance(view, memoryview)
        pieces += view
    assert pieces == plaintext


def test_tell_counts_plaintext(reader):
    assert reader.tell() == 0
    reader.read(10)
    assert reader.tell() == 10
    reader.read()
    assert reader.tell() == 1000


def test_a_reader_only_reads(reader):
    assert reader.readable()
    assert not reader.writable()
    for action in (lambda: reader.write(b""), reader.fileno, reader.truncate, reader.detach):
        with pytest.raises(io.UnsupportedOperation):
            action()


def test_over_a_file_that_cannot_seek_a_reader_goes_only_forward(client, message):
    with client.open(OneByte(message), partial_read=True) as reader:
        assert not reader.seekable()
        with pytest.raises(io.UnsupportedOperation):
            reader.seek(0)


def test_a_closed_reader_refuses_to_read(client, message):
    reader = client.open(io.BytesIO(message))
    reader.close()
    reader.close()
    for action in (reader.read, reader.read1, reader.peek, reader.readline, lambda: reader.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            action()
    with pytest.raises(ValueError, match="closed"), reader:
        pass


def test_lines_are_found_across_frames(client):
    lines = [b"x" * length + b"\n" for length in range(200)] + [b"no newline at the end"]
    with client.open(io.BytesIO(client.encrypt(b"".join(lines)).ciphertext)) as reader:
        assert list(reader) == lines


def test_many_lines_are_read_in_few_calls(client):
    message = client.encrypt(b"a line of some bytes\n" * 50_000).ciphertext
    calls = 0

    class Counting(type(client.open(io.BytesIO(message)))):
        def read(self, size=-1, /):
            nonlocal calls
            calls += 1
            return super().read(size)

    with Counting(io.BytesIO(message), client.decryptor()) as reader:
        assert sum(1 for _ in reader) == 50_000
    # One or two a line, and not one a byte.
    assert calls <= 150_000


def test_copyfileobj(client, message, plaintext):
    target = io.BytesIO()
    with client.open(io.BytesIO(message)) as reader:
        shutil.copyfileobj(reader, target, 100)
    assert target.getvalue() == plaintext


def test_a_buffered_reader_on_top(client, message, plaintext):
    with client.open(io.BytesIO(message)) as reader:
        assert io.BufferedReader(reader).read() == plaintext


def test_a_tar_archive_is_read_as_a_stream(client, plaintext):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("first", "second"):
            member = tarfile.TarInfo(name)
            member.size = len(plaintext)
            tar.addfile(member, io.BytesIO(plaintext))
    message = client.encrypt(archive.getvalue()).ciphertext

    with client.open(io.BytesIO(message)) as reader, tarfile.open(fileobj=reader, mode="r|") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}
        reader.read()

    assert found == {"first": plaintext, "second": plaintext}


def test_csv_over_text(client):
    rows = [["größe", "1"], ["line\nbreak", "2"]]
    file = io.BytesIO()
    with client.open(file, "wt", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows(rows)
    file.seek(0)
    with client.open(file, "rt", encoding="utf-8", newline="") as text:
        assert list(csv.reader(text)) == rows


def test_a_zip_archive_is_refused_where_it_cannot_be_read_from_its_end(client, message):
    with (
        client.open(OneByte(message), partial_read=True) as reader,
        pytest.raises((io.UnsupportedOperation, zipfile.BadZipFile)),
    ):
        zipfile.ZipFile(reader)


@pytest.mark.parametrize("make", [OneByte, OnlyRead, io.BytesIO, lambda content: io.BufferedReader(OneByte(content))])
def test_files_below_of_every_kind(make, client, message, plaintext):
    with client.open(make(message)) as reader:
        assert reader.read() == plaintext


def test_frames_are_released_while_more_are_still_to_come(client, plaintext):
    message = client.encrypt(plaintext).ciphertext
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as readable, os.fdopen(sink, "wb", buffering=0) as writable:
        writable.write(message[:-100])
        with client.open(readable) as reader:
            start = reader.read1()
            writable.write(message[-100:])
            writable.close()
            assert start + reader.read() == plaintext
    assert len(start) >= 800


def test_a_file_below_that_does_not_block_says_so(client, message):
    class Empty(io.RawIOBase):
        def readinto(self, buffer):
            return None

    class EmptyRead:
        def read(self, size=-1):
            return None

    for file in (Empty(), EmptyRead()):
        with pytest.raises(BlockingIOError):
            client.open(file)


def test_an_error_of_the_file_below_is_raised_as_it_is(client, message):
    class Broken(OnlyRead):
        def read(self, size=-1):
            data = super().read(size)
            if not data:
                raise OSError("the disk is gone")
            return data

    with pytest.raises(OSError, match="the disk is gone"), client.open(Broken(message[:-10])) as reader:
        reader.read()


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 16, 100, 500])
def test_a_message_cut_short_raises_whatever_was_read(missing, client, message):
    for read in (lambda reader: reader.read(), lambda reader: reader.read(10), lambda reader: None):
        with pytest.raises((TruncatedMessageError, StreamError)), client.open(io.BytesIO(message[:-missing])) as reader:
            read(reader)


def test_a_message_cut_at_a_frame_raises_at_the_end(client, message):
    header = client.decrypt(message).header.length
    cut = message[: header + 3 * (FRAME + 32)]
    with client.open(io.BytesIO(cut), partial_read=True) as reader:
        assert len(reader.read(3 * FRAME)) == 3 * FRAME
        with pytest.raises(TruncatedMessageError):
            reader.read(1)


def test_leaving_a_block_early_raises(client, message):
    with pytest.raises(StreamError, match="left before its end"), client.open(io.BytesIO(message)) as reader:
        reader.read(10)


def test_leaving_a_block_early_is_fine_where_it_is_meant(client, message, plaintext):
    with client.open(io.BytesIO(message), partial_read=True) as reader:
        assert reader.read(10) == plaintext[:10]


def test_leaving_a_text_block_early_raises(client):
    message = client.encrypt(b"line\n" * 10_000_00).ciphertext
    with pytest.raises(StreamError, match="left before its end"), client.open(io.BytesIO(message), "rt") as text:
        text.readline()
    with client.open(io.BytesIO(message), "rt", partial_read=True) as text:
        assert text.readline() == "line\n"


def test_reading_the_exact_length_checks_the_end(client, message, plaintext):
    with client.open(io.BytesIO(message)) as reader:
        assert reader.read(len(plaintext)) == plaintext
    with pytest.raises(TrailingDataError), client.open(io.BytesIO(message + b"x")) as reader:
        reader.read(len(plaintext))


def test_what_the_block_raises_is_not_replaced(client, message):
    with pytest.raises(ZeroDivisionError), client.open(io.BytesIO(message)):
        raise ZeroDivisionError


def test_an_error_swallowed_in_the_block_comes_back_at_its_end(client, message):
    with (
        pytest.raises(TruncatedMessageError),
        client.open(OneByte(message[:-1])) as reader,
        contextlib.suppress(TruncatedMessageError),
    ):
        reader.read()


def test_an_error_is_raised_again_by_every_later_read(client, message):
    altered = bytearray(message)
    altered[-1] ^= 1
    reader = client.open(OneByte(altered), partial_read=True)
    with pytest.raises(AuthenticationError) as first:
        reader.read()
    for action in (reader.read, reader.read1, reader.readline, reader.peek, lambda: reader.readinto(bytearray(10))):
        with pytest.raises(AuthenticationError) as again:
            action()
        assert str(again.value) == str(first.value)


def test_a_path_is_closed_with_its_reader(client, message, tmp_path):
    (tmp_path / "file").write_bytes(message)
    reader = client.open(tmp_path / "file")
    raw = reader._raw
    reader.close()
    assert raw.closed


# --- altered messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [False, True])
def test_whatever_is_altered_only_a_beginning_of_the_plaintext_comes_out(sign, keyring, plaintext):
    client = Client(keyring, frame_length=FRAME, sign=sign)
    message = client.encrypt(plaintext).ciphertext
    for position in range(0, len(message), 11):
        altered = bytearray(message)
        altered[position] ^= 0x20
        released = bytearray()
        with pytest.raises(EnvelopeError):
            drain(client, OneByte(altered), released)
        assert plaintext.startswith(released)


def test_frames_in_another_order_are_refused(client, message):
    header = client.decrypt(message).header.length
    first, second = (message[header + index * 96 : header + (index + 1) * 96] for index in (0, 1))
    swapped = message[:header] + second + first + message[header + 2 * 96 :]
    with pytest.raises(MessageError, match="out of order"), client.open(io.BytesIO(swapped)) as reader:
        reader.read()


# --- signed messages -------------------------------------------------------------------------------------------------


def test_signed_messages_are_refused_on_opening(signing_client, plaintext, tmp_path):
    message = signing_client.encrypt(plaintext).ciphertext
    (tmp_path / "file").write_bytes(message)
    for file in (io.BytesIO(message), tmp_path / "file"):
        with pytest.raises(SignedStreamError, match="allow unverified plaintext explicitly"):
            signing_client.open(file)


def test_signed_messages_are_read_where_that_is_allowed(signing_client, plaintext):
    message = signing_client.encrypt(plaintext).ciphertext
    with signing_client.open(io.BytesIO(message), release_unverified_plaintext=True) as reader:
        assert reader.read() == plaintext


def test_the_last_frame_of_an_altered_signed_message_never_comes_out(signing_client, plaintext):
    message = bytearray(signing_client.encrypt(plaintext).ciphertext)
    message[-10] ^= 1
    released = bytearray()
    with pytest.raises(SignatureError):
        drain(signing_client, OneByte(message), released)
    assert released == plaintext[: 1000 // FRAME * FRAME]


def test_a_short_signed_message_releases_nothing_before_its_signature(signing_client):
    message = signing_client.encrypt(b"fits one frame").ciphertext
    released = bytearray()
    with pytest.raises(TruncatedMessageError):
        drain(signing_client, OneByte(message[:-1]), released)
    assert released == b""


# --- cost ------------------------------------------------------------------------------------------------------------


class Zeros(io.RawIOBase):
    """A message of 64 MiB of zeros, encrypted while it is read."""

    def __init__(self, encryptor, chunks):
        self._encryptor = encryptor
        self._chunks = chunks
        self._pending = memoryview(encryptor.start())

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._pending and self._chunks >= 0:
            self._chunks -= 1
            made = self._encryptor.update(bytes(MIB)) if self._chunks >= 0 else self._encryptor.finish()
            self._pending = memoryview(made)
        count = min(len(buffer), len(self._pending))
        memoryview(buffer)[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count


@pytest.mark.slow
@pytest.mark.parametrize("frame_length", [4096, 65_536, MIB])
def test_reading_64_mib_holds_few(frame_length, keyring):
    client = Client(keyring, frame_length=frame_length)
    tracemalloc.start()
    try:
        total = 0
        with client.open(Zeros(client.encryptor(), 64)) as reader:
            while view := reader.read_view():
                total += len(view)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert total == 64 * MIB
    assert peak < 10 * MIB


# --- any sequence ----------------------------------------------------------------------------------------------------


@given(
    pieces=st.lists(st.binary(max_size=200), max_size=20),
    sizes=st.lists(st.tuples(st.sampled_from(["read", "read1", "readinto", "peek", "readline"]), st.integers(0, 300))),
    frame_length=st.integers(1, 150),
    chunk=st.integers(1, 400),
    sign=st.booleans(),
)
def test_any_writes_and_any_reads_round_trip(pieces, sizes, frame_length, chunk, sign):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=frame_length, sign=sign)
    plaintext = b"".join(pieces)
    file = io.BytesIO()
    with client.open(file, "w") as writer:
        for piece in pieces:
            writer.write(piece)

    assert client.decrypt(file.getvalue()).plaintext == plaintext

    result = bytearray()
    with client.open(OnlyRead(file.getvalue(), chunk), release_unverified_plaintext=True) as reader:
        for name, size in sizes:
            if name == "readinto":
                buffer = bytearray(size)
                result += buffer[: reader.readinto(buffer)]
            elif name == "peek":
                assert plaintext[len(result) :].startswith(reader.peek(size))
            else:
                result += getattr(reader, name)(size)
            assert reader.tell() == len(result)
        result += reader.read()
    assert result == plaintext
