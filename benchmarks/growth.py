"""What grows with a message, and what does not: time per byte by size and by frame length, time per message by number.

    python benchmarks/growth.py                   # up to 8 GiB
    python benchmarks/growth.py --max-mib 512

Proves that a byte costs the same in a message of 8 GiB as in one of 1 MiB, that a frame costs a small constant besides
its bytes, whatever its length, and that the ten-thousandth message costs what the first did. Long messages are streamed
through the encrypting and the decrypting machine, 1 MiB at a time, and compared; nothing is stored. ``encrypt_file``
reads a sparse file and writes to the folder. Frame lengths are held against bare AES-GCM calls of the same length, and
beside the AWS Encryption SDK where it is installed.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final

import peers
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from interleaved import measure, median, ratio
from processes import warm
from report import Report, arguments
from tables import AtMost, Row, Times, figure, joined, judged, markdown

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring

PIECE: Final = 2**20
SIZES_MIB: Final = (1, 8, 64, 512, 2048, 8192)
FRAME_LENGTHS: Final = (1, 16, 256, 4096, 65_536, 1_048_576, 16_777_216, 67_108_864)
NUMBERS: Final = (1, 100, 10_000)
MOST_FRAMES: Final = 16_384
BEST: Final = "best before"
STEADY: Final = AtMost(1.1, BEST)
BARE, LEGACY = "bare calls", "AWS SDK legacy"
LONGEST_FOR_PEER: Final = 2**22
"""Past this frame length the peer would take minutes."""

Directions = dict[str, dict[str, list[float]]]  # seconds by row, for each direction


def client(frame_length: int = 65_536) -> Client:
    """Return a client on one thread."""
    return Client(RawAesKeyring("benchmark", "key", bytes(32)), frame_length=frame_length, threads=1)


# --- by size ---------------------------------------------------------------------------------------------------------


def stream(mib: int, piece: bytes, out: memoryview, back: memoryview) -> tuple[float, float]:
    """Stream one message through both machines; return the seconds a byte that each took."""
    decryptor = client().decryptor()
    decrypting = 0.0
    received = 0

    def pass_on(sealed: memoryview | bytes) -> None:
        nonlocal decrypting, received
        start = time.perf_counter()
        count = decryptor.update_into(sealed, back)
        decrypting += time.perf_counter() - start
        received += require_part(back[:count], piece, received)

    start = time.perf_counter()
    encryptor = client().encryptor(plaintext_length=mib * PIECE)
    header = encryptor.start()
    encrypting = time.perf_counter() - start
    pass_on(header)
    for number in range(mib):
        work = encryptor.finish_into if number == mib - 1 else encryptor.update_into
        start = time.perf_counter()
        count = work(piece, out)
        encrypting += time.perf_counter() - start
        pass_on(out[:count])
    decryptor.finish()
    assert received == mib * PIECE, "bytes went missing"
    return encrypting / received, decrypting / received


def require_part(found: memoryview, piece: bytes, offset: int) -> int:
    """Return how many bytes were found; they have to be those of a repeated piece, from an offset on."""
    count = len(found)
    start = offset % PIECE
    wanted = piece[start : start + count] + piece[: max(0, start + count - PIECE)]
    assert bytes(found) == wanted, "other bytes came back"
    return count


def by_size(largest: int, rounds: int) -> tuple[list[str], list[str]]:
    """Return the table of time per byte by size of the message, through the machines."""
    piece = os.urandom(PIECE)
    out, back = memoryview(bytearray(b"\1" * (4 * PIECE))), memoryview(bytearray(b"\1" * (4 * PIECE)))
    sizes = list(takewhile(lambda mib: mib <= largest, SIZES_MIB))
    times: Directions = {"encrypt": {}, "decrypt": {}}
    for number in range(rounds + 1):
        for mib in sizes:
            # Small messages are repeated, so that each figure comes from as much work as 64 MiB.
            repeat = max(1, min(64, sizes[-1]) // mib)
            taken = [stream(mib, piece, out, back) for _ in range(repeat)]
            if number:
                for direction, figures in zip(times, zip(*taken, strict=True), strict=True):
                    times[direction].setdefault(label(mib), []).append(sum(figures) / repeat)
    return constant("machines, ns a byte", times, 1e9)


def by_file_size(largest: int, rounds: int, folder: Path) -> tuple[list[str], list[str]]:
    """Return the table of time per byte by size of the file."""
    sizes = list(takewhile(lambda mib: mib <= largest, SIZES_MIB))
    times: Directions = {"encrypt": {}, "decrypt": {}}
    source, sealed, back = (folder / name for name in ("source", "sealed", "back"))
    for number in range(rounds + 1):
        for mib in sizes:
            with source.open("wb") as file:
                file.truncate(mib * PIECE)
            for direction, work in (
                ("encrypt", partial(client().encrypt_file, source, sealed)),
                ("decrypt", partial(client().decrypt_file, sealed, back)),
            ):
                warm(folder, min(2 * mib, 4096) * PIECE)
                start = time.perf_counter()
                work()
                if number:
                    per_byte = (time.perf_counter() - start) / (mib * PIECE)
                    times[direction].setdefault(label(mib), []).append(per_byte)
            with back.open("rb") as file:
                assert all(not piece.strip(b"\0") for piece in iter(partial(file.read, PIECE), b"")), "other bytes"
            assert back.stat().st_size == mib * PIECE, "bytes went missing"
            sealed.unlink()
            back.unlink()
    return constant("encrypt_file() and decrypt_file(), ns a byte", times, 1e9)


def label(mib: int) -> str:
    return f"{mib} MiB" if mib % 1024 else f"{mib // 1024} GiB"


def constant(title: str, times: Directions, unit: float) -> tuple[list[str], list[str]]:
    """Return a table whose every line has to be at most a tenth above the best line before it."""
    body, missed = [], []
    names = list(times["encrypt"])
    for place, name in enumerate(names):
        cells, verdict = [name], ("", "")
        for direction, measured in times.items():
            medians = {other: median(measured[other]) for other in names[:place] or [name]}
            best = min(medians, key=medians.__getitem__)
            cells += [figure(median(measured[name]) * unit), f"{ratio(measured[name], measured[best]):.2f}"]
            if place:
                named = {name: measured[name], BEST: measured[best]}
                verdict = worse(verdict, judged(Row(name, (STEADY,)), named))
                missed += [f"{title}, {direction} {name}"] * (not STEADY.met(named, name))
        body.append([*cells, *verdict])
    heads = [title, *(head for direction in times for head in (direction, f"/ {BEST}")), "target", "met"]
    return markdown(heads, body), missed


def worse(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str]:
    """Return the verdict that says no, if one does."""
    return one if one[1].startswith("no") else other


# --- by frame length -------------------------------------------------------------------------------------------------


def by_frame_length(longest: int, total: int, rounds: int, absent: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the table of time per frame by frame length, buffers reused."""
    body, missed = [], []
    for length in takewhile(lambda length: length <= longest, FRAME_LENGTHS):
        data = os.urandom(max(length, min(total, length * MOST_FRAMES)))
        times = measure(frame_subjects(data, length, absent), rounds=rounds)
        target = AtMost(1.25 if length >= 65_536 else 3, BARE)
        verdict = ("", "")
        for name in ("encrypt", "decrypt"):
            verdict = worse(verdict, judged(Row(name, (target,)), times))
            missed += [f"{name}, frames of {length} B: {joined([target])}"] * (not target.met(times, name))
        body.append([f"{length:,} B", *frame_cells(times, length, len(data)), *verdict])
    heads = ["frame length", "encrypt, us a frame", "decrypt, us a frame", "encrypt, ns a byte"]
    heads += [f"encrypt / {BARE}", f"decrypt / {BARE}", f"{LEGACY}, ns a byte", f"vs {LEGACY}", "target", "met"]
    return markdown(heads, body), missed


def frame_cells(times: Times, length: int, total: int) -> list[str]:
    """Return the figures of one frame length."""
    per_frame = [figure(median(times[name]) * length / total * 1e6) for name in ("encrypt", "decrypt")]
    per_byte = figure(median(times["encrypt"]) / total * 1e9)
    ratios = [f"{ratio(times[name], times[BARE]):.2f}" for name in ("encrypt", "decrypt")]
    if LEGACY not in times:
        return [*per_frame, per_byte, *ratios, "", ""]
    peer = [figure(median(times[LEGACY]) / total * 1e9), f"{ratio(times[LEGACY], times['encrypt']):.2f}"]
    return [*per_frame, per_byte, *ratios, *peer]


def frame_subjects(data: bytes, length: int, absent: dict[str, str]) -> dict[str, Callable[[], object]]:
    """Return what encrypts and decrypts the same bytes in frames of a length."""
    own = client(length)
    message = own.encrypt(data).ciphertext
    out, back = memoryview(bytearray(len(message) + 1024)), memoryview(bytearray(len(message)))
    bare, iv, aad = AESGCM(bytes(32)), bytes(12), bytes(72)
    sealed, stride = memoryview(bytearray(len(data) // length * (length + 16))), length + 16
    pieces = [
        (memoryview(data)[number * length :][:length], sealed[number * stride :][:stride])
        for number in range(len(data) // length)
    ]

    def encrypt() -> None:
        encryptor = own.encryptor(plaintext_length=len(data))
        encryptor.start()
        encryptor.finish_into(data, out)

    def decrypt() -> None:
        decryptor = own.decryptor()
        decryptor.update_into(message, back)
        decryptor.finish()

    def bare_calls() -> None:
        for piece, target in pieces:
            bare.encrypt_into(iv, piece, aad, target)

    decrypt()
    assert back[: len(data)].tobytes() == data, "other bytes came back"
    subjects: dict[str, Callable[[], object]] = {BARE: bare_calls, "encrypt": encrypt, "decrypt": decrypt}
    if 256 <= length <= LONGEST_FOR_PEER:
        found, missing = peers.installed([peers.aws(LEGACY, "legacy", length)])
        absent |= missing
        subjects |= {peer.name: partial(peer.encrypt, data) for peer in found}
    return subjects


# --- by number -------------------------------------------------------------------------------------------------------


def by_number(most: int, rounds: int) -> tuple[list[str], list[str]]:
    """Return the table of time per message by how many a client has handled in a row."""
    data = os.urandom(256)
    times: Directions = {"encrypt": {}, "decrypt": {}}
    for number in range(rounds + 1):
        for count in takewhile(lambda count: count <= most, NUMBERS):
            own = client()
            start = time.perf_counter()
            for _ in range(count):
                message = own.encrypt(data).ciphertext
            encrypted = time.perf_counter()
            for _ in range(count):
                assert own.decrypt(message).plaintext == data, "other bytes came back"
            decrypted = time.perf_counter()
            if number:
                name = f"{count:,} message{'s' * (count > 1)}"
                times["encrypt"].setdefault(name, []).append((encrypted - start) / count)
                times["decrypt"].setdefault(name, []).append((decrypted - encrypted) / count)
    return constant("messages of 256 B, us a message", times, 1e6)


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--max-mib", type=int, default=8192, help="the longest streamed message")
    parser.add_argument("--max-file-mib", type=int, default=2048, help="the largest file; the folder holds two of it")
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    options = parser.parse_args()
    longest, total, most = FRAME_LENGTHS[-1], FRAME_LENGTHS[-1], NUMBERS[-1]
    if options.small:
        options.rounds, options.max_mib, options.max_file_mib = 1, 8, 8
        longest, total, most = 2**20, 2**20, 100
    report = Report(options.check)
    report.begin(f"growth, {options.rounds} rounds")
    report.add_lines(*by_size(options.max_mib, options.rounds))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        report.add_lines(*by_file_size(options.max_file_mib, options.rounds, Path(folder)))
    absent: dict[str, str] = {}
    report.add_lines(*by_frame_length(longest, total, options.rounds, absent))
    report.add_lines(*by_number(most, options.rounds))
    report.absent(absent)
    report.end()


if __name__ == "__main__":
    main()
