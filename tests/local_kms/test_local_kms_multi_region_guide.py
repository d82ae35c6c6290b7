"""What docs/local-kms-multi-region.md shows its reader does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from envelope_sdk.local_kms.managed import PREDEFINED

GUIDE = Path(__file__).parents[2] / "docs" / "local-kms-multi-region.md"


def test_the_example_decrypts_in_the_other_region() -> None:
    text = GUIDE.read_text("utf-8")
    found = re.search(r"<!-- replicate -->\n```python\n(.*?)```\n<!-- /replicate -->", text, re.DOTALL)
    assert found is not None
    done = subprocess.run([sys.executable, "-c", found[1]], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("b'hello'\n", "")


def test_the_aliases_named_are_there() -> None:
    assert set(re.findall(r"alias/aws/\w+", GUIDE.read_text("utf-8"))) <= set(PREDEFINED)
