"""Rotation to whatever takes bytes and can still discard them: looked at first, and opened before it is committed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk import Client, Rotation
from envelope_sdk.errors import KeyringError, NoMatchingKeyError, StreamError, TruncatedMessageError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams.files import AtomicFile

OLD = Client(RawAesKeyring("test", "old", bytes(32)), frame_length=64, threads=1)
NEW = Client(RawAesKeyring("test", "new", bytes(range(32))), frame_length=64, threads=1)
OTHER = Client(RawAesKeyring("test", "other", bytes(range(1, 33))))
PLAIN = bytes(1000)
CONTEXT = {"purpose": "a header that is longer than what a pipe takes at once" * 40}
MESSAGE = OLD.encrypt(PLAIN, encryption_context=CONTEXT).ciphertext


class Pipe:
    """Takes a little at a time."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: Any, /) -> int:
        piece = memoryview(data)[:100]
        self.data += piece
        return len(piece)


class Dripping(io.RawIOBase):
    """Gives a little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._data.readinto(memoryview(buffer)[:10])


def test_it_opens_with_the_new_keys() -> None:
    pipe = Pipe()

    made = Rotation(OLD, NEW).rotate_to(Dripping(MESSAGE), lambda: pipe)

    found = NEW.decrypt(pipe.data)
    assert (found.plaintext, found.header) == (PLAIN, made)


@pytest.mark.parametrize("source", ["stream", "file"])
@pytest.mark.parametrize("target", ["stream", "file"])
def test_files_and_streams_in_any_combination(source: str, target: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(MESSAGE)
    pipe = Pipe()
    with (
        io.FileIO(tmp_path / "old") if source == "file" else io.BytesIO(MESSAGE) as read,
        AtomicFile(tmp_path / "new") as written,
    ):
        Rotation(OLD, NEW).rotate_to(read, lambda: pipe if target == "stream" else written)

    made = bytes(pipe.data) if target == "stream" else (tmp_path / "new").read_bytes()
    assert NEW.decrypt(made).plaintext == PLAIN


def test_what_is_as_wanted_is_not_begun() -> None:
    rotation = Rotation(NEW, OLD)

    assert rotation.rotate_to(io.BytesIO(MESSAGE), lambda: pytest.fail("begun"), again=False) is None

    pipe = Pipe()
    with pytest.raises(NoMatchingKeyError):
        rotation.rotate_to(io.BytesIO(MESSAGE), lambda: pipe)


def test_what_the_new_keys_do_not_open_is_an_error_before_it_is_committed() -> None:
    with pytest.raises(KeyringError, match="the old one was kept"):
        Rotation(OLD, NEW, verifier=OTHER).rotate_to(io.BytesIO(MESSAGE), Pipe)

    pipe = Pipe()
    Rotation(OLD, NEW, verifier=OTHER, verify=False).rotate_to(io.BytesIO(MESSAGE), lambda: pipe)
    assert NEW.decrypt(pipe.data).plaintext == PLAIN


@pytest.mark.parametrize("length", [0, 1, 100, 3000])
def test_what_is_cut_short_is_no_message(length: int) -> None:
    with pytest.raises(TruncatedMessageError):
        Rotation(OLD, NEW).rotate_to(io.BytesIO(MESSAGE[:length]), Pipe)


def test_more_than_the_bound_is_an_error() -> None:
    pipe = Pipe()
    Rotation(OLD, NEW).rotate_to(io.BytesIO(MESSAGE), lambda: pipe, plaintext_bound=1000)
    assert NEW.decrypt(pipe.data).plaintext == PLAIN

    with pytest.raises(StreamError, match="more than"):
        Rotation(OLD, NEW).rotate_to(io.BytesIO(MESSAGE), Pipe, plaintext_bound=999)
