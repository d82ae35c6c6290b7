"""Messages as asynchronous iterators, under asyncio and trio."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk import Client
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    EncryptionContextError,
    EnvelopeError,
    SignatureError,
    SignedStreamError,
    StreamError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import DefaultMaterialsManager
from envelope_sdk.streams.aio import decrypt_chunks, encrypt_chunks

MIB = 2**20


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Run a coroutine function under each event loop."""
    return lambda function, *arguments: anyio.run(function, *arguments, backend=request.param)


@pytest.fixture
def message(client, plaintext):
    return client.encrypt(plaintext, encryption_context={"a": "b"}).ciphertext


class source_of:  # noqa: N801 - used like the generator function that it stands for, and needs no closing
    """Give ``data`` in pieces; ``asked`` notes where they begin, as they are asked for."""

    def __init__(self, data, size=100, asked=None):
        self._pieces = [(start, data[start : start + size]) for start in range(0, len(data), size)]
        self._asked = asked

    def __aiter__(self):
        self._left = iter(self._pieces)
        return self

    async def __anext__(self):
        await anyio.lowlevel.checkpoint()
        start, piece = next(self._left, (None, None))
        if piece is None:
            raise StopAsyncIteration
        if self._asked is not None:
            self._asked.append(start)
        return piece


async def joined(chunks):
    return b"".join([piece async for piece in chunks])


# --- what comes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 64, 65, 5000])
def test_pieces_of_any_size_become_one_message_and_come_back(size, run, client, plaintext):
    async def main():
        message = await joined(encrypt_chunks(source_of(plaintext, size), client=client))
        assert client.decrypt(message).plaintext == plaintext
        assert await joined(decrypt_chunks(source_of(message, size), client=client)) == plaintext

    run(main)


def test_nothing_is_an_empty_message(run, client):
    async def main():
        message = await joined(encrypt_chunks(source_of(b""), client=client))
        assert await joined(decrypt_chunks(source_of(message), client=client)) == b""

    run(main)


@pytest.mark.parametrize("frame_length", [4096, 65_536])
@pytest.mark.parametrize("sign", [False, True])
def test_long_pieces_are_worked_on_too(sign, frame_length, run, keyring):
    client = Client(keyring, frame_length=frame_length, sign=sign)
    plaintext = bytes(range(256)) * 4096 * 3

    async def main():
        encrypted = encrypt_chunks(source_of(plaintext, len(plaintext)), client=client)
        message = await joined(encrypted)
        decrypted = decrypt_chunks(source_of(message, len(message)), client=client, release_unverified_plaintext=sign)
        assert await joined(decrypted) == plaintext

    run(main)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_bytes_like_piece_will_do(kind, run, client, plaintext):
    async def pieces():
        yield kind(plaintext)

    async def main():
        message = await joined(encrypt_chunks(pieces(), client=client))
        assert client.decrypt(message).plaintext == plaintext

    run(main)


def test_a_piece_that_was_given_may_change_when_the_next_is_asked_for(run, client):
    async def reused():
        buffer = bytearray(10)
        for number in range(100):
            buffer[:] = bytes([number]) * 10
            yield buffer
        buffer += b"not held any more"

    async def main():
        message = await joined(encrypt_chunks(reused(), client=client))
        assert client.decrypt(message).plaintext == b"".join(bytes([number]) * 10 for number in range(100))

    run(main)


def test_no_piece_is_ever_empty(run, client, plaintext, message):
    async def main():
        assert all([piece async for piece in encrypt_chunks(source_of(plaintext, 1), client=client)])
        assert all([piece async for piece in decrypt_chunks(source_of(message, 1), client=client)])

    run(main)


def test_the_context_is_stored_and_checked(run, client, plaintext):
    async def main():
        encrypted = encrypt_chunks(source_of(plaintext), client=client, encryption_context={"a": "b"})
        header = await encrypted.begin()
        message = await joined(encrypted)
        assert dict(header.encryption_context) == {"a": "b"}
        for options in ({"encryption_context": {"a": "c"}}, {"required_context_keys": ["z"]}):
            with pytest.raises(ContextMismatchError):
                await decrypt_chunks(source_of(message), client=client, **options).begin()

    run(main)


def test_the_length_is_known_once_begun_where_it_was_announced(run, client, plaintext):
    async def main():
        chunks = encrypt_chunks(source_of(plaintext), client=client, plaintext_length=len(plaintext))
        assert chunks.length is None
        await chunks.begin()
        announced = chunks.length
        assert announced == len(await joined(chunks))
        unknown = encrypt_chunks(source_of(plaintext), client=client)
        await unknown.begin()
        assert unknown.length is None

    run(main)


@pytest.mark.parametrize("told", [999, 1001])
def test_another_length_than_announced_is_an_error(told, run, client, plaintext):
    async def main():
        with pytest.raises(UsageError, match=f"{told} bytes of plaintext were announced"):
            await joined(encrypt_chunks(source_of(plaintext), client=client, plaintext_length=told))

    run(main)


# --- when it comes out -----------------------------------------------------------------------------------------------


def test_no_more_is_asked_for_than_is_needed(run, client, plaintext, message):
    async def main():
        asked = []
        chunks = encrypt_chunks(source_of(plaintext, 100, asked), client=client, partial_read=True)
        await anext(chunks)
        assert asked == []  # the header needs no plaintext
        await anext(chunks)
        assert asked == [0]
        asked.clear()
        chunks = decrypt_chunks(source_of(message, 1, asked), client=client, partial_read=True)
        header = await chunks.begin()
        assert len(asked) == header.length
        await anext(chunks)
        assert len(asked) == header.length + 64 + 32

    run(main)


def test_a_piece_as_long_as_can_be_is_worked_on_part_by_part(run, keyring):
    client = Client(keyring)

    async def main():
        pieces = [len(piece) async for piece in encrypt_chunks(source_of(bytes(8 * MIB), 8 * MIB), client=client)]
        assert max(pieces) < 2 * MIB

    run(main)


def test_keys_are_asked_for_in_a_worker_thread_and_short_pieces_stay_in_the_loop(run, keyring, plaintext):
    loop = threading.get_ident()
    threads = []

    class Recording(DefaultMaterialsManager):
        def get_encryption_materials(self, request):
            threads.append(threading.get_ident())
            return super().get_encryption_materials(request)

        def decrypt_materials(self, request):
            threads.append(threading.get_ident())
            return super().decrypt_materials(request)

    client = Client(materials_manager=Recording(keyring), frame_length=64)

    async def main():
        message = await joined(encrypt_chunks(source_of(plaintext), client=client))
        await joined(decrypt_chunks(source_of(message), client=client))

    run(main)
    assert len(threads) == 2
    assert loop not in threads


def test_other_tasks_go_on_while_keys_are_waited_for(run, keyring, plaintext):
    asked, answer = threading.Event(), threading.Event()

    class Slow(DefaultMaterialsManager):
        def get_encryption_materials(self, request):
            asked.set()
            assert answer.wait(10)
            return super().get_encryption_materials(request)

    client = Client(materials_manager=Slow(keyring))

    async def answer_when_asked():
        while not asked.is_set():
            await anyio.lowlevel.checkpoint()
        answer.set()

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_when_asked)
            assert await joined(encrypt_chunks(source_of(plaintext), client=client))

    run(main)


def test_many_messages_are_made_at_once(run, keyring):
    client = Client(keyring)

    async def one(number):
        plaintext = bytes([number]) * 300_000
        encrypted = encrypt_chunks(source_of(plaintext, 70_000), client=client)
        assert await joined(decrypt_chunks(encrypted, client=client)) == plaintext

    async def main():
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)

    run(main)


# --- ends ------------------------------------------------------------------------------------------------------------


def chunks_of_each(client, plaintext, message, **options):
    """Return both kinds, each with pieces to come."""
    yield encrypt_chunks(source_of(plaintext), client=client, **options)
    yield decrypt_chunks(source_of(message), client=client, **options)


def test_leaving_early_raises(run, client, plaintext, message):
    async def leave(chunks):
        async with chunks:
            await anext(chunks)

    async def main():
        for chunks in chunks_of_each(client, plaintext, message):
            with pytest.raises(StreamError, match="left before their end"):
                await leave(chunks)
        for chunks in chunks_of_each(client, plaintext, message):
            with pytest.raises(StreamError, match="left before their end"):
                await chunks.aclose()

    run(main)


def test_leaving_early_is_fine_where_it_is_meant_or_something_else_failed(run, client, plaintext, message):
    async def fail(chunks):
        async with chunks:
            raise ZeroDivisionError

    async def main():
        for chunks in chunks_of_each(client, plaintext, message, partial_read=True):
            async with chunks:
                await anext(chunks)
        for chunks in chunks_of_each(client, plaintext, message):
            with pytest.raises(ZeroDivisionError):
                await fail(chunks)

    run(main)


def test_reading_all_is_reading_to_the_end(run, client, plaintext, message):
    async def main():
        for chunks in chunks_of_each(client, plaintext, message):
            async with chunks:
                assert await joined(chunks)
                with pytest.raises(StopAsyncIteration):
                    await anext(chunks)
            await chunks.aclose()

    run(main)


def test_closed_chunks_refuse_to_be_read(run, client, plaintext, message):
    async def main():
        for chunks in chunks_of_each(client, plaintext, message, partial_read=True):
            await chunks.aclose()
            for action in (chunks.begin, lambda chunks=chunks: anext(chunks)):
                with pytest.raises(ValueError, match="closed"):
                    await action()

    run(main)


@pytest.mark.parametrize("missing", [1, 16, 100, 900])
def test_a_message_cut_short_raises_at_its_end(missing, run, client, message, plaintext):
    async def main():
        released = bytearray()
        chunks = decrypt_chunks(source_of(message[:-missing]), client=client)
        with pytest.raises(TruncatedMessageError):
            released.extend([byte async for piece in chunks for byte in piece])
        assert plaintext.startswith(released)
        with pytest.raises(TruncatedMessageError):
            await anext(chunks)

    run(main)


def test_an_altered_message_is_refused_and_stays_so(run, client, message):
    altered = bytearray(message)
    altered[-1] ^= 1

    async def main():
        chunks = decrypt_chunks(source_of(altered), client=client)
        for action in (lambda: joined(chunks), lambda: anext(chunks), chunks.begin, chunks.aclose):
            with pytest.raises(AuthenticationError):
                await action()

    run(main)


def test_a_header_that_is_wrong_is_refused_before_anything_is_answered(run, client, message):
    altered = bytearray(message)
    altered[60] ^= 1

    async def enter():
        async with decrypt_chunks(source_of(altered), client=client):
            pytest.fail("the header was accepted")

    async def main():
        with pytest.raises(EnvelopeError):
            await enter()

    run(main)


def test_signed_messages_are_refused_unless_allowed(run, signing_client, plaintext):
    message = bytearray(signing_client.encrypt(plaintext).ciphertext)

    async def main():
        with pytest.raises(SignedStreamError):
            await joined(decrypt_chunks(source_of(message), client=signing_client))
        options = {"client": signing_client, "release_unverified_plaintext": True}
        assert await joined(decrypt_chunks(source_of(message), **options)) == plaintext
        message[-10] ^= 1
        with pytest.raises(SignatureError):
            await joined(decrypt_chunks(source_of(message), **options))

    run(main)


def test_a_context_that_is_refused_is_an_error_of_the_beginning(run, client):
    async def main():
        chunks = encrypt_chunks(source_of(b"x"), client=client, encryption_context={"aws-crypto-x": "y"})
        with pytest.raises(EncryptionContextError):
            await chunks.begin()

    run(main)


@pytest.mark.parametrize("source", [b"bytes", [b"list"], None], ids=lambda source: type(source).__name__)
def test_what_is_no_asynchronous_iterable_is_a_type_error(source, client):
    for make in (encrypt_chunks, decrypt_chunks):
        with pytest.raises(TypeError, match="asynchronous iterable"):
            make(source, client=client)


def test_an_error_of_the_source_is_raised_as_it_is_and_ends_the_message(run, client, plaintext):
    async def broken():
        yield plaintext
        raise OSError("the connection is gone")

    async def main():
        chunks = encrypt_chunks(broken(), client=client)
        with pytest.raises(OSError, match="the connection is gone"):
            await joined(chunks)
        with pytest.raises(StreamError, match="the connection is gone"):
            await anext(chunks)

    run(main)


# --- interruptions ---------------------------------------------------------------------------------------------------


async def stuck(data):
    """Give ``data``, and then nothing more, for ever."""
    yield data
    await anyio.Event().wait()


def test_a_task_that_is_cancelled_leaves_chunks_that_have_failed(run, client, plaintext, message):
    async def main():
        for chunks in (
            encrypt_chunks(stuck(plaintext), client=client),
            decrypt_chunks(stuck(message[:-1]), client=client),
        ):
            with anyio.CancelScope() as scope:
                async for piece in chunks:
                    if len(piece) > 500:
                        scope.cancel()
            assert scope.cancelled_caught
            with pytest.raises(StreamError, match="an earlier call failed"):
                await anext(chunks)

    run(main)


def test_a_task_of_asyncio_that_is_cancelled_leaves_chunks_that_have_failed(keyring, plaintext):
    asked, answer = threading.Event(), threading.Event()

    class Slow(DefaultMaterialsManager):
        def get_encryption_materials(self, request):
            asked.set()
            assert answer.wait(10)
            return super().get_encryption_materials(request)

    chunks = None

    async def main():
        nonlocal chunks
        chunks = encrypt_chunks(source_of(plaintext), client=Client(materials_manager=Slow(keyring)))
        task = asyncio.ensure_future(chunks.begin())
        while not asked.is_set():
            await asyncio.sleep(0)
        task.cancel()
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(StreamError, match="an earlier call failed"):
            await anext(chunks)

    asyncio.run(main())


def test_two_tasks_cannot_use_one_message_at_the_same_time(run, client):
    async def main():
        chunks = encrypt_chunks(stuck(b"x"), client=client)
        await anext(chunks)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chunks.__anext__)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(StreamError, match="two tasks"):
                await anext(chunks)
            tasks.cancel_scope.cancel()

    run(main)


# --- cost and any cut ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("frame_length", [4096, 65_536, MIB])
def test_64_mib_through_both_hold_few(frame_length, run, keyring):
    client = Client(keyring, frame_length=frame_length)

    async def zeros():
        for _ in range(1024):
            yield bytes(65_536)

    async def main():
        return sum(
            [len(piece) async for piece in decrypt_chunks(encrypt_chunks(zeros(), client=client), client=client)]
        )

    tracemalloc.start()
    try:
        assert run(main) == 64 * MIB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * MIB


@given(
    pieces=st.lists(st.binary(max_size=300), max_size=12),
    size=st.integers(1, 400),
    frame_length=st.integers(1, 150),
    sign=st.booleans(),
    backend=st.sampled_from(["asyncio", "trio"]),
)
def test_any_pieces_round_trip(pieces, size, frame_length, sign, backend):
    client = Client(RawAesKeyring("test", "key-1", bytes(32)), frame_length=frame_length, sign=sign)

    async def plain():
        for piece in pieces:
            yield piece

    async def main():
        message = await joined(encrypt_chunks(plain(), client=client))
        assert client.decrypt(message).plaintext == b"".join(pieces)
        found = decrypt_chunks(source_of(message, size), client=client, release_unverified_plaintext=True)
        assert await joined(found) == b"".join(pieces)

    anyio.run(main, backend=backend)
