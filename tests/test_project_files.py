"""The files around the code agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FLOOR = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?>=(?P<version>[0-9.]+)")


def git_files() -> list[Path]:
    """Return the tracked files, and those that would be with the next ``git add``."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if name]


def marked_block(text: str, mark: str) -> list[str]:
    """Return the lines of the fenced block between ``<!-- mark -->`` and ``<!-- /mark -->``."""
    found = re.findall(rf"^<!-- {mark} -->\n```\w*\n(.*?)\n```\n<!-- /{mark} -->$", text, re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"README.md marks {len(found)} blocks as {mark}"
    return str(found[0]).splitlines()


# --- README and .ci/run ----------------------------------------------------------------------------------------------


def test_ci_runs_the_command_of_the_readme() -> None:
    """What a newcomer is told to type is what is run for every change: one line, word for word."""
    command = marked_block((ROOT / "README.md").read_text("utf-8"), "test-command")
    printed = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run"), "--print"], capture_output=True, text=True, check=True
    ).stdout

    assert len(command) == 1
    assert command == printed.splitlines()
    assert command[0].endswith("tox")


def test_the_quick_start_is_marked() -> None:
    """So that it can be run by a test."""
    assert marked_block((ROOT / "README.md").read_text("utf-8"), "quick-start")


# --- versions --------------------------------------------------------------------------------------------------------


def declared_floors() -> set[str]:
    """Return the floors of all dependencies, those of extras too, as constraints."""
    project = PYPROJECT["project"]
    extras = project.get("optional-dependencies", {})
    declared = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    own = [line for line in declared if line.startswith(project["name"])]
    floors = {line: FLOOR.fullmatch(line.partition(";")[0].strip()) for line in declared if line not in own}
    unclear = [line for line, floor in floors.items() if floor is None]
    assert not unclear, f"{unclear}: a dependency has a floor and no cap"
    return {f"{floor['name']}=={floor['version']}" for floor in floors.values() if floor}


def constraints() -> list[str]:
    """Return the lines of constraints-min.txt that constrain."""
    lines = (ROOT / "constraints-min.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_oldest_versions_tested_are_the_floors() -> None:
    """constraints-min.txt pins what pyproject.toml declares as the oldest, no more and no less."""
    assert sorted(declared_floors()) == constraints()


def test_the_oldest_versions_are_installed() -> None:
    """In the tox environment ``min``, and only there, the floors are what is installed."""
    if os.environ.get("TOX_ENV_NAME") != "min":
        pytest.skip("only in the tox environment min")
    for line in constraints():
        name, _, floor = line.partition("==")
        if name in {re.split(r"[\[><=]", wanted)[0] for wanted in PYPROJECT["project"]["dependencies"]}:
            assert f"{version(name)}.".startswith(f"{floor}."), f"{name} {version(name)} is not {floor}"


def test_python_versions_agree() -> None:
    """Classifiers, tox and the floor name the same Pythons."""
    project = PYPROJECT["project"]
    prefix = "Programming Language :: Python :: 3."
    minors = [line.removeprefix(prefix) for line in project["classifiers"] if line.startswith(prefix)]
    tox = (ROOT / "tox.ini").read_text("utf-8")

    run = re.findall(r"^    py3(\d+)$|^base_python = python3\.(\d+)", tox, re.MULTILINE)
    assert minors == sorted({minor for found in run for minor in found if minor})
    assert project["requires-python"] == f">=3.{minors[0]}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py3{minors[0]}"


def test_the_changelog_knows_this_version() -> None:
    """There is a place for what comes next, and the current version is released or named as next."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert headings[0].startswith("[Unreleased]")
    assert any(PYPROJECT["project"]["version"] in heading for heading in headings)


# --- nothing of anybody's machine ------------------------------------------------------------------------------------

# Put together here so that this file does not hold them itself.
ELSEWHERE = re.compile("|".join([r"\.\./" + "shared", r"(?<![\w.-])/" + "work/", r"(?<![\w.-])/" + "root/"]))


def strays(text: str) -> list[str]:
    """Return the mentions of places that exist on one machine only."""
    return [found.group() for found in ELSEWHERE.finditer(text)]


def test_no_file_refers_to_one_machine() -> None:
    """A checkout stands alone."""
    found = {}
    for path in git_files():
        if path.is_file() and not path.is_symlink():
            mentions = strays(path.read_bytes().decode("utf-8", "replace"))
            if mentions:
                found[path.relative_to(ROOT).as_posix()] = mentions

    assert found == {}


def test_a_stray_is_found() -> None:
    """As a path of its own, not as part of a longer one."""
    assert len(strays(" ".join(["see ../" + "shared/x", "'/" + "work/y'", "/" + "root/.ssh"]))) == 3
    assert strays("s3://bucket/" + "root/key and home/" + "work/") == []
