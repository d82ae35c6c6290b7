"""What docs/throttling.md shows and says is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from envelope_sdk.keyrings import KeyringUri
from envelope_sdk.keyrings.schemes import BUILT_IN
from envelope_sdk.local_kms.quotas.figures import SHARED_RATES, SYMMETRIC, SYMMETRIC_RATES_BY_REGION

GUIDE = (Path(__file__).parents[2] / "docs" / "throttling.md").read_text("utf-8")


def test_the_example_prints_what_it_is_said_to() -> None:
    found = re.search(r"<!-- pace -->\n```python\n(.*?)```\n<!-- /pace -->", GUIDE, re.DOTALL)
    assert found is not None
    done = subprocess.run([sys.executable, "-c", found[1]], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("ThrottlingException True\n", "")
    assert f"This prints `{done.stdout.strip()}`" in GUIDE


def test_the_quotas_are_those_of_the_local_kms() -> None:
    row = next(line for line in GUIDE.splitlines() if line.startswith("| symmetric |"))
    told = {
        region: int(rate.replace(",", ""))
        for rate, regions in re.findall(r"([\d,]+) in ([^;|]*)", row)
        for region in re.findall(r"[a-z]+-[a-z]+-\d", regions)
    }

    assert told == dict(SYMMETRIC_RATES_BY_REGION)
    assert f"{SHARED_RATES[SYMMETRIC]:,.0f} elsewhere" in row
    for kind, name in (("RSA", "RSA"), ("elliptic curves", "ECC")):
        assert f"| {kind} | {SHARED_RATES[f'Cryptographic operations ({name})']:,.0f} |" in GUIDE


def test_the_parameters_are_those_of_the_scheme() -> None:
    found = re.search(r"^aws-kms://\S+$", GUIDE, re.MULTILINE)
    assert found is not None

    assert set(KeyringUri.parse(found[0]).parameters) <= set(BUILT_IN["aws-kms"].single)
