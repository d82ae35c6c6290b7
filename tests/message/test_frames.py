"""The body kernel by itself: the same bytes however it is called, and nothing left of what is not authentic."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.machines import client_for

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.errors import AuthenticationError
from envelope_sdk.formats.body import FRAME_OVERHEAD
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.message import frames as frames_module
from envelope_sdk.message.frames import FrameCipher, FrameNotAuthenticError
from envelope_sdk.primitives.aead import MessageCipher

SHARED = 2**16
"""The shortest frames that threads share."""
MANY = 2**22 // SHARED + 3
"""Frames enough for threads to share them, and no multiple of a piece."""


def cipher(frame_length: int, threads: int = 1) -> FrameCipher:
    return FrameCipher(MessageCipher(bytes(range(32))), bytes(32), frame_length, threads)


def sealed(content: bytes, frame_length: int, first: int = 1, threads: int = 1) -> bytearray:
    count = len(content) // frame_length
    out = bytearray(count * (frame_length + FRAME_OVERHEAD))
    cipher(frame_length, threads).seal(memoryview(content), memoryview(out), first, count)
    return out


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 2**32 - 50), st.data())
def test_frames_can_be_sealed_and_opened_in_any_cut(length: int, count: int, first: int, data: st.DataObject):
    content = os.urandom(length * count)
    cut = data.draw(st.integers(0, count))
    whole = sealed(content, length, first)

    parts = sealed(content[: cut * length], length, first) + sealed(content[cut * length :], length, first + cut)
    back = bytearray(len(content))
    kernel = cipher(length)
    kernel.open(memoryview(whole), memoryview(back), first, cut)
    kernel.open(memoryview(whole)[cut * kernel.stride :], memoryview(back)[cut * length :], first + cut, count - cut)

    assert parts == whole
    assert back == content


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("length", [SHARED, SHARED + 1, 2**20 + 2])
def test_threads_seal_and_open_the_same_bytes_as_one(threads: int, length: int):
    content = os.urandom(max(MANY, 6) * length if length < 2**20 else 6 * length)
    count = len(content) // length

    message = sealed(content, length, 7, threads)
    back = bytearray(len(content))
    cipher(length, threads).open(memoryview(message), memoryview(back), 7, count)

    assert message == sealed(content, length, 7)
    assert back == content


def test_long_work_on_long_frames_is_shared(monkeypatch: pytest.MonkeyPatch):
    seen: set[int] = set()
    together = threading.Barrier(2, timeout=20)
    seal_batch = FrameCipher._seal_batch

    def watched(self: FrameCipher, *arguments: object) -> None:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            together.wait()
        seal_batch(self, *arguments)

    monkeypatch.setattr(FrameCipher, "_seal_batch", watched)
    sealed(bytes(MANY * SHARED), SHARED, threads=2)

    assert len(seen) == 2


@pytest.mark.parametrize(("length", "count"), [(SHARED - 1, MANY * 2), (SHARED, 8)], ids=["short frames", "few frames"])
def test_short_work_and_short_frames_are_not_shared(length: int, count: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frames_module, "in_parallel", None)

    sealed(bytes(length * count), length, threads=8)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_of_several_altered_frames_the_lowest_is_named_and_none_is_left_in_the_output(threads: int):
    content = bytes(b"\xaa" * (MANY * SHARED))
    message = sealed(content, SHARED)
    stride = SHARED + FRAME_OVERHEAD
    for index in (40, 41, 60):
        message[index * stride + 5000] ^= 1
    out = bytearray(len(content))

    with pytest.raises(FrameNotAuthenticError) as error:
        cipher(SHARED, threads).open(memoryview(message), memoryview(out), 1, MANY)

    assert error.value.sequence_number == 41
    for index in (40, 41, 60):
        assert not any(out[index * SHARED : (index + 1) * SHARED])


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: f"0x{suite.suite_id:04x}")
def test_messages_made_by_threads_are_those_made_by_one(suite: AlgorithmSuite):
    plaintext = os.urandom(5 * 2**20 + 1)
    clients = [client_for(suite, frame_length=SHARED, threads=threads) for threads in (1, 2)]

    messages = [client.encrypt(plaintext).ciphertext for client in clients]

    for client in clients:
        assert [client.decrypt(message).plaintext for message in messages] == [plaintext, plaintext]
    # A signed message holds a key pair of its own.
    assert suite.signed or messages[0] == messages[1]


def test_an_error_in_a_message_read_by_threads_names_the_frame_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch):
    client = Client(RawAesKeyring("test", "key", bytes(32)), frame_length=SHARED, threads=4)
    message = bytearray(client.encrypt(bytes(MANY * SHARED)).ciphertext)
    message[-(SHARED + FRAME_OVERHEAD) * 20] ^= 1

    with pytest.raises(AuthenticationError) as error:
        client.decrypt(message)

    assert error.value.section == f"frame {MANY - 19}"
    message.clear()
