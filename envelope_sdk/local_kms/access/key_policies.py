"""What is checked of a key policy before a key gets it."""

from __future__ import annotations

from typing import Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.authority import principal_for
from envelope_sdk.local_kms.access.condition_values import Asked, condition_values
from envelope_sdk.local_kms.access.principals import principal_exists
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.policy import (
    Policies,
    Policy,
    check_not_locked_out,
    check_principals,
    default_key_policy,
)
from envelope_sdk.local_kms.store.contract import ReadTransaction

__all__ = ["check_key_policy", "new_key_policy"]

_PUT: Final = "PutKeyPolicy"


def new_key_policy(call: Call, key_arn: str, policy: str | None, *, bypass: bool) -> str:
    """Return the policy of a key that is about to be made: the one given, checked, or the default one.

    Raises:
        KmsServiceError: as :func:`check_key_policy`.
    """
    if policy is None:
        return default_key_policy(call.scope)
    with call.store.read() as records:
        check_key_policy(call, key_arn, policy, records, bypass=bypass)
    return policy


def check_key_policy(
    call: Call, key_arn: str, policy: str, records: ReadTransaction, *, bypass: bool, key: Key | None = None
) -> None:
    """Check a new key policy: that it is one, that its principals exist, and that its giver could replace it.

    Args:
        call: whose caller gives it.
        key_arn: of the key it is for.
        policy: its text.
        records: where identities are.
        bypass: ``BypassPolicyLockoutSafetyCheck``: leaves out the last.
        key: the key, where there is one already.

    Raises:
        KmsServiceError: MalformedPolicyDocumentException, LimitExceededException.
    """
    length, most = len(policy.encode()), call.limits.policy_length
    if length > most:
        raise faults.limit_exceeded("Key policy document size", most, length)
    compiled = Policy.parse(policy)
    check_principals(compiled, lambda name: principal_exists(name, call.scope.account, records))
    if bypass:
        return
    principal = principal_for(call.records, call.requester.caller)
    own = Policies(identity=principal.identity, boundary=principal.boundary, session=principal.session)
    context = condition_values(Asked(call, _PUT, key))
    check_not_locked_out(compiled, key_arn, principal.caller, own, context)
