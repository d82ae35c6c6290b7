"""Writing a message and having its plaintext arrive below: what a download does."""

from __future__ import annotations

import gc
import io
import os
import shutil
import tracemalloc
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    EnvelopeError,
    MessageError,
    SignatureError,
    SignedStreamError,
    StreamError,
    TrailingDataError,
    TruncatedMessageError,
)
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams import AtomicFile, DecryptingWriter

FRAME = 64
MIB = 2**20


class Sink(io.RawIOBase):
    """A raw file whose writes do what ``answers`` say, and everything once those are used up."""

    def __init__(self, *answers):
        self.content = bytearray()
        self._answers = list(answers)

    def writable(self):
        return True

    def write(self, data):
        answer = self._answers.pop(0) if self._answers else len(data)
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            return None
        self.content += data[:answer]
        return min(answer, len(data))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


@pytest.fixture
def message(client, plaintext):
    return client.encrypt(plaintext, encryption_context={"a": "b"}).ciphertext


def untouched(path):
    """Return whether ``path`` holds what it held, and nothing is beside it."""
    gc.collect()
    return path.read_bytes() == b"old" and [path] == list(path.parent.iterdir())


def write_all(writer, data, size=None, error=None):
    """Write in a ``with`` block, in pieces of ``size`` bytes; the block may then raise."""
    with writer:
        for start in range(0, len(data), size or max(1, len(data))):
            writer.write(data[start : start + (size or len(data))])
        if error is not None:
            raise error


# --- what arrives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 96, 1000, None])
def test_plaintext_arrives_in_a_file(size, client, message, plaintext, path):
    write_all(client.decrypting_writer(path), message, size)
    assert path.read_bytes() == plaintext
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [1, 7, 96, 1000, None])
def test_plaintext_arrives_in_a_file_object_which_stays_open(size, client, message, plaintext):
    sink = Sink()
    write_all(client.decrypting_writer(sink), message, size)
    assert sink.content == plaintext
    assert not sink.closed


def test_frames_arrive_as_they_are_complete(client, message, plaintext):
    sink = Sink()
    with client.decrypting_writer(sink) as writer:
        assert writer.header is None
        writer.write(message[:600])
        assert sink.content
        assert plaintext.startswith(sink.content)
        assert dict(writer.header.encryption_context) == {"a": "b"}
        writer.write(message[600:])
    assert writer.header == client.decrypt(message).header


def test_shutil_copies_to_it(client, message, plaintext, path):
    with client.decrypting_writer(path) as writer:
        shutil.copyfileobj(io.BytesIO(message), writer, 100)
        assert writer.tell() == len(message)
    assert path.read_bytes() == plaintext


def test_it_only_writes_and_a_closed_one_does_not(client, message):
    writer = client.decrypting_writer(Sink())
    assert writer.writable()
    assert not writer.readable()
    assert not writer.seekable()
    for action in (lambda: writer.seek(0), writer.read, writer.fileno, writer.truncate):
        with pytest.raises(io.UnsupportedOperation):
            action()
    writer.write(message)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed decrypting writer"):
        writer.write(b"x")


def test_an_atomic_file_is_committed_when_the_message_is_whole(client, message, plaintext, path):
    write_all(client.decrypting_writer(AtomicFile(path)), message)
    assert path.read_bytes() == plaintext
    with pytest.raises(TruncatedMessageError):
        write_all(client.decrypting_writer(AtomicFile(path)), message[:-1])
    assert path.read_bytes() == plaintext


def test_an_existing_file_is_not_replaced_where_it_must_not(client, path):
    with pytest.raises(FileExistsError):
        client.decrypting_writer(path, overwrite=False)
    assert untouched(path)


@pytest.mark.parametrize("file", [io.StringIO(), None, 5, b"path"], ids=lambda file: type(file).__name__)
def test_what_is_neither_path_nor_binary_file_is_a_type_error(file, client):
    with pytest.raises(TypeError, match="a path as text or a binary file object"):
        client.decrypting_writer(file)


def test_a_file_of_one_s_own_is_closed_where_asked_for(client, message):
    sink = Sink()
    write_all(DecryptingWriter(sink, client.decryptor(), close_raw=True), message)
    assert sink.closed


def test_what_is_below_is_flushed(client, message, plaintext, tmp_path):
    with (tmp_path / "new").open("wb") as below:
        writer = client.decrypting_writer(below)
        writer.write(message)
        writer.flush()
        assert (tmp_path / "new").read_bytes() == plaintext
        writer.close()


# --- all or nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 16, 100, 900])
def test_a_message_that_is_not_whole_leaves_no_file(missing, client, message, path):
    with pytest.raises(TruncatedMessageError):
        write_all(client.decrypting_writer(path), message[:-missing])
    assert untouched(path)


def test_nothing_written_is_no_message(client, path):
    with pytest.raises(TruncatedMessageError):
        client.decrypting_writer(path).close()
    assert untouched(path)


def test_more_than_the_message_leaves_no_file(client, message, path):
    with pytest.raises(TrailingDataError):
        write_all(client.decrypting_writer(path), message + b"x", 10)
    assert untouched(path)


def test_a_block_that_raises_leaves_no_file_though_the_message_is_whole(client, message, path):
    with pytest.raises(ZeroDivisionError):
        write_all(client.decrypting_writer(path), message, error=ZeroDivisionError())
    assert untouched(path)


def test_so_it_is_where_what_is_over_it_closes_it_on_the_way(client, message, path):
    writer = client.decrypting_writer(path)
    writer.write(message)
    with pytest.raises(ZeroDivisionError), writer, io.BufferedWriter(writer):
        raise ZeroDivisionError
    assert untouched(path)


def test_a_dropped_writer_warns_and_leaves_no_file_though_the_message_is_whole(client, message, path):
    writer = client.decrypting_writer(path)
    writer.write(message)
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning, match="DecryptingWriter was never closed"):
        held.clear()
    assert untouched(path)


def test_a_discarded_writer_leaves_no_file(client, message, path):
    writer = client.decrypting_writer(path)
    writer.write(message)
    writer.discard()
    writer.close()
    assert untouched(path)


def test_nothing_is_seen_before_the_end(client, message, path):
    with client.decrypting_writer(path) as writer:
        writer.write(message)
        writer.flush()
        assert untouched(path)


@pytest.mark.parametrize("sign", [False, True])
def test_whatever_is_altered_no_file_appears_and_only_a_beginning_reaches_a_file_object(sign, keyring, plaintext, path):
    client = Client(keyring, frame_length=FRAME, sign=sign)
    message = client.encrypt(plaintext).ciphertext
    for position in range(0, len(message), 23):
        altered = bytearray(message)
        altered[position] ^= 0x20
        sink = Sink()
        with pytest.raises(EnvelopeError):
            write_all(client.decrypting_writer(sink, release_unverified_plaintext=True), altered, 100)
        assert plaintext.startswith(sink.content)
        with pytest.raises(EnvelopeError):
            write_all(client.decrypting_writer(path), altered, 100)
    assert untouched(path)


def test_an_error_is_raised_again_by_every_later_call(client, message, path):
    writer = client.decrypting_writer(path)
    altered = bytearray(message)
    altered[-1] ^= 1
    with pytest.raises(AuthenticationError) as first:
        writer.write(altered)
    for action in (lambda: writer.write(b""), lambda: writer.write(message), writer.close):
        with pytest.raises(AuthenticationError) as again:
            action()
        assert str(again.value) == str(first.value)
    assert writer.closed
    assert untouched(path)


def test_an_error_swallowed_in_the_block_comes_back_at_its_end(client, path):
    def swallow():
        with client.decrypting_writer(path) as writer, pytest.raises(MessageError):
            writer.write(b"this is no message")

    with pytest.raises(MessageError):
        swallow()
    assert untouched(path)


def test_context_that_the_message_must_have_is_checked(client, message, path):
    write_all(client.decrypting_writer(path, encryption_context={"a": "b"}, required_context_keys=["a"]), message)
    for options in ({"encryption_context": {"a": "c"}}, {"required_context_keys": ["z"]}):
        with pytest.raises(ContextMismatchError):
            write_all(client.decrypting_writer(path, **options), message)


# --- signed messages -------------------------------------------------------------------------------------------------


def test_a_signed_message_goes_to_a_file_when_its_signature_holds(signing_client, plaintext, path):
    message = bytearray(signing_client.encrypt(plaintext).ciphertext)
    write_all(signing_client.decrypting_writer(path), message)
    assert path.read_bytes() == plaintext
    path.write_bytes(b"old")
    message[-10] ^= 1
    with pytest.raises(SignatureError):
        write_all(signing_client.decrypting_writer(path), message, 10)
    assert untouched(path)


def test_a_signed_message_is_refused_for_a_file_object(signing_client, plaintext):
    message = signing_client.encrypt(plaintext).ciphertext
    sink = Sink()
    with pytest.raises(SignedStreamError, match="allow unverified plaintext explicitly"):
        write_all(signing_client.decrypting_writer(sink), message)
    assert sink.content == b""
    write_all(signing_client.decrypting_writer(sink, release_unverified_plaintext=True), message)
    assert sink.content == plaintext


# --- trouble below ---------------------------------------------------------------------------------------------------


def test_short_writes_are_continued(client, message, plaintext):
    sink = Sink(1, 2, 3, 100, 1, 1)
    write_all(client.decrypting_writer(sink), message)
    assert sink.content == plaintext


def test_a_file_below_that_takes_nothing_without_blocking_is_an_error(client, message):
    with pytest.raises(BlockingIOError):
        write_all(client.decrypting_writer(Sink(None)), message)


def test_an_error_below_ends_the_message(client, message):
    writer = client.decrypting_writer(Sink(OSError("full")))
    with pytest.raises(OSError, match="full"):
        writer.write(message)
    for action in (lambda: writer.write(b"x"), writer.close):
        with pytest.raises(StreamError, match="full") as caught:
            action()
        assert isinstance(caught.value.__cause__, OSError)
    assert writer.closed


def test_a_full_device_is_an_error(client, message):
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):  # noqa: PTH123
        write_all(client.decrypting_writer(full), message)


def test_a_file_that_cannot_be_made_warns_of_nothing(client, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FileNotFoundError):
            client.decrypting_writer(tmp_path / "missing" / "file")
        gc.collect()


# --- cost and any sequence -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("frame_length", [4096, 65_536, MIB])
def test_writing_a_message_of_64_mib_holds_few(frame_length, keyring):
    client = Client(keyring, frame_length=frame_length)
    machine = client.encryptor()
    with open(os.devnull, "wb", buffering=0) as sink:  # noqa: PTH123
        tracemalloc.start()
        try:
            with client.decrypting_writer(sink) as writer:
                writer.write(machine.start())
                for _ in range(64):
                    writer.write(machine.update(bytes(MIB)))
                writer.write(machine.finish())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 10 * MIB


@given(
    plaintext=st.binary(max_size=2000),
    sizes=st.lists(st.integers(0, 300)),
    frame_length=st.integers(1, 150),
    sign=st.booleans(),
)
def test_any_cut_of_a_message_gives_its_plaintext(plaintext, sizes, frame_length, sign):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=frame_length, sign=sign)
    message = client.encrypt(plaintext).ciphertext
    sink = Sink()
    with client.decrypting_writer(sink, release_unverified_plaintext=True) as writer:
        for size in sizes:
            writer.write(message[:size])
            message = message[size:]
        writer.write(message)
    assert sink.content == plaintext
