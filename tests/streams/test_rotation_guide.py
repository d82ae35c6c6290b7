"""What docs/rotation.md shows its reader does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from envelope_sdk.cli.commands.rotate import command

PAGE = Path(__file__).parents[2] / "docs" / "rotation.md"


def marked(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- /{name} -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert found, f"the page has no block marked {name}"
    return found[1]


def test_the_example_prints_what_the_page_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", marked("rotate")], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == (marked("rotate-prints"), "")
    assert list(tmp_path.iterdir()) == []


def test_the_options_named_are_there() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", PAGE.read_text("utf-8")))
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}

    assert named
    assert named <= known
