"""Encrypted files in asynchronous programs, under asyncio and trio."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import threading
import warnings

import anyio
import pytest

from envelope_sdk import Client
from envelope_sdk.errors import AuthenticationError, StreamError, TruncatedMessageError, UsageError
from envelope_sdk.managers import DefaultMaterialsManager
from envelope_sdk.streams import EncryptingWriter, aio


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Run a coroutine function under each event loop."""
    return lambda function, *arguments: anyio.run(function, *arguments, backend=request.param)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def untouched(path):
    gc.collect()
    return path.read_bytes() == b"old" and [path] == list(path.parent.iterdir())


# --- reading and writing ---------------------------------------------------------------------------------------------


def test_bytes_are_written_and_read(run, client, plaintext, path):
    async def main():
        async with await aio.open(path, "wb", client=client) as file:
            assert await file.write(plaintext[:500]) == 500
            await file.flush()
            await file.write(plaintext[500:])
        assert file.closed
        async with await aio.open(path, client=client) as file:
            return await file.read(10) + await file.read()

    assert run(main) == plaintext
    assert client.decrypt(path.read_bytes()).plaintext == plaintext


def test_text_is_written_and_read_line_by_line(run, client, path):
    async def main():
        async with await aio.open(path, "wt", client=client, encoding="utf-8") as file:
            for line in ("größe\n", "zwei\n", "ohne Ende"):
                await file.write(line)
        async with await aio.open(path, "rt", client=client, encoding="utf-8") as file:
            first = await file.readline()
            assert file.header == client.decrypt(path.read_bytes()).header
            return [first, *[line async for line in file]]

    assert run(main) == ["größe\n", "zwei\n", "ohne Ende"]


def test_a_file_is_read_from_any_position(run, client, plaintext, path):
    async def use():
        path.write_bytes(client.encrypt(plaintext).ciphertext)
        async with await aio.open(path, client=client) as file:
            assert await file.seek(-10, os.SEEK_END) == await file.tell() == len(plaintext) - 10
            assert await file.read() == plaintext[-10:]
            assert await file.seek(70) == 70
            assert await file.read(100) == plaintext[70:170]

    run(use)


def test_a_message_cut_short_cannot_be_sought_in(run, client, plaintext, path):
    async def use():
        path.write_bytes(client.encrypt(plaintext).ciphertext[:-1])
        file = await aio.open(path, client=client)
        with pytest.raises(TruncatedMessageError):
            await file.seek(-10, os.SEEK_END)
        await file.aclose()

    run(use)


def test_lines_of_bytes_are_iterated_over(run, client, path):
    path.write_bytes(client.encrypt(b"one\ntwo").ciphertext)

    async def main():
        async with await aio.open(path, client=client) as file:
            return [line async for line in file]

    assert run(main) == [b"one\n", b"two"]


def test_lines_that_are_iterated_over_do_not_cost_a_thread_each(run, client, path):
    path.write_bytes(client.encrypt(b"line\n" * 1000).ciphertext)
    calls = []

    class Counting(aio.AsyncEncryptedFile):
        def _alone(self, work, *arguments):
            calls.append(work)
            return super()._alone(work, *arguments)

    async def main():
        async with Counting(client.open(path)) as file:
            assert [line async for line in file] == [b"line\n"] * 1000
            assert await file.tell() == 5000

    run(main)
    assert len(calls) <= 5


def test_lines_are_not_to_be_had_of_a_file_that_was_closed_or_has_failed(run, client, path):
    path.write_bytes(client.encrypt(b"line\n" * 10).ciphertext)

    async def main():
        file = await aio.open(path, client=client, partial_read=True)
        assert await anext(file) == b"line\n"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await file.read(1)
        with pytest.raises(StreamError, match="an earlier call failed"):
            await anext(file)
        with pytest.raises(StreamError, match="an earlier call failed"):
            await file.aclose()
        file = await aio.open(path, client=client, partial_read=True)
        await anext(file)
        await file.aclose()
        with pytest.raises(ValueError, match="closed"):
            await anext(file)

    run(main)


def test_positions_are_read_by_many_tasks_at_once(run, client, plaintext, path):
    path.write_bytes(client.encrypt(plaintext).ciphertext)

    async def main():
        found = {}
        async with await aio.open(path, client=client) as file:
            assert await file.size() == len(plaintext)

            async def read(offset):
                found[offset] = await file.read_at(offset, 300)

            async with anyio.create_task_group() as tasks:
                for offset in range(0, 1100, 100):
                    tasks.start_soon(read, offset)
            assert await file.tell() == 0
        return found

    assert run(main) == {offset: plaintext[offset : offset + 300] for offset in range(0, 1100, 100)}


def test_a_positional_read_that_is_cancelled_harms_nothing(run, client, plaintext, path):
    path.write_bytes(client.encrypt(plaintext).ciphertext)

    async def main():
        async with await aio.open(path, client=client) as file:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await file.read_at(0, 10)
            assert scope.cancelled_caught
            assert await file.read_at(500, 10) == plaintext[500:510]
            assert await file.read(10) == plaintext[:10]

    run(main)


@pytest.mark.parametrize("mode", ["wb", "wt", "rt"])
def test_what_is_written_or_text_is_not_read_at_positions(mode, run, client, path):
    path.write_bytes(client.encrypt(b"").ciphertext)

    async def main():
        async with await aio.open(path, mode, client=client) as file:
            for action in (lambda: file.read_at(0, 1), file.size):
                with pytest.raises(io.UnsupportedOperation, match="at any position"):
                    await action()

    run(main)


def test_a_file_object_will_do_and_options_are_those_of_open(run, client):
    target = io.BytesIO()

    async def main():
        async with await aio.open(target, "wb", client=client, encryption_context={"a": "b"}) as file:
            assert isinstance(file.wrapped, EncryptingWriter)
            await file.write(b"plaintext")
        with pytest.raises(UsageError, match="mode"):
            await aio.open(target, "a", client=client)

    run(main)
    assert dict(client.decrypt(target.getvalue()).header.encryption_context) == {"a": "b"}


def test_calls_are_made_in_worker_threads(run, keyring, path):
    threads = []

    class Recording(DefaultMaterialsManager):
        def get_encryption_materials(self, request):
            threads.append(threading.get_ident())
            return super().get_encryption_materials(request)

    async def main():
        async with await aio.open(path, "wb", client=Client(materials_manager=Recording(keyring))) as file:
            await file.write(b"x")

    run(main)
    assert threads
    assert threading.get_ident() not in threads


def test_closing_ends_the_message_and_may_be_done_again(run, client, path):
    async def main():
        file = await aio.open(path, "wb", client=client)
        await file.write(b"plaintext")
        assert untouched(path)
        await file.aclose()
        await file.aclose()

    run(main)
    assert client.decrypt(path.read_bytes()).plaintext == b"plaintext"


# --- whole or not at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["wb", "wt"])
def test_a_block_that_raises_keeps_the_old_file(mode, run, client, path):
    async def fail():
        async with await aio.open(path, mode, client=client) as file:
            await file.write("x" if mode == "wt" else b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail)
    assert untouched(path)


@pytest.mark.parametrize("mode", ["wb", "wt"])
def test_a_block_that_is_cancelled_keeps_the_old_file(mode, run, client, path):
    async def main():
        with anyio.CancelScope() as scope:
            async with await aio.open(path, mode, client=client) as file:
                await file.write("x" if mode == "wt" else b"x")
                scope.cancel()
                await file.write("y" if mode == "wt" else b"y")
        assert scope.cancelled_caught
        assert file.closed

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main)
    assert untouched(path)


def test_a_write_that_was_cancelled_and_forgotten_is_an_error_and_no_file(run, client, path):
    async def forget():
        async with await aio.open(path, "wb", client=client) as file:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await file.write(b"lost")
            with pytest.raises(StreamError, match="an earlier call failed"):
                await file.write(b"more")

    with pytest.raises(StreamError, match="an earlier call failed"):
        run(forget)
    assert untouched(path)


def test_so_it_is_where_the_file_is_closed_by_hand(run, client, path):
    async def main():
        file = await aio.open(path, "wb", client=client)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await file.write(b"lost")
        with pytest.raises(StreamError, match="an earlier call failed"):
            await file.aclose()
        assert file.closed

    run(main)
    assert untouched(path)


class Slow(io.RawIOBase):
    """A file whose writes wait until they may go on."""

    def __init__(self):
        self.begun, self.go_on, self.done = threading.Event(), threading.Event(), threading.Event()

    def writable(self):
        return True

    def write(self, data):
        self.begun.set()
        assert self.go_on.wait(10)
        self.done.set()
        return len(data)


def test_a_task_of_asyncio_that_is_cancelled_leaves_no_thread_at_work(client):
    slow = Slow()
    slow.go_on.set()

    async def main():
        file = aio.AsyncEncryptedFile(EncryptingWriter(slow, client.encryptor(), close_raw=True))
        slow.begun.clear()
        slow.done.clear()
        slow.go_on.clear()
        task = asyncio.ensure_future(write_in_block(file))
        while not slow.begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(20_000):
            await asyncio.sleep(0)
        assert not slow.closed  # what is at work is not closed under its hands
        slow.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slow.done.is_set()
        assert slow.closed

    async def write_in_block(file):
        async with file:
            await file.write(bytes(1000))

    asyncio.run(main())


def test_a_file_whose_opening_is_cancelled_leaves_nothing(keyring, path):
    asked, answer, given_up = threading.Event(), threading.Event(), threading.Event()

    class Waiting(DefaultMaterialsManager):
        def get_encryption_materials(self, request):
            asked.set()
            assert answer.wait(10)
            return super().get_encryption_materials(request)

    class Watched(io.BytesIO):
        def write(self, data):
            given_up.set()
            return super().write(data)

    target = Watched()

    async def main():
        task = asyncio.ensure_future(
            aio.open(target, "wb", client=Client(materials_manager=Waiting(keyring))),
        )
        while not asked.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer.set()

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        asyncio.run(main())
        assert given_up.wait(10)
        gc.collect()
    with pytest.raises(TruncatedMessageError):
        Client(keyring).decrypt(target.getvalue())


# --- reading to the end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rb", "rt"])
def test_leaving_a_block_early_raises_unless_it_is_meant(mode, run, client, path):
    path.write_bytes(client.encrypt(b"line\n" * 1_000_000).ciphertext)

    async def leave(**options):
        async with await aio.open(path, mode, client=client, **options) as file:
            await file.readline()

    with pytest.raises(StreamError, match="left before its end"):
        run(leave)
    run(lambda: leave(partial_read=True))


def test_an_altered_file_is_refused_and_stays_so(run, client, path):
    message = bytearray(client.encrypt(bytes(3_000_000)).ciphertext)
    message[-1] ^= 1
    path.write_bytes(message)

    async def main():
        async with await aio.open(path, client=client, partial_read=True) as file:
            assert await file.read(10) == bytes(10)
            for _ in range(2):
                with pytest.raises(AuthenticationError):
                    await file.read()

    run(main)
