"""The examples of docs/bulk.md do what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from testkit.guides import example

from envelope_sdk import bulk


@pytest.mark.slow
def test_a_folder_is_encrypted_and_gone_on_with(tmp_path: Path, key: str) -> None:
    Path(key).rename(tmp_path / "backup.key")
    (tmp_path / "documents" / "deep").mkdir(parents=True)
    (tmp_path / "documents" / "a").write_bytes(b"a")
    (tmp_path / "documents" / "deep" / "b").write_bytes(b"b")
    (tmp_path / "example.py").write_text(example("bulk.md", "files"))

    said = [
        subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert said == ["2 done, 0 before, 0 failed\n", "0 done, 2 before, 0 failed\n"]
    client = bulk.ClientRecipe([str(tmp_path / "backup.key")]).open().client
    assert client.decrypt((tmp_path / "sealed" / "deep" / "b.enc").read_bytes()).plaintext == b"b"


def test_a_share_is_done_where_it_runs(files: Any, key: str, opens: Any) -> None:
    names: dict[str, Any] = {}
    exec(example("bulk.md", "share"), names)
    items = files(["a", "b"])

    missing = bulk.Item(f"{items[0].source}-missing", f"{items[0].target}-missing")
    failed = names["share"]([*items, missing], key)

    assert [source for source, _ in failed] == [missing.source]
    assert opens(["a", "b"])
