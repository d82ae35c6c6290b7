"""Writing: a message appears whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import tarfile
import tracemalloc
import warnings
import zipfile

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import LimitExceededError, StreamError, TruncatedMessageError, UsageError
from envelope_sdk.keyrings import MultiKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.policy import Limits
from envelope_sdk.streams import EncryptingWriter

MIB = 2**20


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def nothing_but(path):
    """Return whether ``path`` is alone in its directory."""
    return [path] == list(path.parent.iterdir())


# --- writing as to any file ------------------------------------------------------------------------------------------


def written_by(client, write):
    file = io.BytesIO()
    with client.open(file, "w") as writer:
        write(writer)
    return client.decrypt(file.getvalue()).plaintext


@pytest.mark.parametrize("size", [1, 7, 63, 64, 65, 1000])
def test_pieces_of_any_size(size, client, plaintext):
    def write(writer):
        for start in range(0, len(plaintext), size):
            writer.write(plaintext[start : start + size])

    assert written_by(client, write) == plaintext


def test_nothing_at_all_is_an_empty_message(client):
    assert written_by(client, lambda writer: None) == b""
    assert written_by(client, lambda writer: writer.write(b"")) == b""


def test_many_tiny_writes(client):
    def write(writer):
        for _ in range(20_000):
            writer.write(b"ab")

    assert written_by(client, write) == b"ab" * 20_000


@pytest.mark.parametrize(
    "data",
    [bytearray(b"plaintext"), memoryview(b"plaintext"), memoryview(b"p_l_a_i_n_t_e_x_t_")[::2]],
    ids=["bytearray", "view", "view-that-skips"],
)
def test_any_bytes_like_object(data, client):
    assert written_by(client, lambda writer: writer.write(data)) == b"plaintext"


def test_the_caller_s_buffer_may_change_after_each_write(client):
    buffer = bytearray(10)

    def write(writer):
        for number in range(100):
            buffer[:] = bytes([number]) * 10
            writer.write(buffer)

    assert written_by(client, write) == b"".join(bytes([number]) * 10 for number in range(100))


@pytest.mark.parametrize("value", ["text", 5, None], ids=lambda value: type(value).__name__)
def test_what_is_not_bytes_like_is_a_type_error_and_harms_nothing(value, client):
    def write(writer):
        with pytest.raises(TypeError):
            writer.write(value)
        writer.write(b"plaintext")

    assert written_by(client, write) == b"plaintext"


def test_writelines_and_copyfileobj(client, plaintext):
    assert written_by(client, lambda writer: writer.writelines([b"a", b"b"])) == b"ab"
    assert written_by(client, lambda writer: shutil.copyfileobj(io.BytesIO(plaintext), writer, 100)) == plaintext


def test_a_buffered_writer_on_top(client, plaintext):
    def write(writer):
        buffered = io.BufferedWriter(writer)
        buffered.write(plaintext)
        buffered.flush()
        buffered.detach()

    assert written_by(client, write) == plaintext


def test_a_tar_archive_is_written_as_a_stream(client, plaintext):
    def write(writer):
        with tarfile.open(fileobj=writer, mode="w|") as tar:
            member = tarfile.TarInfo("name")
            member.size = len(plaintext)
            tar.addfile(member, io.BytesIO(plaintext))

    with tarfile.open(fileobj=io.BytesIO(written_by(client, write))) as tar:
        assert tar.extractfile("name").read() == plaintext


def test_a_zip_archive_is_written_as_a_stream(client, plaintext):
    def write(writer):
        with zipfile.ZipFile(writer, "w") as archive:
            archive.writestr("name", plaintext)

    assert zipfile.ZipFile(io.BytesIO(written_by(client, write))).read("name") == plaintext


def test_tell_counts_plaintext(client):
    with client.open(io.BytesIO(), "w") as writer:
        assert writer.tell() == 0
        writer.write(bytes(100))
        assert writer.tell() == 100


def test_a_writer_only_writes_and_only_forward(client):
    with client.open(io.BytesIO(), "w") as writer:
        assert writer.writable()
        assert not writer.readable()
        assert not writer.seekable()
        for action in (lambda: writer.seek(0), writer.read, writer.fileno, writer.truncate):
            with pytest.raises(io.UnsupportedOperation):
                action()


def test_a_full_frame_goes_out_with_the_byte_after_it(client):
    file = io.BytesIO()
    with client.open(file, "w") as writer:
        before = len(file.getvalue())
        writer.write(bytes(64))
        writer.flush()
        assert len(file.getvalue()) == before
        writer.write(b"x")
        assert len(file.getvalue()) == before + 64 + 32


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "UTF_16", "latin-1"])
def test_text_is_written_with_the_byte_order_mark_of_its_encoding(encoding, client):
    file = io.BytesIO()
    with client.open(file, "wt", encoding=encoding) as text:
        text.write("größe")
        text.write("größe")
    assert client.decrypt(file.getvalue()).plaintext == "größegröße".encode(encoding)


def test_a_closed_writer_refuses_to_write(client):
    writer = client.open(io.BytesIO(), "w")
    writer.close()
    writer.close()
    writer.discard()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"x")
    with pytest.raises(ValueError, match="closed"), writer:
        pass


def write_with(opened, data, error=None):
    """Write one piece in a ``with`` block, which may then raise."""
    with opened as writer:
        writer.write(data)
        if error is not None:
            raise error


def text_or_bytes(mode):
    return "plaintext" if mode.endswith("t") else b"plaintext"


# --- announced lengths -----------------------------------------------------------------------------------------------


def test_the_announced_length_is_written(client, path):
    with client.open(path, "w", plaintext_length=128) as writer:
        writer.write(bytes(128))
    assert client.decrypt(path.read_bytes()).plaintext == bytes(128)


def test_less_than_announced_is_an_error_and_no_file(client, path):
    with pytest.raises(UsageError, match="10 bytes of plaintext were announced, 9 came"):
        write_with(client.open(path, "w", plaintext_length=10), bytes(9))
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


def test_more_than_announced_is_an_error_and_no_file(client, path):
    with pytest.raises(UsageError, match="10 bytes of plaintext were announced, 11 came"):
        write_with(client.open(path, "w", plaintext_length=10), bytes(11))
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


# --- whole or not at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "wt"])
def test_a_block_that_raises_keeps_the_old_file(mode, client, path):
    with pytest.raises(ZeroDivisionError):
        write_with(client.open(path, mode), text_or_bytes(mode), ZeroDivisionError())
    gc.collect()
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


@pytest.mark.parametrize("mode", ["x", "xt"])
def test_a_block_that_raises_leaves_no_new_file(mode, client, tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_with(client.open(tmp_path / "file", mode), text_or_bytes(mode), ZeroDivisionError())
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["w", "wt"])
def test_a_block_that_raises_leaves_a_file_object_without_an_end(mode, client):
    file = io.BytesIO()
    with pytest.raises(ZeroDivisionError):
        write_with(client.open(file, mode), text_or_bytes(mode), ZeroDivisionError())
    gc.collect()
    with pytest.raises(TruncatedMessageError):
        client.decrypt(file.getvalue())


@pytest.mark.parametrize("mode", ["w", "wt"])
def test_a_dropped_writer_warns_and_leaves_the_old_file(mode, client, path):
    writer = client.open(path, mode)
    writer.write("plaintext" if mode == "wt" else b"plaintext")
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning, match="never closed; its message is discarded"):
        held.clear()
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


def test_a_dropped_writer_leaves_a_file_object_without_an_end(client):
    file = io.BytesIO()
    writer = client.open(file, "w")
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning):
        held.clear()
    with pytest.raises(TruncatedMessageError):
        client.decrypt(file.getvalue())


def test_a_discarded_writer_leaves_the_old_file(client, path):
    writer = client.open(path, "w")
    writer.write(b"plaintext")
    writer.discard()
    assert writer.closed
    writer.close()
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


def test_nothing_is_seen_before_the_end(client, path):
    with client.open(path, "w") as writer:
        writer.write(bytes(100_000))
        writer.flush()
        assert path.read_bytes() == b"old"
        assert nothing_but(path)
    assert client.decrypt(path.read_bytes()).plaintext == bytes(100_000)


@pytest.mark.parametrize("mode", ["w", "wt"])
def test_a_message_that_cannot_begin_leaves_nothing_and_warns_of_nothing(mode, keyring, path):
    client = Client(MultiKeyring(keyring, [keyring]), limits=Limits(max_encrypted_data_keys=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LimitExceededError):
            client.open(path, mode)
        gc.collect()
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


# --- closed by what is over it ---------------------------------------------------------------------------------------

CLOSERS = [io.TextIOWrapper, io.BufferedWriter, contextlib.closing]
each_closer = pytest.mark.parametrize("over", CLOSERS, ids=lambda over: over.__name__)


@each_closer
def test_a_block_that_raises_keeps_the_old_file_though_what_is_over_it_closes_it(over, client, path):
    with pytest.raises(ZeroDivisionError), client.open(path, "wb") as writer, over(writer):
        raise ZeroDivisionError

    assert writer.closed
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


@each_closer
def test_so_does_a_file_object_below_stay_without_an_end(over, client):
    file = io.BytesIO()
    with pytest.raises(ZeroDivisionError), client.open(file, "wb") as writer, over(writer):
        raise ZeroDivisionError

    with pytest.raises(TruncatedMessageError):
        client.decrypt(file.getvalue())


@each_closer
def test_an_error_that_is_caught_in_the_block_does_not_keep_the_message_from_its_end(over, client, path):
    with client.open(path, "wb") as writer:
        writer.write(b"plaintext")
        with contextlib.suppress(ZeroDivisionError), over(writer):
            raise ZeroDivisionError
        assert writer.closed
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"more")

    assert client.decrypt(path.read_bytes()).plaintext == b"plaintext"


def test_text_that_is_closed_on_the_way_of_an_error_keeps_the_old_file(client, path):
    with pytest.raises(ZeroDivisionError), client.open(path, "wt") as text, contextlib.closing(text):
        raise ZeroDivisionError

    assert path.read_bytes() == b"old"
    assert nothing_but(path)


def test_text_that_is_closed_by_an_error_that_is_caught_is_all_there(client, path):
    with client.open(path, "wt", encoding="utf-8") as text:
        text.write("plaintext")
        with contextlib.suppress(ZeroDivisionError), contextlib.closing(text):
            raise ZeroDivisionError
        assert text.closed

    assert client.decrypt(path.read_bytes()).plaintext == b"plaintext"


def test_closing_in_a_block_while_an_older_error_is_handled_ends_the_message_at_once(client, path):
    try:
        client.decrypt(b"")
    except TruncatedMessageError:
        with client.open(path, "wb") as writer:
            writer.write(b"plaintext")
            writer.close()
            assert client.decrypt(path.read_bytes()).plaintext == b"plaintext"


# --- trouble below ---------------------------------------------------------------------------------------------------


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


def test_short_writes_are_continued(client, plaintext):
    sink = Sink(1, 2, 3, 100, 1, 1)
    with client.open(sink, "w") as writer:
        writer.write(plaintext)
    assert client.decrypt(sink.content).plaintext == plaintext


def test_a_file_below_that_takes_nothing_without_blocking_is_an_error(client):
    with pytest.raises(BlockingIOError):
        client.open(Sink(None), "w")


@pytest.mark.parametrize("answer", [0, -1, 10_000], ids=["none", "negative", "more-than-given"])
def test_a_file_below_that_miscounts_is_an_error(answer, client):
    class Miscounts(Sink):
        def write(self, data):
            return answer

    with pytest.raises(OSError, match=f"says it wrote {answer} bytes"):
        client.open(Miscounts(), "w")


def test_a_file_below_that_fails_at_once_warns_of_nothing(client):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OSError, match="full"):
            client.open(Sink(OSError("full")), "w")
        gc.collect()


def test_an_error_below_ends_the_message(client):
    writer = client.open(Sink(1000, OSError("full")), "w")
    with pytest.raises(OSError, match="full"):
        writer.write(bytes(100))
    with pytest.raises(StreamError, match=r"failed \(full\): this message cannot be continued") as caught:
        writer.write(b"more")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(StreamError, match="the message is discarded") as caught:
        writer.close()
    assert isinstance(caught.value.__cause__, OSError)
    assert writer.closed


def test_an_error_below_is_what_a_block_raises(client):
    with pytest.raises(OSError, match="full"), client.open(Sink(1000, OSError("full")), "w") as writer:
        writer.write(bytes(100))


@pytest.mark.parametrize("mode", ["w", "wt"])
def test_an_error_swallowed_in_the_block_comes_back_at_its_end(mode, client):
    data = "x" * 100_000 if mode == "wt" else bytes(100)
    with (
        pytest.raises(StreamError, match="earlier write failed"),
        client.open(Sink(1000, OSError("full")), mode) as writer,
        pytest.raises(OSError, match="full"),
    ):
        writer.write(data)


@pytest.mark.parametrize("mode", ["w", "wt"])
def test_an_error_in_closing_is_raised_as_it_is(mode, client):
    with pytest.raises(OSError, match="full"), client.open(Sink(1000, OSError("full")), mode) as writer:
        writer.write("short" if mode == "wt" else b"short")
    assert writer.closed


def test_an_error_in_writing_the_last_text_is_raised_as_it_is(client):
    # Text waits above the stream, several frames of it, until it is closed.
    with pytest.raises(OSError, match="full"), client.open(Sink(1000, OSError("full")), "wt") as text:
        text.write("x" * 1000)
    assert text.closed
    text.close()


def test_a_full_device_is_an_error(client):
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):  # noqa: PTH123
        client.open(full, "w")


def test_a_keyring_that_cannot_encrypt_leaves_the_old_file(path):
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    client = Client(RawRsaKeyring("test", "rsa", RsaPadding.OAEP_SHA256, private_key=key))
    with pytest.raises(Exception, match="no public key"):
        client.open(path, "w")
    assert path.read_bytes() == b"old"
    assert nothing_but(path)


def test_a_writer_of_one_s_own_file_closes_it_where_asked_to(client):
    sink = Sink()
    EncryptingWriter(sink, client.encryptor(), close_raw=True).close()
    assert sink.closed


# --- cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("frame_length", [4096, 65_536, MIB])
@pytest.mark.parametrize("piece", [65_536, 16 * MIB], ids=["64-KiB-writes", "16-MiB-writes"])
def test_writing_64_mib_holds_few(piece, frame_length, keyring):
    client = Client(keyring, frame_length=frame_length)
    data = bytes(piece)
    with open(os.devnull, "wb", buffering=0) as sink:  # noqa: PTH123
        tracemalloc.start()
        try:
            with client.open(sink, "w") as writer:
                for _ in range(64 * MIB // piece):
                    writer.write(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 10 * MIB
