"""Unpacks the source distributions of a folder and runs their KMS tests, each suite by a pytest of its own.

``python run.py FOLDER [pytest's arguments]``: the folder has been filled by ``pip download`` from ``sources.txt``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Suite:
    """Tests of KMS that a package publishes.

    Attributes:
        name: the package's.
        root: the folder within the source distribution that pytest is to run in.
        tests: what it is to run there.
        conftest: ours, put into ``root`` under the name that the tests import, where the package publishes none.
    """

    name: str
    root: str
    tests: tuple[str, ...]
    conftest: str | None = None


SUITES = (
    Suite("moto", ".", ("tests/test_kms",)),
    Suite("ministack", "tests", ("test_kms.py",), "ministack_conftest.py"),
)


def unpack(suite: Suite, folder: Path) -> Path:
    """Return the folder to run a suite in, made from the one source distribution of its package."""
    (archive,) = folder.glob(f"{suite.name}-*.tar.gz")
    target = folder / "unpacked" / suite.name
    shutil.rmtree(target, ignore_errors=True)
    with tarfile.open(archive) as source:
        source.extractall(target, filter="data")
    (top,) = target.iterdir()
    root = top / suite.root
    if suite.conftest is not None:
        shutil.copyfile(HERE / suite.conftest, root / "conftest.py")
    return root


def run(suite: Suite, folder: Path, arguments: Sequence[str]) -> int:
    """Return pytest's exit status."""
    root = unpack(suite, folder)
    print(f"{suite.name}: {root.relative_to(folder)}", flush=True)
    # Configured by nobody: neither by this project's settings nor by the suite's.
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", root, "-p", "no:cacheprovider", "-q"]
    # The plugins are beside this file, and the tests import each other as modules of the folder they are run in.
    environment = os.environ | {"OTHERS_SUITE": suite.name, "PYTHONPATH": os.pathsep.join(map(os.fspath, (HERE, root)))}
    command += ["-p", "listed_cases", "-p", "kms_server", *suite.tests, *arguments]
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def main(folder: str, *arguments: str) -> int:
    """Run all suites, whatever becomes of each, and return 0 where none failed."""
    return max(run(suite, Path(folder).resolve(), arguments) for suite in SUITES)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
