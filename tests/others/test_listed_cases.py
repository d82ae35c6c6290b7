"""The list of cases that contradict AWS is held to, in both directions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent

_CASES = """
import pytest

def test_right():
    assert 2 + 2 == 4

@pytest.mark.parametrize("number", [5, 6])
def test_wrong(number):
    assert 2 + 2 == number
"""
_POLICY_CASE = """
import boto3

def test_policy():
    client = boto3.client("kms", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    sent = {}
    client.meta.events.register("before-parameter-build.kms", lambda params, **_: sent.update(params))
    client.meta.events.register("before-call.kms", lambda **_: (type("R", (), {"status_code": 200})(), {}))
    client.create_key(Policy="none", Description="d")
    assert sent == {"Description": "d"}
"""


def entry(case: str, *lines: str) -> str:
    """Return an entry of a list."""
    return "\n".join(["[[entry]]", 'suite = "theirs"', f'cases = ["test_theirs.py::{case}"]', *lines, ""])


def failing(case: str) -> str:
    """Return an entry for a case that is expected to fail because four is not five."""
    return entry(case, 'fails_with = "== 5"', 'because = "AWS can add"')


def left_out(case: str) -> str:
    """Return an entry for a case that is not to be run."""
    return entry(case, 'left_out = "is about something else"')


def without_policy(case: str) -> str:
    """Return an entry for a case that is to be run without its key's policy."""
    return entry(case, 'without_policy = "is none"')


def run(folder: Path, *entries: str, cases: str = _CASES) -> tuple[int, str]:
    """Run cases under a list, and return pytest's status and what it says."""
    shutil.copy(HERE / "listed_cases.py", folder)
    (folder / "contradictions.toml").write_text("".join(entries) or "entry = []")
    (folder / "test_theirs.py").write_text(cases)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "-rA"]
    done = subprocess.run(
        [*command, "-p", "listed_cases", "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OTHERS_SUITE": "theirs", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_what_is_left_out_is_not_run_and_what_is_expected_to_fail_may_fail(tmp_path: Path) -> None:
    status, said = run(tmp_path, left_out("test_wrong[6]"), failing("test_wrong[5]"))

    assert status == 0, said
    assert "1 passed, 1 deselected, 1 xfailed" in said
    assert "AWS can add" in said


def test_a_file_that_is_left_out_is_not_even_imported(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import no_such_module")
    file = '[[entry]]\nsuite = "theirs"\ncases = ["test_broken.py"]\nleft_out = "is broken"\n'
    status, said = run(tmp_path, left_out("test_wrong"), file)

    assert status == 0, said


@pytest.mark.parametrize(
    ("entries", "culprit"),
    [
        ([failing("test_wrong[5]")], "test_wrong[6]"),
        ([failing("test_wrong")], "test_wrong[6]"),
        ([left_out("test_wrong"), failing("test_right")], "test_right"),
        ([left_out("test_wrong"), without_policy("test_right")], "test_right"),
    ],
    ids=["unlisted", "fails otherwise", "passes", "gives no policy"],
)
def test_a_case_that_does_otherwise_than_listed_fails_the_run(tmp_path: Path, entries: list[str], culprit: str) -> None:
    status, said = run(tmp_path, *entries)

    assert status == 1, said
    assert f"FAILED test_theirs.py::{culprit}" in said


def test_the_policy_of_a_key_is_left_out_where_the_list_says_so_and_nowhere_else(tmp_path: Path) -> None:
    assert run(tmp_path, without_policy("test_policy"), cases=_POLICY_CASE)[0] == 0
    assert run(tmp_path, cases=_POLICY_CASE)[0] == 1


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([left_out("test_gone")], "does not have: test_theirs.py::test_gone"),
        ([left_out("test_wrong"), left_out("test_wrong")], "test_theirs.py::test_wrong twice"),
    ],
    ids=["no such case", "twice"],
)
def test_a_list_that_cannot_be_meant_stops_the_run(tmp_path: Path, entries: list[str], complaint: str) -> None:
    status, said = run(tmp_path, *entries)

    assert status not in (0, 1)
    assert complaint in said
