"""The ways into the library for a message, and what each let out before it succeeded or failed."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import anyio
from fsspec.implementations.memory import MemoryFileSystem
from testkit.bulk import Shelf

import envelope_sdk
from envelope_sdk import Client, CommitmentPolicy, EnvelopeError, Limits, Rotation, bulk
from envelope_sdk.errors import SignedStreamError
from envelope_sdk.integrations.fsspec import EncryptedFileSystem
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.materials import Keyring
from envelope_sdk.streams import RandomAccessReader, aio


@dataclass(frozen=True)
class Outcome:
    """What came out: all plaintext that was released, and the error, if it failed."""

    released: bytes
    error: EnvelopeError | None


def reader_of(keyring: Keyring, *, limits: Limits | None = None) -> Client:
    """Return a client that reads every suite."""
    return Client(keyring, commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT, limits=limits)


def chunks_of(message: bytes, size: int) -> list[bytes]:
    return [message[start : start + size] for start in range(0, len(message), size)]


def random_chunks(message: bytes, seed: int = 0) -> list[bytes]:
    chance = random.Random(seed)
    chunks: list[bytes] = []
    rest = message
    while rest:
        size = chance.choice((0, 1, 2, 3, 5, 11, 40, 200))
        chunks.append(rest[:size])
        rest = rest[size:]
    return chunks


def feed(client: Client, chunks: Iterable[bytes], context: Mapping[str, str] | None = None) -> Outcome:
    """Push chunks through the machine. Errors outside the documented tree are not caught."""
    released = bytearray()
    try:
        machine = client.decryptor(encryption_context=context)
        for chunk in chunks:
            released += machine.update(chunk)
        machine.finish()
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def one_call(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    try:
        return Outcome(client.decrypt(message, encryption_context=context).plaintext, None)
    except EnvelopeError as error:
        return Outcome(b"", error)


def byte_by_byte(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    return feed(client, chunks_of(message, 1), context)


def in_random_chunks(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    return feed(client, random_chunks(message), context)


def reader(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    released = bytearray()
    try:
        with envelope_sdk.open(
            io.BytesIO(message), client=client, encryption_context=context, release_unverified_plaintext=True
        ) as stream:
            while piece := stream.read1(7):  # type: ignore[union-attr]
                released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def reader_that_seeks(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """The same reader, once it has gone elsewhere and back; over a signed message it only goes forward."""
    released = bytearray()
    try:
        with client.open(io.BytesIO(message), encryption_context=context, release_unverified_plaintext=True) as stream:
            if stream.seekable():
                stream.seek(0, io.SEEK_END)
                stream.seek(0)
            while piece := stream.read(7):
                assert isinstance(piece, bytes)
                released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def random_access(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """Read pieces at their positions, those of a signed message once its signature has been checked."""
    released = bytearray()
    try:
        with opened_at_random(client, message, context) as at_random:
            while piece := at_random.read_at(len(released), 7):
                released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def opened_at_random(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> RandomAccessReader:
    """Open a message to be read at any position, a signed one once its signature has been checked."""
    try:
        return client.random_access(message, encryption_context=context)
    except SignedStreamError:
        return client.random_access(message, encryption_context=context, verify_first=True)


def filesystem(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> EncryptedFileSystem:
    """Return fsspec's files with that message as ``/file``; a signed one is verified first."""
    signed = isinstance(_opening_error(client, message, context), SignedStreamError)
    target = MemoryFileSystem(skip_instance_cache=True)
    target.store, target.pseudo_dirs = {}, [""]
    target.pipe_file("/file", message)
    return EncryptedFileSystem(target, client=client, encryption_context=context, verify_first=signed)


def _opening_error(client: Client, message: bytes, context: Mapping[str, str] | None) -> EnvelopeError | None:
    try:
        client.random_access(message, encryption_context=context).close()
    except EnvelopeError as error:
        return error
    return None


def file_of_fsspec(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    released = bytearray()
    try:
        with filesystem(client, message, context).open("/file") as file:
            while piece := file.read(7):
                released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def cached_file_of_fsspec(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """With one of fsspec's own caches over it."""
    released = bytearray()
    try:
        with filesystem(client, message, context).open("/file", cache_type="readahead", block_size=50) as file:
            while piece := file.read(7):
                released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def content_of_fsspec(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    try:
        return Outcome(filesystem(client, message, context).cat("/file"), None)
    except EnvelopeError as error:
        return Outcome(b"", error)


def ranges_of_fsspec(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """One after the other, up to the first that fails."""
    starts = list(range(0, len(message) + 1, 7))
    fs = filesystem(client, message, context)
    found = fs.cat_ranges(["/file"] * len(starts), starts, [start + 7 for start in starts])
    released = b"".join(takewhile(lambda piece: isinstance(piece, bytes), found))
    error = next((piece for piece in found if not isinstance(piece, bytes)), None)
    if error is not None and not isinstance(error, EnvelopeError):
        raise error
    return Outcome(released, error)


def local_copy_of_fsspec(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        try:
            filesystem(client, message, context).get("/file", str(path))
        except EnvelopeError as error:
            left = [entry.read_bytes() for entry in path.parent.iterdir()]
            return Outcome(b"".join(left), error)
        return Outcome(path.read_bytes(), None)


def writer(client: Client, chunks: Iterable[bytes], context: Mapping[str, str] | None = None) -> Outcome:
    target = io.BytesIO()
    try:
        with client.decrypting_writer(target, encryption_context=context, release_unverified_plaintext=True) as stream:
            for chunk in chunks:
                stream.write(chunk)
    except EnvelopeError as error:
        return Outcome(target.getvalue(), error)
    return Outcome(target.getvalue(), None)


def writer_whole(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    return writer(client, [message], context)


def writer_byte_by_byte(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    return writer(client, chunks_of(message, 1), context)


def file_writer(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """A file appears with all of it, or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        try:
            with client.decrypting_writer(path, encryption_context=context) as stream:
                for chunk in random_chunks(message):
                    stream.write(chunk)
        except EnvelopeError as error:
            left = [entry.read_bytes() for entry in path.parent.iterdir()]
            return Outcome(b"".join(left), error)
        return Outcome(path.read_bytes(), None)


def bulk_run(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """An item of a bulk run: its target appears with all of it, or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        sealed, opened = Path(folder, "sealed"), Path(folder, "out", "opened")
        sealed.write_bytes(message)
        decrypt = bulk.Decrypt(encryption_context=context or {})
        [result] = bulk.run([bulk.Item(str(sealed), str(opened))], decrypt, client=client)
        left = b"".join(path.read_bytes() for path in opened.parent.iterdir())
    assert result.error is None or isinstance(result.error, EnvelopeError)
    return Outcome(left, result.error)


def bulk_run_over_objects(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """The same from one place that is no file system to another."""
    opened = Shelf()
    decrypt = bulk.Decrypt(Shelf(sealed=message), opened, encryption_context=context or {})
    [result] = bulk.run([bulk.Item("sealed", "opened")], decrypt, client=client)
    assert result.error is None or isinstance(result.error, EnvelopeError)
    return Outcome(b"".join(opened.objects.values()), result.error)


def asynchronous(backend: str) -> EntryPoint:
    """Return the way through asynchronous chunks under one event loop."""

    def enter(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
        return anyio.run(decrypted_chunks, client, random_chunks(message), context, backend=backend)

    return enter


async def decrypted_chunks(client: Client, chunks: Iterable[bytes], context: Mapping[str, str] | None) -> Outcome:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    released = bytearray()
    try:
        async with aio.decrypt_chunks(
            source(), client=client, encryption_context=context, release_unverified_plaintext=True
        ) as plain:
            async for piece in plain:
                released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def asynchronous_file(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    async def read() -> None:
        async with await aio.open(
            io.BytesIO(message), client=client, encryption_context=context, release_unverified_plaintext=True
        ) as file:
            while piece := await file.read(500):
                released.extend(piece)

    released = bytearray()
    try:
        anyio.run(read)
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def rotated(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """What the new message holds; where there is none, what was written of it, which is short of its end."""
    writer = Client(RawAesKeyring("rotated", "key", bytes(32)), frame_length=8)
    target, error = io.BytesIO(), None
    try:
        Rotation(client, writer, encryption_context=context).rotate_stream(io.BytesIO(message), target)
    except EnvelopeError as caught:
        error = caught
    found = feed(writer, [target.getvalue()], context)
    assert (found.error is None) is (error is None)
    return Outcome(found.released, error)


def rotated_in_place(client: Client, message: bytes, context: Mapping[str, str] | None = None) -> Outcome:
    """What the new message holds; where there is none, the old one is left as it was."""
    writer = Client(RawAesKeyring("rotated", "key", bytes(32)), frame_length=8)
    shelf = Shelf(message=message)
    rotate = bulk.Rotate(client, shelf, encryption_context=context or {})
    [result] = bulk.run([bulk.Item("message", "message")], rotate, client=writer)
    if result.error is not None:
        assert isinstance(result.error, EnvelopeError)
        assert shelf.objects == {"message": message}
        return Outcome(b"", result.error)
    return feed(writer, [shelf.objects["message"]], context)


EntryPoint = Callable[..., Outcome]

ENTRY_POINTS: dict[str, EntryPoint] = {
    "one call": one_call,
    "byte by byte": byte_by_byte,
    "random chunks": in_random_chunks,
    "reader": reader,
    "reader that seeks": reader_that_seeks,
    "random access": random_access,
    "writer": writer_whole,
    "writer, byte by byte": writer_byte_by_byte,
    "writer of a file": file_writer,
    "file of fsspec": file_of_fsspec,
    "cached file of fsspec": cached_file_of_fsspec,
    "content of fsspec": content_of_fsspec,
    "ranges of fsspec": ranges_of_fsspec,
    "local copy of fsspec": local_copy_of_fsspec,
    "bulk run": bulk_run,
    "bulk run over objects": bulk_run_over_objects,
    "chunks under asyncio": asynchronous("asyncio"),
    "chunks under trio": asynchronous("trio"),
    "asynchronous file": asynchronous_file,
    "rotation": rotated,
    "bulk rotation": rotated_in_place,
}
