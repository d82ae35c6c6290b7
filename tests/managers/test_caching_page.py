"""What the page about caching says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "caching.md"


def test_the_example_prints_what_the_page_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    code = re.search(r"<!-- caching -->\n```python\n(.*?)```", text, re.DOTALL)
    said = re.search(r"It prints `(.*?)`", text)
    assert code is not None
    assert said is not None

    run = subprocess.run([sys.executable, "-c", code[1]], capture_output=True, text=True, check=True)

    assert run.stdout == f"{said[1]}\n"


def test_every_page_that_it_names_is_there() -> None:
    pages = re.findall(r"\]\((?!https:)([^)#]*)\)", PAGE.read_text(encoding="utf-8"))

    assert pages
    assert [page for page in pages if not (PAGE.parent / page).exists()] == []
