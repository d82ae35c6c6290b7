"""Whatever the policies and grants, the KMS allows exactly what the policy engine says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.policies import ALICE, APP, APP_ROLE, BOB, OURS, ROOT, S3, THEIR_ROOT, caller

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.access.grants import GrantTerms, make_token
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import GrantRecord
from envelope_sdk.local_kms.policy import Decision, Grant, Policies, Policy, PolicyKind, Request, evaluate
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

HERE = Scope(OURS, "us-west-2")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = [ROOT, ALICE, APP, BOB, THEIR_ROOT, S3]
CALLS = {
    "kms:Encrypt": lambda kms, arn, context: kms.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext=context),
    "kms:GenerateDataKey": lambda kms, arn, context: kms.generate_data_key(
        KeyId=arn, KeySpec="AES_256", EncryptionContext=context
    ),
    "kms:DescribeKey": lambda kms, arn, _: kms.describe_key(KeyId=arn),
    "kms:ListGrants": lambda kms, arn, _: kms.list_grants(KeyId=arn),
}
WITH_CONTEXT = ("kms:Encrypt", "kms:GenerateDataKey")
CONTEXTS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
CONDITIONS = st.sampled_from(
    [
        {},
        {},
        {"StringEquals": {"kms:EncryptionContext:a": "x"}},
        {"StringNotEquals": {"kms:EncryptionContext:b": "y"}},
        {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a"]}},
        {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}},
        {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/one"}},
        {"Null": {"kms:ViaService": "false"}},
        {"Bool": {"aws:SecureTransport": "true"}},
        {"StringEquals": {"kms:CallerAccount": OURS}},
        {"DateLessThan": {"aws:CurrentTime": "2026-06-01"}},
    ]
)


@st.composite
def _statement(draw: st.DrawFn, *, named: bool) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": draw(st.sampled_from(["Allow", "Allow", "Allow", "Deny"])),
        "Action": draw(st.sampled_from(["kms:*", "kms:Encrypt", "kms:De*", ["kms:GenerateDataKey", "kms:ListGrants"]])),
        "Resource": draw(st.sampled_from(["*", "*", f"arn:aws:kms:*:{OURS}:key/*", "arn:aws:s3:::bucket"])),
        "Condition": draw(CONDITIONS),
    }
    if named:
        people = st.lists(st.sampled_from([ROOT, ALICE, APP, APP_ROLE, BOB, THEIR_ROOT]), min_size=1, max_size=2)
        principals = people.map(lambda names: {"AWS": names}) | st.sampled_from(["*", {"Service": S3}])
        statement["Principal"] = draw(principals)
    return statement


def _documents(*, named: bool) -> st.SearchStrategy[str]:
    statements = st.lists(_statement(named=named), min_size=1, max_size=3)
    return statements.map(lambda listed: json.dumps({"Version": "2012-10-17", "Statement": listed}))


@dataclass(frozen=True)
class Given:
    """What there is: texts of policies, and one grant at most."""

    key: str
    own: str | None
    boundary: str | None
    session: str | None
    grant: tuple[str, frozenset[str], dict[str, dict[str, str]]] | None


GRANTS = st.tuples(
    st.sampled_from([ALICE, APP_ROLE, BOB, S3]),
    st.sampled_from([frozenset({"Encrypt"}), frozenset({"DescribeKey", "GenerateDataKey"})]),
    st.fixed_dictionaries({}, optional={"EncryptionContextEquals": CONTEXTS, "EncryptionContextSubset": CONTEXTS}),
)
OWN = st.none() | _documents(named=False)
GIVEN = st.builds(Given, _documents(named=True), OWN, OWN, OWN, st.none() | GRANTS)


def _put(kms: LocalKms, store: Store, arn: str, who: str, given_: Given) -> None:
    """Put everything in its place, past what would refuse to."""
    with store.write() as transaction:
        key = transaction.key(HERE, arn.rpartition("/")[2])
        assert key is not None
        transaction.update_key(replace(key, policy=given_.key))
        if given_.grant is not None:
            grantee, operations, constraints = given_.grant
            record = GrantRecord(
                scope=HERE,
                key_id=key.key_id,
                grant_id="0" * 64,
                token=make_token("0" * 64, arn, system_random),
                created=NOW,
                effective=NOW,
                issuing_account=OURS,
                grantee=grantee,
                retiring=None,
                document=GrantTerms(tuple(sorted(operations)), constraints=constraints).document(),
            )
            transaction.put_grant(record)
    if who in (ALICE, BOB, APP):
        identities = kms.acting_as(who).identities
        make = identities.create_role if who == APP else identities.create_user
        policies = {} if given_.own is None else {"own": given_.own}
        make(who.split("/")[1], policies=policies, boundary=given_.boundary, tags={"team": "blue"})


def _expected(who: str, action: str, arn: str, via: str | None, context: dict[str, str], given_: Given) -> Decision:
    known = who in (ALICE, BOB, APP)
    grants = []
    if given_.grant is not None:
        grantee, operations, terms = given_.grant
        equals, subset = terms.get("EncryptionContextEquals"), terms.get("EncryptionContextSubset")
        grants = [Grant("0" * 64, grantee, operations, equals, subset)]
    session = [] if given_.session is None or who == S3 else [Policy.parse(given_.session, PolicyKind.SESSION)]
    policies = Policies(
        Policy.parse(given_.key),
        [Policy.parse(given_.own, PolicyKind.IDENTITY)] if known and given_.own is not None else [],
        Policy.parse(given_.boundary, PolicyKind.BOUNDARY) if known and given_.boundary is not None else None,
        session,
        grants,
    )
    keys: dict[str, Any] = {
        "aws:ResourceTag/team": "blue",
        "kms:ResourceAliases": ["alias/one"],
        "aws:SecureTransport": True,
        "aws:CurrentTime": NOW,
    }
    if via is not None:
        keys["kms:ViaService"] = via
    asker = caller(who) if who == S3 else caller(who, tags={"team": "blue"} if known else {})
    pairs = context if action in WITH_CONTEXT else None
    return evaluate(Request(action, arn, asker, keys, encryption_context=pairs), policies)


def _message(call: Callable[[], object]) -> str:
    """Return how a call is denied; nothing where it is not."""
    try:
        call()
    except KmsServiceError as error:
        return error.message if error.code == "AccessDeniedException" else str(error)
    return ""


@settings(max_examples=200, deadline=None)
@given(
    who=st.sampled_from(PEOPLE),
    action=st.sampled_from(sorted(CALLS)),
    via=st.sampled_from([None, "s3.us-west-2.amazonaws.com"]),
    context=CONTEXTS,
    given_=GIVEN,
)
def test_the_kms_allows_what_the_engine_says(
    who: str, action: str, via: str | None, context: dict[str, str], given_: Given
) -> None:
    store = SqliteStore.in_memory(system_random)
    with LocalKms(store, account=OURS, region="us-west-2", clock=lambda: NOW) as kms:
        arn = kms.create_key(Tags=[{"TagKey": "team", "TagValue": "blue"}])["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName="alias/one", TargetKeyId=arn)
        _put(kms, store, arn, who, given_)
        expected = _expected(who, action, arn, via, context, given_)
        session = [] if given_.session is None else [given_.session]
        acting = kms.acting_as(who, session_policies=session, via_service=via)
        message = _message(lambda: CALLS[action](acting, arn, context))
        way: dict[str, Any] = {"session_policies": session, "via_service": via}
        pairs = context if action in WITH_CONTEXT else None
        simulated = kms.simulate(who, action, arn, encryption_context=pairs, **way)

    assert message == expected.message
    assert simulated.message == expected.message
