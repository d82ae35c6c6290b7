"""What docs/random-access.md shows its reader does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "random-access.md"


def run(name: str, folder: Path) -> str:
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```\n<!-- /{name} -->", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    done = subprocess.run(
        [sys.executable, "-c", found[1]], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.stderr == ""
    return done.stdout


def test_an_archive_is_listed_and_parts_are_read(tmp_path: Path) -> None:
    assert run("ranges", tmp_path) == (
        "['a.jpg', 'notes.csv']\n[['id', 'amount'], ['1', '250'], ['2', '40']]\nTrue 4096\n"
    )


def test_a_source_of_ones_own_notices_that_its_object_was_replaced(tmp_path: Path) -> None:
    assert run("source", tmp_path) == "1000007 b'the end'\nreport was replaced since it was opened\n"
