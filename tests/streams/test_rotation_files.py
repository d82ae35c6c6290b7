"""Rotation of files: who may read them stays, nobody else's change is lost, and no plaintext is in any of them."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from testkit.builder import Message
from testkit.keyrings import StaticDataKeyring

from envelope_sdk import AlgorithmSuite, Client, Rotation
from envelope_sdk.errors import EnvelopeError, SignatureError, StreamError
from envelope_sdk.keyrings import RawAesKeyring

FRAME = 64
OLD = RawAesKeyring("test", "old", bytes(32))
NEW = RawAesKeyring("test", "new", bytes(range(32)))
MARK = b"nobody may find this"
PLAIN = MARK * 200
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def client(keyring: Any = OLD, **options: Any) -> Client:
    return Client(keyring, **{"frame_length": FRAME, **options})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "message"
    path.write_bytes(client().encrypt(PLAIN).ciphertext)
    path.chmod(0o640)
    return path


def rotation(**options: Any) -> Rotation:
    return Rotation(client(), client(NEW), **options)


def opened(path: Path, keyring: Any = NEW) -> bytes:
    return client(keyring).decrypt(path.read_bytes()).plaintext


# --- access lists ----------------------------------------------------------------------------------------------------


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """Return what the system stores of a list of tag, permissions and id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
SOMEBODY_TOO = access_list((1, 6, NOBODY), (2, 4, 12_345), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
"""Read and write for the owner, read for the group and the user 12345, and the mask that allows it."""


@contextmanager
def where_there_are_access_lists() -> Iterator[None]:
    try:
        yield
    except OSError:
        pytest.skip("this file system has no access lists")


def test_an_access_list_stays(path: Path):
    with where_there_are_access_lists():
        os.setxattr(path, ACCESS, SOMEBODY_TOO)

    rotation().rotate_file(path)

    assert os.getxattr(path, ACCESS) == SOMEBODY_TOO


def test_an_access_list_of_the_folder_is_not_given_to_a_file_that_has_none(path: Path):
    with where_there_are_access_lists():
        os.setxattr(path.parent, DEFAULT, SOMEBODY_TOO)

    rotation().rotate_file(path)

    assert ACCESS not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_who_is_taken_from_the_access_list_meanwhile_stays_so(path: Path):
    with where_there_are_access_lists():
        os.setxattr(path, ACCESS, SOMEBODY_TOO)

    rotation().rotate_file(path, on_progress=lambda _count: os.removexattr(path, ACCESS))

    assert ACCESS not in os.listxattr(path)


def test_who_is_kept_from_reading_while_the_new_file_is_synced_stays_so(path: Path, monkeypatch: pytest.MonkeyPatch):
    sync, number = os.fsync, path.stat().st_ino

    def restrict(descriptor: int) -> None:
        sync(descriptor)
        if path.stat().st_ino == number:
            path.chmod(0o600)

    monkeypatch.setattr(os, "fsync", restrict)
    rotation().rotate_file(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def immutable(path: Path, on: bool) -> None:
    """Set the flag, as chattr does."""
    flags = struct.pack("l", 0x10 if on else 0)
    with path.open("rb") as file:
        fcntl.ioctl(file, 0x40086602, flags)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files immutable")
def test_a_file_that_may_not_be_replaced_is_named_in_the_error(path: Path):
    before = path.read_bytes()
    try:
        immutable(path, True)
    except OSError:
        pytest.skip("this file system has no such files")

    try:
        with pytest.raises(PermissionError) as found:
            rotation().rotate_file(path)
    finally:
        immutable(path, False)

    assert (found.value.filename, found.value.filename2) == (str(path), None)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["message"]


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Be a user without rights for a while, with a folder of their own."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    with TemporaryDirectory() as folder:
        os.chown(folder, 65_534, 65_534)
        os.setegid(65_534)
        os.seteuid(65_534)
        try:
            if not os.access(folder, os.W_OK, effective_ids=True):
                pytest.skip("nobody else gets to temporary files")
            yield Path(folder)
        finally:
            os.seteuid(0)
            os.setegid(0)


def test_in_a_folder_that_is_read_only_nothing_changes():
    with as_nobody() as folder:
        path = folder / "message"
        path.write_bytes(message := client().encrypt(PLAIN).ciphertext)
        folder.chmod(0o500)

        with pytest.raises(PermissionError) as found:
            rotation().rotate_file(path)

        assert found.value.filename == str(path)
        assert path.read_bytes() == message
        folder.chmod(0o700)


@pytest.mark.parametrize(("owner", "group"), [(0, 65_534), (65_534, 54_321)], ids=["owner", "group"])
def test_where_the_owner_cannot_be_kept_nothing_changes(owner: int, group: int):
    with as_nobody() as folder:
        path = folder / "message"
        path.write_bytes(message := client().encrypt(PLAIN).ciphertext)
        path.chmod(0o644)
        os.seteuid(0)
        os.chown(path, owner, group)
        os.seteuid(65_534)

        with pytest.raises(PermissionError, match="owner and group cannot be kept"):
            rotation().rotate_file(path)

        assert path.read_bytes() == message
        assert [each.name for each in folder.iterdir()] == ["message"]


# --- changes of others -----------------------------------------------------------------------------------------------


def test_a_message_that_was_written_over_in_place_is_noticed_whatever_its_times_say(path: Path):
    other, before = client().encrypt(PLAIN[::-1]).ciphertext, path.stat()
    assert len(other) == before.st_size
    left = len(PLAIN)

    def change(count: int) -> None:
        nonlocal left
        left -= count
        if left:
            return
        with path.open("r+b") as file:
            file.write(other)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(StreamError, match="another program changed or replaced the file"):
        rotation().rotate_file(path, on_progress=change)

    assert path.read_bytes() == other


def test_a_link_that_led_elsewhere_for_a_moment_does_not_have_that_file_replaced(path: Path):
    elsewhere, link = path.parent / "elsewhere", path.parent / "link"
    elsewhere.write_bytes(b"precious")
    link.symlink_to(path)

    def lead_to(target: Path) -> None:
        (path.parent / "next").symlink_to(target)
        (path.parent / "next").replace(link)

    class LeadsElsewhere:
        """Is asked once the file is open."""

        def on_encrypt(self, materials: Any) -> Any:
            lead_to(elsewhere)
            return NEW.on_encrypt(materials)

        def on_decrypt(self, materials: Any, keys: Any) -> Any:
            return NEW.on_decrypt(materials, keys)

    with pytest.raises(StreamError, match="another program changed or replaced the file"):
        Rotation(client(), client(LeadsElsewhere())).rotate_file(link, on_progress=lambda _count: lead_to(path))

    assert elsewhere.read_bytes() == b"precious"
    assert opened(path, OLD) == PLAIN


def test_an_empty_name_is_no_target(path: Path):
    before = path.read_bytes()

    with pytest.raises(OSError, match="not a regular file"):
        rotation().rotate_file(path, "")

    assert path.read_bytes() == before


# --- the process is killed -------------------------------------------------------------------------------------------


def killed(path: Path, moment: int) -> bool:
    """Rotate in a process of its own, kill it at an audit event of that number, and return whether there was one."""
    child = os.fork()
    if child == 0:
        left = moment

        def count(_event: str, _arguments: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            rotation().rotate_file(path)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_kill_at_any_moment_leaves_the_old_message_or_the_new_one(path: Path):
    """At everything that is done to files; what lies about besides is a whole new message that was not yet in place."""
    before, found, moment = path.read_bytes(), [], 1
    while killed(path, moment):
        moment += 1
        found.append("old" if path.read_bytes() == before else "new" if opened(path) == PLAIN else "")
        for left in path.parent.glob(".message.*.partial"):
            assert MARK not in left.read_bytes()
            left.unlink()
        assert [each.name for each in path.parent.iterdir()] == ["message"]
        path.write_bytes(before)

    assert found[0] == "old"
    assert found[-1] == "new"
    assert found == sorted(found, reverse=True)


# --- plaintext -------------------------------------------------------------------------------------------------------


def open_files() -> dict[str, bytes]:
    """Return the content of every regular file that this process has open, those without a name included."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if entry.is_file():
                found[str(entry.readlink())] = entry.read_bytes()
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which files are open")
@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_no_file_ever_holds_plaintext(threads: int, sign: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    path = tmp_path / "message"
    path.write_bytes(client(sign=sign).encrypt(PLAIN).ciphertext)
    seen: dict[str, bytes] = {}

    def look(_count: int) -> None:
        seen.update(open_files())

    Rotation(client(), client(NEW, sign=sign, threads=threads)).rotate_file(path, on_progress=look)

    assert not [name for name, data in seen.items() if MARK in data]
    # It was the old message and the new one that were looked at.
    assert len([name for name, data in seen.items() if name.startswith(str(tmp_path)) and data]) == 2
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["message", "temporary"]
    assert opened(path) == PLAIN


# --- streams ---------------------------------------------------------------------------------------------------------

SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384


def with_an_empty_final_frame(order: Message) -> bytes:
    """Return a message all of whose plaintext is released before its signature is looked at."""
    return order.header() + order.frame(1, b"a" * order.frame_length) + order.final(2, b"")


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda order, covered: order.signed(covered, order.signing.sign(b"other")), SignatureError),
        (lambda order, covered: order.signed(covered)[:-1], EnvelopeError),
        (lambda order, covered: order.signed(covered) + b"x", EnvelopeError),
    ],
    ids=["another signature", "cut", "bytes behind"],
)
def test_what_a_stream_has_got_is_not_whole_where_the_old_message_is_not(
    end: Callable[[Message, bytes], bytes], error: type[EnvelopeError], tmp_path: Path
):
    order = Message(SIGNED, frame_length=16)
    (tmp_path / "message").write_bytes(end(order, with_an_empty_final_frame(order)))
    target, old = io.BytesIO(), client(StaticDataKeyring(order.data_key))

    with io.FileIO(tmp_path / "message") as source, pytest.raises(error):
        Rotation(old, client(NEW)).rotate_stream(source, target)

    with pytest.raises(EnvelopeError):
        client(NEW).decrypt(target.getvalue())


def test_an_empty_final_frame_is_no_obstacle(tmp_path: Path):
    order = Message(SIGNED, frame_length=16)
    path = tmp_path / "message"
    path.write_bytes(order.signed(with_an_empty_final_frame(order)))

    Rotation(client(StaticDataKeyring(order.data_key)), client(NEW)).rotate_file(path)

    assert opened(path) == b"a" * 16
