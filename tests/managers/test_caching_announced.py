"""A data key serves a message again only where its length is announced: who announces it, and that it holds."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from testkit.contracts import aes, caching
from testkit.managers import Asked

from envelope_sdk import Client
from envelope_sdk.cli.plan import Item
from envelope_sdk.cli.transfer import encrypt_item
from envelope_sdk.errors import UsageError
from envelope_sdk.materials import EncryptionMaterials, EncryptionRequest
from envelope_sdk.streams.transfer import plaintext_bound

FRAME = 1000


@pytest.fixture
def asked() -> Asked:
    return Asked(aes())


@pytest.fixture
def client(asked: Asked) -> Client:
    """Two megabytes to a data key."""
    return Client(materials_manager=caching(asked, max_bytes=2 * 10**6), frame_length=FRAME)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"text" * FRAME)
    return path


class Unshown:
    """Progress that nobody sees."""

    def begin(self, name: str, size: int | None) -> None:
        pass

    def again(self) -> None:
        pass

    def advance(self, count: int) -> None:
        pass


def in_one_call(client: Client, _source: Path, _target: Path) -> None:
    client.encrypt(b"text" * FRAME)


def of_a_buffer(client: Client, _source: Path, _target: Path) -> None:
    client.encrypt(memoryview(bytearray(b"text" * FRAME)).cast("i"))


def by_a_machine(client: Client, _source: Path, _target: Path) -> None:
    encryptor = client.encryptor(plaintext_length=4 * FRAME)
    encryptor.start()
    encryptor.finish(b"text" * FRAME)


def by_a_writer(client: Client, _source: Path, target: Path) -> None:
    with client.open(target, "wb", plaintext_length=4 * FRAME) as file:
        file.write(b"text" * FRAME)


def by_a_writer_of_text(client: Client, _source: Path, target: Path) -> None:
    with client.open(target, "wt", encoding="ascii", plaintext_length=4 * FRAME) as file:
        file.write("text" * FRAME)  # type: ignore[call-overload]


def of_a_file(client: Client, source: Path, target: Path) -> None:
    client.encrypt_file(source, target)


def of_a_file_named_to_the_command(client: Client, source: Path, target: Path) -> None:
    encrypt_item(client, Item(source, target), overwrite=True, context={}, progress=Unshown())


WAYS = [
    in_one_call,
    of_a_buffer,
    by_a_machine,
    by_a_writer,
    by_a_writer_of_text,
    of_a_file,
    of_a_file_named_to_the_command,
]


@pytest.mark.parametrize("encrypt", WAYS, ids=lambda way: way.__name__)
def test_messages_of_known_length_share_a_data_key(
    encrypt: Callable[[Client, Path, Path], None], client: Client, asked: Asked, source: Path, tmp_path: Path
):
    for _ in range(3):
        encrypt(client, source, tmp_path / "target")

    assert len(asked.to_encrypt) == 1


def test_a_message_whose_length_is_not_announced_has_a_data_key_of_its_own(
    client: Client, asked: Asked, tmp_path: Path
):
    for _ in range(3):
        with client.open(tmp_path / "target", "wb") as file:
            file.write(b"text")
        encryptor = client.encryptor()
        encryptor.start()
        encryptor.finish(b"text")

    assert len(asked.to_encrypt) == 6


def test_more_than_announced_is_written_by_no_writer(client: Client, tmp_path: Path):
    file = client.open(tmp_path / "target", "wb", plaintext_length=4)
    file.write(b"text")
    with pytest.raises(UsageError, match="4 bytes of plaintext were announced, 5 came"):
        file.write(b"!")
    file.discard()

    assert not (tmp_path / "target").exists()


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 10**6])
def test_of_a_file_twice_its_length_and_64_kib_are_announced(size: int, tmp_path: Path, client: Client, asked: Asked):
    (tmp_path / "source").write_bytes(bytes(size))

    with io.FileIO(tmp_path / "source") as file:
        assert plaintext_bound(file) == 2 * size + 65_536
        file.seek(min(size, 100))
        assert plaintext_bound(file) == 2 * (size - min(size, 100)) + 65_536

    for _ in range(3):
        client.encrypt_file(tmp_path / "source", tmp_path / "target")
    # Two megabytes hold one file of a million bytes, with what it may grow by, not even once.
    assert len(asked.to_encrypt) == (3 if size == 10**6 else 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has files of this kind")
def test_of_a_file_that_holds_more_than_it_tells_nothing_is_announced(client: Client, tmp_path: Path):
    with io.FileIO("/proc/self/cmdline") as file:
        assert plaintext_bound(file) is None

    client.encrypt_file("/proc/self/cmdline", tmp_path / "target")
    assert client.decrypt((tmp_path / "target").read_bytes()).plaintext == Path("/proc/self/cmdline").read_bytes()


def test_of_what_is_no_file_nothing_is_announced():
    reading, writing = os.pipe()
    with io.FileIO(reading) as file, io.FileIO(writing, "w"):
        assert plaintext_bound(file) is None
    assert plaintext_bound(io.BytesIO(b"content")) is None


@pytest.mark.parametrize("size", [100, 3 * 2**20])
@pytest.mark.parametrize("threads", [1, 4])
def test_what_a_file_grows_by_beyond_that_is_left_out(size: int, threads: int, tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(size))

    def grow(_count: int) -> None:
        with source.open("ab") as file:
            file.write(b"more" * 2**18)

    client = Client(aes(), threads=threads)
    client.encrypt_file(source, target, on_progress=grow)
    plaintext = client.decrypt(target.read_bytes()).plaintext

    assert len(plaintext) == 2 * size + 65_536
    assert source.read_bytes().startswith(plaintext)


@pytest.mark.parametrize("threads", [1, 4])
def test_what_a_file_grows_by_while_a_key_service_is_asked_is_left_out_too(threads: int, tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"text")

    class Growing(Asked):
        def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
            os.truncate(source, 10 * 2**20)
            return super().get_encryption_materials(request)

    client = Client(materials_manager=Growing(aes()), threads=threads)
    client.encrypt_file(source, target)

    assert client.decrypt(target.read_bytes()).plaintext == b"text" + bytes(4 + 65_536)
