"""Decisions against a slow evaluator that shares nothing with the package."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.policy_reference import Asked, Given, decide

from envelope_sdk.local_kms.policy import (
    Caller,
    Decision,
    Grant,
    Policies,
    Policy,
    PolicyKind,
    Request,
    evaluate,
    explain,
)

OURS, THEIRS = "111122223333", "444455556666"
KEY = f"arn:aws:kms:eu-west-1:{OURS}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
PEOPLE = {
    f"arn:aws:iam::{OURS}:root": "root",
    f"arn:aws:iam::{OURS}:user/alice": "user",
    f"arn:aws:iam::{OURS}:user/team/bob": "user",
    f"arn:aws:sts::{OURS}:assumed-role/app/one": "role",
    f"arn:aws:sts::{OURS}:federated-user/carol": "federated",
    f"arn:aws:iam::{THEIRS}:root": "root",
    f"arn:aws:iam::{THEIRS}:user/mallory": "user",
    f"arn:aws:sts::{THEIRS}:assumed-role/app/one": "role",
}
ROLES = {name: f"arn:aws:iam::{name.split(':')[4]}:role/app" for name, kind in PEOPLE.items() if kind == "role"}
SERVICES = ["s3.amazonaws.com", "logs.amazonaws.com"]
ACTIONS = ["kms:Decrypt", "kms:Encrypt", "kms:DescribeKey", "kms:PutKeyPolicy"]
KEYS = {
    "kms:ViaService": ["s3.eu-west-1.amazonaws.com", "s3", ""],
    "kms:KeySpec": ["RSA_2048", "SYMMETRIC_DEFAULT", "rsa_2048"],
    "aws:ResourceTag/team": ["alice", "blue", "*", "b?ue"],
    "aws:TagKeys": ["a", "b", "ab", ""],
    "kms:RotationPeriodInDays": ["90", "365", "90.0", "x"],
    "aws:CurrentTime": ["2026-01-01T00:00:00Z", "2026-06-01T12:00:00Z"],
    "aws:SourceIp": ["10.0.0.1", "192.0.2.7", "::1"],
    "aws:SourceArn": [KEY, f"arn:aws:s3:::{OURS}", "no arn"],
    "aws:SecureTransport": ["true", "false"],
}
TEXTS = [
    "s3",
    "s3*",
    "alice",
    "${aws:username}",
    "b?ue",
    "*",
    "${*}",
    "${aws:ResourceTag/team, 'a'}",
    "RSA_2048",
    "a",
    "",
]
_TYPED: list[tuple[str, list[Any]]] = [
    ("StringEquals StringNotEquals StringLike StringNotLike", TEXTS),
    ("StringEqualsIgnoreCase StringNotEqualsIgnoreCase", TEXTS),
    ("NumericEquals NumericNotEquals NumericLessThan NumericLessThanEquals", ["90", 100, "9e1"]),
    ("NumericGreaterThan NumericGreaterThanEquals", [90, 90.5]),
    ("DateEquals DateNotEquals DateLessThan DateLessThanEquals", ["2026-01-01T00:00:00Z"]),
    ("DateGreaterThan DateGreaterThanEquals", ["2026-01-01T00:00:00Z"]),
    ("IpAddress NotIpAddress", ["10.0.0.0/8", "192.0.2.7", "::/0"]),
    ("ArnEquals ArnLike ArnNotEquals ArnNotLike", [KEY, "arn:aws:*:*:*:key/*", f"arn:aws:s3:::{OURS}", "arn:*"]),
    ("Bool", ["true", False, "TRUE"]),
    ("Null", ["true", "false", True]),
]
VALUES = {name: values for names, values in _TYPED for name in names.split()}


@st.composite
def _condition(draw: st.DrawFn, keys: list[str]) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(VALUES)))
    operator = draw(st.sampled_from(["", "", "ForAnyValue:", "ForAllValues:"])) + name
    if name != "Null" and draw(st.booleans()):
        operator += "IfExists"
    values = st.sampled_from(VALUES[name])
    return {operator: {draw(st.sampled_from(keys)): draw(values | st.lists(values, max_size=3))}}


def _conditions() -> st.SearchStrategy[dict[str, Any]]:
    return st.just({}) | _condition(sorted(KEYS)) | st.builds(dict.__or__, *[_condition(sorted(KEYS))] * 2)


_PRINCIPALS = st.one_of(
    st.just("*"),
    st.builds(
        lambda names, services: {"AWS": names} | ({"Service": services} if services else {}),
        st.lists(st.sampled_from([*PEOPLE, *ROLES.values(), OURS, THEIRS, "*"]), min_size=1, max_size=4),
        st.lists(st.sampled_from(SERVICES), max_size=1),
    ),
)
_ACTIONS = st.lists(
    st.sampled_from(["*", "kms:*", "KMS:Dec*", "kms:?ncrypt", "s3:*", *ACTIONS]), min_size=1, max_size=3
)
_RESOURCES = st.lists(
    st.sampled_from(["*", KEY, f"arn:aws:kms:*:{OURS}:key/*", "arn:aws:kms:*", "arn:aws:kms:*:*:key/${aws:username}*"]),
    min_size=1,
    max_size=2,
)


@st.composite
def _plain_statements(draw: st.DrawFn, with_principals: bool) -> dict[str, Any]:
    """Statements that differ in whom they are for, and hardly in what they are about."""
    statement: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow"] * 5 + ["Deny"])), "Resource": "*"}
    statement["Action"] = draw(st.sampled_from(["kms:*", "kms:*", "kms:*", "kms:Decrypt", ["kms:Encrypt", "kms:De*"]]))
    if with_principals:
        excluding = statement["Effect"] == "Deny"
        people = st.lists(st.sampled_from([*PEOPLE, *ROLES.values()]), min_size=1, max_size=5 if excluding else 2)
        statement["NotPrincipal" if excluding else "Principal"] = {"AWS": draw(people)}
    return statement


@st.composite
def _statements(draw: st.DrawFn, with_principals: bool) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    if with_principals:
        excluding = statement["Effect"] == "Deny" and draw(st.booleans())
        principals = draw(_PRINCIPALS)
        statement["NotPrincipal" if excluding else "Principal"] = (
            {"AWS": "*"} if excluding and principals == "*" else principals
        )
    statement[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(_ACTIONS)
    statement[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(_RESOURCES)
    conditions = draw(_conditions())
    return statement | ({"Condition": conditions} if conditions else {})


def _documents(with_principals: bool, *, plain: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    versions = ["2012-10-17", "2012-10-17", "2008-10-17"] if with_principals else ["2012-10-17"]
    return st.builds(
        lambda version, statements: {"Version": version, "Statement": statements},
        st.sampled_from(versions),
        st.lists((_plain_statements if plain else _statements)(with_principals), min_size=1, max_size=3),
    )


_CONTEXTS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"))
_GRANTS = st.tuples(
    st.sampled_from([*PEOPLE, *ROLES.values(), OURS]),
    st.sampled_from([("Decrypt",), ("Decrypt", "Encrypt", "DescribeKey")]),
    st.fixed_dictionaries({}, optional={"equals": _CONTEXTS, "subset": _CONTEXTS}),
)


def _given(*, plain: bool = False) -> st.SearchStrategy[Given]:
    own = _documents(with_principals=False, plain=plain)
    return st.builds(
        Given,
        key=st.none() | _documents(with_principals=True, plain=plain),
        identity=st.lists(own, max_size=2).map(tuple),
        boundary=st.none() | own,
        session=st.lists(own, max_size=1).map(tuple),
        grants=st.lists(_GRANTS, max_size=2).map(tuple),
        context=_CONTEXTS,
    )


_FOUND = st.fixed_dictionaries(
    {}, optional={key: st.lists(st.sampled_from(values), min_size=1, max_size=2) for key, values in KEYS.items()}
)


def _decision(caller: Caller, action: str, resource: str, found: dict[str, list[str]], given_: Given) -> Decision:
    def read(document: dict[str, Any], kind: PolicyKind) -> Policy:
        return Policy.parse(json.dumps(document), kind)

    grants = [
        Grant(str(place), grantee, frozenset(operations), constraints.get("equals"), constraints.get("subset"))
        for place, (grantee, operations, constraints) in enumerate(given_.grants)
    ]
    policies = Policies(
        None if given_.key is None else read(given_.key, PolicyKind.KEY),
        [read(document, PolicyKind.IDENTITY) for document in given_.identity],
        None if given_.boundary is None else read(given_.boundary, PolicyKind.BOUNDARY),
        [read(document, PolicyKind.SESSION) for document in given_.session],
        grants,
    )
    return evaluate(Request(action, resource, caller, found, encryption_context=given_.context), policies)


def _outcome(decision: Decision) -> str:
    kinds = {
        PolicyKind.KEY: "key",
        PolicyKind.IDENTITY: "identity",
        PolicyKind.BOUNDARY: "boundary",
        PolicyKind.SESSION: "session",
    }
    if decision.denied_by is None:
        return "allow"
    return ("explicit " if decision.statement else "") + kinds[decision.denied_by]


_WHO = st.sampled_from([*PEOPLE, *SERVICES])
_Found = dict[str, list[str]]


def _check(who: str, action: str, resource: str, found: _Found, policies: Given) -> None:
    caller = Caller.service(who) if who in SERVICES else Caller.parse(who)
    keys = {key.lower(): values for key, values in found.items()}
    keys |= {key: list(values) for key, values in caller.keys.items()}
    keys |= {f"kms:encryptioncontext:{name}": [value] for name, value in policies.context.items()}
    asked = Asked(action, resource, PEOPLE.get(who, "service"), who, caller.account, ROLES.get(who, ""), keys)
    decision = _decision(caller, action, resource, found, policies)

    assert decide(asked, policies) == _outcome(decision)
    assert explain(decision).conclusion.startswith("allowed" if decision.allowed else "denied")


@settings(max_examples=400, deadline=None)
@given(
    who=_WHO, action=st.sampled_from(ACTIONS), resource=st.sampled_from([KEY, KEY, "*"]), policies=_given(plain=True)
)
def test_combines_policies_like_the_reference(who: str, action: str, resource: str, policies: Given) -> None:
    _check(who, action, resource, {}, policies)


@settings(max_examples=200, deadline=None)
@given(who=_WHO, action=st.sampled_from(ACTIONS), resource=st.sampled_from([KEY, "*"]), found=_FOUND, policies=_given())
def test_decides_like_the_reference(who: str, action: str, resource: str, found: _Found, policies: Given) -> None:
    _check(who, action, resource, found, policies)


@settings(max_examples=800, deadline=None)
@given(data=st.data(), key=st.sampled_from(sorted(KEYS)), version=st.sampled_from(["2012-10-17", "2008-10-17"]))
def test_conditions_hold_like_the_reference(data: st.DataObject, key: str, version: str) -> None:
    found = {
        name: data.draw(st.lists(st.sampled_from(KEYS[name]), max_size=3)) for name in {key, "aws:ResourceTag/team"}
    }
    statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    document = {"Version": version, "Statement": statement | {"Condition": data.draw(_condition([key]))}}
    present = {name: values for name, values in found.items() if values}

    _check(f"arn:aws:iam::{OURS}:user/alice", "kms:Decrypt", KEY, present, Given(key=document))


@settings(max_examples=300, deadline=None)
@given(
    element=st.sampled_from(["Action", "NotAction"]),
    actions=_ACTIONS,
    other=st.sampled_from(["Resource", "NotResource"]),
    resources=_RESOURCES,
    action=st.sampled_from([*ACTIONS, "KMS:decrypt"]),
    resource=st.sampled_from([KEY, KEY.replace("1234", "alice"), "*"]),
)
def test_actions_and_resources_match_like_the_reference(
    element: str, actions: list[str], other: str, resources: list[str], action: str, resource: str
) -> None:
    statement = {"Effect": "Allow", element: actions, other: resources}
    document = {"Version": "2012-10-17", "Statement": statement}
    everyone = {"Statement": {"Effect": "Allow", "Principal": {"AWS": OURS}, "Action": "*", "Resource": "*"}}

    _check(f"arn:aws:iam::{OURS}:user/alice", action, resource, {}, Given(key=everyone, identity=(document,)))
