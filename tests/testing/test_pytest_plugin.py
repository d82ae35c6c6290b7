"""The fixtures for other test suites, used by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SUITE = """
import os

import boto3
import pytest

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def test_keys_of_the_seed_are_there(local_kms):
    assert local_kms.describe_key(KeyId="alias/app")["KeyMetadata"]["KeyId"] == KEY


def test_what_one_test_makes(local_kms):
    local_kms.create_alias(AliasName="alias/mine", TargetKeyId=KEY)


def test_the_next_does_not_see(local_kms):
    assert "alias/mine" not in [alias["AliasName"] for alias in local_kms.list_aliases()["Aliases"]]


def test_clients_find_the_server_by_themselves(local_kms_server):
    pytest.importorskip("uvicorn")
    kms = boto3.client("kms")
    blob = kms.encrypt(KeyId="alias/app", Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert boto3.client("sts").get_caller_identity()["Account"] == "000000000000"


def test_afterwards_they_do_not():
    assert "AWS_ENDPOINT_URL_KMS" not in os.environ
"""

_CONFTEST = """
import pathlib

import pytest

pytest_plugins = ["envelope_sdk.testing.pytest_plugin"]


@pytest.fixture
def local_kms_seed():
    return pathlib.Path(__file__).with_name("kms.toml")
"""

_SEED = """
[[keys]]
id = "1234abcd-12ab-34cd-56ef-1234567890ab"
aliases = ["alias/app"]
"""


@pytest.mark.parametrize("seeded", [True, False])
def test_a_suite_uses_them(tmp_path: Path, seeded: bool) -> None:
    pytest.importorskip("uvicorn", reason="the server needs the extra 'server'")
    (tmp_path / "test_suite.py").write_text(
        _SUITE if seeded else "def test_empty(local_kms):\n    local_kms.list_keys()\n"
    )
    (tmp_path / "kms.toml").write_text(_SEED)
    (tmp_path / "conftest.py").write_text(_CONFTEST if seeded else _CONFTEST.split("@pytest")[0])
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{5 if seeded else 1} passed" in ran.stdout
