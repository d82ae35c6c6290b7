"""What docs/keyrings/pkcs11.md tells its reader to type does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from testkit.softhsm import library_path

pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")

GUIDE = Path(__file__).parents[2] / "docs" / "keyrings" / "pkcs11.md"


def marked(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- /{name} -->", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found, f"the guide has no block marked {name}"
    return found[1].replace("/usr/lib/softhsm/libsofthsm2.so", library_path())


def test_a_token_a_key_and_a_file_are_made_as_the_guide_says(tmp_path: Path) -> None:
    environment = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf")}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("sh", "-euc", marked("token"))
    run(sys.executable, "-c", marked("key"))

    assert run(sys.executable, "-c", marked("file")) == "id,amount\n1,250\n\n"
    assert b"amount" not in (tmp_path / "orders.csv.enc").read_bytes()
    assert run(sys.executable, "-c", marked("rsa")) == "b'attack at dawn'\n"
    assert (tmp_path / "pin").stat().st_mode & 0o077 == 0
