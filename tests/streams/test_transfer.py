"""From file to file: the same messages and the same errors as in memory, by however many threads."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testkit.builder import Message
from testkit.machines import client_for

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import (
    AuthenticationError,
    EnvelopeError,
    MessageError,
    SignatureError,
    StreamError,
    UsageError,
)
from envelope_sdk.formats.body import FRAME_OVERHEAD
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.primitives.aead import RELEASES_GIL
from envelope_sdk.streams import pieces, transfer
from envelope_sdk.streams.transfer import decrypt_stream, encrypt_stream

FRAME = 64
KEYRING = RawAesKeyring("test", "key", bytes(32))
THREADS = [1, 2, 8]
UNSIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384


two_threads = pytest.mark.skipif(
    not RELEASES_GIL, reason="this version of cryptography lets no other thread run meanwhile, so there is one"
)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of a few kilobytes be worked on by threads."""
    monkeypatch.setattr(pieces, "_PIECE", 3 * FRAME)
    monkeypatch.setattr(pieces, "_SHARED_LENGTH", 1)
    monkeypatch.setattr(transfer, "_SMALLEST", 300)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(random.Random(1).randbytes(50 * FRAME + 1))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def client(threads: int, **options: object) -> Client:
    return Client(KEYRING, threads=threads, **{"frame_length": FRAME, **options})  # type: ignore[arg-type]


# --- the same bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: f"0x{suite.suite_id:04x}")
@pytest.mark.parametrize("threads", THREADS)
def test_a_file_becomes_the_message_that_its_bytes_become(
    suite: AlgorithmSuite, threads: int, source: Path, target: Path, tmp_path: Path, small_pieces: None
):
    made = client_for(suite, frame_length=FRAME, threads=threads)

    header = made.encrypt_file(source, target)
    read = made.decrypt_file(target, tmp_path / "back")

    message = target.read_bytes()
    assert made.decrypt(message).header == header == read
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert suite.signed or message == made.encrypt(source.read_bytes()).ciphertext


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    count=st.integers(0, 40),
    extra=st.integers(0, 2),
    frame_length=st.sampled_from([1, 3, FRAME, 3 * FRAME + 1]),
    threads=st.sampled_from(THREADS),
)
def test_any_length_and_any_frame_length_comes_back(
    count: int, extra: int, frame_length: int, threads: int, tmp_path: Path, small_pieces: None
):
    made = client_for(UNSIGNED, frame_length=frame_length, threads=threads)
    plaintext = random.Random(count).randbytes(count * FRAME + extra)
    (tmp_path / "plain").write_bytes(plaintext)

    made.encrypt_file(tmp_path / "plain", tmp_path / "sealed")
    made.decrypt_file(tmp_path / "sealed", tmp_path / "back")

    assert (tmp_path / "sealed").read_bytes() == made.encrypt(plaintext).ciphertext
    assert (tmp_path / "back").read_bytes() == plaintext


@pytest.mark.parametrize("suite", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("frame_length", [4096, 65_536, 3 * 2**20])
def test_large_files_come_back(suite: AlgorithmSuite, threads: int, frame_length: int, tmp_path: Path):
    made = client_for(suite, frame_length=frame_length, threads=threads)
    (tmp_path / "plain").write_bytes(random.Random(7).randbytes(9 * 2**20 + 5))

    made.encrypt_file(tmp_path / "plain", tmp_path / "sealed")
    made.decrypt_file(tmp_path / "sealed", tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == (tmp_path / "plain").read_bytes()
    made.decrypt((tmp_path / "sealed").read_bytes())


@two_threads
@pytest.mark.parametrize("mode", ["encrypt_file", "decrypt_file"])
def test_several_threads_take_part_in_a_large_file(
    mode: str, source: Path, target: Path, tmp_path: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
):
    client(1).encrypt_file(source, tmp_path / "sealed")
    together = threading.Barrier(2, timeout=20)
    seen: set[int] = set()
    read_at = pieces.read_at

    def watched(*arguments: object) -> int:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            together.wait()
        return read_at(*arguments)

    monkeypatch.setattr(pieces, "read_at", watched)
    getattr(client(2), mode)(source if mode == "encrypt_file" else tmp_path / "sealed", target)

    assert len(seen) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_any_streams_will_do(threads: int):
    made, sealed, back = client(threads), io.BytesIO(), io.BytesIO()

    encrypt_stream(io.BytesIO(b"content" * 100), sealed, made.encryptor(), threads=threads)
    sealed.seek(0)
    decrypt_stream(sealed, back, made.decryptor(), threads=threads)

    assert back.getvalue() == b"content" * 100


def test_a_file_object_that_is_not_the_file_itself_is_read_through(tmp_path: Path, small_pieces: None):
    with gzip.open(tmp_path / "packed", "wb") as packed:
        packed.write(b"content" * 1000)
    sealed = io.BytesIO()

    with gzip.open(tmp_path / "packed") as packed:
        encrypt_stream(packed, sealed, client(8).encryptor(), threads=8)

    assert client(1).decrypt(sealed.getvalue()).plaintext == b"content" * 1000


@pytest.mark.parametrize("threads", THREADS)
def test_a_stream_is_taken_from_where_it_stands(threads: int, source: Path, target: Path, small_pieces: None):
    with io.FileIO(source) as file, io.FileIO(target, "w") as sealed:
        file.seek(100)
        encrypt_stream(file, sealed, client(threads).encryptor(), threads=threads)

    assert client(1).decrypt(target.read_bytes()).plaintext == source.read_bytes()[100:]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def both_errors(message: bytes, threads: int, folder: Path) -> tuple[EnvelopeError, EnvelopeError]:
    """Return the error of decrypting in memory and that of decrypting the same as a file."""
    (folder / "sealed").write_bytes(message)
    with pytest.raises(EnvelopeError) as expected:
        client(1).decrypt(message)
    with pytest.raises(EnvelopeError) as found:
        client(threads).decrypt_file(folder / "sealed", folder / "target")
    assert not (folder / "target").exists()
    return expected.value, found.value


def alterations(message: bytes, header_length: int) -> dict[str, bytes]:
    stride = FRAME + FRAME_OVERHEAD

    def frame(index: int) -> int:
        return header_length + index * stride

    def flipped(position: int) -> bytes:
        return message[:position] + bytes([message[position] ^ 1]) + message[position + 1 :]

    swapped = message[: frame(30)] + message[frame(31) : frame(32)] + message[frame(30) : frame(31)]
    return {
        "header": flipped(40),
        "first frame": flipped(frame(0) + 20),
        "a frame in the middle": flipped(frame(20) + 20),
        "two frames": flipped(frame(9) + 20)[: frame(40)] + flipped(frame(40) + 20)[frame(40) :],
        "a number": flipped(frame(25)),
        "the last number": flipped(frame(50) + 7),
        "final frame": flipped(len(message) - 1),
        "swapped frames": swapped + message[frame(32) :],
        "a frame left out": message[: frame(10)] + message[frame(11) :],
        "cut in a frame": message[: frame(33) + 9],
        "cut between frames": message[: frame(33)],
        "cut in the header": message[:50],
        "empty": b"",
        "bytes behind": message + b"x",
        "a frame behind": message + message[frame(3) : frame(4)],
    }


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("what", list(alterations(bytes(10_000), 100)))
def test_an_altered_file_fails_as_its_bytes_do_and_leaves_nothing(
    what: str, threads: int, source: Path, tmp_path: Path, small_pieces: None
):
    result = client(1).encrypt(source.read_bytes())
    message = alterations(result.ciphertext, result.header.length)[what]

    expected, found = both_errors(message, threads, tmp_path)

    assert type(found) is type(expected)
    if what.startswith("cut"):
        # Of a stream it is known only at its end that nothing follows.
        assert isinstance(found, MessageError)
        return
    assert str(found) == str(expected)


@pytest.mark.parametrize("threads", THREADS)
def test_a_signed_file_with_another_signature_leaves_nothing(threads: int, source: Path, target: Path, tmp_path: Path):
    made = client(threads, sign=True)
    made.encrypt_file(source, tmp_path / "sealed")
    message = (tmp_path / "sealed").read_bytes()
    (tmp_path / "sealed").write_bytes(message[:-103] + made.encrypt(b"other").ciphertext[-103:])

    with pytest.raises(SignatureError):
        made.decrypt_file(tmp_path / "sealed", target)

    assert not target.exists()


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("sign", [False, True])
def test_an_error_leaves_an_older_file_and_no_thread(
    threads: int, sign: bool, source: Path, target: Path, tmp_path: Path, small_pieces: None
):
    target.write_bytes(b"older")
    made = client(threads, sign=sign)
    made.encrypt_file(source, tmp_path / "sealed")
    sealed = bytearray((tmp_path / "sealed").read_bytes())
    sealed[2020] ^= 1
    (tmp_path / "sealed").write_bytes(sealed)
    before = set(threading.enumerate())

    with pytest.raises(AuthenticationError):
        made.decrypt_file(tmp_path / "sealed", target)

    assert target.read_bytes() == b"older"
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("threads", THREADS)
def test_a_full_disk_is_told_and_leaves_nothing(
    threads: int, source: Path, target: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
):
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite" if threads > 1 else "write", full)

    with pytest.raises(OSError, match="No space left"):
        client(threads).encrypt_file(source, target)

    assert not target.exists()


@pytest.mark.parametrize("mode", ["encrypt_file", "decrypt_file"])
def test_an_existing_target_is_kept_where_it_may_not_be_replaced(mode: str, source: Path, target: Path):
    target.write_bytes(b"older")

    with pytest.raises(FileExistsError):
        getattr(client(1), mode)(source, target, overwrite=False)

    assert target.read_bytes() == b"older"


def test_a_file_that_gets_shorter_while_it_is_encrypted_is_told(
    source: Path, target: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
):
    read_at = pieces.read_at

    def read_what_is_left(descriptor: int, buffer: memoryview, offset: int) -> int:
        os.truncate(source, 10 * FRAME)
        return read_at(descriptor, buffer, offset)

    monkeypatch.setattr(pieces, "read_at", read_what_is_left)
    with pytest.raises(StreamError, match="became shorter"):
        client(2).encrypt_file(source, target)

    assert not target.exists()


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("sign", [False, True])
def test_a_file_that_gets_shorter_is_told_however_it_is_read(threads: int, sign: bool, tmp_path: Path, target: Path):
    (tmp_path / "source").write_bytes(bytes(3 * 2**20))

    def shorten(_count: int) -> None:
        os.truncate(tmp_path / "source", 2**19)

    with pytest.raises(StreamError, match="became shorter"):
        client(threads, sign=sign, frame_length=65_536).encrypt_file(tmp_path / "source", target, on_progress=shorten)

    assert not target.exists()


@pytest.mark.skipif(not Path("/sys/kernel/mm").is_dir(), reason="only Linux has files of this kind")
def test_a_file_that_holds_less_than_it_tells_is_encrypted_as_it_is(target: Path):
    source = next(path for path in sorted(Path("/sys/kernel/mm").rglob("*")) if path.is_file() and os.access(path, 4))
    if source.stat().st_size <= len(source.read_bytes()):
        pytest.skip("no such file here")

    client(1).encrypt_file(source, target)

    assert client(1).decrypt(target.read_bytes()).plaintext == source.read_bytes()


@two_threads
def test_a_message_whose_end_comes_early_leaves_nothing_behind_it(
    source: Path, target: Path, tmp_path: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
):
    """Pieces behind the one that failed have been written by then; the message is a shorter one now, and whole."""
    made, short, sealed = client_for(UNSIGNED, frame_length=FRAME, threads=2), tmp_path / "short", tmp_path / "sealed"
    header = made.encrypt_file(source, sealed)
    short.write_bytes(source.read_bytes()[: 20 * FRAME])
    made.encrypt_file(short, tmp_path / "short.enc")
    stride = FRAME + FRAME_OVERHEAD
    read_at, far_behind, victims = pieces.read_at, threading.Event(), list[int]()

    def cut_meanwhile(descriptor: int, buffer: memoryview, offset: int) -> int:
        frame = (offset - header.length) // stride
        if frame >= 25:
            far_behind.set()
        elif frame >= 8 and not victims:
            victims.append(frame)
            assert far_behind.wait(20)
            sealed.write_bytes((tmp_path / "short.enc").read_bytes())
            return 0
        return read_at(descriptor, buffer, offset)

    monkeypatch.setattr(pieces, "read_at", cut_meanwhile)
    made.decrypt_file(sealed, target)

    assert victims
    assert target.read_bytes() == short.read_bytes()


@pytest.mark.parametrize("claimed", [600 * 2**20, 2**36 - 32])
def test_what_a_message_claims_to_hold_takes_no_memory(claimed: int):
    order = Message(AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, frame_length=0)
    made = client_for(order.suite)
    message = order.header() + bytes(12) + claimed.to_bytes(8, "big") + bytes(100)

    class Trickle(io.BytesIO):
        def readinto(self, buffer: memoryview, /) -> int:
            assert len(buffer) <= 4 * 2**20
            return super().readinto(memoryview(buffer)[:50])

    with pytest.raises(MessageError):
        decrypt_stream(Trickle(message), io.BytesIO(), made.decryptor())


@pytest.mark.parametrize("mode", ["encrypt_file", "decrypt_file"])
def test_a_descriptor_is_no_path(mode: str, source: Path, target: Path):
    with source.open("rb") as file:
        with pytest.raises(TypeError):
            getattr(client(1), mode)(file.fileno(), target)
        os.fstat(file.fileno())


def test_what_is_opened_to_append_gets_its_frames_in_order(source: Path, target: Path, small_pieces: None):
    with io.FileIO(source) as read, io.FileIO(target, "ab") as written:
        encrypt_stream(read, written, client(4).encryptor(), threads=4)

    assert client(1).decrypt(target.read_bytes()).plaintext == source.read_bytes()


@pytest.mark.parametrize("threads", THREADS)
def test_what_is_appended_while_a_file_is_encrypted_is_encrypted_too(
    threads: int, source: Path, target: Path, small_pieces: None
):
    appended: list[int] = []

    def append(_count: int) -> None:
        if not appended:
            with source.open("ab") as file:
                appended.append(file.write(b"appended" * 100))

    client(threads).encrypt_file(source, target, on_progress=append)

    assert client(1).decrypt(target.read_bytes()).plaintext == source.read_bytes()
    assert appended


@pytest.mark.parametrize("threads", THREADS)
def test_a_message_that_gets_shorter_while_it_is_decrypted_is_cut_short(
    threads: int, source: Path, target: Path, tmp_path: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transfer, "CHUNK", 3 * FRAME)
    monkeypatch.setattr(transfer, "_SMALLEST", 1024)
    client(1).encrypt_file(source, tmp_path / "sealed")

    def shorten(_count: int) -> None:
        os.truncate(tmp_path / "sealed", 40 * FRAME)

    with pytest.raises(MessageError):
        client(threads).decrypt_file(tmp_path / "sealed", target, on_progress=shorten)

    assert not target.exists()


# --- progress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("sign", [False, True])
def test_progress_adds_up_to_what_was_read_and_is_told_in_the_callers_thread(
    threads: int, sign: bool, source: Path, target: Path, tmp_path: Path, small_pieces: None
):
    told: list[int] = []
    where: set[int] = set()

    def note(count: int) -> None:
        told.append(count)
        where.add(threading.get_ident())

    made = client(threads, sign=sign)
    made.encrypt_file(source, target, on_progress=note)
    assert sum(told) == source.stat().st_size
    told.clear()
    made.decrypt_file(target, tmp_path / "back", on_progress=note)

    assert sum(told) == target.stat().st_size
    assert where == {threading.get_ident()}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("mode", ["encrypt_file", "decrypt_file"])
def test_what_progress_raises_ends_the_work_and_leaves_nothing(
    mode: str, threads: int, source: Path, target: Path, tmp_path: Path, small_pieces: None
):
    client(1).encrypt_file(source, tmp_path / "sealed")
    before = set(threading.enumerate())

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        getattr(client(threads), mode)(
            source if mode == "encrypt_file" else tmp_path / "sealed", target, on_progress=stop
        )

    assert not target.exists()
    assert set(threading.enumerate()) <= before


# --- memory ----------------------------------------------------------------------------------------------------------

PEAK = """
import sys
from pathlib import Path
from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring

mode, threads, sign, source, target = sys.argv[1:]
client = Client(RawAesKeyring("test", "key", bytes(32)), threads=int(threads), sign=sign == "True")
getattr(client, mode)(source, target)
status = Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("sign", [False, True])
def test_ten_times_the_file_takes_the_same_memory_and_less_than_40_mib(threads: int, sign: bool, tmp_path: Path):
    def peak(mode: str, source: Path, target: Path) -> int:
        run = subprocess.run(
            [sys.executable, "-c", PEAK, mode, str(threads), str(sign), str(source), str(target)],
            check=True,
            capture_output=True,
            # What measures the tests takes memory of its own, in proportion to what runs.
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        )
        return int(run.stdout)

    peaks: list[list[int]] = []
    for mib in (24, 240):
        with (tmp_path / "plain").open("wb") as file:
            file.truncate(mib * 2**20)
        peaks.append(
            [
                peak("encrypt_file", tmp_path / "plain", tmp_path / "sealed"),
                peak("decrypt_file", tmp_path / "sealed", tmp_path / "back"),
            ]
        )

    # Of several threads on a short file, some may find nothing left to do and make no buffers.
    buffers = 0 if threads == 1 else pieces._BUFFERS // 1024
    for small, large in zip(*peaks, strict=True):
        assert large < small + buffers + 3 * 1024
        assert large < 40 * 1024


# --- the pieces' own machines ----------------------------------------------------------------------------------------


def test_frames_taken_apart_make_the_message_that_a_stream_makes():
    made = client_for(UNSIGNED, frame_length=FRAME)
    plaintext = random.Random(3).randbytes(10 * FRAME + 5)
    encryptor = made.encryptor()
    message = bytearray(encryptor.start())
    parts: dict[int, bytes] = {}
    for run in [encryptor.take_frames(3), encryptor.take_frames(4)][::-1]:
        slot = encryptor.slot(run.count)
        start = (run.first - 1) * FRAME
        slot.plain[:] = plaintext[start : start + run.count * FRAME]
        run.seal(slot)
        parts[run.first] = bytes(slot.sealed)
    message += b"".join(parts[first] for first in sorted(parts)) + encryptor.finish(plaintext[7 * FRAME :])

    assert bytes(message) == made.encrypt(plaintext).ciphertext


def test_frames_can_be_sealed_once_only_and_in_a_slot_for_as_many():
    encryptor = client(1).encryptor()
    encryptor.start()
    run = encryptor.take_frames(1)

    with pytest.raises(UsageError, match="does not go with"):
        run.seal(encryptor.slot(2))
    run.seal(encryptor.slot(1))
    with pytest.raises(StreamError, match="sealed already"):
        run.seal(encryptor.slot(1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_frames_taken_before_a_fork_are_the_parents():
    encryptor = client(1).encryptor()
    encryptor.start()
    run, slot = encryptor.take_frames(1), encryptor.slot(1)
    child = os.fork()
    if child == 0:
        try:
            run.seal(slot)
        except StreamError:
            os._exit(0)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("sign", "prepare"),
    [
        (True, lambda encryptor: encryptor.start()),
        (False, lambda encryptor: None),
        (False, lambda encryptor: encryptor.start() + encryptor.update(b"a frame begun")),
        (False, lambda encryptor: encryptor.start() + encryptor.finish()),
    ],
    ids=["signed", "not started", "a frame begun", "finished"],
)
def test_frames_cannot_be_taken(sign: bool, prepare: Callable[..., object]):
    encryptor = client(1, sign=sign).encryptor()
    prepare(encryptor)

    with pytest.raises(StreamError):
        encryptor.take_frames(1)


def test_a_full_frame_need_not_wait_where_more_is_promised_and_an_empty_one_ends_a_broken_promise():
    encryptor = client(1).encryptor()
    out = bytearray(encryptor.output_size(FRAME, more=True))

    message = encryptor.start() + bytes(out[: encryptor.update_into(bytes(FRAME), memoryview(out), more=True)])
    message += encryptor.finish()

    assert len(out) == FRAME + FRAME_OVERHEAD
    assert client(1).decrypt(message).plaintext == bytes(FRAME)


def test_frames_are_opened_apart_only_where_they_belong():
    plaintext = bytes(range(256)) * 2
    message = client(1).encrypt(plaintext).ciphertext
    decryptor = client(1).decryptor()
    length = decryptor.read_header(message)
    slot = decryptor.slot(2)
    slot.sealed[:] = message[length + slot.stride : length + 3 * slot.stride]

    assert decryptor.open_apart(slot, 2)
    assert slot.plain == plaintext[FRAME : 3 * FRAME]
    assert not decryptor.open_apart(slot, 3)
    slot.sealed[20] ^= 1
    assert not decryptor.open_apart(slot, 2)
    assert not any(slot.plain)


@pytest.mark.parametrize("count", [-1, 2**32])
def test_frames_that_there_cannot_be_are_not_skipped(count: int):
    decryptor = client(1).decryptor()
    decryptor.read_header(client(1).encrypt(bytes(200)).ciphertext)

    with pytest.raises(StreamError):
        decryptor.skip_frames(count)


@pytest.mark.parametrize("count", [-1, 0, 0.5, 1.0])
def test_only_whole_positive_counts_of_frames_are_taken(count: int):
    encryptor = client(1).encryptor()
    encryptor.start()

    with pytest.raises((UsageError, TypeError)):
        encryptor.take_frames(count)


def test_frames_of_signed_messages_are_not_opened_apart():
    decryptor = client(1).decryptor()
    decryptor.read_header(client(1, sign=True).encrypt(bytes(200)).ciphertext)

    with pytest.raises(StreamError):
        decryptor.slot(1)
    with pytest.raises(StreamError):
        decryptor.skip_frames(1)
