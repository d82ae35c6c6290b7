"""Rotating a message in a file: against decrypting it to a file and encrypting that again; and the memory it takes.

    python benchmarks/rotation.py
    python benchmarks/rotation.py --mib 1024 --rounds 3

Proves that a rotation costs less than the two steps that it stands for, though no plaintext goes to a disk, and that
its memory does not grow with the message. Baseline: ``decrypt_file``, then ``encrypt_file``, with the same clients.
Rotations check their result: the header is read back and opened. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from interleaved import measure
from memory import REPORT_PEAK, peak_mib
from report import Report, arguments
from tables import AtMost, Row, Table, markdown

from envelope_sdk import Client, Rotation
from envelope_sdk.keyrings import RawAesKeyring

STEPS, ROTATION, ONE_THREAD = "decrypt_file, encrypt_file", "rotate_file", "rotate_file, one thread"
OLD, NEW = (RawAesKeyring("benchmark", name, bytes(32)) for name in ("old", "new"))
MOST_MIB = 40

ROTATE = (
    REPORT_PEAK
    + """
import sys
from envelope_sdk import Client, Rotation
from envelope_sdk.keyrings import RawAesKeyring
old, new = (Client(RawAesKeyring("benchmark", name, bytes(32))) for name in ("old", "new"))
Rotation(old, new).rotate_file(*sys.argv[1:])
"""
)


def subjects(folder: Path, message: Path, *, sign: bool) -> dict[str, Callable[[], object]]:
    """Return what to time for one message."""
    old, new, alone = Client(OLD), Client(NEW, sign=sign), Client(NEW, sign=sign, threads=1)
    target, plain = folder / "target", folder / "plain"

    def steps() -> None:
        old.decrypt_file(message, plain)
        new.encrypt_file(plain, target)
        plain.unlink()

    return {
        STEPS: steps,
        ROTATION: lambda: Rotation(old, new).rotate_file(message, target),
        ONE_THREAD: lambda: Rotation(old, alone).rotate_file(message, target),
    }


def require_same(message: Path, target: Path, source: Path) -> None:
    """End the process unless both messages hold what the source does."""
    for path, keyring in ((message, OLD), (target, NEW)):
        back = path.with_suffix(".back")
        Client(keyring).decrypt_file(path, back)
        if back.read_bytes() != source.read_bytes():
            raise SystemExit(f"{path.name}: other bytes came back")
        back.unlink()


def source_of(folder: Path, mib: int) -> Path:
    """Make a file of random bytes."""
    source = folder / "source"
    with source.open("wb") as file:
        file.writelines(os.urandom(2**20) for _ in range(mib))
    return source


def times(report: Report, folder: Path, mib: int, rounds: int) -> None:
    """Measure every change of signing, and add the tables."""
    source, message = source_of(folder, mib), folder / "message"
    for old in (False, True):
        Client(OLD, sign=old).encrypt_file(source, message)
        for new in (False, True):
            measured = measure(subjects(folder, message, sign=new), rounds=rounds)
            require_same(message, folder / "target", source)
            title = f"{_words(old)} to {_words(new)}"
            rows = [Row(STEPS), Row(ROTATION, (AtMost(1.0, STEPS),)), Row(ONE_THREAD)]
            report.add(measured, Table(title, rows, [STEPS], [], unit="ms"))


def memory(report: Report, folder: Path, sizes: list[int]) -> None:
    """Measure the peaks of processes that rotate messages of several sizes, and add the table."""
    body = []
    for mib in sizes:
        source, message = source_of(folder, mib), folder / "message"
        cells = []
        for sign in (False, True):
            Client(OLD, sign=sign).encrypt_file(source, message)
            cells.append(peak_mib(ROTATE, message, folder / "target"))
        met = max(cells) <= MOST_MIB
        body.append([f"{mib} MiB", *(f"{cell:.1f}" for cell in cells), "yes" if met else "no"])
        if not met:
            report.missed.append(f"memory, {mib} MiB: {max(cells):.1f} MiB")
    report.add_lines(markdown(["message", "unsigned, MiB", "signed, MiB", f"<= {MOST_MIB} MiB"], body))


def _words(signed: bool) -> str:
    return "signed" if signed else "unsigned"


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--mib", type=int, default=256, help="size of the message")
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    options = parser.parse_args()
    if options.small:
        options.mib, options.rounds = 2, 1
    report = Report(options.check)
    report.begin(f"{options.mib} MiB, {options.rounds} rounds")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        times(report, Path(folder), options.mib, options.rounds)
        memory(report, Path(folder), [1, options.mib])
    report.end()


if __name__ == "__main__":
    main()
