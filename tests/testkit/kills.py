"""A bulk run that is killed again and again, and what is left of it in the end.

    python -m testkit.kills 10000 20 268435456 8

As a program: how many small files, large ones, bytes of a large one, and kills; tells how long that took.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from testkit import bulk_program

from envelope_sdk import bulk
from envelope_sdk.keyrings.key_files import encode_aes_key_file

__all__ = ["Aftermath", "killed_and_resumed"]

PROGRAM = str(Path(bulk_program.__file__))


class Aftermath(NamedTuple):
    """What is left.

    Attributes:
        wrong: targets that are missing, too many, or not their sources' messages.
        hidden: other files that lie about, of files that were being named.
        done: how often the journal says that each item was done.
        begun: how often it says that each was begun.
        kills: how often the run was killed in its middle.
    """

    wrong: list[str]
    hidden: list[str]
    done: Mapping[str, int]
    begun: Mapping[str, int]
    kills: int


def killed_and_resumed(folder: Path, *, small: int, large: int, large_size: int, kills: int, seed: int) -> Aftermath:
    """Encrypt files by a program that is killed with SIGKILL at so many moments, and then left to finish."""
    chance = random.Random(seed)
    contents = _make_files(folder / "in", small, large, large_size, chance)
    key = folder / "a.key"
    key.write_bytes(encode_aes_key_file("test", "key-1", bytes(range(32))))
    key.chmod(0o600)
    moments = sorted(chance.sample(range(1, small), kills))
    really = sum(_run_until(folder, moment) for moment in moments)
    assert _start(folder).wait(600) == 0
    lines = [json.loads(line) for line in (folder / "journal").read_bytes().splitlines()]
    told = {kind: Counter(line[kind][0] for line in lines if kind in line) for kind in ("done", "begun")}
    wrong, hidden = _looked_at(folder, contents)
    return Aftermath(wrong, hidden, told["done"], told["begun"], really)


def _make_files(folder: Path, small: int, large: int, large_size: int, chance: random.Random) -> dict[str, int]:
    sizes = {f"{number % 10}/{number}": chance.randrange(5000) for number in range(small)}
    sizes |= {f"{number % 10}/large-{number}": large_size for number in range(large)}
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_content(name, size))
    return sizes


def _content(name: str, size: int) -> bytes:
    return (f"{name}\n".encode() * (size // (len(name) + 1) + 1))[:size]


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, PROGRAM, *(str(folder / name) for name in ("a.key", "journal", "in", "out")), "2"]
    # A process that is killed could not write what coverage measured of it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.Popen(command, env=environment)


def _run_until(folder: Path, moment: int) -> bool:
    """Run until the journal says that so many items are done, and kill it then; return whether it was still there."""
    process = _start(folder)
    journal = folder / "journal"
    try:
        while process.poll() is None:
            if journal.exists() and journal.read_bytes().count(b'{"done"') >= moment:
                return True
            threading.Event().wait(0.002)
        return False
    finally:
        process.kill()
        process.wait(60)


def _looked_at(folder: Path, sizes: Mapping[str, int]) -> tuple[list[str], list[str]]:
    client = bulk.ClientRecipe([str(folder / "a.key")], threads=None).open().client
    out = folder / "out"
    found = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    hidden = [name for name, path in found.items() if path.name.startswith(".")]
    wrong = [name for name in found if name not in hidden and name.removesuffix(".enc") not in sizes]
    for name, size in sizes.items():
        path = found.get(f"{name}.enc")
        if path is None or client.decrypt(path.read_bytes()).plaintext != _content(name, size):
            wrong.append(name)
    return wrong, hidden


def main() -> None:
    small, large, large_size, kills = (int(word) for word in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        after = killed_and_resumed(
            Path(folder), small=small, large=large, large_size=large_size, kills=kills, seed=int(begun)
        )
    again = sum(count - 1 for count in after.begun.values())
    print(f"{time.perf_counter() - begun:.0f} s, killed {after.kills} times, begun again {again}")  # noqa: T201
    print(f"wrong {after.wrong}, hidden {after.hidden}, done {len(after.done)}")  # noqa: T201
    print(f"done twice {[name for name, count in after.done.items() if count > 1]}")  # noqa: T201


if __name__ == "__main__":
    main()
