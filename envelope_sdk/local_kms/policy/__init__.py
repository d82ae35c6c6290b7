"""Access control of KMS: key policies, identity policies and grants, read once and evaluated for each request.

Nothing here knows of the store, HTTP or the clock; whatever a decision needs is in the request::

    key_policy = Policy.parse(default_key_policy(scope))
    alice = Caller.parse("arn:aws:iam::111122223333:user/alice")
    keys = {"kms:KeySpec": "SYMMETRIC_DEFAULT", "aws:SourceIp": "127.0.0.1"}
    request = Request("kms:Decrypt", key_arn, alice, keys, encryption_context={"purpose": "invoices"})
    decision = evaluate(request, Policies(key=key_policy, identity=[own_policy], grants=grants))
    if not decision.allowed:
        raise decision.error()

From the outside in: ``lockout`` and ``explanation`` (what else is asked of a decision), ``evaluation``, ``requests``,
``callers``, ``grants``, ``documents`` (policies), ``statements``, ``principals``, ``conditions``, ``comparisons``,
``names`` (ARNs), ``patterns`` (wildcards and variables).
"""

from __future__ import annotations

from envelope_sdk.local_kms.policy.callers import Caller, CallerKind
from envelope_sdk.local_kms.policy.condition_keys import CONDITION_KEYS, KEY_OPERATIONS, ConditionKey, keys_of
from envelope_sdk.local_kms.policy.defaults import DEFAULT_POLICY_NAME, default_key_policy
from envelope_sdk.local_kms.policy.documents import MAX_IDENTITY_POLICY, MAX_KEY_POLICY, Policy, PolicyKind
from envelope_sdk.local_kms.policy.evaluation import Decision, Policies, evaluate, not_let_in
from envelope_sdk.local_kms.policy.explanation import Explanation, Step, explain
from envelope_sdk.local_kms.policy.grants import GRANT_OPERATIONS, Grant
from envelope_sdk.local_kms.policy.lockout import check_not_locked_out, check_principals
from envelope_sdk.local_kms.policy.requests import ConditionValue, Request

__all__ = [
    "CONDITION_KEYS",
    "DEFAULT_POLICY_NAME",
    "GRANT_OPERATIONS",
    "KEY_OPERATIONS",
    "MAX_IDENTITY_POLICY",
    "MAX_KEY_POLICY",
    "Caller",
    "CallerKind",
    "ConditionKey",
    "ConditionValue",
    "Decision",
    "Explanation",
    "Grant",
    "Policies",
    "Policy",
    "PolicyKind",
    "Request",
    "Step",
    "check_not_locked_out",
    "check_principals",
    "default_key_policy",
    "evaluate",
    "explain",
    "keys_of",
    "not_let_in",
]
