"""A pytest plugin: what is known of the cases of a suite, from ``contradictions.toml``.

A case that is listed with ``fails_with`` is expected to fail, with words that this regular expression finds. Failing
otherwise, or passing, is a failure of the run, and so is a listed case that the suite does not have. And of course a
case that is not listed has to pass.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

Entry = Mapping[str, Any]

LIST = Path(__file__).resolve().parent / "contradictions.toml"


class ListedCases:
    """The entries of one suite, by case."""

    def __init__(self, suite: str, text: str) -> None:
        """Read the list: TOML."""
        entries = [entry for entry in tomllib.loads(text)["entry"] if entry["suite"] == suite]
        self.failing = _by_case(entries, "fails_with")
        self.left_out = _by_case(entries, "left_out")
        self.without_policy = _by_case(entries, "without_policy")
        self.files_left_out = [case for case in self.left_out if "::" not in case]
        self._default_policy = DefaultPolicy() if self.without_policy else None

    def unknown(self, found: set[str]) -> list[str]:
        """Return the listed cases, of the files found, that are not among the cases found."""
        names = {name for case in found for name in _names(case)}
        listed = {*self.failing, *self.left_out, *self.without_policy}
        return sorted(case for case in listed - names if case.partition("::")[0] in names)

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Do not even import a file that is left out."""
        return True if collection_path.name in self.files_left_out else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what the list leaves out."""
        if not any("::" in argument for argument in config.args):
            unknown = self.unknown({_case(item) for item in items})
            if unknown:
                raise pytest.UsageError(f"{LIST.name} has cases that the suite does not have: {', '.join(unknown)}")
        out = [item for item in items if _entry(self.left_out, item) is not None]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Run a case that gives keys a policy which is none, without it."""
        if self._default_policy is None or _entry(self.without_policy, item) is None:
            return (yield)
        self._default_policy.begin()
        try:
            return (yield)
        finally:
            self._default_policy.end()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn the failure that is expected into an expected failure, and everything else into a failure."""
        report = yield
        entry = _entry(self.failing, item)
        if entry is None or call.when != "call":
            return report
        if report.passed:
            report.outcome = "failed"
            report.longrepr = f"{LIST.name} has it fail with {entry['fails_with']!r}, but it passes"
        elif report.failed and call.excinfo is not None:
            if re.search(entry["fails_with"], f"{call.excinfo.typename}: {call.excinfo.value}") is None:
                report.sections.append((LIST.name, f"it was to fail with {entry['fails_with']!r}"))
            else:
                report.outcome = "skipped"
                report.wasxfail = entry["because"]
        return report


class DefaultPolicy:
    """Leaves policies that are no policy documents out of requests for keys; for botocore."""

    def __init__(self) -> None:
        """Have every client that is made from now on ask."""
        import botocore.handlers

        self._active = False
        self._left_out = 0
        botocore.handlers.BUILTIN_HANDLERS.append(("provide-client-params.kms.CreateKey", self))

    def __call__(self, params: dict[str, Any], **_: object) -> dict[str, Any]:
        """Return the parameters to go on with."""
        if not self._active or _is_document(params.get("Policy")):
            return params
        self._left_out += 1
        return {name: value for name, value in params.items() if name != "Policy"}

    def begin(self) -> None:
        """Do so."""
        self._active, self._left_out = True, 0

    def end(self) -> None:
        """Do so no longer; fail if there was no need."""
        self._active = False
        if not self._left_out:
            raise AssertionError(f"{LIST.name} says that the case gives a key a policy that is none; it does not")


def pytest_configure(config: pytest.Config) -> None:
    """Take part."""
    config.pluginmanager.register(ListedCases(os.environ["OTHERS_SUITE"], LIST.read_text("utf-8")))


def _is_document(policy: str | None) -> bool:
    if policy is None:
        return True
    try:
        return isinstance(json.loads(policy), dict)
    except ValueError:
        return False


def _by_case(entries: list[Entry], kind: str) -> dict[str, Entry]:
    cases: dict[str, Entry] = {}
    for entry in entries:
        for case in entry["cases"] if kind in entry else ():
            if case in cases:
                raise pytest.UsageError(f"{LIST.name} has {case} twice as {kind}")
            cases[case] = entry
    return cases


def _case(item: pytest.Item) -> str:
    path, colons, rest = item.nodeid.partition("::")
    return f"{path.rpartition('/')[2]}{colons}{rest}"


def _names(case: str) -> list[str]:
    """Return what a list can call a case: itself, without its parameters, its class, its file."""
    bare = case.partition("[")[0]
    names = [case, bare]
    while "::" in bare:
        bare = bare.rpartition("::")[0]
        names.append(bare)
    return names


def _entry(cases: dict[str, Entry], item: pytest.Item) -> Entry | None:
    return next((cases[name] for name in _names(_case(item)) if name in cases), None)
