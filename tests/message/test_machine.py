"""One message has one writer: what would reuse its key and frame numbers is refused."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import KmsUnavailableError, StreamError, UsageError
from envelope_sdk.keyrings import RawAesKeyring

FRAME = 1000


@pytest.fixture
def client() -> Client:
    return Client(RawAesKeyring("test", "key", bytes(32)), frame_length=FRAME)


def test_two_threads_never_seal_two_frames_under_one_number(client: Client):
    """Pieces large enough to be encrypted with the interpreter lock released, many times over."""
    encryptor = Client(RawAesKeyring("test", "key", bytes(32)), frame_length=65_536).encryptor()
    encryptor.start()
    piece = os.urandom(2**20)
    sealed: list[bytes] = []
    refused: list[StreamError] = []

    def push() -> None:
        for _ in range(20):
            try:
                sealed.append(encryptor.update(piece))
            except StreamError as error:
                refused.append(error)

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    numbers = [out[at : at + 4] for out in sealed for at in range(0, len(out), 65_536 + 32)]
    assert len(numbers) == len(set(numbers))
    assert len(sealed) + len(refused) == 80


def test_a_call_while_another_is_at_work_is_refused_and_leaves_the_message_usable(client: Client):
    inner: list[BaseException] = []

    decryptor = None

    def materials_for(header: object) -> object:
        assert decryptor is not None
        with pytest.raises(StreamError, match="two threads") as caught:
            decryptor.update(b"")
        inner.append(caught.value)
        return source(header)

    whole = client.encrypt(b"content").ciphertext
    decryptor = client.decryptor()
    source = decryptor._materials_for
    decryptor._materials_for = materials_for

    assert decryptor.update(whole) == b"content"
    decryptor.finish()
    assert len(inner) == 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_machine_cannot_be_duplicated(duplicate, client: Client):
    encryptor, decryptor = client.encryptor(), client.decryptor()
    encryptor.start()

    for machine in (encryptor, decryptor):
        with pytest.raises(TypeError, match="middle of a message"):
            duplicate(machine)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_cannot_go_on_with_its_parents_message(client: Client):
    encryptor = client.encryptor()
    encryptor.start()
    encryptor.update(bytes(FRAME))

    child = os.fork()
    if child == 0:
        try:
            encryptor.update(bytes(FRAME))
        except StreamError:
            os._exit(7)
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert encryptor.update(bytes(FRAME))


def test_an_error_raised_again_and_again_does_not_grow(client: Client):
    encryptor = client.encryptor(plaintext_length=1)
    encryptor.start()
    lengths = set()
    for _ in range(50):
        with pytest.raises(UsageError) as caught:
            encryptor.update(b"too long")
        lengths.add(len(caught.traceback))

    assert len(lengths) <= 2


def test_a_later_call_raises_an_error_with_the_same_attributes(client: Client):
    class Throttled(RawAesKeyring):
        def on_decrypt(self, materials, encrypted_data_keys):
            raise KmsUnavailableError("busy", operation="Decrypt", code="ThrottlingException")

    decryptor = Client(Throttled("test", "key", bytes(32))).decryptor()
    whole = client.encrypt(b"").ciphertext
    for _ in range(3):
        with pytest.raises(KmsUnavailableError, match="busy") as caught:
            decryptor.update(whole)

        assert (caught.value.operation, caught.value.code) == ("Decrypt", "ThrottlingException")


def test_the_room_for_output_is_checked_before_anything_is_encrypted(client: Client):
    encryptor = client.encryptor()
    encryptor.start()
    with pytest.raises(UsageError, match="room for 1031 bytes, 1032"):
        encryptor.update_into(bytes(FRAME + 1), memoryview(bytearray(FRAME + 31)))


def test_output_into_a_bytearray_arrives_there(client: Client):
    encryptor = client.encryptor()
    start = encryptor.start()
    out = bytearray(encryptor.output_size(5, last=True))
    encryptor.finish_into(b"hello", out)
    plain = bytearray(100)
    length = client.decryptor().update_into(start + out, plain)

    assert plain[:length] == b"hello"


def test_a_negative_plaintext_length_is_refused_at_once(client: Client):
    with pytest.raises(UsageError, match="less than 0"):
        client.encryptor(plaintext_length=-1)
