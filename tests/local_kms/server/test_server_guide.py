"""What the page on the server says, against the server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from envelope_sdk.cli.commands.serve import serve
from envelope_sdk.local_kms.access_keys import read_access_keys
from envelope_sdk.local_kms.server.background import BackgroundServer
from envelope_sdk.local_kms.server.metrics import Metrics

_WHO_AND_WHERE = """
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
print(boto3.client("kms").create_key()["KeyMetadata"]["Arn"].rpartition("/")[0])
"""
_PAGE = (Path(__file__).parents[3] / "docs" / "local-kms-server.md").read_text("utf-8")


def _section(name: str) -> str:
    return _PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def test_the_table_has_every_option_with_its_default() -> None:
    rows = re.findall(r"^\| `(--[\w-]+)([^`]*)` \| (.*?) \|", _section("options").replace(r"\|", "/"), re.MULTILINE)
    shown = {name: (values.strip(), default.strip().strip("`")) for name, values, default in rows}
    options = {option.opts[0]: option for option in serve.params if isinstance(option, click.Option)}

    assert list(shown) == list(options)
    for name, option in options.items():
        values, default = shown[name]
        if isinstance(option.type, click.Choice):
            assert values == "/".join(option.type.choices)
        if option.is_flag:
            assert default == "off"
        elif option.default is not None and not option.multiple and option.show_default:
            assert default == str(option.default)


def test_boto3_needs_the_environment_and_nothing_else(tmp_path: Path) -> None:
    (exports,) = re.findall(r"```sh\n(.*?)```", _section("environment"), re.DOTALL)
    with BackgroundServer() as server:
        script = f'{exports.replace("http://127.0.0.1:8900", server.url)}\nexec "$0" -c "$1"'
        ended = subprocess.run(
            ["/bin/sh", "-eu", "-c", script, sys.executable, _WHO_AND_WHERE],
            env={"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ended.stdout.split() == ["arn:aws:iam::000000000000:root", "arn:aws:kms:us-east-1:000000000000:key"], ended


@pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not installed")
def test_terraform_reads_its_configuration(tmp_path: Path) -> None:
    (written,) = re.findall(r"```hcl\n(.*?)```", _section("terraform"), re.DOTALL)
    (tmp_path / "main.tf").write_text(written)

    ended = subprocess.run(
        ["terraform", "fmt", "-check", "-no-color", "main.tf"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_file_of_access_keys_is_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(0o600)
    path.write_text(_section("access-keys").strip().removeprefix("```toml").removesuffix("```"))

    keys = read_access_keys(path)

    alice, reader = keys.find("AKIDEXAMPLEEXAMPLE"), keys.find("ASIDEXAMPLEEXAMPLE")
    assert alice is not None
    assert alice.caller.arn == "arn:aws:iam::111122223333:user/alice"
    assert reader is not None
    assert reader.expires is not None


def test_the_figures_have_these_names() -> None:
    metrics = Metrics()
    metrics.begun()
    metrics.ended("Encrypt", "ok", 0.001)
    shown = metrics.show().decode()
    for name in re.findall(r"`(envelope_kms_\w+)`", _PAGE):
        assert f"# TYPE {name} " in shown
