"""A file through each of the four streams and through asynchronous chunks, against a copy and against open().

    python benchmarks/streams.py
    python benchmarks/streams.py --mib 64

Proves that reading a message out of plaintext, and writing one to have its plaintext arrive, cost what open() does, and
asynchronous chunks little more. Each takes a file in and puts one out, on tmpfs, in pieces of 64 KiB and of 1 MiB;
chunks are read and written by the loop itself, so that only they are measured. What comes out is compared first.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from os import urandom
from pathlib import Path

import anyio
from interleaved import measure
from report import Report, arguments
from tables import AtMost, Row, Table

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams import aio

COPY = "copyfileobj"
WRITER, READER = "EncryptingWriter (open)", "EncryptingReader"
OPENED, TAKER = "DecryptingReader (open)", "DecryptingWriter"
CHUNKS = "chunks under {}"
BACKENDS = ("asyncio", "trio")

CLIENT = Client(RawAesKeyring("benchmark", "key", bytes(32)), threads=1)

Transfer = Callable[[Path, Path, int], None]  # source, target, bytes of a piece


def copy(source: Path, target: Path, piece: int) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, piece)


def write_encrypted(source: Path, target: Path, piece: int) -> None:
    with source.open("rb") as read, target.open("wb") as below, CLIENT.open(below, "wb") as write:
        shutil.copyfileobj(read, write, piece)


def read_encrypted(source: Path, target: Path, piece: int) -> None:
    with source.open("rb") as below, CLIENT.encrypting_reader(below) as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, piece)


def read_decrypted(source: Path, target: Path, piece: int) -> None:
    with source.open("rb") as below, CLIENT.open(below) as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, piece)


def write_decrypted(source: Path, target: Path, piece: int) -> None:
    with source.open("rb") as read, target.open("wb") as below, CLIENT.decrypting_writer(below) as write:
        shutil.copyfileobj(read, write, piece)


def in_chunks(make: Callable[..., AsyncIterator[bytes]], backend: str, source: Path, target: Path, piece: int) -> None:
    """Move a file through chunks."""

    async def pieces() -> AsyncIterator[bytes]:
        with source.open("rb") as read:
            while data := read.read(piece):
                yield data

    async def main() -> None:
        with target.open("wb") as write:
            async for data in make(pieces(), client=CLIENT):
                write.write(data)

    anyio.run(main, backend=backend)


def ways(first: dict[str, Transfer], make: Callable[..., AsyncIterator[bytes]]) -> dict[str, Transfer]:
    """Return all the ways of one direction."""
    chunks = {CHUNKS.format(backend): partial(in_chunks, make, backend) for backend in BACKENDS}
    return {COPY: copy, **first, **chunks}


def require_same(plain: Path, out: Path, name: str) -> None:
    """End the process unless a way led to the plaintext."""
    if not filecmp.cmp(plain, out, shallow=False):
        sys.exit(f"{name}: other bytes came back")


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--mib", type=int, default=256, help="size of the file")
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    options = parser.parse_args()
    if options.small:
        options.mib, options.rounds = 2, 1
    encrypt = ways({WRITER: write_encrypted, READER: read_encrypted}, aio.encrypt_chunks)
    decrypt = ways({OPENED: read_decrypted, TAKER: write_decrypted}, aio.decrypt_chunks)
    report = Report(options.check)
    report.begin(f"{options.mib} MiB file to file in one process and one thread of the client, {options.rounds} rounds")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        plain, message, out = (Path(folder, name) for name in ("plain", "message", "out"))
        with plain.open("wb") as file:
            file.writelines(urandom(2**20) for _ in range(options.mib))
        CLIENT.encrypt_file(plain, message)
        for name, way in encrypt.items():
            way(plain, out, 2**16)
            if way is not copy:
                CLIENT.decrypt_file(out, out)
            require_same(plain, out, name)
        for name, way in decrypt.items():
            way(message, out, 2**16)
            require_same(message if way is copy else plain, out, name)
        for piece, size in ((2**16, "64 KiB"), (2**20, "1 MiB")):
            for direction, source, subjects, base, other in (
                ("encrypt", plain, encrypt, WRITER, READER),
                ("decrypt", message, decrypt, OPENED, TAKER),
            ):
                times = measure(
                    {name: partial(way, source, out, piece) for name, way in subjects.items()}, rounds=options.rounds
                )
                rows = [Row(COPY), Row(base), Row(other, (AtMost(1.2, base),))]
                rows += [Row(CHUNKS.format(backend), (AtMost(1.5, base),)) for backend in BACKENDS]
                report.add(times, Table(f"{direction}, pieces of {size}", rows, [COPY, base], unit="ms"))
    report.end()


if __name__ == "__main__":
    main()
