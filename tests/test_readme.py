"""What the README tells a new user to type does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest

from envelope_sdk import keyrings
from envelope_sdk.local_kms.service import OPERATIONS

ROOT = Path(__file__).parents[1]


def marked(name: str) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- /{name} -->", text, re.DOTALL)
    assert found, f"the README has no block marked {name}"
    return found[1]


def test_the_python_example_runs_and_prints_what_it_encrypted(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", marked("example")], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert run.stdout == "b'attack at dawn'\nid,amount\n1,250\n\n"


def test_the_python_example_leaves_only_ciphertext_and_keys(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", marked("example")], cwd=tmp_path, capture_output=True, check=True)

    assert {path.name for path in tmp_path.iterdir()} == {"keys.db", "keys.db.rootkey", "orders.csv.enc"}
    assert b"amount" not in (tmp_path / "orders.csv.enc").read_bytes()


def test_the_example_of_the_local_kms_runs(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", marked("local-kms")], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert run.stdout == "184\nTrue\n"


def test_the_example_of_caching_prints_what_it_says(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", marked("caching")], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert run.stdout == "{'GenerateDataKey': 999}\n"
    assert run.stdout.strip() in marked("caching")


def test_the_pages_that_the_readme_names_are_there() -> None:
    pages = re.findall(r"\]\((?!https:)([A-Za-z][^)#]*)\)", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert len(pages) > 15
    assert [page for page in pages if not (ROOT / page).exists()] == []


def test_every_operation_of_the_api_is_there() -> None:
    model = boto3.client("kms", region_name="us-east-1").meta.service_model
    said = re.search(r"All (\d+) operations of the API", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert said is not None
    assert set(model.operation_names) <= set(OPERATIONS)
    assert len(OPERATIONS) == int(said[1])


@pytest.mark.slow
def test_the_quick_start_command_encrypts_and_opens_a_file_in_a_fresh_checkout(tmp_path: Path) -> None:
    command = marked("quick-start").strip()
    assert "\n" not in command, "the quick start is one line"
    checkout = tmp_path / "checkout"
    skipped = shutil.ignore_patterns(".git", ".tox", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=skipped)
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}

    run = subprocess.run(
        ["sh", "-c", command], cwd=checkout, env={**os.environ, **home}, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr
    assert "arn:aws:kms:" in run.stdout
    assert run.stdout.endswith("README.md.enc opens to README.md again\n")


def test_the_hierarchical_example_makes_a_client_that_calls_kms_once_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with moto.mock_aws():
        key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
        code, count = re.subn('arn:aws:kms:[^"]+', key, marked("hierarchical"))
        assert count == 1
        calls: list[str] = []
        boto3.setup_default_session()
        boto3.DEFAULT_SESSION.events.register("before-call", lambda model, **_: calls.append(model.name))
        names: dict[str, Any] = {}
        exec(code, names)
        client = names["client"]
        calls.clear()

        messages = [client.encrypt(b"one of many").ciphertext for _ in range(100)]

        assert {client.decrypt(message).plaintext for message in messages} == {b"one of many"}
        assert calls == ["GetItem", "Decrypt"] * 2  # the version that encrypts, then the one the messages name


def test_every_keyring_has_a_place_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    public = [name for name in keyrings.__all__ if name.endswith(("Keyring", "_keyring"))]

    assert len(public) > 10
    assert [name for name in public if f"`{name}`" not in text] == []
