"""One message has one writer: what would reuse its key and frame numbers is refused."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading

import pytest
from hypothesis import given, strategies

from envelope_sdk import Client
from envelope_sdk.errors import KmsUnavailableError, StreamError, UsageError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.message import encryptor as encryptor_module
from envelope_sdk.message.machine import Machine

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
    source = decryptor.materials_for
    decryptor.materials_for = materials_for

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


@pytest.mark.parametrize("name", ["plaintext_length", "plaintext_bound"])
def test_a_negative_plaintext_length_is_refused_at_once(name: str, client: Client):
    with pytest.raises(UsageError, match="less than 0"):
        client.encryptor(**{name: -1})


def test_a_length_and_its_bound_are_not_both_given(client: Client):
    with pytest.raises(UsageError, match="give one of them"):
        client.encryptor(plaintext_length=1, plaintext_bound=1)


@pytest.mark.parametrize("length", [0, 1, FRAME, 3 * FRAME])
def test_less_than_the_bound_may_come_and_no_more(length: int, client: Client):
    encryptor = client.encryptor(plaintext_bound=3 * FRAME)
    message = encryptor.start() + encryptor.update(bytes(length)) + encryptor.finish()

    assert client.decrypt(message).plaintext == bytes(length)

    encryptor = client.encryptor(plaintext_bound=3 * FRAME)
    encryptor.start()
    encryptor.update(bytes(length))
    assert encryptor.room_left == 3 * FRAME - length
    with pytest.raises(UsageError, match=f"{3 * FRAME} bytes of plaintext were announced, {3 * FRAME + 1} came"):
        encryptor.finish(bytes(3 * FRAME + 1 - length))


def test_of_what_was_not_announced_any_amount_may_come(client: Client):
    assert client.encryptor().room_left is None


@given(
    announced=strategies.integers(0, 40),
    exact=strategies.booleans(),
    steps=strategies.lists(
        strategies.tuples(
            strategies.sampled_from(["update", "update_into", "more", "take_frames", "finish"]),
            strategies.integers(0, 25),
        ),
        max_size=12,
    ),
)
def test_no_way_in_writes_more_than_was_announced(announced: int, exact: bool, steps: list[tuple[str, int]]):
    client = Client(RawAesKeyring("test", "key", bytes(32)), frame_length=4)
    encryptor = client.encryptor(**{"plaintext_length" if exact else "plaintext_bound": announced})
    encryptor.start()
    taken, finished = 0, False
    for way, length in steps:
        data, room = bytes(length), memoryview(bytearray(2000))
        try:
            if way == "update":
                encryptor.update(data)
            elif way == "take_frames":
                length *= 4
                encryptor.take_frames(length // 4)
            elif way == "finish":
                encryptor.finish(data)
                finished = True
            else:
                encryptor.update_into(data, room, more=way == "more")
        except (UsageError, StreamError):
            break
        taken += length

    assert taken <= announced
    assert not (finished and exact) or taken == announced


def test_what_finishes_a_message_while_another_call_begins_leaves_that_call_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    """A signal handler, or another thread: both would find the message open, and both seal under one number."""
    machine = client.encryptor()
    machine.start()
    view = encryptor_module.byte_view

    def interrupted(data: bytes) -> memoryview:
        monkeypatch.setattr(encryptor_module, "byte_view", view)
        machine.finish(b"B" * 40)
        return view(data)

    monkeypatch.setattr(encryptor_module, "byte_view", interrupted)
    with pytest.raises(StreamError):
        machine.finish(b"A" * 40)


def test_the_final_number_is_not_used_twice_even_where_the_failure_cannot_be_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    machine = client.encryptor()
    machine.start()
    out = memoryview(bytearray(machine.output_size(40, last=True)))

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encryptor_module.MessageEncryptor, "_sign", interrupted)
        patch.setattr(Machine, "_fail", interrupted)
        with pytest.raises(KeyboardInterrupt):
            machine.finish_into(b"A" * 40, out)
    with pytest.raises(StreamError):
        machine.finish_into(b"B" * 40, out)


def test_an_error_that_cannot_say_what_it_is_still_ends_the_message(client: Client, monkeypatch: pytest.MonkeyPatch):
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def fail(*_: object) -> int:
        raise Speechless

    machine = client.encryptor()
    machine.start()
    monkeypatch.setattr(encryptor_module.MessageEncryptor, "_consume", fail)
    with pytest.raises(Speechless):
        machine.update(b"A")

    with pytest.raises(StreamError, match="an earlier call failed: Speechless"):
        machine.finish()


def test_a_failure_without_a_free_descriptor_is_told_as_what_it_is():
    """In a process that has not imported what prints tracebacks: nothing may have to be imported then."""
    program = """
import resource, sys
from envelope_sdk import Client
from envelope_sdk.errors import AuthenticationError
from envelope_sdk.keyrings import RawAesKeyring
client = Client(RawAesKeyring("test", "key", bytes(32)))
message = bytearray(client.encrypt(b"content").ciphertext)
message[-1] ^= 1
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
try:
    client.decrypt(message)
except AuthenticationError:
    print("told")
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)

    assert run.stdout == "told\n", run.stderr
