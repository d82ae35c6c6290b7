"""Asking all questions, and the page that lists where moto answers otherwise than AWS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from testkit.kms_conformance import access_and_life, cryptography, keys, names_and_states
from testkit.kms_conformance.lab import Case, Clients, Lab

CASES: Sequence[Case] = (
    *names_and_states.cases(),
    *cryptography.cases(),
    *keys.cases(),
    *access_and_life.cases(),
)
"""Every question."""

_HEAD = """# The local KMS beside moto's

`tests/conformance` asks {count} small questions, through boto3's methods, of the local KMS and of moto {version}. What
AWS answers is known from its API reference and developer guide, from recorded answers, and from published blobs: where
the two differ, that says who is right. Where an error's name is compared, `ok` means that there was none; "crash" means
that no answer of a service came.

This page is generated, with `tests` on the path: `python tests/conformance/test_kms_conformance.py > <this page>`.

## Where the local KMS answers otherwise than AWS

{ours}

## Where moto answers otherwise than AWS

To {others} of the questions. The local KMS answers each of these as AWS does.

| operation | question | AWS | moto | known from |
| --- | --- | --- | --- | --- |
{theirs}
"""
_ABSENT = "crash (NotImplementedError)"


def ask(case: Case, lab: Lab) -> str:
    """Return the answer to a question; that it could not even be put is one, too."""
    try:
        return case.ask(lab)
    except Exception as error:  # noqa: BLE001 - whatever an emulator fails with
        response = getattr(error, "response", None)
        code = response["Error"]["Code"] if isinstance(response, dict) else type(error).__name__
        return f"not to be asked ({code})"


def answers(clients: Clients, cases: Iterable[Case] = CASES) -> Mapping[str, str]:
    """Return the answer to every question, by its id."""
    lab = Lab(clients)
    return {case.id: ask(case, lab) for case in cases}


def page(theirs: Mapping[str, str], version: str) -> str:
    """Return the page.

    Args:
        theirs: moto's answers.
        version: of moto.
    """
    others = [case for case in CASES if theirs[case.id] != case.expected]
    absent = {case.operation for case in others if theirs[case.id] == _ABSENT}
    rows = [_row(name, "any", "an answer", "has no such operation", "API reference") for name in absent]
    for case in others:
        if case.operation not in absent:
            rows.append(_row(case.operation, case.name, case.expected, theirs[case.id], case.source))
    head = {"count": len(CASES), "version": version, "others": len(others)}
    return _HEAD.format(**head, ours=_own(theirs), theirs="\n".join(sorted(rows)))


def _own(theirs: Mapping[str, str]) -> str:
    own = [case for case in CASES if case.ours]
    if not own:
        return "To none of these questions, as far as is known."
    head = [_row("operation", "question", "AWS", "the local KMS", "moto", "known from"), _row(*["---"] * 6)]
    rows = [_row(case.operation, case.name, case.expected, case.ours, theirs[case.id], case.source) for case in own]
    return "\n".join(head + rows)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') or 'no text' for cell in cells)} |"
