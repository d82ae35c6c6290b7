"""Who may do what, decided by key policies, grants and the policies of users and roles."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.access.condition_values import Asked, condition_values, encryption_context
from envelope_sdk.local_kms.access.grants import grants_in_force, read_token, terms_of
from envelope_sdk.local_kms.access.identity_documents import Principal, document_of, principal_of
from envelope_sdk.local_kms.call import Call, KeySource
from envelope_sdk.local_kms.model import GrantRecord, Identity, Key
from envelope_sdk.local_kms.policy import (
    Caller,
    CallerKind,
    Decision,
    Policies,
    Policy,
    PolicyKind,
    Request,
    evaluate,
)
from envelope_sdk.local_kms.policy.principals import Meant, meant

__all__ = ["PolicyAuthority", "decide", "key_policy", "principal_for"]

_SETTLED: Final = 4096
_WITH_IDENTITY: Final = frozenset({CallerKind.USER, CallerKind.ROLE_SESSION})
_ROOT_ONLY: Final = """{
  "Statement": {
    "Effect": "Allow",
    "Principal": {"AWS": "%s"},
    "Action": "kms:*",
    "Resource": "*",
    "Condition": {"StringEquals": {"aws:PrincipalType": "Account"}}
  }
}"""


class PolicyAuthority:
    """The access control of AWS KMS. Fulfils :class:`~envelope_sdk.local_kms.call.Authority`.

    The account's root user under a policy like the default one, without condition or denial, costs a look into a
    dictionary: it has no policies of its own, and grants could add nothing.
    """

    __slots__ = ("_settled",)

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._settled: dict[tuple[str, str, str], bool] = {}

    def authorize(self, call: Call, action: str, key: Key | None, resource: str) -> None:
        """Raise AccessDeniedException unless the caller may do ``action`` to ``resource``.

        Raises:
            KmsServiceError: AccessDeniedException; InvalidGrantTokenException: a grant token is none.
        """
        caller = call.requester.caller
        if (
            call.retired is None
            and key is not None
            and caller.kind is CallerKind.ROOT
            and not caller.session_policies
            and not call.parameters.get("GrantTokens")
        ):
            name = (caller.account, action, key.policy)
            settled = self._settled.get(name)
            if settled is None:
                settled = self._settle(name, caller, key, resource)
            if settled:
                return
        decision = decide(call, action, key, resource)
        if not decision.allowed:
            raise decision.error()

    def _settle(self, name: tuple[str, str, str], caller: Caller, key: Key, resource: str) -> bool:
        settled = key_policy(key).settles(Request(f"kms:{name[1]}", resource, caller))
        if len(self._settled) >= _SETTLED:
            self._settled.clear()
        self._settled[name] = settled
        return settled


def decide(call: Call, action: str, key: Key | None, resource: str) -> Decision:
    """Return the decision on a permission, with what led to it. Parameters as in ``Authority.authorize``."""
    named = [read_token(token).grant_id for token in _tokens(call)]
    principal = principal_for(call.records, call.requester.caller)
    asked = Asked(call, action, key)
    request = Request(
        f"kms:{action}",
        resource,
        principal.caller,
        lambda: condition_values(asked),
        encryption_context=encryption_context(call, action),
        new_grant=call.new_grant,
    )
    if call.retired is not None:
        return _retirement(principal, request, call.retired)
    policy, grants = None, []
    if key is not None:
        policy = key_policy(key)
        grants = grants_in_force(call.records.grants(key.scope, key.key_id), call.now, named)
    policies = Policies(policy, principal.identity, principal.boundary, principal.session, grants)
    return evaluate(request, policies)


def _retirement(principal: Principal, request: Request, record: GrantRecord) -> Decision:
    """Decide who may retire a grant: the grant says so, and not the key policy ("Retiring and revoking grants").

    Those it names need no other permission. The accounts of the grant and of the key are as good as named, and may
    delegate it to their users and roles.
    """
    policies = Policies(None, principal.identity, principal.boundary, principal.session)
    named = [f"arn:aws:iam::{account}:root" for account in (record.issuing_account, record.scope.account)]
    if record.retiring is not None:
        named.append(record.retiring)
    if "RetireGrant" in terms_of(record).operations:
        named.append(record.grantee)
    closeness = max(meant(name, principal.caller) for name in named)
    decision = evaluate(request, policies)
    if closeness is Meant.ACCOUNT or decision.statement is not None:
        return decision
    if closeness is Meant.NOT:
        return Decision(False, request, policies, PolicyKind.KEY)
    return Decision(True, request, policies)


def principal_for(records: KeySource, caller: Caller) -> Principal:
    """Return a caller with what its account says of it now."""
    identity = records.identity(caller.role_arn or caller.arn) if caller.kind in _WITH_IDENTITY else None
    groups = () if identity is None else tuple(_groups(records, identity))
    return principal_of(caller, identity, groups)


def key_policy(key: Key) -> Policy:
    """Return the policy of a key.

    Keys made before policies were checked may have one that is none: they are left to their account's root user, who
    can give them another.
    """
    return _key_policy(key.policy, f"{key.scope.arn_prefix.split(':kms:')[0]}:iam::{key.scope.account}:root")


@lru_cache(maxsize=_SETTLED)
def _key_policy(text: str, root: str) -> Policy:
    try:
        return Policy.parse(text)
    except KmsServiceError:
        return Policy.parse(_ROOT_ONLY % root)


def _groups(records: KeySource, identity: Identity) -> Iterator[Identity]:
    for arn in document_of(identity).groups:
        group = records.identity(arn)
        if group is not None:
            yield group


def _tokens(call: Call) -> list[str]:
    given: Any = call.parameters.get("GrantTokens")
    return list(given or ())
