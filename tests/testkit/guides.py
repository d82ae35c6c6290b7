"""The examples of the pages in ``docs/``, by the marks around them."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["example"]

DOCS = Path(__file__).resolve().parents[2] / "docs"


def example(page: str, mark: str) -> str:
    """Return the block between ``<!-- mark -->`` and ``<!-- /mark -->`` of a page."""
    text = (DOCS / page).read_text("utf-8")
    found = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```\n<!-- /{mark} -->", text, re.DOTALL)
    assert found, f"docs/{page} has no block marked {mark}"
    return found[1]
