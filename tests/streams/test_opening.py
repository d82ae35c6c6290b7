"""``open()``: its modes, what it takes for a file, and what it refuses."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest

import envelope_sdk
from envelope_sdk import Client, Limits
from envelope_sdk.errors import (
    ContextMismatchError,
    EncryptionContextError,
    LimitExceededError,
    MessageError,
    NoMatchingKeyError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.keyrings import RawAesKeyring


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


@pytest.mark.parametrize(("write", "read"), [("w", "r"), ("wb", "rb"), ("x", "r"), ("xb", "rb")])
def test_binary_modes(write, read, client, path, plaintext):
    with client.open(path, write) as file:
        assert file.write(plaintext) == len(plaintext)
    with client.open(path, read) as file:
        assert file.read() == plaintext


@pytest.mark.parametrize(("write", "read"), [("wt", "rt"), ("xt", "rt")])
def test_text_modes(write, read, client, path):
    with client.open(path, write, encoding="utf-16", newline="\r\n") as file:
        file.write("größe\nñandú 😀\n")
    with client.open(path, "r") as file:
        assert file.read() == "größe\r\nñandú 😀\r\n".encode("utf-16")
    with client.open(path, read, encoding="utf-16") as file:
        assert list(file) == ["größe\n", "ñandú 😀\n"]


def test_text_is_long(client, path):
    lines = [f"line {number}: ñandú 😀\n" for number in range(50_000)]
    with client.open(path, "wt", encoding="utf-8") as file:
        file.writelines(lines)
    with client.open(path, "rt", encoding="utf-8") as file:
        assert file.readlines() == lines


def test_text_errors_are_handled_as_asked_for(client, path):
    with client.open(path, "wt", encoding="ascii", errors="replace") as file:
        file.write("größe")
    with client.open(path) as file:
        assert file.read() == b"gr??e"


def test_the_default_mode_reads_bytes(client, path):
    path.write_bytes(client.encrypt(b"plaintext").ciphertext)
    with envelope_sdk.open(path, client=client) as file:
        assert file.read() == b"plaintext"


@pytest.mark.parametrize("mode", ["a", "ab", "at", "r+", "w+", "rw", "", "b", "t", "br", "rU", "wx"])
def test_other_modes_are_refused(mode, client, path):
    with pytest.raises(UsageError, match="is none of"):
        client.open(path, mode)
    assert not path.exists()


@pytest.mark.parametrize("convert", [str, Path], ids=["str", "Path"])
def test_paths_of_every_kind(convert, client, path):
    with client.open(convert(path), "w") as file:
        file.write(b"plaintext")
    with client.open(convert(path)) as file:
        assert file.read() == b"plaintext"


def test_file_objects_stay_open(client):
    file = io.BytesIO()
    with client.open(file, "w") as writer:
        writer.write(b"plaintext")
    assert not file.closed
    file.seek(0)
    with client.open(file) as reader:
        assert reader.read() == b"plaintext"
    assert not file.closed


def test_a_file_object_is_written_from_where_it_stands(client):
    file = io.BytesIO()
    file.write(b"before")
    with client.open(file, "w") as writer:
        writer.write(b"plaintext")
    file.seek(6)
    with client.open(file) as reader:
        assert reader.read() == b"plaintext"


@pytest.mark.parametrize("file", [5, b"path", None, object()], ids=lambda file: type(file).__name__)
@pytest.mark.parametrize("mode", ["r", "w"])
def test_what_is_neither_path_nor_file_is_a_type_error(mode, file, client):
    with pytest.raises(TypeError, match="a path as text or a binary file object"):
        client.open(file, mode)


@pytest.mark.parametrize("mode", ["r", "w"])
def test_a_text_file_object_is_a_type_error(mode, client, path):
    path.write_bytes(client.encrypt(b"").ciphertext)
    with pytest.raises(TypeError):
        client.open(io.StringIO("text"), mode)


@pytest.mark.parametrize("option", [{"encoding": "utf-8"}, {"errors": "replace"}, {"newline": ""}], ids=str)
@pytest.mark.parametrize("mode", ["r", "wb", "x"])
def test_text_options_go_with_text_modes_only(mode, option, client, path):
    with pytest.raises(UsageError, match="text modes only"):
        client.open(path, mode, **option)


@pytest.mark.parametrize(
    ("mode", "option"),
    [
        ("r", {"plaintext_length": 5}),
        ("rt", {"plaintext_length": 0}),
        ("w", {"required_context_keys": ["purpose"]}),
        ("x", {"release_unverified_plaintext": True}),
        ("wt", {"partial_read": True}),
    ],
)
def test_options_that_do_not_go_with_the_mode_are_refused(mode, option, client, path):
    with pytest.raises(UsageError, match="only"):
        client.open(path, mode, **option)
    assert not path.exists()


@pytest.mark.parametrize(("option", "error"), [({"encoding": "no-such"}, LookupError), ({"newline": "x"}, ValueError)])
def test_an_impossible_text_option_is_refused_before_anything_is_written(option, error, client, path):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            client.open(file, "wt", **option)
        with pytest.raises(error):
            client.open(path, "wt", **option)
    assert file.getvalue() == b""
    assert not path.exists()


def test_exclusive_mode_keeps_an_existing_file(client, path):
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        client.open(path, "x")
    assert path.read_bytes() == b"old"


def test_a_missing_file_is_not_found(client, path):
    with pytest.raises(FileNotFoundError, match="file"):
        client.open(path)


# --- what the header decides -----------------------------------------------------------------------------------------


def test_the_header_is_at_hand_before_the_first_read(client, path):
    with client.open(path, "w", encryption_context={"purpose": "test"}) as file:
        written = file.header
        file.write(b"plaintext")
    with client.open(path) as file:
        assert file.header == written
        assert file.header.encryption_context == {"purpose": "test"}
        file.read()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"encryption_context": {"purpose": "another"}}, ContextMismatchError),
        ({"encryption_context": {"tenant": "42"}}, NoMatchingKeyError),
        ({"required_context_keys": ["tenant"]}, ContextMismatchError),
    ],
    ids=["another-value", "another-key", "missing-key"],
)
def test_opening_fails_where_the_context_is_not_the_required_one(options, error, client, path):
    path.write_bytes(client.encrypt(b"plaintext", encryption_context={"purpose": "test"}).ciphertext)
    with pytest.raises(error):
        client.open(path, **options)


def test_opening_fails_with_another_key_and_closes_the_file(client, path):
    path.write_bytes(client.encrypt(b"plaintext").ciphertext)
    other = Client(RawAesKeyring("test", "key-1", bytes(32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(NoMatchingKeyError):
            other.open(path)


@pytest.mark.parametrize("content", [b"", b"\x02", b"\x02\x04\x78" + bytes(20)], ids=["empty", "1-byte", "23-bytes"])
def test_opening_fails_where_the_header_is_cut_short(content, client, path):
    path.write_bytes(content)
    with pytest.raises(TruncatedMessageError):
        client.open(path)


def test_opening_a_file_that_is_no_message_says_so(client, path):
    path.write_bytes(b"just text")
    with pytest.raises(MessageError, match="not an encrypted message"):
        client.open(path)


def test_limits_apply(client, keyring, path):
    path.write_bytes(client.encrypt(b"plaintext").ciphertext)
    with pytest.raises(LimitExceededError):
        Client(keyring, limits=Limits(max_body_length=63)).open(path)


def test_a_context_that_cannot_be_written_leaves_no_file(client, path):
    with pytest.raises(EncryptionContextError):
        client.open(path, "w", encryption_context={"aws-crypto-mine": "x"})
    assert list(path.parent.iterdir()) == []
