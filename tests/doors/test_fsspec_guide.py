"""What docs/fsspec.md shows its reader does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from testkit.guides import example
from testkit.key_files import key_file

for name in ("fsspec", "pandas", "pyarrow"):
    pytest.importorskip(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    Path(key_file(tmp_path)).rename(tmp_path / "team.key.json")
    return tmp_path


def run(folder: Path, *marks: str) -> str:
    """Run examples one after the other in a program of their own."""
    (folder / "program.py").write_text("\n".join(example("fsspec.md", mark) for mark in marks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tables_are_written_and_read(folder: Path):
    printed = run(folder, "tables").splitlines()

    assert printed[:2] == ["499999500000", "9"]
    size, start = printed[2].split(" ", 1)
    assert 14 < int(size) < 100
    assert start == "b'PAR1'"
    assert (folder / "data" / "orders.parquet").read_bytes()[:2] == b"\x02\x04"


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
def test_a_cluster_reads_and_writes_too(folder: Path):
    for library in ("dask.dataframe", "distributed"):
        pytest.importorskip(library)
    run(folder, "tables")
    options = example("fsspec.md", "tables").split("options = ")[1].split("\n}\n")[0]
    (folder / "program.py").write_text(f"options = {options}\n}}\n{example('fsspec.md', 'dask')}", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )

    assert done.stdout == "True 499999500000\n", done.stderr
