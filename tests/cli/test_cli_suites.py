"""Algorithm suites, limits, and what ``inspect`` tells of each kind of message."""

from __future__ import annotations

import os
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from envelope_sdk.formats import AlgorithmSuite

SUITES = {f"0x{suite.suite_id:04x}": suite for suite in AlgorithmSuite}
UNFRAMED_KEY = bytes(range(32))


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def unframed(plaintext: bytes, *, provider_id: bytes = b"envelope", provider_info: bytes | None = None) -> bytes:
    """Return a message without frames, as older writers made them, wrapped under ``UNFRAMED_KEY`` named ``k``.

    Suite 0x0078: AES-256-GCM without a key derivation, so that no more than the format's own words are needed.
    """
    data_key, iv = os.urandom(32), os.urandom(12)
    info = b"k" + struct.pack(">II", 128, 12) + iv if provider_info is None else provider_info
    wrapped = AESGCM(UNFRAMED_KEY).encrypt(iv, data_key, b"")
    message_id = os.urandom(16)
    keys = struct.pack(">H", 1) + text(provider_id) + text(info) + text(wrapped)
    body = b"\x01\x80\x00\x78" + message_id + b"\0\0" + keys + b"\x01" + b"\0\0\0\0" + b"\x0c" + b"\0\0\0\0"
    header = body + bytes(12) + AESGCM(data_key).encrypt(bytes(12), b"", body)
    aad = message_id + b"AWSKMSEncryptionClient Single Block" + struct.pack(">IQ", 1, len(plaintext))
    sealed = AESGCM(data_key).encrypt(iv, plaintext, aad)
    return header + iv + struct.pack(">Q", len(plaintext)) + sealed


@pytest.fixture
def unframed_key(envelope: Any) -> str:
    """The key file that opens what :func:`unframed` makes."""
    from envelope_sdk.keyrings.key_files import encode_aes_key_file

    envelope.write("k", encode_aes_key_file("envelope", "k", UNFRAMED_KEY)).chmod(0o600)
    return "k"


# --- suites ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_closes_opens_and_is_told(envelope: Any, name: str) -> None:
    suite = SUITES[name]
    key = envelope.key()

    message = envelope.ok("encrypt", "-k", key, "--suite", name, "-", stdin=b"hello").out
    shown = envelope.ok("inspect", "--json", "-", stdin=message).json
    plain = envelope("decrypt", "-k", key, "-", stdin=message)
    allowed = envelope.ok("decrypt", "-k", key, "--allow-uncommitted", "-", stdin=message)

    assert allowed.out == b"hello"
    assert shown["algorithm_suite"] == {
        "id": name,
        "name": suite.name,
        "committing": suite.committing,
        "signed": suite.signature is not None,
    }
    assert shown["version"] == (2 if suite.committing else 1)
    assert shown["signature"] == ("none" if suite.signature is None else "valid")
    assert (shown["plaintext_length"], shown["message_length"]) == (5, len(message))
    if suite.committing:
        assert (plain.code, plain.out) == (0, b"hello")
    else:
        assert (plain.code, plain.out) == (3, b"")
        assert "--allow-uncommitted" in plain.err


@pytest.mark.parametrize("name", [name for name, suite in SUITES.items() if suite.signature is not None])
def test_an_altered_signature_is_told_whatever_the_suite(envelope: Any, name: str) -> None:
    message = bytearray(envelope.ok("encrypt", "-k", envelope.key(), "--suite", name, "-", stdin=b"hello").out)
    message[-1] ^= 1

    ran = envelope("inspect", "--json", "-", stdin=bytes(message))

    assert (ran.code, ran.json["signature"]) == (3, "invalid")
    assert ran.lines[0].startswith("envelope: -: ")


def test_inspect_goes_on_after_what_is_no_message(envelope: Any) -> None:
    envelope.ok("encrypt", "-k", envelope.key(), "-", "-o", "a", stdin=b"x")

    ran = envelope("inspect", "--json", "nosuch", "a", "a.key", ".", "a")

    assert ran.code == 1
    assert len(ran.text.splitlines()) == 2
    assert [line.split(": ")[1] for line in ran.lines if line.startswith("envelope")] == ["nosuch", "a.key", "."]


# --- without frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plaintext", [b"", b"hello", os.urandom(3 * 2**20)], ids=["empty", "short", "long"])
def test_a_message_without_frames_opens(envelope: Any, unframed_key: str, plaintext: bytes) -> None:
    envelope.write("a", unframed(plaintext))

    opened = envelope.ok("decrypt", "-k", unframed_key, "--allow-uncommitted", "a", "-o", "-")
    shown = envelope.ok("inspect", "a").text

    assert opened.out == plaintext
    assert "no frames" in shown
    assert f"plaintext   {len(plaintext):,} bytes" in shown
    assert envelope.ok("inspect", "--json", "a").json["content_type"] == "non_framed"


def test_a_long_message_without_frames_may_be_refused(envelope: Any, unframed_key: str) -> None:
    envelope.write("a", unframed(b"hello"))
    options = ("-k", unframed_key, "--allow-uncommitted", "a", "-o", "-", "--max-body-length")

    assert envelope.ok("decrypt", *options, "5").out == b"hello"
    assert (envelope("decrypt", *options, "4").code, envelope("decrypt", *options, "4").out) == (3, b"")
    assert envelope("decrypt", *options, "0").code == 2


@pytest.mark.parametrize(
    ("provider_id", "provider_info", "shown"),
    [
        (b"envelope", b"", "envelope"),
        (b"", b"", "''"),
        (b"acme", b"\xff\xfe", "acme  base64 //4="),
        (b"acme", b"\xff" + struct.pack(">II", 128, 12) + bytes(12), "acme  base64 /wAAAIAAAAAMAAAAAAAAAAAAAAAA"),
        (b"acme", struct.pack(">II", 128, 12) + bytes(12), "acme  ''"),
        (b"acme", b"a\x1b[2J", "acme  base64 YRtbMko="),
        ("mañana".encode(), "schlüssel".encode(), "mañana  schlüssel"),
    ],
)
def test_any_data_key_is_told(envelope: Any, provider_id: bytes, provider_info: bytes, shown: str) -> None:
    """Nobody has to own a key to be able to read whose it is."""
    message = unframed(b"", provider_id=provider_id, provider_info=provider_info)

    ran = envelope("inspect", "-", stdin=message)

    assert (ran.code, ran.err) == (0, "")
    lines = [line for line in ran.text.splitlines() if "--key" not in line]
    assert lines[-1] == f"  keys        {shown}"


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 7, 4096, 65537, 2**32 - 1])
def test_frames_of_any_length(envelope: Any, length: int) -> None:
    plaintext = os.urandom(100)
    key = envelope.key()

    message = envelope.ok("encrypt", "-k", key, "--frame-length", str(length), "-", stdin=plaintext).out
    shown = envelope.ok("inspect", "--json", "-", stdin=message).json

    assert shown["frame_length"] == length
    assert shown["frames"] in ((-(-100 // length),) if length > 100 else (-(-100 // length), 100 // length + 1))
    assert envelope.ok("decrypt", "-k", key, "-", stdin=message).out == plaintext


@pytest.mark.parametrize("length", ["0", "-1", str(2**32), "x"])
def test_frame_lengths_that_do_not_exist(envelope: Any, length: str) -> None:
    assert envelope("encrypt", "-k", envelope.key(), "--frame-length", length, "-", stdin=b"x").code == 2


@pytest.mark.parametrize("threads", ["1", "2", "8"])
@pytest.mark.parametrize("sign", [[], ["--sign"]], ids=["unsigned", "signed"])
def test_any_number_of_threads_makes_and_reads_the_same_messages(envelope: Any, threads: str, sign: list[str]) -> None:
    key = envelope.key()
    plaintext = os.urandom(9 * 2**20)
    envelope.write("large", plaintext)

    envelope.ok("encrypt", "large", "-k", key, "--threads", threads, *sign)
    envelope.ok("decrypt", "large.enc", "-k", key, "--threads", threads, "-o", "back")
    envelope.ok("decrypt", "large.enc", "-k", key, "-o", "back on one", "--threads", "1")

    assert envelope.read("back") == plaintext == envelope.read("back on one")


def test_no_threads_at_all_is_a_mistake(envelope: Any) -> None:
    assert envelope("encrypt", "x", "--threads", "0").code == 2


def test_frames_longer_than_allowed(envelope: Any) -> None:
    key = envelope.key()
    message = envelope.ok("encrypt", "-k", key, "--frame-length", "1000", "-", stdin=b"x").out

    assert envelope("decrypt", "-k", key, "--max-body-length", "999", "-", stdin=message).code == 3
    assert envelope.ok("decrypt", "-k", key, "--max-body-length", "1000", "-", stdin=message).out == b"x"


def test_more_data_keys_than_allowed(envelope: Any) -> None:
    keys = [word for name in ("a", "b", "c") for word in ("-k", envelope.key(name))]
    message = envelope.ok("encrypt", *keys, "-", stdin=b"x").out

    for limit, code in (("2", 3), ("3", 0), ("0", 2), ("65536", 2)):
        assert envelope("decrypt", "-k", "a", "--max-encrypted-data-keys", limit, "-", stdin=message).code == code
        assert envelope("encrypt", *keys, "--max-encrypted-data-keys", limit, "-", stdin=b"x").code == code
    assert len(envelope.ok("inspect", "--json", "-", stdin=message).json["encrypted_data_keys"]) == 3


def test_a_context_that_is_too_long(envelope: Any) -> None:
    ran = envelope("encrypt", "-k", envelope.key(), "-c", f"a={'x' * 65536}", "-", stdin=b"x")

    assert (ran.code, ran.out) == (2, b"")
    assert len(ran.err) < 1000
