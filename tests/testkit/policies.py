"""Policies, callers and requests for tests, in few words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from envelope_sdk.local_kms.policy import (
    Caller,
    ConditionValue,
    Decision,
    Grant,
    Policies,
    Policy,
    PolicyKind,
    Request,
    evaluate,
)

OURS, THEIRS = "111122223333", "444455556666"
KEY = f"arn:aws:kms:us-west-2:{OURS}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ALIAS = f"arn:aws:kms:us-west-2:{OURS}:alias/finance-key"
ROOT = f"arn:aws:iam::{OURS}:root"
ALICE = f"arn:aws:iam::{OURS}:user/alice"
APP_ROLE = f"arn:aws:iam::{OURS}:role/app"
APP = f"arn:aws:sts::{OURS}:assumed-role/app/run-7"
CAROL = f"arn:aws:sts::{OURS}:federated-user/carol"
THEIR_ROOT = f"arn:aws:iam::{THEIRS}:root"
BOB = f"arn:aws:iam::{THEIRS}:user/bob"
THEIR_ROLE = f"arn:aws:iam::{THEIRS}:role/app"
THEIR_APP = f"arn:aws:sts::{THEIRS}:assumed-role/app/run-7"
S3 = "s3.amazonaws.com"

Element = dict[str, Any]


def allow(action: str | list[str] = "kms:*", *, to: Any = None, on: Any = "*", **other: Any) -> Element:
    """Return a statement that allows; ``to`` is its ``AWS`` principal, or the whole element if a dict or ``*``."""
    return _statement("Allow", action, to, on, other)


def deny(action: str | list[str] = "kms:*", *, to: Any = None, on: Any = "*", **other: Any) -> Element:
    """Return a statement that denies."""
    return _statement("Deny", action, to, on, other)


def _statement(effect: str, action: Any, to: Any, on: Any, other: Element) -> Element:
    statement: Element = {"Effect": effect} | other
    if "NotAction" not in other:
        statement["Action"] = action
    if "NotResource" not in other:
        statement["Resource"] = on
    if to is not None:
        statement["Principal"] = to if to == "*" or isinstance(to, dict) else {"AWS": to}
    return statement


def text(*statements: Element, version: str = "2012-10-17", **other: Any) -> str:
    """Return a document."""
    return json.dumps({"Version": version} | other | {"Statement": list(statements)})


def policy(*statements: Element, kind: PolicyKind = PolicyKind.KEY, name: str = "") -> Policy:
    """Return a policy."""
    return Policy.parse(text(*statements), kind, name=name)


def caller(who: str, **known: Any) -> Caller:
    """Return the caller that an ARN or the name of a service means."""
    return Caller.parse(who, **known) if who.startswith("arn:") else Caller.service(who)


def decide(
    who: str | Caller = ALICE,
    action: str = "kms:Decrypt",
    *,
    resource: str = KEY,
    key: Sequence[Element] | None = None,
    own: Sequence[Element] = (),
    boundary: Sequence[Element] | None = None,
    session: Sequence[Element] | None = None,
    grants: Sequence[Grant] = (),
    context: Mapping[str, ConditionValue] | None = None,
    pairs: Mapping[str, str] | None = None,
    new_grant: Grant | None = None,
) -> Decision:
    """Return the decision on a request: statements of the key policy, of the caller's own, and so on."""
    policies = Policies(
        None if key is None else policy(*key),
        [policy(*own, kind=PolicyKind.IDENTITY)] if own else [],
        None if boundary is None else policy(*boundary, kind=PolicyKind.BOUNDARY),
        [] if session is None else [policy(*session, kind=PolicyKind.SESSION)],
        grants,
    )
    asker = caller(who) if isinstance(who, str) else who
    request = Request(action, resource, asker, context, encryption_context=pairs, new_grant=new_grant)
    return evaluate(request, policies)
