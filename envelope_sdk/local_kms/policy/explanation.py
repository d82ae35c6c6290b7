"""Why a request was allowed or denied: every statement and grant that was looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envelope_sdk.local_kms.policy.documents import Policy, PolicyKind
from envelope_sdk.local_kms.policy.evaluation import Decision, grant_applies
from envelope_sdk.local_kms.policy.grants import Grant
from envelope_sdk.local_kms.policy.principals import Meant
from envelope_sdk.local_kms.policy.requests import Request
from envelope_sdk.local_kms.policy.statements import Effect, Statement

__all__ = ["Explanation", "Step", "explain"]

_MEANING = {
    Meant.ACCOUNT: "names the caller's account, which leaves it to identity policies",
    Meant.ROLE: "names the role of the caller's session",
    Meant.DIRECTLY: "names the caller",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One statement or grant.

    Attributes:
        source: the kind of policy, with its name where it has one, or ``grant``.
        label: the ``Sid``, else the statement's number; of a grant its id.
        effect: ``Allow`` or ``Deny``.
        applies: whether it is about the request.
        reason: why, or why not.
    """

    source: str
    label: str
    effect: str
    applies: bool
    reason: str

    def __str__(self) -> str:
        verdict = "applies" if self.applies else "does not apply"
        return f"{self.source}, {self.label}: {self.effect} {verdict}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way to a decision.

    Attributes:
        steps: in the order of the policies: the key's, grants, the caller's own.
        conclusion: what follows from them.
    """

    steps: tuple[Step, ...]
    conclusion: str

    def __str__(self) -> str:
        return "\n".join([*map(str, self.steps), self.conclusion])


def explain(decision: Decision) -> Explanation:
    """Return how ``decision`` came about. It is worked out anew, so that deciding itself stays quick."""
    return Explanation(tuple(_steps(decision)), _conclusion(decision))


def _steps(decision: Decision) -> Iterator[Step]:
    request, policies = decision.request, decision.policies
    if policies.key is not None:
        yield from _of_policy(policies.key, request)
    for grant in policies.grants:
        yield _of_grant(grant, request)
    for policy in policies.identity:
        yield from _of_policy(policy, request)
    if policies.boundary is not None:
        yield from _of_policy(policies.boundary, request)
    for policy in policies.session:
        yield from _of_policy(policy, request)


def _of_policy(policy: Policy, request: Request) -> Iterator[Step]:
    source = f"{policy.kind.value} {policy.name}".rstrip()
    for statement in policy.statements:
        label = f"statement {statement.sid or statement.number}"
        applies, reason = _of_statement(statement, request)
        yield Step(source, label, statement.effect.value, applies, reason)


def _of_statement(statement: Statement, request: Request) -> tuple[bool, str]:
    meant = Meant.DIRECTLY
    if statement.principals is not None:
        meant = statement.principals.mean(request.caller)
        if not meant:
            return False, f"the principal is not {request.caller.arn}"
    if not statement.actions.include(request):
        return False, f"the action is not {request.action}"
    if not statement.resources.include(request):
        return False, f"the resource is not {request.resource}"
    for condition in statement.conditions:
        if not condition.holds(request.values):
            found = request.values(condition.key.lower())
            has = f"the request has {_listed(found)}" if found else "the request has none"
            return False, f"{condition.operator} {condition.key} wants {_listed(condition.values)}; {has}"
    if statement.principals is None:
        return True, "action, resource and conditions are the request's"
    if statement.effect is Effect.DENY:
        return True, "it is for the caller"
    return True, _MEANING[meant]


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(repr(value) for value in values) or "nothing"


def _of_grant(grant: Grant, request: Request) -> Step:
    found = grant_applies(grant, request)
    reason = _MEANING[found] if found else "the grantee, the operations or the constraints are not the request's"
    return Step("grant", grant.grant_id, "Allow", bool(found), reason)


def _conclusion(decision: Decision) -> str:
    kind = decision.denied_by
    if kind is None:
        return "allowed" if decision.grant is None else f"allowed by grant {decision.grant.grant_id}"
    if decision.statement is not None:
        label = decision.statement.sid or decision.statement.number
        return f"denied: statement {label} of a {kind.value} denies it"
    needed = "neither the key policy nor a grant" if kind is PolicyKind.KEY else f"no {kind.value}"
    return f"denied: {needed} allows it"
