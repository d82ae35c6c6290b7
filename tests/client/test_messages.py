"""Whole messages: what comes back, what is hidden, and what inputs are taken."""

from __future__ import annotations

import array
import base64
import copy
import gc
import mmap
import pickle
import sys
import traceback
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    KeyringError,
    MessageError,
    NoMatchingKeyError,
    StreamError,
    TrailingDataError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring

MIB = 2**20


# --- round trips -----------------------------------------------------------------------------------------------------


@given(
    plaintext=st.binary(max_size=500),
    frame_length=st.integers(1, 600),
    context=st.dictionaries(
        st.text(max_size=20).filter(lambda key: not key.startswith("aws-crypto-")), st.text(max_size=20), max_size=5
    ),
    sign=st.booleans(),
)
def test_what_is_encrypted_comes_back(plaintext, frame_length, context, sign):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=frame_length, sign=sign)

    encrypted = client.encrypt(plaintext, encryption_context=context)
    decrypted = client.decrypt(encrypted.ciphertext, encryption_context=context)

    assert decrypted.plaintext == plaintext
    assert decrypted.header == encrypted.header


def test_two_messages_of_one_plaintext_share_nothing(client):
    first, second = client.encrypt(b"same"), client.encrypt(b"same")

    assert first.header.message_id != second.header.message_id
    assert first.header.commitment != second.header.commitment
    assert first.ciphertext[first.header.length :] != second.ciphertext[second.header.length :]


def test_the_header_length_tells_where_the_body_begins(client):
    result = client.encrypt(b"plaintext")

    assert result.ciphertext[result.header.length :][:4] == b"\xff\xff\xff\xff"


def test_data_keys_stand_in_the_order_of_the_keyrings():
    names = ["b", "a", "d", "c"]
    generator, *children = (RawAesKeyring("test", name, bytes(32)) for name in names)

    message = Client(MultiKeyring(generator, children)).encrypt(b"").ciphertext
    header = Client(generator).decrypt(message).header

    assert [key.provider_info[:1].decode() for key in header.encrypted_data_keys] == names


# --- what reprs and copies show --------------------------------------------------------------------------------------


def test_no_repr_shows_plaintext_or_the_message(client):
    encrypted = client.encrypt(b"attack at dawn")
    decrypted = client.decrypt(encrypted.ciphertext)

    assert "attack" not in repr(decrypted)
    assert repr(encrypted).startswith("EncryptResult(header=Header(")
    assert repr(encrypted.ciphertext[-30:])[2:-1] not in repr(encrypted)


@pytest.mark.parametrize("action", [pickle.dumps, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_keyring_with_a_raw_key_can_neither_be_copied_nor_pickled(action, keyring):
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        action(keyring)


def test_results_are_picklable_for_workers(client):
    result = client.decrypt(client.encrypt(b"plaintext", encryption_context={"purpose": "test"}).ciphertext)

    assert pickle.loads(pickle.dumps(result)) == result


# --- reproduced and required context ---------------------------------------------------------------------------------


@pytest.fixture
def message(client):
    return client.encrypt(b"plaintext", encryption_context={"purpose": "test", "tenant": "42"}).ciphertext


@pytest.mark.parametrize("context", [None, {}, {"tenant": "42"}, {"purpose": "test", "tenant": "42"}], ids=str)
def test_a_message_opens_with_any_of_its_own_pairs(context, client, message):
    assert client.decrypt(message, encryption_context=context).plaintext == b"plaintext"


def test_the_context_of_a_result_can_be_required_of_the_message_again(keyring):
    client = Client(keyring, sign=True)
    message = client.encrypt(b"plaintext", encryption_context={"purpose": "test"}).ciphertext
    context = client.decrypt(message).header.encryption_context

    assert client.decrypt(message, encryption_context=context).plaintext == b"plaintext"


def test_another_value_of_a_stored_pair_is_refused_without_repeating_it(client, message):
    with pytest.raises(ContextMismatchError, match=r"another value for 'tenant' than the required '43'"):
        client.decrypt(message, encryption_context={"tenant": "43"})


def test_a_pair_that_the_message_never_had_does_not_open_it(client, message):
    with pytest.raises(NoMatchingKeyError, match="'region' are not stored in the message"):
        client.decrypt(message, encryption_context={"region": "eu"})


@pytest.mark.parametrize("keys", [["purpose"], ("tenant", "purpose"), {"tenant"}, {"tenant": "any"}.keys()], ids=str)
def test_required_keys_that_the_message_has_are_fine(keys, client, message):
    assert client.decrypt(message, required_context_keys=keys).plaintext == b"plaintext"


def test_missing_required_keys_are_all_named(client, message):
    with pytest.raises(ContextMismatchError, match="lacks the required keys owner, region"):
        client.decrypt(message, required_context_keys=["region", "purpose", "owner"])


# --- bytes that are not a message ------------------------------------------------------------------------------------


def test_base64_is_recognized(client):
    message = client.encrypt(b"plaintext").ciphertext
    for encoded in (base64.b64encode(message), base64.urlsafe_b64encode(message)):
        with pytest.raises(MessageError, match="it looks like base64: decode it first"):
            client.decrypt(encoded)


def test_an_empty_message_is_cut_short(client):
    with pytest.raises(TruncatedMessageError):
        client.decrypt(b"")


@pytest.mark.parametrize("sign", [False, True])
def test_no_beginning_of_a_message_is_a_message(sign, keyring):
    client = Client(keyring, sign=sign, frame_length=8)
    message = client.encrypt(b"two frames and some").ciphertext
    for end in range(len(message)):
        with pytest.raises(TruncatedMessageError):
            client.decrypt(message[:end])


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"more"])
@pytest.mark.parametrize("sign", [False, True])
def test_bytes_after_the_message_are_refused(extra, sign, keyring):
    client = Client(keyring, sign=sign)
    with pytest.raises(TrailingDataError):
        client.decrypt(client.encrypt(b"plaintext").ciphertext + extra)


# --- inputs of every kind --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large():
    return bytes(range(256)) * (64 * MIB // 256)


@pytest.fixture(scope="module")
def large_message(large):
    return Client(RawAesKeyring("test", "key-1", bytes(range(32)))).encrypt(large).ciphertext


@pytest.mark.slow
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_64_mib_of_any_bytes_like_type_round_trips(kind, client, large, large_message):
    assert client.decrypt(client.encrypt(kind(large)).ciphertext).plaintext == large
    assert client.decrypt(kind(large_message)).plaintext == large


@pytest.mark.slow
def test_64_mib_of_a_mapped_file_round_trip(client, large, large_message, tmp_path):
    path = tmp_path / "message"
    for content, action in ((large, client.encrypt), (large_message, client.decrypt)):
        path.write_bytes(content)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            result = action(mapped)
        if action == client.decrypt:
            assert result.plaintext == large
        else:
            assert client.decrypt(result.ciphertext).plaintext == large


@pytest.mark.slow
@pytest.mark.parametrize("sign", [False, True])
def test_encrypting_64_mib_takes_little_more_memory_than_its_result(sign, keyring, large):
    client = Client(keyring, sign=sign)
    tracemalloc.start()
    try:
        message = client.encrypt(large).ciphertext
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < len(message) * 1.2 + MIB


@pytest.mark.slow
def test_decrypting_64_mib_takes_little_more_memory_than_its_result(client, large_message):
    tracemalloc.start()
    try:
        client.decrypt(large_message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < len(large_message) * 1.2 + MIB


def test_views_that_skip_bytes_are_read_as_what_they_show(client):
    data = bytes(range(256)) * 100
    for step in (2, 3, -1):
        view = memoryview(data)[::step]
        assert client.decrypt(client.encrypt(view).ciphertext).plaintext == data[::step]
        message = client.encrypt(b"plaintext").ciphertext
        spread = bytearray(len(message) * abs(step))
        memoryview(spread)[::step][:] = message
        assert client.decrypt(memoryview(spread)[::step]).plaintext == b"plaintext"


@pytest.mark.parametrize("typecode", ["b", "H", "i", "Q", "d"])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_arrays_are_read_as_their_bytes(typecode, count, client):
    numbers = array.array(typecode, [1] * count)

    assert client.decrypt(client.encrypt(numbers).ciphertext).plaintext == numbers.tobytes()


def test_views_of_several_dimensions_are_read_as_their_bytes(client):
    view = memoryview(bytes(range(24))).cast("B", (2, 3, 4))

    assert client.decrypt(client.encrypt(view).ciphertext).plaintext == bytes(range(24))


def test_a_mapped_file_can_be_closed_while_an_error_is_on_its_way(client, tmp_path):
    message = bytearray(Client(client._manager._keyring, frame_length=4).encrypt(b"several frames").ciphertext)
    for position in (0, 60, 200, len(message) - 1):
        altered = bytearray(message)
        altered[position] ^= 1
        (tmp_path / "message").write_bytes(altered)
        with (
            pytest.raises((MessageError, AuthenticationError, NoMatchingKeyError)),
            (tmp_path / "message").open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            client.decrypt(mapped)


@pytest.mark.parametrize("repeat", [1, 10_000], ids=["short", "long"])
def test_an_error_keeps_no_key_and_no_plaintext_in_its_frames(repeat, client):
    message = bytearray(client.encrypt(b"attack at dawn" * repeat).ciphertext)
    message[-1] ^= 1
    with pytest.raises(AuthenticationError) as caught:
        client.decrypt(message)

    frames = [frame for frame, _ in traceback.walk_tb(caught.tb)]
    place = [frame.f_code.co_name for frame in frames].index("decrypt")
    below = frames[place + 1 :]
    assert len(below) >= 2
    assert all(not frame.f_locals for frame in below)


def test_an_error_that_the_caller_was_handling_keeps_its_frames(client):
    def fails():
        kept = "this"
        raise ValueError(kept)

    try:
        fails()
    except ValueError as before:
        with pytest.raises(MessageError):
            client.decrypt(b"")
        frame = before.__traceback__.tb_next.tb_frame
    assert frame.f_locals == {"kept": "this"}


def test_a_data_key_that_fails_first_does_not_keep_the_buffers(keyring):
    failing = RawAesKeyring("test", "key-1", bytes(32))
    message = bytearray(Client(MultiKeyring(failing, [keyring, keyring])).encrypt(bytes(MIB)).ciphertext)
    gc.collect()
    gc.disable()
    try:
        other = RawAesKeyring("test", "key-1", bytes(16))
        for reading in (keyring, MultiKeyring(other, [keyring]), MultiKeyring(RefusesAll(), [keyring])):
            assert Client(reading).decrypt(message).plaintext == bytes(MIB)
        # It could not be resized while anything looks at it.
        message.append(0)
    finally:
        gc.enable()


class RefusesAll:
    """A keyring that fails with an error of its own."""

    def on_encrypt(self, materials):
        raise KeyringError("not this one")

    def on_decrypt(self, materials, encrypted_data_keys):
        raise KeyringError("not this one either")


def test_a_keyring_that_keeps_its_errors_does_no_harm(keyring):
    kept = []

    class Keeps:
        def on_encrypt(self, materials):
            return keyring.on_encrypt(materials)

        def on_decrypt(self, materials, encrypted_data_keys):
            try:
                int("not a number")
            except ValueError as error:
                kept.append(error)
            return keyring.on_decrypt(materials, encrypted_data_keys)

    client = Client(Keeps())
    first, second = (client.decrypt(client.encrypt(plaintext).ciphertext) for plaintext in (b"first", bytes(MIB)))

    assert (first.plaintext, second.plaintext) == (b"first", bytes(MIB))
    assert len(kept) == 2


def test_the_input_is_released_and_unchanged_afterwards(client):
    data = bytearray(b"plaintext" * 1000)
    message = bytearray(client.encrypt(data).ciphertext)
    client.decrypt(message)
    message[-1] ^= 1
    with pytest.raises(AuthenticationError):
        client.decrypt(message)

    # A bytearray that is still looked at cannot be resized.
    assert data.pop() == ord("t")
    assert message.pop() is not None
    assert sys.getrefcount(data) == 2


# --- the machines a client makes -------------------------------------------------------------------------------------


def test_announcing_another_length_than_comes_is_an_error(client):
    encryptor = client.encryptor(plaintext_length=5)
    encryptor.start()
    with pytest.raises(UsageError, match="5 bytes of plaintext were announced, 6 came"):
        encryptor.update(b"longer")
    with pytest.raises(UsageError, match="5 bytes of plaintext were announced, 6 came"):
        encryptor.finish()

    encryptor = client.encryptor(plaintext_length=5)
    encryptor.start()
    with pytest.raises(UsageError, match="5 bytes of plaintext were announced, 4 came"):
        encryptor.finish(b"less")


def test_a_machine_that_is_used_out_of_order_says_what_the_order_is(client):
    encryptor = client.encryptor()
    with pytest.raises(StreamError, match="start, update, finish is the order"):
        encryptor.update(b"too early")
    encryptor.start()
    encryptor.finish()
    with pytest.raises(StreamError, match="start, update, finish is the order"):
        encryptor.finish()


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [False, True])
def test_64_threads_share_one_client(sign, keyring):
    client = Client(MultiKeyring(keyring, [keyring]), sign=sign, frame_length=100)

    def round_trip(number):
        plaintext = number.to_bytes(4, "big") * 1000
        context = {"number": str(number)}
        message = client.encrypt(plaintext, encryption_context=context).ciphertext
        return client.decrypt(message, encryption_context=context).plaintext == plaintext

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(round_trip, range(512)))
