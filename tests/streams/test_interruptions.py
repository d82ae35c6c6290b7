"""Streams that are interrupted, shared or cut off lose nothing in silence."""

from __future__ import annotations

import io
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from testkit.interrupts import handled_at

from envelope_sdk import Client, streams
from envelope_sdk.errors import StreamError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams import AtomicFile, DecryptingReader, EncryptingReader, EncryptingWriter
from envelope_sdk.streams.seeking import SeekableDecryptingReader

PLAINTEXT = os.urandom(5 * 2**20)
STREAMS = str(Path(str(streams.__file__)).parent) + os.sep


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(RawAesKeyring("test", "key", bytes(32)))


@pytest.fixture(scope="module")
def message(client: Client) -> bytes:
    return client.encrypt(PLAINTEXT).ciphertext


class Failing(io.RawIOBase):
    """Fails once, on the third call, and goes on afterwards as if nothing had been."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        super().__init__()
        self._below = io.BytesIO(data)
        self._error = error
        self._calls = 0

    def _count(self) -> None:
        self._calls += 1
        if self._calls == 3:
            raise self._error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self._count()
        return self._below.readinto(buffer)

    def write(self, data) -> int:
        self._count()
        return self._below.write(data)


@pytest.mark.parametrize("error", [TimeoutError("slow"), KeyboardInterrupt()], ids=["timeout", "interrupt"])
@pytest.mark.parametrize(
    "read",
    [DecryptingReader.read, lambda reader: reader.read(4 * 2**20), lambda reader: reader.readinto(bytearray(2**22))],
    ids=["read-all", "read-some", "readinto"],
)
def test_a_read_that_failed_halfway_is_not_continued_as_if_nothing_was_missing(error, read, client, message):
    reader = DecryptingReader(Failing(message, error), client.decryptor(), partial_read=True)
    with pytest.raises(type(error)):
        read(reader)

    for again in (reader.read, reader.readline, reader.read1, lambda: read(reader)):
        with pytest.raises(StreamError, match=type(error).__name__):
            again()


def test_an_interruption_while_plaintext_is_handed_over_fails_the_stream(client, message):
    reader = client.open(io.BytesIO(message), partial_read=True)

    def put(view: memoryview) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reader._collect(10, put)
    with pytest.raises(StreamError, match="KeyboardInterrupt"):
        reader.read()


def called(reader, name):
    """Read some bytes through one of the methods, and return what came."""
    if name.startswith("readinto"):
        buffer = bytearray(100)
        return bytes(buffer[: getattr(reader, name)(buffer)])
    return bytes(getattr(reader, name)(*([] if name in ("readline", "read_view") else [100])))


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["read", "read1", "readinto", "readinto1", "readline", "read_view", "peek"])
@pytest.mark.parametrize("opening", ["random_access", "open"])
def test_wherever_a_read_is_interrupted_the_next_gives_what_stands_at_the_position_or_fails(opening, name):
    plaintext = b"".join(b"line %d\n" % number for number in range(50))
    client = Client(RawAesKeyring("test", "key", bytes(32)), frame_length=64)
    message = client.encrypt(plaintext).ciphertext
    module = "ranges.py" if opening == "random_access" else "pulling.py"
    failed, position, passed = 0, 0, True
    while passed:
        position += 1
        reader = getattr(client, opening)(io.BytesIO(message))
        if opening == "random_access":
            # What is at hand is then a frame, and becomes all the rest.
            reader.seek(64)
        reader.readline()
        reader.read(128 - reader.tell())
        try:
            passed = handled_at(position, interrupt, partial(called, reader, name), "line", code=STREAMS + module)
        except KeyboardInterrupt:
            stands = reader.tell()
            try:
                assert reader.read() == plaintext[stands:]
            except StreamError:
                failed += 1

    assert position > 5
    # What goes forward only cannot read again what was lost.
    assert failed == 0 or opening == "open"


@pytest.mark.parametrize("name", ["readinto", "readinto1"])
@pytest.mark.parametrize("opening", ["random_access", "open"])
def test_a_buffer_that_cannot_be_written_to_is_refused_and_nothing_is_lost(opening, name, client, message):
    reader = getattr(client, opening)(io.BytesIO(message))
    reader.read(1000)
    with pytest.raises(TypeError, match="has to be writable"):
        getattr(reader, name)(bytes(10))
    assert reader.tell() == 1000
    assert reader.read() == PLAINTEXT[1000:]


@pytest.mark.parametrize("size", [None, -1])
def test_all_that_is_at_hand_can_be_viewed(size, client, message):
    reader = client.open(io.BytesIO(message), partial_read=True)

    view = reader.read_view(size)
    assert len(view) >= 2**16
    assert PLAINTEXT.startswith(view)


def test_a_source_that_returns_more_than_was_asked_for_is_refused(client, message):
    class Generous:
        def read(self, size: int) -> bytes:
            return message + bytes(size)

    with pytest.raises(OSError, match="were asked for"):
        client.open(Generous())


def test_lines_are_those_of_any_binary_file(client):
    text = b"".join(b"x" * length + b"\n" for length in (0, 1, 1023, 1024, 1025, 70_000)) + b"no end"
    encrypted = client.encrypt(text).ciphertext

    assert list(client.open(io.BytesIO(encrypted))) == list(io.BytesIO(text))
    reader, plain = client.open(io.BytesIO(encrypted)), io.BytesIO(text)
    for size in (0, 1, 5, 2000, None, -1, 10, 3):
        assert reader.readline(size) == plain.readline(size)


def test_a_write_interrupted_between_its_pieces_ends_in_no_message(client, tmp_path):
    class Interrupting(AtomicFile):
        calls = 0

        def write(self, data, /) -> int:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().write(data)

    writer = EncryptingWriter(Interrupting(tmp_path / "file"), client.encryptor())
    with pytest.raises(KeyboardInterrupt):
        writer.write(PLAINTEXT)

    with pytest.raises(StreamError, match="earlier write failed"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [DecryptingReader, SeekableDecryptingReader, EncryptingReader])
@pytest.mark.parametrize("name", ["read1", "readinto1"])
def test_what_one_thread_is_given_is_not_overwritten_by_what_another_reads(kind, name, client, message):
    class Watched(kind):
        """Has another thread read all the rest when one is about to be given something, and gives it time to."""

        def read_view(self, size=None):
            view = super().read_view(size)
            if begun and not others:
                others.append(threading.Thread(target=lambda: rest.append(self.read())))
                others[0].start()
                others[0].join(0.1)
            return view

    begun, others, rest = [], [], []
    machine = client.encryptor(plaintext_length=len(PLAINTEXT)) if kind is EncryptingReader else client.decryptor()
    reader = Watched(io.BytesIO(PLAINTEXT if kind is EncryptingReader else message), machine)
    begun.append(reader.read(2**21 + 5))
    buffer = bytearray(1000)
    first = reader.read1(1000) if name == "read1" else bytes(buffer[: reader.readinto1(buffer)])
    others[0].join()

    whole = begun[0] + first + rest[0]
    assert (client.decrypt(whole).plaintext if kind is EncryptingReader else whole) == PLAINTEXT


def test_threads_may_share_a_reader_over_what_cannot_seek(client, message):
    with DecryptingReader(io.BytesIO(message), client.decryptor()) as reader:
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: found.extend(iter(lambda: reader.read(10_000), b""))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(found) == sorted(PLAINTEXT[start : start + 10_000] for start in range(0, len(PLAINTEXT), 10_000))


def test_threads_may_share_a_writer_and_each_write_stays_whole(client):
    target = io.BytesIO()
    pieces = [bytes((number,)) * 150_001 for number in range(40)]
    with EncryptingWriter(target, client.encryptor()) as writer:
        threads = [
            threading.Thread(target=lambda part=part: [writer.write(piece) for piece in part])
            for part in (pieces[0::4], pieces[1::4], pieces[2::4], pieces[3::4])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    plaintext = client.decrypt(target.getvalue()).plaintext
    found = [plaintext[at : at + 150_001] for at in range(0, len(plaintext), 150_001)]
    assert sorted(found) == pieces


def test_a_target_without_flush_will_do(client):
    class Sink:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data) -> int:
            self.data += data
            return len(data)

    sink = Sink()
    with client.open(sink, "wb") as writer:
        writer.write(b"content")
        writer.flush()

    assert client.decrypt(sink.data).plaintext == b"content"


def test_an_atomic_file_writes_everything_it_is_given(tmp_path: Path):
    with AtomicFile(tmp_path / "file") as file:
        assert file.write(PLAINTEXT) == len(PLAINTEXT)
        assert file.write(memoryview(PLAINTEXT).cast("I")) == len(PLAINTEXT)

    assert (tmp_path / "file").read_bytes() == PLAINTEXT * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_leaves_its_parents_unfinished_file_alone(tmp_path: Path):
    class Named(AtomicFile):
        def _create_unnamed(self) -> None:
            return None

    file = Named(tmp_path / "file")
    child = os.fork()
    if child == 0:
        file.close()
        os._exit(0)
    os.waitpid(child, 0)
    file.write(b"content")
    file.commit()

    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_new_file_is_never_named_anything_but_its_name(tmp_path: Path):
    """So a kill between naming and renaming cannot leave plaintext under a hidden name."""

    class Watched(AtomicFile):
        names: list[str]

        def _link(self, name: str, directory: int, *, unnamed: bool) -> None:
            self.names = [*getattr(self, "names", []), name]
            super()._link(name, directory, unnamed=unnamed)

    file = Watched(tmp_path / "new")
    if file._named:
        pytest.skip("this file system has no files without a name")
    file.write(b"content")
    file.commit()

    assert file.names == ["new"]
