"""Starting: what importing the package costs, and a whole command on a file of 1 KiB.

    python benchmarks/start_up.py

Proves that little is imported besides the parts of cryptography that are needed, and that a command on a small file
costs at most as much again. The baseline imports exactly the modules of cryptography that the package has loaded once a
client and a raw AES keyring are at hand (they are listed below the table), and nothing of this package. Every run is a
fresh interpreter, from its start to its end; "without the interpreter" takes off, round by round, what an interpreter
takes that does nothing. Install the wheel for this: an editable checkout brings an import hook of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from interleaved import measure
from processes import COMMAND_LINE, python, run, surroundings
from report import Report, arguments
from tables import AtMost, Row, Table

IMPORT = "import envelope_sdk; from envelope_sdk.keyrings import RawAesKeyring; envelope_sdk.Client"
LOADED = f"{IMPORT}; import sys; print(*sorted(name for name in sys.modules if name.startswith('cryptography')))"

START, PARTS, PACKAGE = "interpreter alone", "cryptography's parts", "import envelope_sdk"
ENCRYPT, DECRYPT = "envelope encrypt, 1 KiB", "envelope decrypt, 1 KiB"


def cryptography_modules() -> list[str]:
    """Return what the package loads of cryptography."""
    done = subprocess.run(python(LOADED), capture_output=True, text=True, env=surroundings(), check=True)
    return done.stdout.split()


def commands(folder: Path, modules: list[str]) -> dict[str, list[str]]:
    """Return what is run, by row. The commands write over the file that they made before."""
    key, source, sealed, back = (folder / name for name in ("key", "source", "source.enc", "back"))
    source.write_bytes(bytes(range(256)) * 4)
    run(python(COMMAND_LINE, "keygen", key))
    encrypt = python(COMMAND_LINE, "encrypt", "-q", "-f", "-k", key, source)
    decrypt = python(COMMAND_LINE, "decrypt", "-q", "-f", "-k", key, sealed, "-o", back)
    run(encrypt)
    run(decrypt)
    if back.read_bytes() != source.read_bytes():
        sys.exit("other bytes came back")
    return {
        START: python("pass"),
        PARTS: python(f"import {', '.join(modules)}"),
        PACKAGE: python(IMPORT),
        ENCRYPT: encrypt,
        DECRYPT: decrypt,
    }


def main() -> None:
    parser = arguments(__doc__, rounds=31)
    options = parser.parse_args()
    rounds = 2 if options.small else options.rounds
    modules = cryptography_modules()
    with tempfile.TemporaryDirectory() as folder:
        subjects: dict[str, Callable[[], object]] = {
            name: partial(run, command) for name, command in commands(Path(folder), modules).items()
        }
        times = measure(subjects, rounds=rounds)
    net = {name: [taken - start for taken, start in zip(times[name], times[START], strict=True)] for name in times}

    report = Report(options.check)
    report.begin(f"whole processes, {rounds} rounds")
    package = Row(PACKAGE, (AtMost(1.5, PARTS),))
    whole = (AtMost(2, PACKAGE),)
    report.add(
        times,
        Table(
            "start-up", [Row(START), Row(PARTS), package, Row(ENCRYPT, whole), Row(DECRYPT, whole)], [PARTS, PACKAGE]
        ),
    )
    rows = [Row(PARTS), Row(PACKAGE), Row(ENCRYPT), Row(DECRYPT)]
    report.add(net, Table("without the interpreter", rows, [PARTS, PACKAGE]))
    inner = {name.rpartition(".")[0] for name in modules}
    print(f"\n{PARTS}: {', '.join(name for name in modules if name not in inner)}.")
    report.end()


if __name__ == "__main__":
    main()
