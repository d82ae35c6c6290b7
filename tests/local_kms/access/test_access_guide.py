"""The guide's examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "local-kms-access.md"


def test_the_example_in_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    exec(compile(example, str(GUIDE), "exec"), {})

    explained = capsys.readouterr().out.splitlines()
    assert "wants 'invoices'; the request has none" in explained[1]
    assert explained[-1] == "denied: no identity-based policy allows it"
