"""What PutKeyPolicy, CreateKey and ReplicateKey check of a new key policy before they accept it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from envelope_sdk.local_kms.policy.callers import Caller
from envelope_sdk.local_kms.policy.documents import Policy
from envelope_sdk.local_kms.policy.evaluation import Policies, evaluate
from envelope_sdk.local_kms.policy.refusals import invalid_principals, locked_out
from envelope_sdk.local_kms.policy.requests import ConditionValue, Request

__all__ = ["check_not_locked_out", "check_principals"]


def check_not_locked_out(
    policy: Policy,
    key_arn: str,
    caller: Caller,
    own: Policies | None = None,
    context: Mapping[str, ConditionValue] | None = None,
) -> None:
    """Check that the caller could replace ``policy`` by yet another one. ``BypassPolicyLockoutSafetyCheck`` skips this.

    Args:
        policy: the new key policy.
        key_arn: of the key it is for.
        caller: who puts it there.
        own: the caller's identity policies, boundary and session policies; those of the key are not looked at.
        context: the condition keys of the request at hand, which the next one is taken to have too.

    Raises:
        KmsServiceError: it could not (``MalformedPolicyDocumentException``).
    """
    request = Request("kms:PutKeyPolicy", key_arn, caller, context)
    own = own or Policies()
    if not evaluate(request, Policies(policy, own.identity, own.boundary, own.session)).allowed:
        raise locked_out()


def check_principals(policy: Policy, exists: Callable[[str], bool]) -> None:
    """Check that the principals of a key policy exist.

    Args:
        policy: the key policy.
        exists: takes the ARN of a user, role, session or account's root, a unique id, or the name of an AWS service or
            identity provider, and says whether there is one. ``*`` is not asked for.

    Raises:
        KmsServiceError: one does not (``MalformedPolicyDocumentException``).
    """
    for statement in policy.statements:
        principals = statement.principals
        if principals is None:
            continue
        names = {*principals.aws, *principals.services, *principals.providers} - {"*"}
        if not all(exists(name) for name in sorted(names)):
            raise invalid_principals()
