"""What docs/streams.md and docs/async.md tell their readers to type does what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from testkit.guides import example


@pytest.mark.parametrize(
    ("page", "mark", "printed"),
    [
        ("streams.md", "archives", "notes.txt b'attack at dawn'\nTrue\n"),
        (
            "async.md",
            "chunks",
            "['line 0\\n', 'line 1\\n', 'line 2\\n']\n21 [b'line', b'line 1']\nb'line 0\\nline 1\\nline 2\\n'\n",
        ),
    ],
)
def test_an_example_prints_what_it_says(page: str, mark: str, printed: str, tmp_path: Path):
    run = subprocess.run(
        [sys.executable, "-c", example(page, mark)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert run.stderr == ""
    assert run.stdout == printed
