"""Policy documents: what is read, and what is refused with which of AWS's errors."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.policies import ALICE, KEY, OURS, ROOT, allow, deny, text

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.policy import MAX_IDENTITY_POLICY, MAX_KEY_POLICY, Policy, PolicyKind

SYNTAX = "Syntax errors in policy."
PRINCIPALS = "Policy contains a statement with one or more invalid principals."
NO_PRINCIPAL = "Policy contains a statement with no principal."
NO_ACTIONS = "Policy statement must contain actions."
NO_RESOURCES = "Policy statement must contain resources."
VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
QUALIFIED = "Resource vendor must be fully qualified and cannot contain regexes."
LEGACY = "The policy failed legacy parsing"
OUTCOMES = ("read", "MalformedPolicyDocumentException", "LimitExceededException")
ROOMY = 2.0  # seconds: what is quadratic takes minutes


def _refusal(document: str, kind: PolicyKind = PolicyKind.KEY) -> tuple[str, str]:
    with pytest.raises(KmsServiceError) as caught:
        Policy.parse(document, kind)
    return caught.value.code, caught.value.message


def _outcome(document: str, kind: PolicyKind = PolicyKind.KEY) -> str:
    try:
        Policy.parse(document, kind)
    except KmsServiceError as error:
        return error.code
    return "read"


def _statement(**changes: Any) -> str:
    """Return a document with one good statement, changed; ``None`` takes an element away."""
    statement = allow(to="*") | changes
    return text({name: value for name, value in statement.items() if value is not None})


def _condition(operator: str, value: Any = "true", key: str = "aws:x") -> str:
    return _statement(Condition={operator: {key: value}})


MALFORMED: dict[str, tuple[str, str]] = {
    # --- JSON ---
    "nothing": ("", SYNTAX),
    "no JSON": ("{Version: 1}", SYNTAX),
    "a list": ("[]", SYNTAX),
    "a number": ("1", SYNTAX),
    "more after the end": (_statement() + "{}", SYNTAX),
    "NaN": (_statement().replace('"*"', "NaN", 1), SYNTAX),
    "a repeated element": ('{"Version":"2012-10-17",' + _statement()[1:], SYNTAX),
    "a repeated key in a condition": (
        _condition("Bool").replace('"aws:x": "true"', '"aws:x": true, "aws:x": true'),
        SYNTAX,
    ),
    "deep nesting": ('{"Statement":' + "[" * 30_000, SYNTAX),
    "deep nesting that ends": ('{"Statement":' + "[" * 10_000 + "]" * 10_000 + "}", SYNTAX),
    "half a character": (_statement(Sid="x").replace('"x"', '"\\ud800"'), SYNTAX),
    "a character beyond Latin-1": (_statement(Sid="x").replace('"x"', '"\u4e00"'), SYNTAX),
    "a control character": (_statement(Sid="x").replace('"x"', '"\x00"'), SYNTAX),
    # --- the outermost object ---
    "no statement": ('{"Version": "2012-10-17"}', SYNTAX),
    "an empty list of statements": (text(), SYNTAX),
    "a statement that is text": ('{"Version": "2012-10-17", "Statement": "x"}', SYNTAX),
    "a list with text among statements": ('{"Version": "2012-10-17", "Statement": ["x"]}', SYNTAX),
    "another version": (text(allow(to="*"), version="2013-10-17"), SYNTAX),
    "a version that is a list": (_statement().replace('"2012-10-17"', "[]"), SYNTAX),
    "a version that is a number": (_statement().replace('"2012-10-17"', "2012"), SYNTAX),
    "an unknown element": (text(allow(to="*"), Comment="x"), SYNTAX),
    "an Id that is no text": (text(allow(to="*"), Id=1), SYNTAX),
    # --- statements ---
    "no effect": (_statement(Effect=None), SYNTAX),
    "an effect in another case": (_statement(Effect="allow"), SYNTAX),
    "an effect that is a list": (_statement(Effect=["Allow"]), SYNTAX),
    "a Sid that is a number": (_statement(Sid=1), SYNTAX),
    "an unknown element of a statement": (_statement(Actions="kms:*"), SYNTAX),
    "two statements of one Sid": (
        text(allow(to="*", Sid="a"), deny(to="*", Sid="a")),
        "Statement IDs (SID) in a single policy must be unique.",
    ),
    # --- actions ---
    "no actions": (_statement(Action=None), NO_ACTIONS),
    "an empty list of actions": (_statement(Action=[]), NO_ACTIONS),
    "Action and NotAction": (_statement(NotAction="kms:*"), SYNTAX),
    "an action that is a number": (_statement(Action=1), SYNTAX),
    "an action that is an object": (_statement(Action=[{}]), SYNTAX),
    "an action without vendor": (_statement(Action="Decrypt"), VENDOR),
    "an action that is empty": (_statement(Action=""), VENDOR),
    "an action with two colons": (_statement(Action="kms:a:b"), "Actions/Condition can contain only one colon."),
    "a vendor with a space": (_statement(Action="k s:Decrypt"), "Vendor k s is not valid"),
    "a vendor that is empty": (_statement(Action=":Decrypt"), "Vendor  is not valid"),
    # --- resources ---
    "no resources": (_statement(Resource=None), NO_RESOURCES),
    "an empty list of resources": (_statement(Resource=[]), NO_RESOURCES),
    "Resource and NotResource": (_statement(NotResource="*"), SYNTAX),
    "a resource that is null": (_statement(Resource=[None]), SYNTAX),
    "a resource that is no ARN": (_statement(Resource="key"), 'Resource key must be in ARN format or "*".'),
    "a resource that is empty": (_statement(Resource=""), 'Resource  must be in ARN format or "*".'),
    "a partition that is none": (
        _statement(Resource="arn:error:kms:::x"),
        'Partition "error" is not valid for resource "arn:error:kms:::x".',
    ),
    "an ARN without beginning": (
        _statement(Resource="aws:s3:::bucket"),
        'Partition "s3" is not valid for resource "arn:s3:::bucket:*".',
    ),
    "an ARN that ends after its partition": (_statement(Resource="arn:aws"), QUALIFIED),
    "an ARN of all services": (_statement(Resource="arn:aws:*"), QUALIFIED),
    "an ARN that is too short": (_statement(Resource="arn:aws:kms::key"), LEGACY),
    "something else in the place of arn": (_statement(Resource="urn:aws:kms:::key"), LEGACY),
    "a variable for the account": (_statement(Resource="arn:aws:kms:*:${aws:userid}:key/x"), LEGACY),
    # --- principals ---
    "no principal": (_statement(Principal=None), NO_PRINCIPAL),
    "an empty principal": (_statement(Principal={}), NO_PRINCIPAL),
    "an empty list of principals": (_statement(Principal={"AWS": []}), NO_PRINCIPAL),
    "a principal outside an object": (_statement(Principal=ALICE), PRINCIPALS),
    "a principal of an unknown kind": (_statement(Principal={"aws": "*"}), PRINCIPALS),
    "a principal of S3": (_statement(Principal={"CanonicalUser": "79a59df900b949e55d96a1e698fbaced"}), PRINCIPALS),
    "a principal that is a number": (_statement(Principal={"AWS": 111122223333}), SYNTAX),
    "a name for a principal": (_statement(Principal={"AWS": "alice"}), PRINCIPALS),
    "a wildcard in a principal": (_statement(Principal={"AWS": f"arn:aws:iam::{OURS}:user/*"}), PRINCIPALS),
    "a group for a principal": (_statement(Principal={"AWS": f"arn:aws:iam::{OURS}:group/team"}), PRINCIPALS),
    "an account of eleven digits": (_statement(Principal={"AWS": "11112222333"}), PRINCIPALS),
    "a service that is none": (_statement(Principal={"Service": "s3"}), PRINCIPALS),
    "Principal and NotPrincipal": (_statement(NotPrincipal={"AWS": ROOT}), SYNTAX),
    "NotPrincipal that allows": (
        _statement(Principal=None, NotPrincipal={"AWS": ROOT}),
        "NotPrincipal cannot be used in a statement with the effect Allow.",
    ),
    # --- conditions ---
    "a condition that is a list": (_statement(Condition=[]), SYNTAX),
    "an operator without keys": (_statement(Condition={"StringEquals": "x"}), SYNTAX),
    "an unknown operator": (_condition("StringMatches"), SYNTAX),
    "an operator in another case": (_condition("stringequals"), SYNTAX),
    "an unknown set operator": (_condition("ForSomeValues:StringEquals"), SYNTAX),
    "a set operator of a set operator": (_condition("ForAnyValue:ForAllValues:StringEquals"), SYNTAX),
    "NullIfExists": (_condition("NullIfExists"), SYNTAX),
    "Null with a text": (_condition("Null", "yes"), SYNTAX),
    "Bool with a text": (_condition("Bool", "yes"), SYNTAX),
    "a number with a text": (_condition("NumericLessThan", "seven"), SYNTAX),
    "an endless number": (_condition("NumericLessThan", "9" * 5000), SYNTAX),
    "a date with a text": (_condition("DateLessThan", "tomorrow"), LEGACY),
    "a 13th month": (_condition("DateLessThan", "2026-13-01"), LEGACY),
    "bytes that are no Base64": (_condition("BinaryEquals", "???"), SYNTAX),
    "an address that is none": (_condition("IpAddress", "10.0.0.0/33"), SYNTAX),
    "a value that is null": (_condition("StringEquals", None), SYNTAX),
    "a value that is an object": (_condition("StringEquals", [{}]), SYNTAX),
    "a key without vendor": (_condition("StringEquals", key="username"), VENDOR),
}


@pytest.mark.parametrize(("document", "message"), MALFORMED.values(), ids=MALFORMED)
def test_refuses_a_key_policy(document: str, message: str) -> None:
    assert _refusal(document) == ("MalformedPolicyDocumentException", message)


IDENTITY: dict[str, tuple[str, str]] = {
    "a principal": (text(allow(to="*")), "Policy document should not specify a principal."),
    "NotPrincipal": (text(deny(NotPrincipal="*")), "Policy document should not specify a principal."),
    "the first version": (
        text(allow(), version="2008-10-17"),
        "Policy document must be version 2012-10-17 or greater.",
    ),
    "no version": ('{"Statement": []}', SYNTAX),
    "a Sid with a space": (
        text(allow(Sid="a b")),
        "Statement IDs (SID) must be alpha-numeric. "
        "Check that your input satisfies the regular expression [0-9A-Za-z]*",
    ),
}


@pytest.mark.parametrize(("document", "message"), IDENTITY.values(), ids=IDENTITY)
@pytest.mark.parametrize("kind", [PolicyKind.IDENTITY, PolicyKind.BOUNDARY, PolicyKind.SESSION])
def test_refuses_an_identity_policy(kind: PolicyKind, document: str, message: str) -> None:
    assert _refusal(document, kind) == ("MalformedPolicyDocumentException", message)


def test_an_identity_policy_without_version_is_too_old() -> None:
    document = json.dumps({"Statement": allow()})

    assert _refusal(document, PolicyKind.IDENTITY)[1] == "Policy document must be version 2012-10-17 or greater."


def _padded(document: str, length: int) -> str:
    return document.replace('"*"', '"kms:' + "x" * (length - len(document) - 3) + '"', 1)


def test_a_key_policy_has_32_kib() -> None:
    fitting = _padded(_statement(Action="*", Principal={"AWS": OURS}), MAX_KEY_POLICY)

    assert Policy.parse(fitting).statements
    assert _refusal(fitting + " ")[0] == "LimitExceededException"


def test_the_quota_of_key_policies_counts_bytes() -> None:
    document = _statement(Sid="\u00e9").replace("\\u00e9", "\u00e9" * (MAX_KEY_POLICY // 2))

    assert _refusal(document)[0] == "LimitExceededException"


def test_an_identity_policy_has_6144_characters_without_white_space() -> None:
    fitting = _padded(json.dumps(json.loads(text(allow("*"))), separators=(",", ":")), MAX_IDENTITY_POLICY)

    assert Policy.parse(fitting + " " * 9000, PolicyKind.IDENTITY).statements
    assert _refusal(fitting.replace("xx", "xxx", 1), PolicyKind.IDENTITY) == (
        "LimitExceededException",
        "Cannot exceed quota for PolicySize: 6144",
    )


def test_a_statement_may_stand_alone() -> None:
    alone = json.dumps({"Version": "2012-10-17", "Statement": allow(to="*")})

    assert [statement.number for statement in Policy.parse(alone).statements] == [1]


def test_a_key_policy_may_have_a_sid_with_spaces() -> None:
    assert (
        Policy.parse(_statement(Sid="Enable IAM User Permissions")).statements[0].sid == "Enable IAM User Permissions"
    )


def test_an_account_is_kept_as_the_arn_of_its_root() -> None:
    principals = Policy.parse(_statement(Principal={"AWS": OURS})).statements[0].principals

    assert principals is not None
    assert principals.aws == (ROOT,)


HUGE: dict[str, str] = {
    "actions": _statement(Action=["kms:*a*b*c"] * 2300),
    "resources": _statement(Resource=[KEY + "*"] * 380),
    "principals": _statement(Principal={"AWS": [OURS] * 2000}),
    "values": _condition("StringLike", ["*a"] * 5000),
    "one pattern": _statement(Action="kms:" + "*a" * 16_000),
    "question marks": _statement(Action="kms:" + "*?" * 16_000),
    "open braces": _condition("StringLike", "${" * 16_000),
    "spaces in a variable": _condition("StringLike", "${a" + " " * 32_000 + "}"),
    "commas in a variable": _condition("StringLike", "${a" + "," * 32_000 + "}"),
    "colons": _statement(Resource="arn:aws:kms:" + ":" * 32_000),
    "digits": _condition("NumericEquals", "VALUE").replace('"VALUE"', "1" * 32_000),
    "statements": text(*[allow("*:*", to="*")] * 300),
    "many characters": _statement(Action="kms:" + "".join(chr(c) for c in range(0xA1, 0xFF)) * 50 + "?*"),
}


@pytest.mark.parametrize("document", HUGE.values(), ids=HUGE)
def test_no_document_takes_long(document: str) -> None:
    assert len(document) <= MAX_KEY_POLICY
    began = time.process_time()

    assert _outcome(document) in ("read", "MalformedPolicyDocumentException")
    assert time.process_time() - began < ROOMY


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["*", KEY, "kms:*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "Condition"])


@settings(max_examples=400, deadline=None)
@given(
    changes=st.dictionaries(_NAMES, _JSON, max_size=3),
    conditions=st.dictionaries(
        st.sampled_from(["StringLike", "NumericEquals", "DateEquals", "IpAddress", "BinaryEquals", "ArnLike", "Null"]),
        st.dictionaries(st.sampled_from(["aws:x", "kms:y", "z"]), _JSON, max_size=2),
        max_size=2,
    ),
    kind=st.sampled_from(PolicyKind),
)
def test_only_documented_errors_leave(changes: dict[str, Any], conditions: dict[str, Any], kind: PolicyKind) -> None:
    statement = allow(to="*" if kind is PolicyKind.KEY else None, Condition=conditions) | changes

    assert _outcome(text(statement), kind) in OUTCOMES


@settings(max_examples=400, deadline=None)
@given(start=st.integers(0, 150), length=st.integers(0, 20), put=st.text(max_size=6))
def test_only_documented_errors_leave_damaged_documents(start: int, length: int, put: str) -> None:
    document = _statement(Sid="a", Condition={"StringLike": {"aws:x": ["${aws:username}", 1.5]}})

    assert _outcome(document[:start] + put + document[start + length :]) in OUTCOMES
