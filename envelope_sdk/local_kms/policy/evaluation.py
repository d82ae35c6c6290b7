"""Whether a request is allowed ("Policy evaluation logic", "Authentication and access control for AWS KMS").

- A statement that denies decides, whatever policy it is in.
- To a key the key policy or a grant has to let the caller in. Meaning only its account, they leave it to the caller's
  identity policies; meaning the caller itself, they are enough, within the account of the key. Meaning the role behind
  a session, they are, as far as permissions boundary and session policies allow the same.
- To a key of another account the caller's identity policies have to allow it too, as far as the permissions boundary
  and the session policies do.
- Where there is no key (CreateKey, ListKeys, an alias), the identity policies decide alone.
- The root user of an account has no identity policies, and needs none; session policies limit it as others. An AWS
  service has none either: the key policy or a grant names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.policy.callers import Caller, CallerKind
from envelope_sdk.local_kms.policy.documents import Policy, PolicyKind
from envelope_sdk.local_kms.policy.grants import Grant
from envelope_sdk.local_kms.policy.names import ArnPattern, arn_parts
from envelope_sdk.local_kms.policy.patterns import tokens_of
from envelope_sdk.local_kms.policy.principals import Meant, meant
from envelope_sdk.local_kms.policy.refusals import access_denied, out_of_reach_text
from envelope_sdk.local_kms.policy.requests import Request
from envelope_sdk.local_kms.policy.statements import Statement

__all__ = ["Decision", "Policies", "evaluate", "grant_applies", "not_let_in"]

_WITHOUT_CONTEXT = frozenset({"kms:describekey", "kms:retiregrant", "kms:creategrant"})


@dataclass(frozen=True, slots=True)
class Policies:
    """Everything that may decide on a request.

    Attributes:
        key: the key's policy; ``None`` where the request is for no key.
        identity: those attached to the caller: to the user and its groups, or to the role.
        boundary: the permissions boundary of the user or role.
        session: those given when the caller's session was begun.
        grants: those of the key that are in force for the caller.
    """

    key: Policy | None = None
    identity: Sequence[Policy] = ()
    boundary: Policy | None = None
    session: Sequence[Policy] = ()
    grants: Sequence[Grant] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What came out.

    Attributes:
        allowed: whether the request is.
        request: what was asked.
        policies: what decided.
        denied_by: of a denied request, the kind of policy that denies it or fails to allow it.
        statement: the statement that denies it explicitly.
        grant: the grant that allows it, where the key policy does not.
    """

    allowed: bool
    request: Request = field(repr=False)
    policies: Policies = field(repr=False)
    denied_by: PolicyKind | None = None
    statement: Statement | None = None
    grant: Grant | None = None

    @property
    def message(self) -> str:
        """AWS's words for a denied request; empty for one that is allowed."""
        if self.denied_by is None:
            return ""
        request, kind = self.request, self.denied_by.value
        if self._is_hidden:
            return out_of_reach_text(request.caller.arn, request.action.removeprefix("kms:"))
        text = (
            f"User: {request.caller.arn} is not authorized to perform: {request.action} on resource: {request.resource}"
        )
        if self.statement is None:
            return f"{text} because no {kind} allows the {request.action} action"
        article = "an" if self.denied_by is PolicyKind.IDENTITY else "a"
        return f"{text} with an explicit deny in {article} {kind}"

    @property
    def _is_hidden(self) -> bool:
        """Whether the key is one of another account that does not let the caller in, whatever denied the request."""
        request, policies = self.request, self.policies
        if request.caller.account in ("", request.owner):
            return False
        if self.denied_by is PolicyKind.KEY or policies.key is None:
            return self.denied_by is PolicyKind.KEY
        denied = any(each.applies(request) for each in policies.key.denials)
        return denied or _let_in(request, policies)[0] is Meant.NOT

    def error(self) -> KmsServiceError:
        """Return the ``AccessDeniedException`` of a denied request, to be raised."""
        return access_denied(self.message)


def evaluate(request: Request, policies: Policies) -> Decision:
    """Decide on ``request``. Nothing of it is remembered."""
    for policy in _all(policies):
        for statement in policy.denials:
            if statement.applies(request):
                return Decision(False, request, policies, policy.kind, statement)
    let_in, grant = _let_in(request, policies)
    if let_in is Meant.NOT and policies.key is not None:
        return Decision(False, request, policies, PolicyKind.KEY)
    denied_by = _limit(request, policies, let_in)
    return Decision(denied_by is None, request, policies, denied_by, grant=grant if denied_by is None else None)


def not_let_in(caller: Caller, action: str, resource: str) -> KmsServiceError:
    """Return the error for a caller whom no key policy could let in.

    Args:
        caller: who asks.
        action: without ``kms:``.
        resource: the key's ARN.
    """
    request = Request(f"kms:{action}", resource, caller)
    return Decision(False, request, Policies(), PolicyKind.KEY).error()


def grant_applies(grant: Grant, request: Request) -> Meant:
    """Return whether a grant is about the request, and how closely it means the caller."""
    action = request.lower_action
    if action not in grant.lower_actions:
        return Meant.NOT
    found = meant(grant.grantee, request.caller)
    if not found:
        return Meant.NOT
    if action not in _WITHOUT_CONTEXT and not grant.admits(request.encryption_context or {}):
        return Meant.NOT
    if action == "kms:creategrant" and (request.new_grant is None or not grant.covers(request.new_grant)):
        return Meant.NOT
    if grant.source_arn is not None and action != "kms:retiregrant":
        pattern = ArnPattern(tokens_of(grant.source_arn, wildcards=False, variables=False))
        if not any(pattern.matches(arn_parts(value), request.values) for value in request.values("aws:sourcearn")):
            return Meant.NOT
    return found


def _all(policies: Policies) -> list[Policy]:
    found = [*policies.identity, *policies.session]
    if policies.boundary is not None:
        found.append(policies.boundary)
    if policies.key is not None:
        found.append(policies.key)
    return found


def _let_in(request: Request, policies: Policies) -> tuple[Meant, Grant | None]:
    """Return how closely the key policy or a grant lets the caller in; the grant only where the policy does less."""
    best = Meant.NOT
    if policies.key is not None:
        for statement in policies.key.allowances:
            if statement.principals is not None:
                best = max(best, statement.applies(request))
    chosen: Grant | None = None
    for grant in policies.grants:
        found = grant_applies(grant, request)
        if found > best:
            best, chosen = found, grant
    return best, chosen


def _limit(request: Request, policies: Policies, let_in: Meant) -> PolicyKind | None:
    """Return the first kind of the caller's own policies that is needed and does not allow the request."""
    caller = request.caller
    if caller.kind is CallerKind.SERVICE:
        return None if let_in else PolicyKind.IDENTITY
    at_home = caller.account == request.owner
    root = caller.kind is CallerKind.ROOT
    if let_in is Meant.DIRECTLY and at_home and not root:
        return None
    enough = root or (let_in is Meant.ROLE and at_home)
    if not enough and not _any_allows(policies.identity, request):
        return PolicyKind.IDENTITY
    if policies.boundary is not None and not _any_allows((policies.boundary,), request):
        return PolicyKind.BOUNDARY
    # A federated user without a session policy has only what key policies and grants give it by name.
    limited = policies.session or caller.kind is CallerKind.FEDERATED_USER
    if limited and not _any_allows(policies.session, request):
        return PolicyKind.SESSION
    return None


def _any_allows(policies: Sequence[Policy], request: Request) -> bool:
    return any(statement.applies(request) for policy in policies for statement in policy.allowances)
