"""GetKeyPolicy, PutKeyPolicy, ListKeyPolicies. Every key has one policy, called ``default``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.key_policies import check_key_policy
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.operations.pages import read_page
from envelope_sdk.local_kms.parameters import Parameters
from envelope_sdk.local_kms.policy import DEFAULT_POLICY_NAME

__all__ = ["get_key_policy", "list_key_policies", "put_key_policy"]

_MAX_NAME: Final = 128
_NAME: Final = re.compile(r"[\w]+", re.ASCII)
_DEFAULT_LIMIT: Final = 100


def get_key_policy(call: Call) -> dict[str, Any]:
    """Return a key's policy as it was given, or as AWS prints the default one."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    policy_name = _policy_name(parameters)
    parameters.done()
    key = call.key(name, call.view, aliases=False)
    _check_policy_name(policy_name)
    return {"Policy": key.policy, "PolicyName": DEFAULT_POLICY_NAME}


def put_key_policy(call: Call) -> dict[str, Any]:
    """Replace a key's policy."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    policy_name = _policy_name(parameters)
    policy = parameters.policy(required=True) or ""
    bypass = parameters.flag("BypassPolicyLockoutSafetyCheck")
    parameters.done()
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        _check_policy_name(policy_name)
        check_key_policy(call, key.arn, policy, transaction, bypass=bypass, key=key)
        transaction.update_key(replace(key, policy=policy))
    return {}


def list_key_policies(call: Call) -> dict[str, Any]:
    """List the names of a key's policies."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    read = read_page(parameters, "policies", _DEFAULT_LIMIT, _DEFAULT_LIMIT)
    parameters.done()
    page = read()
    call.key(name, call.view, aliases=False)
    found = [] if page.after else [DEFAULT_POLICY_NAME]
    return page.answer("PolicyNames", found, str, str)


def _policy_name(parameters: Parameters) -> str:
    return parameters.text("PolicyName", _MAX_NAME, pattern=_NAME) or DEFAULT_POLICY_NAME


def _check_policy_name(name: str) -> None:
    if name != DEFAULT_POLICY_NAME:
        raise faults.not_found("No such policy exists")
