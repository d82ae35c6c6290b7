"""A large file, encrypted and decrypted file to file by whole processes: against a copy, and against what others do.

    python benchmarks/large_files.py                      # 1 GiB on tmpfs, every row; some ten minutes
    python benchmarks/large_files.py --only 'API|copy'    # some rows; baselines always run
    python benchmarks/large_files.py --mib 256 --rounds 3

Proves that encrypting a file costs about what copying it does, and signing it what hashing it does. Every run is a
fresh interpreter, from its start to its end. Baselines: a copy in Python (1 MiB reads and writes) for unsigned
messages; SHA-384 alone over the same bytes (the faster of hashlib and cryptography) for signed ones. Peers run the loop
that their manuals show. What a program encrypted, it decrypts; the bytes that come back are compared with the source's.

"workers" leaves the number of threads to the client, "one thread" allows it one.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from os import urandom
from pathlib import Path

from interleaved import median
from processes import COMMAND_LINE, python, run, seconds, warm
from report import Report, arguments
from tables import AtMost, Faster, Row, Table, Target

import envelope_sdk.client

DEFAULT = envelope_sdk.client.DEFAULT_FRAME_LENGTH
COPY, HASHLIB, CRYPTOGRAPHY, HASH = "copy", "SHA-384 (hashlib)", "SHA-384 (cryptography)", "SHA-384"
LEGACY, MPL = "AWS SDK legacy", "AWS SDK MPL"
LEGACY_SIGNED, MPL_SIGNED = f"{LEGACY}, signed", f"{MPL}, signed"
TINK_4K, TINK_1M = "tink 4KB", "tink 1MB"
PYRAGE, AGE, SECRETSTREAM = "pyrage", "age", "PyNaCl secretstream"
PEERS = (LEGACY, MPL, TINK_4K, TINK_1M, PYRAGE, AGE, SECRETSTREAM)
AHEAD_OF = (TINK_4K, TINK_1M, PYRAGE, AGE)

MakeCommand = Callable[[Path, Path, Path], list[str]]  # source, target, key


@dataclass(frozen=True)
class Program:
    """A way to encrypt and decrypt files. Commands take source, target and key file; ``key`` makes the latter."""

    name: str
    key: Callable[[Path], list[str]]
    encrypt: MakeCommand
    decrypt: MakeCommand


# --- the programs ----------------------------------------------------------------------------------------------------


def own_programs() -> list[Program]:
    """Return this package's: as a script of the API and as the command line, unsigned and signed."""
    programs = []
    for length in (DEFAULT, 4096):
        for threads, how in (("", "workers"), ("1", "one thread")):
            frames = f"{length // 1024} KiB frames, {how}"
            programs += [api(f"API, {frames}", length, threads, ""), command_line(f"CLI, {frames}", length, threads)]
            programs.append(api(f"API, signed, {frames}", length, threads, "signed"))
    programs.append(command_line(f"CLI, signed, {DEFAULT // 1024} KiB frames, workers", DEFAULT, "", "--sign"))
    return programs


def api(name: str, length: int, threads: str, signing: str) -> Program:
    """Return a script that calls ``encrypt_file`` and ``decrypt_file``."""

    def command(function: str) -> MakeCommand:
        code = f"import sys; from file_programs import {function}; {function}(*sys.argv[1:])"
        return lambda source, target, _key: python(code, source, target, str(length), threads, signing)

    return Program(name, lambda key: python("", key), command("encrypt"), command("decrypt"))


def command_line(name: str, length: int, threads: str, *more: str) -> Program:
    """Return ``envelope`` under a raw key."""
    limit = ["--threads", threads] if threads else []

    def encrypt(source: Path, target: Path, key: Path) -> list[str]:
        frames = ["--frame-length", str(length), *more]
        return python(COMMAND_LINE, "encrypt", "-q", "-k", key, *limit, *frames, source, "-o", target)

    def decrypt(source: Path, target: Path, key: Path) -> list[str]:
        return python(COMMAND_LINE, "decrypt", "-q", "-k", key, *limit, source, "-o", target)

    return Program(name, lambda key: python(COMMAND_LINE, "keygen", key), encrypt, decrypt)


def peer_programs() -> tuple[list[Program], dict[str, str]]:
    """Return the peers' that can run here, and why the others cannot."""
    wanted = [
        (LEGACY, "aws_encryption_sdk", peer(LEGACY, "aws", "legacy", "")),
        (MPL, "aws_cryptographic_material_providers", peer(MPL, "aws", "MPL", "")),
        (LEGACY_SIGNED, "aws_encryption_sdk", peer(LEGACY_SIGNED, "aws", "legacy", "signed")),
        (MPL_SIGNED, "aws_cryptographic_material_providers", peer(MPL_SIGNED, "aws", "MPL", "signed")),
        (TINK_4K, "tink", peer(TINK_4K, "tink", "AES256_GCM_HKDF_4KB")),
        (TINK_1M, "tink", peer(TINK_1M, "tink", "AES256_GCM_HKDF_1MB")),
        (PYRAGE, "pyrage", peer(PYRAGE, "pyrage")),
        (SECRETSTREAM, "nacl", peer(SECRETSTREAM, "secretstream")),
    ]
    programs = [program for _, module, program in wanted if find_spec(module)]
    absent = {name: "not installed" for name, module, _ in wanted if not find_spec(module)}
    if shutil.which("age") and shutil.which("age-keygen"):
        programs.append(age())
    else:
        absent[AGE] = "not on PATH"
    return programs, absent


def peer(name: str, prefix: str, *more: str) -> Program:
    """Return a program of peer_programs.py."""

    def code(what: str) -> str:
        return f"import sys; from peer_programs import {prefix}_{what} as run; run(*sys.argv[1:])"

    def command(what: str) -> MakeCommand:
        return lambda source, target, key: python(code(what), source, target, key, *more)

    return Program(name, lambda key: python(code("key"), key, *more), command("encrypt"), command("decrypt"))


def age() -> Program:
    """Return age's own command line."""
    return Program(
        AGE,
        lambda key: ["age-keygen", "-o", str(key)],
        lambda source, target, key: ["age", "-e", "-i", str(key), "-o", str(target), str(source)],
        lambda source, target, key: ["age", "-d", "-i", str(key), "-o", str(target), str(source)],
    )


# --- measuring -------------------------------------------------------------------------------------------------------


class Times:
    """Seconds by program, for each direction; baselines count for both."""

    def __init__(self) -> None:
        self.encrypt: dict[str, list[float]] = {}
        self.decrypt: dict[str, list[float]] = {}

    def add(self, name: str, *, encrypt: float, decrypt: float) -> None:
        """Take note of one round's figures."""
        self.encrypt.setdefault(name, []).append(encrypt)
        self.decrypt.setdefault(name, []).append(decrypt)

    def choose_hash(self) -> None:
        """Make the faster of the two the baseline."""
        for times in (self.encrypt, self.decrypt):
            times[HASH] = min(times[HASHLIB], times[CRYPTOGRAPHY], key=median)


def measure(programs: Sequence[Program], source: Path, rounds: int, uncounted: int) -> Times:
    """Run everything in turn, round after round."""
    times, idle = Times(), Times()
    target, back = source.with_suffix(".enc"), source.with_suffix(".back")
    keys = {program.name: source.with_name(f"{number}.key") for number, program in enumerate(programs)}
    for program in programs:
        run(program.key(keys[program.name]))
    for number in range(-uncounted, rounds):
        counted = times if number >= 0 else idle
        baselines(source, target, counted)
        for program in programs:
            key = keys[program.name]
            encrypt = timed(program.encrypt(source, target, key), source)
            decrypt = timed(program.decrypt(target, back, key), source)
            require_same(source, back, program.name)
            target.unlink()
            back.unlink()
            counted.add(program.name, encrypt=encrypt, decrypt=decrypt)
    times.choose_hash()
    return times


def timed(command: Sequence[str], source: Path) -> float:
    """Return the seconds that a command takes on memory that was in use just before."""
    warm(source.parent, 2 * source.stat().st_size)
    return seconds(command)


def baselines(source: Path, target: Path, times: Times) -> None:
    """Copy the file and hash it."""
    copied = timed(python("import sys; from file_programs import copy; copy(*sys.argv[1:])", source, target), source)
    require_same(source, target, COPY)
    target.unlink()
    times.add(COPY, encrypt=copied, decrypt=copied)
    for name, function in ((HASHLIB, "sha384_hashlib"), (CRYPTOGRAPHY, "sha384_cryptography")):
        hashed = seconds(python(f"import sys; from file_programs import {function} as run; run(sys.argv[1])", source))
        times.add(name, encrypt=hashed, decrypt=hashed)


def require_same(one: Path, other: Path, name: str) -> None:
    """End the process unless two files hold the same bytes."""
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            wanted, found = left.read(2**20), right.read(2**20)
            if wanted != found:
                sys.exit(f"{name}: other bytes came back")
            if not wanted:
                return


# --- targets ---------------------------------------------------------------------------------------------------------


def unsigned_targets(name: str) -> tuple[Target, ...]:
    """Return what is asked of one of this package's unsigned rows."""
    small_frames, one_thread = " 4 KiB" in name, "one thread" in name
    most = {(False, False): 1.0, (False, True): 1.4, (True, False): 1.2, (True, True): 1.8}[small_frames, one_thread]
    targets: list[Target] = [AtMost(most, COPY)]
    if not one_thread:
        targets.append(Faster(5 if small_frames else 10, LEGACY))
        targets += [Faster(1, name) for name in AHEAD_OF]
    return tuple(targets)


def signed_targets(name: str) -> tuple[Target, ...]:
    """Return what is asked of one of this package's signed rows."""
    return () if "one thread" in name else (AtMost(1.2, HASH), Faster(5, LEGACY_SIGNED))


def tables(direction: str, own: Sequence[Program]) -> list[Table]:
    """Return the tables of one direction: unsigned messages, then signed ones."""
    unsigned = [program.name for program in own if "signed" not in program.name]
    signed = [program.name for program in own if "signed" in program.name]
    rows = [Row(COPY), *(Row(name, unsigned_targets(name)) for name in unsigned), *map(Row, PEERS)]
    signed_rows = [Row(HASHLIB), Row(CRYPTOGRAPHY), *(Row(name, signed_targets(name)) for name in signed)]
    signed_rows += [Row(LEGACY_SIGNED), Row(MPL_SIGNED)]
    return [
        Table(direction, rows, [COPY], PEERS, unit="s"),
        Table(f"{direction}, signed", signed_rows, [HASH, COPY], [LEGACY_SIGNED, MPL_SIGNED], unit="s"),
    ]


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file")
    parser.add_argument("--only", default="", metavar="REGEX", help="rows to run, besides the baselines")
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    options = parser.parse_args()
    if options.small:
        options.mib, options.rounds = 2, 1
    wanted = re.compile(options.only, re.IGNORECASE)
    own = own_programs()
    peers, absent = peer_programs()
    programs = [program for program in (*own, *peers) if wanted.search(program.name)]

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = Path(folder, "source")
        with source.open("wb") as file:
            file.writelines(urandom(2**20) for _ in range(options.mib))
        times = measure(programs, source, options.rounds, 0 if options.small else 1)

    report = Report(options.check)
    report.begin(f"{options.mib} MiB file to file, whole processes, {options.rounds} rounds")
    directions: Mapping[str, Mapping[str, Sequence[float]]] = {"encrypt": times.encrypt, "decrypt": times.decrypt}
    for direction, measured in directions.items():
        report.add(measured, *tables(direction, own))
    report.absent(absent)
    report.end()


if __name__ == "__main__":
    main()
