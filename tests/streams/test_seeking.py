"""``open()`` on what can seek: forward like any stream, and anywhere from the first seek on."""

from __future__ import annotations

import csv
import gzip
import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    MessageError,
    StreamError,
    TrailingDataError,
    TruncatedMessageError,
)
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams.seeking import SeekableDecryptingReader

FRAME = 64
STRIDE = FRAME + 32


@pytest.fixture
def message(client, plaintext):
    return client.encrypt(plaintext).ciphertext


@pytest.fixture
def path(tmp_path, message):
    path = tmp_path / "message"
    path.write_bytes(message)
    return path


class Counting(io.BytesIO):
    """A file object that counts the bytes it hands over."""

    bytes_read = 0

    def read(self, size=-1, /):
        data = super().read(size)
        self.bytes_read += len(data)
        return data

    def readinto(self, buffer, /):
        count = super().readinto(buffer)
        self.bytes_read += count
        return count


# --- what it can do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "file", "BytesIO", "gzip"])
def test_paths_and_file_objects_that_can_seek_can_seek(kind, client, path, plaintext, tmp_path):
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    opened = {
        "path": lambda: path,
        "file": lambda: path.open("rb"),
        "BytesIO": lambda: io.BytesIO(path.read_bytes()),
        "gzip": lambda: gzip.GzipFile(packed),
    }[kind]()
    with client.open(opened) as reader:
        assert reader.seekable()
        assert reader.read(10) == plaintext[:10]
        assert reader.seek(-10, os.SEEK_END) == reader.tell() == 990
        assert reader.read() == plaintext[-10:]
        assert reader.seek(100) == 100
        assert reader.seek(5, os.SEEK_CUR) == 105
        assert reader.read(300) == plaintext[105:405]


def test_size_and_positional_reads_leave_the_position(client, path, plaintext):
    with client.open(path) as reader:
        reader.read(10)
        assert reader.size == 1000
        assert reader.read_at(500, 20) == plaintext[500:520]
        buffer = bytearray(20)
        assert reader.readinto_at(700, buffer) == 20
        assert buffer == plaintext[700:720]
        assert reader.read(10) == plaintext[10:20]


def test_after_the_end_one_can_begin_again(client, path, plaintext):
    with client.open(path) as reader:
        for _ in range(3):
            assert reader.read() == plaintext
            reader.seek(0)


def test_a_file_object_is_read_from_where_it_stood(client, message, plaintext):
    file = io.BytesIO(b"before" + message)
    file.seek(6)
    with client.open(file) as reader:
        assert reader.read(10) == plaintext[:10]
        reader.seek(500)
        assert reader.read(10) == plaintext[500:510]
    assert not file.closed


def test_threads_may_begin_with_positional_reads_at_once(client, path, plaintext):
    start = threading.Barrier(4)
    found = []

    def work(offset):
        start.wait()
        found.append(reader.read_at(offset, 100) == plaintext[offset : offset + 100])

    with client.open(path) as reader:
        threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 300, 500, 900)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 4


def test_a_positional_read_may_begin_while_another_thread_reads_forward(client, message, plaintext):
    disturbed = threading.Event()
    positional = []

    class Below(io.BytesIO):
        """Has another thread begin as soon as a frame is read, and gives it time to disturb that."""

        def tell(self):
            if threading.current_thread() is not threading.main_thread():
                disturbed.set()
            return super().tell()

        def readinto(self, buffer, /):
            count = super().readinto(memoryview(buffer)[: 2 * STRIDE])
            if opened and not others and super().tell() > len(message) // 2:
                others.append(threading.Thread(target=lambda: positional.append(opened[0].read_at(70, 100))))
                others[0].start()
                disturbed.wait(0.1)
            return count

    others, opened = [], []
    with client.open(Below(message)) as reader:
        opened.append(reader)
        pieces = [reader.read(600), reader.read(), reader.read()]
        others[0].join()
        assert reader.tell() == len(plaintext)

    assert pieces == [plaintext[:600], plaintext[600:], b""]
    assert positional == [plaintext[70:170]]


def test_no_descriptor_is_left(client, path):
    before = len(list(Path("/dev/fd").iterdir()))
    with client.open(path) as reader:
        reader.seek(500)
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_reader_that_could_not_be_made_can_be_dropped(cut, client, message):
    made = []

    class Kept(SeekableDecryptingReader):
        def __init__(self, *arguments, **options):
            made.append(self)
            super().__init__(*arguments, **options)

    raw = io.BytesIO(message[:cut])
    with pytest.raises(TruncatedMessageError):
        Kept(raw, client.decryptor(), close_raw=True).seek(1)
    # As dropping does.
    made[0].close()
    assert made[0].closed


@pytest.mark.parametrize("seek_before", [False, True])
def test_a_closed_reader_refuses_to_seek(seek_before, client, path):
    reader = client.open(path, partial_read=True)
    if seek_before:
        reader.seek(10)
    reader.close()
    for action in (lambda: reader.seek(0), lambda: reader.seek(5), reader.seekable, lambda: reader.read_at(0, 1)):
        with pytest.raises(ValueError, match="closed"):
            action()


@pytest.mark.parametrize(("offset", "whence", "error"), [(-1, 0, OSError), (-2000, 2, OSError), (0, 5, ValueError)])
def test_where_a_plain_file_refuses_to_go_it_refuses_too(offset, whence, error, client, path, plaintext):
    with client.open(path) as reader, path.open("rb") as plain:
        with pytest.raises(error):
            plain.seek(offset, whence)
        with pytest.raises(error):
            reader.seek(offset, whence)
        assert reader.read() == plaintext


sizes = st.integers(0, 450)
whences = st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END])
steps = st.one_of(
    st.tuples(st.just("seek"), st.integers(-100, 450), whences),
    st.tuples(st.sampled_from(["read", "read1", "readinto", "readlines", "peek"]), sizes, st.just(0)),
    st.tuples(st.just("readline"), st.one_of(st.just(-1), sizes), st.just(0)),
    st.tuples(st.just("next"), st.just(0), st.just(0)),
    st.tuples(st.just("read_at"), sizes, sizes),
    st.tuples(st.just("size"), st.just(0), st.just(0)),
)


@given(
    content=st.lists(st.sampled_from([b"\n", b"a", bytes(range(20, 90))]), max_size=40).map(b"".join),
    every_step=st.lists(steps, max_size=15),
    frame_length=st.integers(1, 150),
)
def test_any_sequence_gives_what_a_plain_file_gives(content, every_step, frame_length):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=frame_length)
    plain = io.BytesIO(content)
    with client.open(io.BytesIO(client.encrypt(content).ciphertext), partial_read=True) as reader:
        for name, one, other in every_step:
            if name == "seek":
                seek_both(reader, plain, one, other)
            elif name == "readinto":
                buffers = bytearray(one), bytearray(one)
                assert reader.readinto(buffers[0]) == plain.readinto(buffers[1])
                assert buffers[0] == buffers[1]
            elif name in ("read1", "peek"):
                found = getattr(reader, name)(one)
                assert content[plain.tell() :].startswith(found)
                # May be less, but not nothing; and a peek that asks for nothing gets something.
                assert bool(found) == (plain.tell() < len(content) and (one > 0 or name == "peek"))
                plain.seek(len(found) if name == "read1" else 0, os.SEEK_CUR)
            elif name == "read_at":
                assert reader.read_at(one, other) == content[one : one + other]
            elif name == "size":
                assert reader.size == len(content)
            elif name == "next":
                assert next(reader, None) == next(plain, None)
            else:
                assert getattr(reader, name)(one) == getattr(plain, name)(one)
            assert reader.tell() == plain.tell()


def seek_both(reader, plain, offset, whence):
    # What io.BytesIO makes of a place before the beginning is its own.
    origin = {os.SEEK_SET: 0, os.SEEK_CUR: plain.tell(), os.SEEK_END: len(plain.getvalue())}[whence]
    if origin + offset < 0:
        with pytest.raises(OSError, match="Invalid argument"):
            reader.seek(offset, whence)
    else:
        assert reader.seek(offset, whence) == plain.seek(offset, whence)


# --- programs over it ------------------------------------------------------------------------------------------------


def test_a_zip_archive_is_listed_without_reading_it_all(client, plaintext):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for number in range(100):
            written.writestr(f"member {number}", os.urandom(20_000))
        written.writestr("last", plaintext)
    file = Counting(client.encrypt(archive.getvalue()).ciphertext)

    with client.open(file) as reader, zipfile.ZipFile(reader) as read:
        assert len(read.namelist()) == 101
        assert file.bytes_read < 50_000
        assert read.read("last") == plaintext
        assert file.bytes_read < 100_000
        assert read.testzip() is None


def test_a_tar_archive_is_read_in_any_order(client, plaintext):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("first", "second"):
            member = tarfile.TarInfo(name)
            member.size = len(plaintext)
            tar.addfile(member, io.BytesIO(plaintext[::-1] if name == "second" else plaintext))

    with (
        client.open(io.BytesIO(client.encrypt(archive.getvalue()).ciphertext)) as reader,
        tarfile.open(fileobj=reader) as tar,
    ):
        assert tar.extractfile("second").read() == plaintext[::-1]
        assert tar.extractfile("first").read() == plaintext


class OneWay(io.RawIOBase):
    """A pipe, which may say that it can seek, as some file objects do without asking what is below them."""

    def __init__(self, content, *, claims=False):
        self._content = io.BytesIO(content)
        self._claims = claims

    def readable(self):
        return True

    def seekable(self):
        return self._claims

    def tell(self):
        return self._content.tell()

    def readinto(self, buffer, /):
        return self._content.readinto(buffer)


class TellsNothing(OneWay):
    def tell(self):
        raise io.UnsupportedOperation("tell")


@pytest.mark.parametrize(
    "below",
    [
        lambda message: OneWay(message, claims=True),
        lambda message: TellsNothing(message, claims=True),
        lambda message: gzip.GzipFile(fileobj=io.BufferedReader(OneWay(gzip.compress(message)))),
    ],
    ids=["a liar", "a liar that does not know where it stands", "gzip over a pipe"],
)
def test_what_only_says_that_it_can_seek_is_read_forward(below, client, plaintext):
    with client.open(below(client.encrypt(plaintext * 50).ciphertext)) as reader:
        assert reader.read(100) == plaintext[:100]
        assert reader.read() == (plaintext * 50)[100:]


def test_what_only_says_that_it_can_seek_is_read_on_after_it_could_not(client, plaintext):
    with client.open(OneWay(client.encrypt(plaintext * 50).ciphertext, claims=True)) as reader:
        assert reader.read(100) == plaintext[:100]
        with pytest.raises(io.UnsupportedOperation):
            reader.seek(0)
        assert reader.read() == (plaintext * 50)[100:]


def test_messages_in_a_tar_archive_from_a_pipe_are_read_forward(client, plaintext):
    message = client.encrypt(plaintext).ciphertext
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("a", "b"):
            entry = tarfile.TarInfo(name)
            entry.size = len(message)
            tar.addfile(entry, io.BytesIO(message))

    with tarfile.open(fileobj=OneWay(archive.getvalue()), mode="r|gz") as tar:
        for entry in tar:
            with client.open(tar.extractfile(entry)) as reader:
                assert reader.read() == plaintext


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_text_can_be_told_and_sought(encoding, client, tmp_path):
    lines = [f"line {number}: ñandú 😀\n" for number in range(500)]
    with client.open(tmp_path / "text", "wt", encoding=encoding) as text:
        text.writelines(lines)
    with client.open(tmp_path / "text", "rt", encoding=encoding) as text:
        assert text.seekable()
        marks = [(text.tell(), text.readline()) for _ in lines]
        assert [line for _, line in marks] == lines
        for mark, line in marks[::-7]:
            text.seek(mark)
            assert text.readline() == line
        text.seek(0)
        assert text.readlines() == lines


def test_csv_is_read_again_from_its_beginning(client, tmp_path):
    rows = [["größe", "1"], ["line\nbreak", "2"]]
    with client.open(tmp_path / "table", "wt", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows(rows)
    with client.open(tmp_path / "table", "rt", encoding="utf-8", newline="") as text:
        assert text.readline() == "größe,1\r\n"
        text.seek(0)
        assert list(csv.reader(text)) == rows


def test_a_buffered_reader_on_top_seeks(client, path, plaintext):
    with client.open(path) as reader:
        buffered = io.BufferedReader(reader)
        buffered.seek(700)
        assert buffered.read(10) == plaintext[700:710]


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [lambda reader: reader.seek(10), lambda reader: reader.seek(0, os.SEEK_CUR)],
    ids=["from the start", "from here"],
)
def test_seeking_to_where_it_stands_leaves_a_block_to_be_read_to_its_end(action, client, path):
    def leave_early():
        with client.open(path) as reader:
            reader.read(10)
            assert action(reader) == 10

    with pytest.raises(StreamError, match="left before its end"):
        leave_early()


def test_once_the_end_is_authentic_a_block_may_be_left(client, path, plaintext):
    with client.open(path) as reader:
        reader.seek(10)
        assert reader.read(5) == plaintext[10:15]
    with client.open(path, "rt", encoding="latin-1") as text:
        text.seek(10)
        assert text.read(1)


@pytest.mark.parametrize("missing", [1, 16, 100, 500])
@pytest.mark.parametrize(
    "action",
    [lambda reader: reader.seek(5), lambda reader: reader.size, lambda reader: reader.read_at(0, 1)],
    ids=["seek", "size", "read_at"],
)
def test_in_a_message_cut_short_nothing_can_be_sought(action, missing, client, path):
    os.truncate(path, path.stat().st_size - missing)
    with client.open(path, partial_read=True) as reader:
        for _ in range(2):
            with pytest.raises(TruncatedMessageError):
                action(reader)
        with pytest.raises(TruncatedMessageError):
            reader.read(1)


def test_bytes_behind_the_end_are_noticed_on_seeking(client, path):
    path.write_bytes(path.read_bytes() + b"x")
    with client.open(path, partial_read=True) as reader, pytest.raises(TrailingDataError):
        reader.seek(5)


def test_an_altered_final_frame_is_noticed_on_seeking(client, message):
    altered = bytearray(message)
    altered[-1] ^= 1
    with (
        client.open(io.BytesIO(altered), partial_read=True) as reader,
        pytest.raises(AuthenticationError, match="final frame"),
    ):
        reader.seek(5)


def test_what_failed_reading_forward_stays_failed(client, message):
    header = client.decrypt(message).header.length
    altered = bytearray(message)
    altered[header + 40] ^= 1
    with client.open(io.BytesIO(altered), partial_read=True) as reader:
        for action in (lambda: reader.read(5), lambda: reader.seek(500), lambda: reader.size):
            with pytest.raises(AuthenticationError, match="frame 1 "):
                action()


def test_what_fails_at_a_position_fails_alone(client, message, plaintext):
    header = client.decrypt(message).header.length
    altered = bytearray(message)
    altered[header + 40] ^= 1
    with client.open(io.BytesIO(altered)) as reader:
        reader.seek(64)
        assert reader.read() == plaintext[64:]
        reader.seek(0)
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="frame 1 "):
                reader.read(1)
        reader.seek(64)
        assert reader.read(10) == plaintext[64:74]


def test_a_file_cut_short_between_two_reads_is_refused(client, path):
    with client.open(path) as reader:
        reader.seek(500)
        os.truncate(path, 700)
        with pytest.raises(StreamError, match="changed"):
            reader.read(300)


def test_a_seek_that_fails_for_now_leaves_the_reader_as_it_was(client, message, plaintext):
    class Failing(io.BytesIO):
        fails = False

        def readinto(self, buffer, /):
            if self.fails:
                raise ConnectionResetError("the line is dead")
            return super().readinto(memoryview(buffer)[:400])

    file = Failing(message)
    with client.open(file) as reader:
        assert reader.read(10) == plaintext[:10]
        file.fails = True
        with pytest.raises(ConnectionResetError):
            reader.seek(500)
        file.fails = False
        assert reader.read() == plaintext[10:]
        reader.seek(500)
        assert reader.read(10) == plaintext[500:510]


def test_over_a_file_whose_end_cannot_be_sought_reading_goes_on_forward(client, message, plaintext):
    class Endless(io.BytesIO):
        def seek(self, offset, whence=os.SEEK_SET, /):
            if whence == os.SEEK_END:
                raise io.UnsupportedOperation("no end is known")
            return super().seek(offset, whence)

        def readinto(self, buffer, /):
            return super().readinto(memoryview(buffer)[:400])

    with client.open(Endless(message)) as reader:
        assert reader.read(10) == plaintext[:10]
        with pytest.raises(io.UnsupportedOperation, match="no end is known"):
            reader.seek(500)
        assert reader.read() == plaintext[10:]


@pytest.mark.parametrize(
    "read",
    [lambda text: text.readline(), lambda text: text.read(500), lambda text: text.read()],
    ids=["readline", "read some", "read all"],
)
def test_text_that_could_not_be_read_stays_so_until_it_is_sought(read, client):
    class Failing(io.BytesIO):
        fails = False

        def readinto(self, buffer, /):
            if self.fails and self.tell() > 3000:
                self.fails = False
                raise ConnectionResetError("the line is dead")
            return super().readinto(memoryview(buffer)[:400])

    lines = [f"line {number}\n" for number in range(10_000)]
    file = Failing(client.encrypt("".join(lines).encode()).ciphertext)
    with client.open(file, "rt", encoding="utf-8", newline="") as text:
        text.seek(7)
        file.fails = True
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: read(text), ""))
        # Whatever stood before it in its line is lost, so the next line would not be one.
        for _ in range(2):
            with pytest.raises(StreamError, match="the line is dead"):
                read(text)
        text.seek(0)
        assert text.readlines() == lines


def test_frames_in_another_order_are_still_refused(client, message):
    header = client.decrypt(message).header.length
    first, second = (message[header + index * STRIDE : header + (index + 1) * STRIDE] for index in (0, 1))
    swapped = message[:header] + second + first + message[header + 2 * STRIDE :]
    with client.open(io.BytesIO(swapped)) as reader:
        reader.seek(70)
        with pytest.raises(MessageError, match="out of order"):
            reader.read(1)


# --- signed messages -------------------------------------------------------------------------------------------------


def test_signed_messages_are_read_forward_only(signing_client, plaintext):
    message = signing_client.encrypt(plaintext).ciphertext
    with signing_client.open(io.BytesIO(message), release_unverified_plaintext=True) as reader:
        assert not reader.seekable()
        for action in (lambda: reader.seek(5), lambda: reader.seek(0), lambda: reader.size):
            with pytest.raises(io.UnsupportedOperation, match="forward only"):
                action()
        assert reader.read() == plaintext
