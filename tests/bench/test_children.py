"""Programs beside this one: what is said to them and by them, and that none is left behind."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from envelope_sdk.bench.children import Child, environment

pytestmark = pytest.mark.slow

ECHO = "testkit.echoing"


def gone(pid: int) -> bool:
    """Whether a process is no more, or no more than a name that its parent has yet to read."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_line_is_answered_by_a_line() -> None:
    with Child(ECHO) as child:
        assert child.ask('{"a": 1}') == {"a": 1}
        assert child.ask('{"b": "\\u00fc"}') == {"b": "ü"}
    assert gone(child.pid)


def test_it_finds_what_its_parent_finds_and_no_account() -> None:
    with Child(ECHO) as child:
        found = child.ask('"path"')

    assert [os.path.abspath(each) for each in sys.path] == found["path"]  # noqa: PTH100 - links stay links
    assert {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"} == set(found["aws"])


def test_what_fails_says_why() -> None:
    with Child(ECHO) as child, pytest.raises(ChildProcessError, match=r"^no such key$"):
        child.ask(json.dumps({"error": "no such key"}))


def test_what_ends_is_told_of() -> None:
    with Child(ECHO) as child:
        with pytest.raises(ChildProcessError, match="a process ended with 7"):
            child.ask('"die"')
        with pytest.raises(ChildProcessError, match="a process ended with 7"):
            child.ask('"again"')


def test_a_module_that_there_is_not_ends_at_once() -> None:
    with Child("testkit.nothing_here") as child, pytest.raises(ChildProcessError, match="a process ended with 1"):
        child.hear()


def test_one_that_hears_nothing_more_is_killed() -> None:
    with Child(ECHO, stop_seconds=0.01) as child:
        child.ask('{"there": true}')
        os.kill(child.pid, signal.SIGSTOP)
    assert gone(child.pid)


def test_variables_that_would_change_what_is_measured_are_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_KMS", "HTTPS_PROXY", "http_proxy", "AWS_RETRY_MODE"):
        monkeypatch.setenv(name, "x")

    kept = environment()

    assert "x" not in kept.values()
    assert kept["PATH"] == os.environ["PATH"]
