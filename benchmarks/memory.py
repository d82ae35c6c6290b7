"""How much memory a large file takes: the most that a whole process had resident (VmHWM), interpreter and all.

    python benchmarks/memory.py                             # 1 GiB and 4 GiB, one, two and eight threads
    python benchmarks/memory.py --gib 2 --threads 2

Proves that memory depends neither on the size of a file nor, past the choice of eight, on the number of threads. Each
row is a fresh process: the command line, ``Client.encrypt_file`` and ``decrypt_file``, and ``envelope_sdk.open()``,
which has one thread. The bytes that come back are compared by digest. The baseline is an idle interpreter.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from processes import python, run
from report import Report, arguments
from tables import markdown

LIMIT_MIB = 40
TARGET = f"<= {LIMIT_MIB} MiB"

REPORT_PEAK = """
import atexit, sys
def report():
    peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
    sys.stderr.write('PEAK ' + peak.split()[1] + '\\n')
atexit.register(report)
"""
COMMAND = REPORT_PEAK + "from envelope_sdk.cli.main import entry\nentry()"
FILES = REPORT_PEAK + "import sys, file_programs\ngetattr(file_programs, sys.argv[1])(*sys.argv[2:])"

Step = tuple[str, str, tuple[str | Path, ...]]  # the row's name, the program and its arguments


def peak_mib(program: str, *arguments: str | Path) -> float:
    """Run a program in a fresh interpreter and return its peak resident size in MiB."""
    return int(run(python(program, *arguments)).rpartition("PEAK ")[2]) / 1024


def steps(plain: Path, sealed: Path, back: Path, key: Path, threads: int) -> Iterator[tuple[Step, Step]]:
    """Yield what encrypts, and what decrypts the outcome, with a number of threads."""
    limit = ("--threads", str(threads))
    for sign in ((), ("--sign",)):
        signed, ending = ("signed", ", signed") if sign else ("", "")
        with_key = ("-q", "-f", "-k", key, *limit)
        yield (
            (f"envelope encrypt{ending}", COMMAND, ("encrypt", *with_key, *sign, plain, "-o", sealed)),
            (f"envelope decrypt{ending}", COMMAND, ("decrypt", *with_key, sealed, "-o", back)),
        )
        settings = ("65536", str(threads), signed)
        yield (
            (f"encrypt_file(){ending}", FILES, ("encrypt", plain, sealed, *settings)),
            (f"decrypt_file(){ending}", FILES, ("decrypt", sealed, back, *settings)),
        )
    if threads == 1:
        yield (
            ("open(), writing", FILES, ("write_through_open", plain, sealed)),
            ("open(), reading", FILES, ("read_through_open", sealed, back)),
        )


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure(folder: Path, mib: int, numbers: list[int]) -> Iterator[tuple[str, str, float]]:
    """Yield the peaks for a file of one size: row, column, MiB."""
    plain, sealed, back, key = (folder / name for name in ("plain", "plain.enc", "back", "key"))
    key.unlink(missing_ok=True)
    run(python(COMMAND, "keygen", key))
    piece = os.urandom(2**20)
    with plain.open("wb") as file:
        file.writelines(piece for _ in range(mib))
    wanted = digest(plain)
    for threads in numbers:
        for pair in steps(plain, sealed, back, key, threads):
            for name, program, words in pair:
                yield name, f"{amount(mib)}, {threads} thread{'s' * (threads > 1)}", peak_mib(program, *words)
            if digest(back) != wanted:
                sys.exit(f"{pair[1][0]}: other bytes came back")
            sealed.unlink()
            back.unlink()


def main() -> None:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--gib", type=float, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--folder", help="where the files go (default: the system's temporary folder)")
    options = parser.parse_args()
    if options.small:
        options.gib, options.threads = [2 / 1024], [1, 8]
    idle = peak_mib(REPORT_PEAK)
    peaks: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for _ in range(options.rounds):
            for gib in options.gib:
                for row, column, peak in measure(Path(folder), round(gib * 1024), options.threads):
                    columns = peaks.setdefault(row, {})
                    columns[column] = max(peak, columns.get(column, 0))

    report = Report(options.check)
    report.begin(f"peak in MiB, the most of {options.rounds} rounds; idle interpreter {idle:.1f} MiB")
    report.add_lines(*table(peaks, idle))
    report.end()


def amount(mib: int) -> str:
    return f"{mib} MiB" if mib % 1024 else f"{mib // 1024} GiB"


def table(peaks: Mapping[str, Mapping[str, float]], idle: float) -> tuple[list[str], list[str]]:
    """Return the table's lines, and which rows miss the target."""
    columns = list(dict.fromkeys(column for cells in peaks.values() for column in cells))
    body, missed = [], []
    for row, cells in peaks.items():
        most = max(cells.values())
        figures = [f"{cells[column]:.1f}" if column in cells else "" for column in columns]
        met = "yes" if most <= LIMIT_MIB else "no"
        body.append([row, *figures, f"{most:.1f}", f"{most - idle:.1f}", f"{most / idle:.2f}", TARGET, met])
        if most > LIMIT_MIB:
            missed.append(f"{row}: {most:.1f} MiB")
    return markdown(["memory", *columns, "most", "above idle", "/ idle", "target", "met"], body), missed


if __name__ == "__main__":
    main()
