"""What several threads gain: one large message in memory, by frame length, and many files at once.

    python benchmarks/parallel.py
    python benchmarks/parallel.py --mib 256 --rounds 5

Proves that a client left to choose its threads is never slower than on one, and faster where it can be: frames are
independent, but the interpreter's lock is handed over between short calls at a loss. Baseline: the same client on one
thread. "Never slower" allows for 3% of noise. Bare AES-GCM calls, in one thread and shared among all CPUs, show
what the machine has to give at that moment. Files: one after the other, against as many at once as there are CPUs, each
on one thread.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from interleaved import measure, median, ratio
from report import Report, arguments
from tables import AtMost, Faster, Row, Target, Times, figure, joined, judged, markdown

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring

ONE, MANY = "one thread", "threads chosen"
ALL = "a thread for each CPU"
IN_TURN, AT_ONCE = "one after the other", "at once"
FRAME_LENGTHS = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304)
NOT_SLOWER = AtMost(1.03, ONE)
WANTED = {65_536: 1.5, 1_048_576: 1.8}
CPUS = len(os.sched_getaffinity(0))
NAMESPACE, NAME, KEY = "benchmark", "key", bytes(32)


def in_memory(frame_length: int, data: bytes, rounds: int) -> Mapping[str, Times]:
    """Measure one frame length, both directions."""
    keyring = RawAesKeyring(NAMESPACE, NAME, KEY)
    clients = {
        ONE: Client(keyring, frame_length=frame_length, threads=1),
        MANY: Client(keyring, frame_length=frame_length, threads=None),
    }
    messages = {name: client.encrypt(data).ciphertext for name, client in clients.items()}
    for name, client in clients.items():
        for message in messages.values():
            assert client.decrypt(message).plaintext == data, f"{name}: other bytes came back"
    message = messages.pop(MANY)
    return {
        "encrypt": measure({name: partial(client.encrypt, data) for name, client in clients.items()}, rounds=rounds),
        "decrypt": measure({name: partial(client.decrypt, message) for name, client in clients.items()}, rounds=rounds),
    }


def many_files(folder: Path, count: int, size: int, rounds: int) -> Mapping[str, Times]:
    """Measure encrypting and decrypting many files."""
    client = Client(RawAesKeyring(NAMESPACE, NAME, KEY), threads=1)
    sources = [folder / f"{number}" for number in range(count)]
    for source in sources:
        source.write_bytes(os.urandom(size))
    out = folder / "out"
    at_once(client.encrypt_file, sources, out)
    sealed = [(out / source.name).rename(f"{source}.enc") for source in sources]
    jobs = {"encrypt": (client.encrypt_file, sources), "decrypt": (client.decrypt_file, sealed)}
    times = {
        direction: measure(
            {IN_TURN: partial(in_turn, function, inputs, out), AT_ONCE: partial(at_once, function, inputs, out)},
            rounds=rounds,
        )
        for direction, (function, inputs) in jobs.items()
    }
    at_once(client.decrypt_file, sealed, out)
    for source, path in zip(sources, sealed, strict=True):
        assert (out / path.name).read_bytes() == source.read_bytes(), "other bytes came back"
    return times


def bare_calls(frame_length: int, data: bytes, rounds: int) -> Mapping[str, Times]:
    """Measure bare AES-GCM calls to a buffer that is reused, in one thread and shared among one for each CPU."""
    cipher, iv, aad, stride = AESGCM(bytes(32)), bytes(12), bytes(72), frame_length + 16
    view, out = memoryview(data), memoryview(bytearray(len(data) // frame_length * stride))
    pieces = [
        (view[number * frame_length :][:frame_length], out[number * stride :][:stride])
        for number in range(len(data) // frame_length)
    ]

    def seal(share: list[tuple[memoryview, memoryview]]) -> None:
        for piece, target in share:
            cipher.encrypt_into(iv, piece, aad, target)

    each = max(1, -(-len(pieces) // CPUS))
    shares = [pieces[start : start + each] for start in range(0, len(pieces), each)]
    with ThreadPoolExecutor(max_workers=CPUS) as pool:
        return {
            "bare calls": measure({ONE: lambda: seal(pieces), ALL: lambda: list(pool.map(seal, shares))}, rounds=rounds)
        }


@dataclass
class Pairs:
    """A table with a line for each pair: the same work without and with threads."""

    baseline: str
    other: str
    bodies: dict[str, list[list[str]]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def add(self, what: str, measured: Mapping[str, Times], target: Target | None) -> None:
        """Add a line to the table of each direction."""
        for direction, times in measured.items():
            one, many = times[self.baseline], times[self.other]
            row = Row(self.other, (target,) if target else ())
            cells = [what, figure(median(one) * 1e3), figure(median(many) * 1e3), f"{ratio(many, one):.2f}"]
            self.bodies.setdefault(direction, []).append([*cells, f"{ratio(one, many):.2f}", *judged(row, times)])
            if target and not target.met(times, self.other):
                self.missed.append(f"{direction} {what}: {joined([target])}")

    def report(self, report: Report) -> None:
        """Print the tables."""
        one, many = self.baseline, self.other
        for direction, body in self.bodies.items():
            heads = [direction, f"{one}, ms", f"{many}, ms", f"/ {one}", f"vs {one}", "target", "met"]
            report.add_lines(markdown(heads, body))
        report.missed += self.missed


def in_turn(function: Callable[[Path, Path], object], inputs: list[Path], out: Path) -> None:
    """Transform files one after the other, to a new folder."""
    fresh(out)
    for path in inputs:
        function(path, out / path.name)


def at_once(function: Callable[[Path, Path], object], inputs: list[Path], out: Path) -> None:
    """Transform as many files at once as there are CPUs, to a new folder."""
    fresh(out)
    with ThreadPoolExecutor(max_workers=CPUS) as pool:
        for done in [pool.submit(function, path, out / path.name) for path in inputs]:
            done.result()


def fresh(folder: Path) -> None:
    """Make a folder anew. Taking the old files away is part of what is measured, for both alike."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def main() -> None:
    parser = arguments(__doc__, rounds=11)
    parser.add_argument("--mib", type=int, default=64, help="size of the message in memory")
    parser.add_argument("--files", type=int, default=16, help="files of 16 MiB; of 16 KiB, 16 times as many")
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    options = parser.parse_args()
    if options.small:
        options.mib, options.files, options.rounds = 1, 2, 1
    report = Report(options.check)
    report.begin(f"{options.mib} MiB in memory, then files, on {CPUS} CPUs, {options.rounds} rounds")
    data = os.urandom(options.mib * 2**20)
    pairs = Pairs(ONE, MANY)
    for frame_length in FRAME_LENGTHS:
        measured = in_memory(frame_length, data, options.rounds)
        wanted = WANTED.get(frame_length)
        pairs.add(
            f"frames of {frame_length:,} B",
            {"encrypt": measured["encrypt"]},
            Faster(wanted, ONE) if wanted else NOT_SLOWER,
        )
        pairs.add(f"frames of {frame_length:,} B", {"decrypt": measured["decrypt"]}, NOT_SLOWER)
    pairs.report(report)
    bare = Pairs(ONE, ALL)
    for frame_length in FRAME_LENGTHS:
        bare.add(f"frames of {frame_length:,} B", bare_calls(frame_length, data, options.rounds), None)
    bare.report(report)
    pairs = Pairs(IN_TURN, AT_ONCE)
    for count, size in ((options.files, 2**24), (16 * options.files, 2**14)):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            measured = many_files(Path(folder), count, size, options.rounds)
        target = Faster(1.5, IN_TURN) if size >= 2**20 else None
        pairs.add(f"{count} files of {size // 1024:,} KiB", measured, target)
    pairs.report(report)
    report.end()


if __name__ == "__main__":
    main()
