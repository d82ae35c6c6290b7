"""Messages as sources of plaintext: the same bytes and errors as any reader's, however they are asked for."""

from __future__ import annotations

import io
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import Message
from testkit.keyrings import StaticDataKeyring

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import EnvelopeError, SignatureError
from envelope_sdk.formats.header import parse_header
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams.decrypted_source import DecryptedSource

KEYRING = RawAesKeyring("test", "key", bytes(32))
PLAIN = random.Random(7).randbytes(700)
UNSIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY


class Cut(io.BytesIO):
    """Hands out as many bytes at a time as it is told, by turns."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self._sizes = sizes
        self._turn = 0

    def readinto(self, buffer: Any, /) -> int:
        self._turn += 1
        return super().readinto(memoryview(buffer)[: self._sizes[self._turn % len(self._sizes)]])


def source_of(message: bytes, client: Client, *, sizes: list[int] | None = None, threads: int = 1) -> DecryptedSource:
    length, decryptor = parse_header(message).length, client.decryptor()
    decryptor.read_header(message[:length])
    raw = Cut(message, sizes) if sizes else io.BytesIO(message)
    raw.seek(length)
    return DecryptedSource(raw, decryptor, threads=threads)


def all_of(source: DecryptedSource, sizes: list[int]) -> bytes:
    found, turn = b"", 0
    with source:
        while True:
            buffer = memoryview(bytearray(sizes[turn % len(sizes)]))
            count = source.readinto(buffer)
            found += buffer[:count]
            turn += 1
            if not count and len(buffer):
                return found


def client(frame_length: int = 64, *, sign: bool = False) -> Client:
    return Client(KEYRING, frame_length=frame_length, sign=sign)


@given(
    length=st.integers(0, len(PLAIN)),
    frame_length=st.integers(1, 200),
    sign=st.booleans(),
    below=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    asked=st.lists(st.integers(0, 400), min_size=1, max_size=4).filter(any),
    threads=st.sampled_from([1, 2]),
)
def test_the_plaintext_comes_out(
    length: int, frame_length: int, sign: bool, below: list[int], asked: list[int], threads: int
):
    maker = client(frame_length, sign=sign)
    message = maker.encrypt(PLAIN[:length]).ciphertext

    assert all_of(source_of(message, maker, sizes=below, threads=threads), asked) == PLAIN[:length]


@given(
    sign=st.booleans(),
    where=st.floats(0, 1, exclude_max=True),
    how=st.sampled_from(["altered", "cut", "more"]),
    below=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    asked=st.lists(st.integers(1, 400), min_size=1, max_size=4),
)
def test_damage_is_found_and_the_error_is_any_readers(
    sign: bool, where: float, how: str, below: list[int], asked: list[int]
):
    maker = client(sign=sign)
    whole = maker.encrypt(PLAIN).ciphertext
    header = parse_header(whole).length
    at = header + int(where * (len(whole) - header))
    damaged = {
        "altered": whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :],
        "cut": whole[:at],
        "more": whole + b"x",
    }[how]
    with pytest.raises(EnvelopeError) as expected:
        maker.decrypt(damaged)

    with pytest.raises(EnvelopeError) as found:
        all_of(source_of(damaged, maker, sizes=below), asked)

    assert (type(found.value), str(found.value)) == (type(expected.value), str(expected.value))


@pytest.mark.parametrize("asked", [1, 16, 700, 10_000])
def test_a_message_without_frames(asked: int):
    order = Message(UNSIGNED, frame_length=0)

    source = source_of(order.whole(PLAIN), Client(StaticDataKeyring(order.data_key)), sizes=[100])

    assert all_of(source, [asked]) == PLAIN


def test_where_there_is_no_room_nothing_is_read_and_it_is_not_the_end():
    maker = client()

    assert all_of(source_of(maker.encrypt(PLAIN).ciphertext, maker), [0, 700]) == PLAIN


def test_the_end_is_reached_only_with_the_signature():
    maker = client(sign=True)
    message = maker.encrypt(PLAIN).ciphertext[:-103] + maker.encrypt(b"other").ciphertext[-103:]
    source, released = source_of(message, maker), memoryview(bytearray(len(PLAIN)))

    with source:
        count = source.readinto(released)
        with pytest.raises(SignatureError):
            source.readinto(released)

    assert 0 < count < len(PLAIN)


def test_the_thread_that_hashes_ends_with_the_block():
    before = set(threading.enumerate())
    maker = client(100_000, sign=True)
    buffer = memoryview(bytearray(400_000))

    with source_of(maker.encrypt(bytes(1_000_000)).ciphertext, maker, threads=2) as source:
        source.readinto(buffer)
        assert len(set(threading.enumerate()) - before) == 1

    assert set(threading.enumerate()) <= before
