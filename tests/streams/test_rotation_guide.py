"""What docs/rotation.md shows its reader does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from envelope_sdk import bulk
from envelope_sdk.cli.commands.rotate import command
from envelope_sdk.keyrings.key_files import encode_aes_key_file

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


@pytest.mark.slow
def test_a_folder_is_rotated_and_then_as_wanted(tmp_path: Path) -> None:
    clients = {}
    for name in ("old", "new"):
        path = tmp_path / f"{name}.key"
        path.write_bytes(encode_aes_key_file("test", name, bytes(32)))
        path.chmod(0o600)
        clients[name] = bulk.ClientRecipe([str(path)]).open().client
    (tmp_path / "records" / "deep").mkdir(parents=True)
    for name in ("a.enc", "deep/b.enc"):
        (tmp_path / "records" / name).write_bytes(clients["old"].encrypt(b"hello").ciphertext)
    (tmp_path / "example.py").write_text(marked("many"))

    said = [
        subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert said == ["2 rotated, 0 as wanted already, 0 failed\n", "0 rotated, 2 as wanted already, 0 failed\n"]
    assert clients["new"].decrypt((tmp_path / "records" / "deep" / "b.enc").read_bytes()).plaintext == b"hello"
