"""What is said where several items fail."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_every_failure_is_told_and_what_to_do_about_them_once(envelope: Any, jobs: str) -> None:
    key = envelope.key()
    for name in ("a", "b", "c"):
        envelope.write(name, b"text")
        envelope.write(f"{name}.enc", b"something else")

    ran = envelope("encrypt", "-k", key, "a", "b", "c", "no", "-j", jobs)

    assert ran.code == 1
    assert sorted(ran.lines[:-1]) == [
        "envelope: a: a.enc: file exists",
        "envelope: b: b.enc: file exists",
        "envelope: c: c.enc: file exists",
        "envelope: no: no such file or directory",
        "hint: --force replaces existing files",
    ]
    assert ran.lines[-1] == "encrypted 0 of 4 files, 4 failed"


def test_messages_that_cannot_be_inspected_are_told_likewise(envelope: Any) -> None:
    for name in ("a", "b"):
        envelope.write(name, b"no message")

    ran = envelope("inspect", "a", "b")

    assert [line.split(":")[0] for line in ran.lines] == ["envelope", "hint", "envelope"]
    assert ran.code == 1
