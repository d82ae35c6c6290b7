"""How much memory a large file takes: peak resident size of whole processes, above an idle interpreter's.

    python benchmarks/memory.py            # 2 GiB, as the README claims
    python benchmarks/memory.py --gib 4

Each row is a fresh process: the command line and ``envelope_sdk.open()``, encrypting and decrypting. The script fails
where one takes more than the limit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from interleaved import environment

LIMIT_MIB = 100

REPORT_PEAK = """
import atexit, sys
def report():
    peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
    sys.stderr.write('PEAK ' + peak.split()[1] + '\\n')
atexit.register(report)
"""
COMMAND = REPORT_PEAK + "from envelope_sdk.cli.main import entry\nentry()"
OPEN = (
    REPORT_PEAK
    + """
import shutil, sys
import envelope_sdk
from envelope_sdk.keyrings import RawAesKeyring
client = envelope_sdk.Client(RawAesKeyring('benchmark', 'key', bytes(32)))
mode, source, target = sys.argv[1:]
if mode == 'encrypt':
    with open(source, 'rb') as read, client.open(target, 'wb') as write:
        shutil.copyfileobj(read, write, 2**20)
else:
    with client.open(source) as read, open(target, 'wb') as write:
        shutil.copyfileobj(read, write, 2**20)
"""
)


def peak_mib(program: str, *arguments: str, environment: dict[str, str] | None = None) -> float:
    """Run a program in a fresh interpreter and return its peak resident size in MiB."""
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        text=True,
        check=False,
    )
    if run.returncode:
        sys.exit(run.stderr)
    return int(run.stderr.rpartition("PEAK ")[2]) / 1024


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--folder", help="where the files go (default: the system's temporary folder)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        plain, sealed, back = (str(Path(folder, name)) for name in ("plain", "plain.enc", "back"))
        piece = os.urandom(2**20)
        with Path(plain).open("wb") as file:
            file.writelines(piece for _ in range(int(options.gib * 1024)))
        wanted = digest(Path(plain))
        store = {"ENVELOPE_KMS_STORE": str(Path(folder, "kms.db"))}
        idle = peak_mib(REPORT_PEAK)
        rows: list[tuple[str, float]] = []

        def row(name: str, program: str, *arguments: str) -> None:
            rows.append((name, peak_mib(program, *arguments, environment=store) - idle))

        row("envelope encrypt", COMMAND, "encrypt", plain, "-q")
        row("envelope decrypt", COMMAND, "decrypt", sealed, "-o", back, "-q")
        assert digest(Path(back)) == wanted, "the command line returned other bytes"
        row("envelope encrypt --sign", COMMAND, "encrypt", plain, "--sign", "-q", "-f")
        row("envelope decrypt (signed)", COMMAND, "decrypt", sealed, "-o", back, "-q", "-f")
        assert digest(Path(back)) == wanted, "the command line returned other bytes"
        row("open(), writing", OPEN, "encrypt", plain, sealed)
        row("open(), reading", OPEN, "decrypt", sealed, back)
        assert digest(Path(back)) == wanted, "open() returned other bytes"

    print(environment())
    print(f"{options.gib:g} GiB; idle interpreter {idle:.1f} MiB; limit {LIMIT_MIB} MiB above it")
    print()
    print("| what | peak above idle, MiB |")
    print("|---|---:|")
    for name, peak in rows:
        print(f"| {name} | {peak:.1f} |")
    if max(peak for _, peak in rows) > LIMIT_MIB:
        sys.exit("over the limit")


if __name__ == "__main__":
    main()
