"""Reading a message out of plaintext: what an upload sends."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tempfile
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk import Client
from envelope_sdk.errors import EncryptionContextError, StreamError, TruncatedMessageError, UsageError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import CachingMaterialsManager, DefaultMaterialsManager
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.streams import EncryptingReader

MIB = 2**20


class Pipe(io.RawIOBase):
    """A source of unknown length that gives ``chunk`` bytes at a time, and then what ``error`` says."""

    def __init__(self, content, chunk=7, error=None):
        self._below = io.BytesIO(content)
        self._chunk = chunk
        self._error = error

    def readable(self):
        return True

    def readinto(self, buffer):
        count = self._below.readinto(memoryview(buffer)[: self._chunk])
        if not count and self._error is not None:
            raise self._error
        return count


@pytest.fixture
def path(tmp_path, plaintext):
    path = tmp_path / "plain"
    path.write_bytes(plaintext)
    return path


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1000, -1, None])
def test_what_is_read_is_the_message(size, client, plaintext):
    with client.encrypting_reader(io.BytesIO(plaintext), encryption_context={"a": "b"}) as reader:
        pieces = [reader.read()] if size in (-1, None) else list(iter(lambda: reader.read(size), b""))
        assert reader.read(size) == b""

    found = client.decrypt(b"".join(pieces))
    assert found.plaintext == plaintext
    assert dict(found.header.encryption_context) == {"a": "b"}
    assert found.header == reader.header
    assert size in (-1, None) or {len(piece) for piece in pieces[:-1]} <= {size}


def test_nothing_below_is_an_empty_message(client):
    for source in (io.BytesIO(), Pipe(b"")):
        assert client.decrypt(client.encrypting_reader(source).read()).plaintext == b""


def test_reading_begins_where_the_file_stands(client, path, plaintext):
    with path.open("rb") as file:
        file.read(10)
        reader = client.encrypting_reader(file)
        assert client.decrypt(reader.read()).plaintext == plaintext[10:]


def test_it_is_copied_by_shutil(client, plaintext):
    target = io.BytesIO()
    with client.encrypting_reader(io.BytesIO(plaintext)) as reader:
        shutil.copyfileobj(reader, target, 100)
    assert client.decrypt(target.getvalue()).plaintext == plaintext


def test_every_way_to_read_gives_the_same_stream(client, plaintext):
    reader = client.encrypting_reader(io.BytesIO(plaintext))
    buffer = bytearray(100)
    message = reader.read(5) + reader.read1(5) + bytes(reader.read_view(5)) + reader.readline(50)
    assert reader.peek(3) == reader.peek(3)
    message += buffer[: reader.readinto(buffer)]
    message += buffer[: reader.readinto1(buffer)]
    assert reader.tell() == len(message)
    assert client.decrypt(message + reader.read()).plaintext == plaintext


def test_a_buffered_reader_on_top(client, plaintext):
    buffered = io.BufferedReader(client.encrypting_reader(io.BytesIO(plaintext)))
    assert client.decrypt(buffered.read()).plaintext == plaintext


def test_signed_messages_are_made_too(signing_client, plaintext):
    reader = signing_client.encrypting_reader(io.BytesIO(plaintext))
    message = reader.read()
    assert signing_client.decrypt(message).plaintext == plaintext
    assert reader.length == len(message)


def test_the_file_below_stays_open(client, path):
    with path.open("rb") as file:
        with client.encrypting_reader(file) as reader:
            reader.read()
        assert reader.closed
        assert not file.closed
        EncryptingReader(file, client.encryptor(), close_raw=True).close()
        assert file.closed


def test_it_only_reads_and_a_closed_one_does_not(client):
    reader = client.encrypting_reader(io.BytesIO(b"x"))
    assert reader.readable()
    assert not reader.writable()
    assert not reader.seekable()
    with pytest.raises(io.UnsupportedOperation):
        reader.write(b"x")
    reader.close()
    for action in (reader.read, reader.peek, lambda: reader.seek(0)):
        with pytest.raises(ValueError, match="closed encrypting reader"):
            action()


@pytest.mark.parametrize("file", [io.StringIO("text"), "path", None, 5], ids=lambda file: type(file).__name__)
def test_what_is_no_binary_file_is_a_type_error(file, client):
    with pytest.raises(TypeError, match="a binary file object to read"):
        client.encrypting_reader(file)


def test_a_context_that_is_refused_is_refused_at_once(client):
    with pytest.raises(EncryptionContextError):
        client.encrypting_reader(io.BytesIO(), encryption_context={"aws-crypto-x": "y"})


# --- its length ------------------------------------------------------------------------------------------------------


def sources(content, folder):
    """Yield files of every kind whose length can be told, standing at their start."""
    path = folder / "content"
    path.write_bytes(content)
    yield io.BytesIO(content)
    yield io.FileIO(path)
    yield path.open("rb")
    yield path.open("r+b")
    for file in (tempfile.TemporaryFile(), tempfile.NamedTemporaryFile()):  # noqa: SIM115
        file.write(content)
        file.seek(0)
        yield file
    for most in (0, 10):
        spooled = tempfile.SpooledTemporaryFile(max_size=most)  # noqa: SIM115
        spooled.write(content)
        spooled.seek(0)
        yield spooled


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 128, 1000])
def test_the_length_is_known_before_anything_is_read(length, client, tmp_path):
    for source in sources(bytes(length), tmp_path):
        with source, client.encrypting_reader(source) as reader:
            announced = reader.length
            assert reader.plaintext_length == length
            assert announced == len(reader.read())


def test_the_length_is_that_of_what_is_left_of_the_file(client, tmp_path):
    for source in sources(bytes(1000), tmp_path):
        with source:
            source.read(100)
            reader = client.encrypting_reader(source)
            assert reader.length == len(message := reader.read())
            assert len(client.decrypt(message).plaintext) == 900


def test_the_length_of_a_pipe_is_known_where_it_is_told(client):
    assert client.encrypting_reader(Pipe(bytes(100))).length is None
    reader = client.encrypting_reader(Pipe(bytes(100)), plaintext_length=100)
    assert reader.length == len(reader.read())


@pytest.mark.parametrize("kind", [gzip.GzipFile, "device"])
def test_a_file_whose_length_says_nothing_of_its_content_has_none(kind, client, tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(bytes(1000)))
    file = open(os.devnull, "rb") if kind == "device" else gzip.open(path)  # noqa: PTH123, SIM115
    with file, client.encrypting_reader(file) as reader:
        assert reader.length is None
        assert len(client.decrypt(reader.read()).plaintext) == (0 if kind == "device" else 1000)


def test_an_announced_length_is_one_that_a_cache_counts(keyring):
    class Recording(DefaultMaterialsManager):
        lengths = ()

        def get_encryption_materials(self, request):
            Recording.lengths += (request.plaintext_length,)
            return super().get_encryption_materials(request)

    client = Client(materials_manager=Recording(keyring))
    client.encrypting_reader(io.BytesIO(bytes(100)))
    client.encrypting_reader(Pipe(b""))
    assert Recording.lengths == (100, None)


def test_readers_share_a_cached_data_key_where_lengths_are_known(keyring):
    client = Client(materials_manager=CachingMaterialsManager(keyring, max_age_seconds=60))
    keys = {client.encrypting_reader(io.BytesIO(b"x")).header.encrypted_data_keys for _ in range(3)}
    assert len(keys) == 1


@pytest.mark.parametrize("told", [0, 999, 1001, 5000])
@pytest.mark.parametrize("chunk", [7, 5000])
def test_another_length_than_announced_is_an_error_and_no_message(told, chunk, client, plaintext):
    reader = client.encrypting_reader(Pipe(plaintext, chunk), plaintext_length=told)
    read = io.BytesIO()
    with pytest.raises(StreamError, match=f"{told} bytes of plaintext were to be read"):
        shutil.copyfileobj(reader, read, 10)
    with pytest.raises(StreamError, match="bytes of plaintext were to be read"):
        reader.read()
    with pytest.raises(TruncatedMessageError):
        client.decrypt(read.getvalue())


@pytest.mark.parametrize("change", [-1, 1], ids=["cut", "grown"])
def test_a_file_that_changes_while_it_is_read_is_an_error(change, client, path, plaintext):
    with path.open("rb", buffering=0) as file:
        reader = client.encrypting_reader(file)
        reader.read(10)
        with path.open("r+b") as other:
            other.truncate(len(plaintext) + change)
        with pytest.raises(StreamError, match="it changed meanwhile"):
            reader.read()


def test_a_length_below_zero_is_refused(client):
    with pytest.raises(UsageError, match="less than 0"):
        client.encrypting_reader(Pipe(b""), plaintext_length=-1)


def test_a_message_with_too_many_frames_is_refused_before_it_begins(keyring):
    client = Client(keyring, frame_length=1)
    with pytest.raises(UsageError, match="choose a larger frame length"):
        client.encrypting_reader(Pipe(b""), plaintext_length=2**33)


# --- going back ------------------------------------------------------------------------------------------------------


def test_the_end_may_be_looked_at_to_learn_the_length(client, plaintext):
    reader = client.encrypting_reader(io.BytesIO(plaintext))
    start = reader.read(10) + reader.readline()
    assert reader.seek(0, os.SEEK_END) == reader.tell() == reader.length
    assert (reader.read(), reader.read(5), reader.peek(), reader.readline()) == (b"", b"", b"", b"")
    assert reader.seek(0, os.SEEK_CUR) == reader.length
    assert reader.seek(len(start)) == reader.tell() == len(start)
    assert client.decrypt(start + reader.read()).plaintext == plaintext


@pytest.mark.parametrize(
    "place", [(0,), (9,), (11,), (-1, os.SEEK_CUR), (-5, os.SEEK_END)], ids=["start", "back", "on", "one-back", "tail"]
)
def test_nothing_is_ever_read_twice(place, client, plaintext):
    reader = client.encrypting_reader(io.BytesIO(plaintext))
    start = reader.read(10)
    with pytest.raises(io.UnsupportedOperation, match="make another reader"):
        reader.seek(*place)
    assert client.decrypt(start + reader.read()).plaintext == plaintext


def test_the_end_of_what_has_no_known_length_cannot_be_looked_at(client):
    with pytest.raises(io.UnsupportedOperation):
        client.encrypting_reader(Pipe(b"")).seek(0, os.SEEK_END)


def test_another_reader_of_the_same_plaintext_has_another_key(client, plaintext):
    first, second = (client.encrypting_reader(io.BytesIO(plaintext)).read() for _ in range(2))
    assert first != second
    assert client.decrypt(first).header.message_id != client.decrypt(second).header.message_id


# --- ends and trouble ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 500])
def test_leaving_a_block_early_raises(size, client, plaintext):
    with pytest.raises(StreamError, match="left before its end"), client.encrypting_reader(Pipe(plaintext)) as reader:
        reader.read(size)


def test_leaving_a_block_after_a_look_at_the_end_raises(client, plaintext):
    with (
        pytest.raises(StreamError, match="left before its end"),
        client.encrypting_reader(io.BytesIO(plaintext)) as reader,
    ):
        reader.seek(0, os.SEEK_END)


def test_leaving_a_block_early_is_fine_where_it_is_meant_or_something_else_failed(client, plaintext):
    with client.encrypting_reader(Pipe(plaintext), partial_read=True) as reader:
        reader.read(1)
    with pytest.raises(ZeroDivisionError), client.encrypting_reader(Pipe(plaintext)) as reader:
        raise ZeroDivisionError


def test_reading_the_exact_length_is_reading_to_the_end(client, plaintext):
    with client.encrypting_reader(io.BytesIO(plaintext)) as reader:
        message = reader.read(reader.length)
    assert client.decrypt(message).plaintext == plaintext


def test_a_dropped_reader_gave_no_message(client, plaintext):
    reader = client.encrypting_reader(Pipe(plaintext, 100))
    read = reader.read(500)
    del reader
    with pytest.raises(TruncatedMessageError):
        client.decrypt(read)


def test_an_error_below_is_raised_and_stays(client, plaintext):
    reader = client.encrypting_reader(Pipe(plaintext, error=OSError("the disk is gone")))
    with pytest.raises(OSError, match="the disk is gone"):
        reader.read()
    for action in (reader.read, reader.peek, reader.readline, lambda: reader.readinto(bytearray(1))):
        with pytest.raises(StreamError, match="the disk is gone"):
            action()


def test_a_file_below_that_has_nothing_yet_says_so(client):
    class Empty(io.RawIOBase):
        def readinto(self, buffer):
            return None

    with pytest.raises(BlockingIOError):
        client.encrypting_reader(Empty()).read()


def test_a_file_below_that_returns_more_than_was_asked_for_is_refused(client):
    class Generous:
        def read(self, size):
            return bytes(size + 1)

    with pytest.raises(OSError, match="were asked for"):
        client.encrypting_reader(Generous()).read()


# --- cost and any sequence -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("frame_length", [4096, 65_536, MIB])
def test_reading_a_message_of_64_mib_holds_few(frame_length, keyring):
    class Zeros(io.RawIOBase):
        left = 64 * MIB

        def readable(self):
            return True

        def readinto(self, buffer):
            count = min(len(buffer), self.left)
            self.left -= count
            return count

    tracemalloc.start()
    try:
        total = 0
        with Client(keyring, frame_length=frame_length).encrypting_reader(Zeros(), plaintext_length=64 * MIB) as reader:
            while view := reader.read_view(65_536):
                total += len(view)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert total == reader.length
    assert peak < 10 * MIB


@given(
    plaintext=st.binary(max_size=2000),
    chunk=st.integers(1, 400),
    sizes=st.lists(st.tuples(st.sampled_from(["read", "read1", "readinto", "peek", "readline"]), st.integers(0, 300))),
    frame_length=st.integers(1, 150),
    sign=st.booleans(),
    told=st.booleans(),
)
def test_any_cut_above_and_below_gives_the_message(plaintext, chunk, sizes, frame_length, sign, told):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=frame_length, sign=sign)
    message = bytearray()
    with client.encrypting_reader(Pipe(plaintext, chunk), plaintext_length=len(plaintext) if told else None) as reader:
        for name, size in sizes:
            if name == "readinto":
                buffer = bytearray(size)
                message += buffer[: reader.readinto(buffer)]
            elif name == "peek":
                reader.peek(size)
            else:
                message += getattr(reader, name)(size)
            assert reader.tell() == len(message)
        message += reader.read()
    assert client.decrypt(message).plaintext == plaintext
    assert reader.length == (len(message) if told else None)


def test_a_machine_tells_what_was_announced_to_it(client):
    machine = client.encryptor(plaintext_length=100)
    assert isinstance(machine, MessageEncryptor)
    assert machine.plaintext_length == 100
    assert machine.message_length == len(machine.start() + machine.update(bytes(100)) + machine.finish())
    assert client.encryptor().message_length is None


def test_who_asks_for_much_has_it_read_in_long_pieces():
    """Short ones are for short files: made longer step by step, they cost half as much again."""
    asked: list[int] = []

    class Source(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            asked.append(len(buffer))
            return super().readinto(buffer)

    with Client(RawAesKeyring("test", "key", bytes(32))).encrypting_reader(Source(bytes(3 * 2**20))) as reader:
        while reader.read(2**21):
            pass

    assert asked[0] == 2**20
