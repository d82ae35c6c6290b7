"""What a part of a long message costs: the bytes read for it, and the time, against plain reads and a whole decryption.

    python benchmarks/random_access.py                  # a message of 1 GiB
    python benchmarks/random_access.py --mib 128

Proves that reading 1 MiB from the middle of a message costs the frames that it lies in and the calls that decrypt them,
however long the message is, and that a short read costs its frame. Baselines: ``os.pread`` of as many bytes, which
decrypts nothing, and of the frame followed by one bare AES-GCM call. All is read through the page cache, from
unencrypted positions picked at random, the same in every run. A folder in memory (``TMPDIR=/dev/shm``) leaves the disk
out of it.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from interleaved import measure, median
from report import Report, arguments
from tables import AtMost, Row, Table, figure, markdown

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.streams import PositionalSource, RandomAccessReader
from envelope_sdk.streams.positional import FileSource

MIB: Final = 2**20
SHORT: Final = 4096
FRAME_LENGTHS: Final = (4096, 65_536)
PLAIN, WHOLE, FORWARD = "pread", "decrypt the whole message", "read forward to the middle"
MIDDLE, OPENED = "read_at(), 1 MiB from the middle", "open, and read_at()"
BARE, KEPT = "pread and a bare call", "read_at(), 2 KiB of a frame that is kept"
READ = "read_at(), 4 KiB anywhere"


class Counting:
    """A source that counts what is read through it."""

    def __init__(self, source: PositionalSource) -> None:
        self._source = source
        self.size, self.read_ahead = source.size, source.read_ahead
        self.requests = self.bytes_read = 0

    def readinto_at(self, offset: int, buffer: memoryview, /) -> int:
        self.requests += 1
        self.bytes_read += len(buffer)
        return self._source.readinto_at(offset, buffer)

    def close(self) -> None:
        self._source.close()


def client(frame_length: int) -> Client:
    return Client(RawAesKeyring("benchmark", "key", bytes(32)), frame_length=frame_length, threads=1)


def write(path: Path, frame_length: int, mib: int) -> bytes:
    """Write a message of so many equal MiB, and return one of them."""
    piece = Random(0).randbytes(MIB)
    encryptor = client(frame_length).encryptor(plaintext_length=mib * MIB)
    with path.open("wb") as file:
        file.write(encryptor.start())
        for _ in range(mib):
            file.write(encryptor.update(piece))
        file.write(encryptor.finish())
    return piece


def decrypt_up_to(path: Path, frame_length: int, end: int) -> int:
    """Decrypt forward, a MiB at a time, and return how many bytes that gave."""
    done = 0
    with client(frame_length).open(path, partial_read=True) as reader:
        while done < end and (view := reader.read_view(MIB)):  # type: ignore[union-attr]
            done += len(view)
    return done


def open_and_read(path: Path, frame_length: int, offset: int) -> bytes:
    with client(frame_length).random_access(path) as reader:
        return reader.read_at(offset, MIB)


def bytes_read(path: Path, frame_length: int, mib: int, piece: bytes) -> list[list[str]]:
    """Return a line for each thing done: how much of the message was read for it, and in how many requests."""
    body = []
    source = Counting(FileSource(path))
    with client(frame_length).random_access(source) as reader:
        for what, offset, length in (
            ("to open", 0, 0),
            ("4 KiB from the middle", mib * MIB // 2 + 1000, SHORT),
            ("1 MiB from the middle", mib * MIB // 4, MIB),
            ("1 MiB from between two frames", mib * MIB // 4 * 3 + 5000, MIB),
        ):
            if length:
                source.requests = source.bytes_read = 0
                start = offset % MIB
                assert reader.read_at(offset, length) == (piece[start:] + piece)[:length], "other bytes came back"
            share = f"{source.bytes_read / source.size:.2%}"
            body.append([f"{frame_length:,} B: {what}", str(source.bytes_read), str(source.requests), share])
    source.close()
    return body


def long_reads(path: Path, frame_length: int, mib: int, rounds: int) -> dict[str, list[float]]:
    middle = mib * MIB // 2
    with client(frame_length).random_access(path) as reader, path.open("rb") as file:
        return measure(
            {
                PLAIN: partial(os.pread, file.fileno(), MIB, middle),
                MIDDLE: partial(reader.read_at, middle, MIB),
                OPENED: partial(open_and_read, path, frame_length, middle),
                FORWARD: partial(decrypt_up_to, path, frame_length, middle + MIB),
                WHOLE: partial(decrypt_up_to, path, frame_length, mib * MIB),
            },
            rounds=rounds,
        )


def short_reads(path: Path, frame_length: int, mib: int, rounds: int, count: int) -> dict[str, list[float]]:
    """Return the seconds that a short read takes."""
    chance = Random(1)
    offsets = [chance.randrange(mib * MIB // SHORT) * SHORT for _ in range(count)]
    cipher, iv, aad = AESGCM(bytes(32)), bytes(12), bytes(72)
    sealed, out = cipher.encrypt(iv, bytes(frame_length), aad), bytearray(frame_length)

    def bare(descriptor: int) -> None:
        for offset in offsets:
            os.pread(descriptor, frame_length + 32, offset)
            cipher.decrypt_into(iv, sealed, aad, out)

    def read(reader: RandomAccessReader, length: int, places: list[int]) -> None:
        for offset in places:
            reader.read_at(offset, length)

    with (
        client(frame_length).random_access(path, cache_size=0) as reader,
        client(frame_length).random_access(path) as keeping,
        path.open("rb") as file,
    ):
        subjects = {
            BARE: partial(bare, file.fileno()),
            READ: partial(read, reader, SHORT, offsets),
            KEPT: partial(read, keeping, SHORT // 2, [1] * count),
        }
        times = measure(subjects, rounds=rounds)
    return {name: [seconds / count for seconds in taken] for name, taken in times.items()}


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--mib", type=int, default=1024, help="length of the message")
    options = parser.parse_args()
    mib, rounds, count = (8, 1, 50) if options.small else (options.mib, options.rounds, 2000)
    report = Report(options.check)
    report.begin(f"A message of {mib} MiB in a file, read through the page cache by one thread.")
    body: list[list[str]] = []
    rates: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message"
        for frame_length in FRAME_LENGTHS:
            piece = write(path, frame_length, mib)
            body += bytes_read(path, frame_length, mib, piece)
            times = long_reads(path, frame_length, mib, rounds)
            rows = [Row(PLAIN), Row(MIDDLE, (AtMost(8, PLAIN), AtMost(0.05, WHOLE))), Row(OPENED), Row(FORWARD)]
            long = Table(f"frames of {frame_length:,} B", [*rows, Row(WHOLE)], [PLAIN], [WHOLE])
            report.add(times, long)
            times = short_reads(path, frame_length, mib, rounds, count)
            rows = [Row(BARE), Row(READ, (AtMost(1, BARE, plus_us=30),)), Row(KEPT)]
            report.add(times, Table(f"frames of {frame_length:,} B, 4 KiB", rows, [BARE], unit="us", difference=True))
            rates += [[f"{frame_length:,} B: {name}", figure(1 / median(taken)), ""] for name, taken in times.items()]
    report.add_lines(markdown(["frames, what", "bytes read", "requests", "of the message"], body))
    report.add_lines(markdown(["frames, what", "reads a second", ""], rates))
    report.end()


if __name__ == "__main__":
    main()
