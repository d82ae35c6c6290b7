"""What docs/local-kms-life-cycle.md shows its reader does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "local-kms-life-cycle.md"


def marked(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- /{name} -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert found, f"the page has no block marked {name}"
    return found[1]


@pytest.mark.parametrize("name", ["rotation", "import"])
def test_an_example_prints_what_the_page_says(name: str, tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", marked(name)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == marked(f"{name}-prints")
    assert list(tmp_path.iterdir()) == []
