"""Many files by several processes, against one after the other in this one.

    python benchmarks/bulk.py
    python benchmarks/bulk.py --files 10000 --folder /var/tmp

Proves that processes share small files where threads get in each other's way, and that large files lose nothing, and
gain little: one at a time has threads of its own. Baseline: the same run in turn, in this process. The processes are
started before: what that takes is a line of its own. On tmpfs, unless told otherwise: on a disk, every file waits to be
synced.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from interleaved import measure, median, ratio
from report import Report, arguments
from tables import Faster, Row, Target, Times, figure, judged, markdown

from envelope_sdk import bulk
from envelope_sdk.keyrings.key_files import encode_aes_key_file

IN_TURN = "in turn"
PROCESSES = {f"{count} process{'es' * (count > 1)}": count for count in (1, 2, 4)}
TWO = "2 processes"
JOURNALLED = f"{TWO}, with a journal"
THREADS = "2 threads"
START = f"{TWO}, started for it"
SIZE = 4096
WANTED: Mapping[str, Target] = {TWO: Faster(1.3, IN_TURN)}


def compare(folder: Path, key: Path, files: Mapping[str, int], rounds: int) -> Mapping[str, Mapping[str, Times]]:
    """Measure encrypting and decrypting files of these sizes."""
    plain, sealed = fresh(folder / "plain"), folder / "sealed"
    for name, size in files.items():
        (plain / name).write_bytes(os.urandom(size))
    recipe = bulk.ClientRecipe([str(key)])
    go(replace(recipe, threads=None), None, bulk.Encrypt(), plain, sealed)
    found = {}
    with ExitStack() as stack:
        pools = {name: stack.enter_context(bulk.Processes(count)) for name, count in PROCESSES.items()}
        threads = stack.enter_context(ThreadPoolExecutor(2))
        for direction, operation, source in (("encrypt", bulk.Encrypt(), plain), ("decrypt", bulk.Decrypt(), sealed)):
            run = partial(go, client=recipe, operation=operation, source=source, target=folder / "out")
            subjects: dict[str, Callable[[], object]] = {
                IN_TURN: partial(run, client=replace(recipe, threads=None), executor=None),
                THREADS: partial(run, executor=threads),
                **{name: partial(run, executor=pool) for name, pool in pools.items()},
                JOURNALLED: partial(run, executor=pools[TWO], journal=folder / "journal"),
                START: partial(run, executor=lambda: bulk.Processes(2)),
            }
            found[direction] = {**measure(subjects, rounds=rounds)}
            if direction == "decrypt":
                for name in files:
                    assert (folder / "out" / name).read_bytes() == (plain / name).read_bytes(), "other bytes came back"
    return found


def go(
    client: bulk.ClientRecipe,
    executor: Executor | Callable[[], Executor] | None,
    operation: bulk.Operation,
    source: Path,
    target: Path,
    journal: Path | None = None,
) -> None:
    """Do all files of a folder, into a fresh one."""
    fresh(target)
    if journal is not None:
        journal.unlink(missing_ok=True)
    items = bulk.encrypting if isinstance(operation, bulk.Encrypt) else bulk.decrypting
    with bulk.run(items(source, target), operation, client=client, executor=executor, journal=journal) as run:
        for result in run:
            assert result.error is None, result


def fresh(folder: Path) -> Path:
    """Make a folder anew. Taking the old files away is part of what is measured, for all alike."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def add(report: Report, count: int, measured: Mapping[str, Times], targets: Mapping[str, Target]) -> None:
    """Print a table for each direction."""
    for direction, times in measured.items():
        body = []
        for name in times:
            target = targets.get(name)
            row = Row(name, (target,) if target else ())
            cells = [name, figure(median(times[name]) * 1e3), figure(count / median(times[name]))]
            body.append([*cells, f"{ratio(times[IN_TURN], times[name]):.2f}", *judged(row, times)])
            if target and not target.met(times, name):
                report.missed.append(f"{direction} {name}")
        report.add_lines(markdown([direction, "ms", "files/s", f"vs {IN_TURN}", "target", "met"], body))


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--files", type=int, default=2000, help=f"small files, of {SIZE} bytes")
    parser.add_argument("--large", type=int, default=8, help="files of 64 MiB")
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    options = parser.parse_args()
    large = 2**26
    if options.small:
        options.files, options.large, options.rounds, large = 20, 2, 1, 2**20
    report = Report(options.check)
    report.begin(f"{options.files} files of {SIZE} B, then {options.large} of {large // 2**20} MiB")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        key = folder / "a.key"
        key.write_bytes(encode_aes_key_file("benchmark", "key", bytes(32)))
        key.chmod(0o600)
        files = {str(number): SIZE for number in range(options.files)}
        add(report, options.files, compare(folder, key, files, options.rounds), WANTED)
        files = {str(number): large for number in range(options.large)}
        add(report, options.large, compare(folder, key, files, options.rounds), {})
    report.end()


if __name__ == "__main__":
    main()
