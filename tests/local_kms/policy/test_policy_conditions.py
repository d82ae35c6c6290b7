"""Condition operators: one value of the policy, one of the request, and what follows where there are more or none."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.policies import KEY, OURS, allow, decide

from envelope_sdk.local_kms.policy import ConditionValue

ROOMY = 2.0  # seconds: what is quadratic takes minutes


def _holds(operator: str, wanted: Any, found: ConditionValue | None) -> bool:
    statement = allow(to="*", Condition={operator: {"aws:Key": wanted}})
    return decide(key=[statement], context={} if found is None else {"AWS:key": found}).allowed


VALUES: list[tuple[str, Any, ConditionValue, bool]] = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", "a*", "a*", True),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", "$5", "$5", True),
    ("StringEquals", True, True, True),
    ("StringEquals", 5, 5, True),
    ("StringEquals", [], "a", False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", [], "b", True),
    ("StringEqualsIgnoreCase", "aB", "Ab", True),
    ("StringNotEqualsIgnoreCase", "aB", "Ab", False),
    ("StringLike", "a*c", "abc", True),
    ("StringLike", "a*C", "abc", False),
    ("StringLike", "a?c", "ac", False),
    ("StringLike", "a${*}c", "abc", False),
    ("StringLike", "a${*}c", "a*c", True),
    ("StringNotLike", "a*c", "abc", False),
    ("StringEquals", "${aws:username}", "alice", True),
    ("StringEqualsIgnoreCase", "${aws:UserName}", "ALICE", True),
    ("StringLike", "${aws:username}-*", "alice-1", True),
    ("StringEquals", "${aws:nothing}", "", False),
    ("StringNotEquals", "${aws:nothing}", "", True),
    ("NumericEquals", "7", "7.0", True),
    ("NumericEquals", "7", 7, True),
    ("NumericEquals", "7", "seven", False),
    ("NumericEquals", "1e2", "100", True),
    ("NumericEquals", "0.1", 0.1, True),
    ("NumericNotEquals", "7", "8", True),
    ("NumericNotEquals", "7", "seven", True),
    ("NumericLessThan", "7", "-7", True),
    ("NumericLessThan", "7", "7", False),
    ("NumericLessThanEquals", "7", "7", True),
    ("NumericGreaterThan", "7", "10", True),
    ("NumericGreaterThanEquals", "7", "6.99", False),
    ("NumericLessThan", "7", "1" * 5000, False),
    ("DateEquals", "2026-01-01", "2026-01-01T00:00:00Z", True),
    ("DateEquals", "2026", "2026-01-01T01:00:00+01:00", True),
    ("DateEquals", "1767225600", "2026-01-01T00:00:00Z", True),
    ("DateEquals", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500Z", True),
    ("DateEquals", "2026-01-01T00:00Z", datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), True),
    ("DateNotEquals", "2026-01-01", "yesterday", True),
    ("DateLessThan", "2026-01-01", datetime(2025, 12, 31, tzinfo=UTC), True),
    ("DateLessThanEquals", "2026-01-01", "2026-01-01", True),
    ("DateGreaterThan", "2026-01-01", "2026-01-01", False),
    ("DateGreaterThanEquals", "2026-01-01", "2026-02-30", False),
    ("Bool", "true", True, True),
    ("Bool", "TRUE", "true", True),
    ("Bool", False, True, False),
    ("Bool", "true", "yes", False),
    ("BinaryEquals", "YQ==", b"a", True),
    ("BinaryEquals", "YQ==", "YQ==", True),
    ("BinaryEquals", "YQ==", b"b", False),
    ("BinaryEquals", "YQ==", "?", False),
    ("IpAddress", "192.0.2.0/24", "192.0.2.9", True),
    ("IpAddress", "192.0.2.9", "192.0.2.9", True),
    ("IpAddress", "192.0.2.0/24", "2001:db8::1", False),
    ("IpAddress", "2001:db8::/32", "2001:DB8:0::1", True),
    ("IpAddress", "192.0.2.0/24", "nowhere", False),
    ("NotIpAddress", "192.0.2.0/24", "192.0.3.1", True),
    ("NotIpAddress", ["192.0.2.0/24", "192.0.3.0/24"], "192.0.3.1", False),
    ("ArnEquals", KEY, KEY, True),
    ("ArnEquals", f"arn:aws:kms:*:{OURS}:key/*", KEY, True),
    ("ArnLike", f"arn:aws:*:{OURS}:key/*", KEY, False),
    ("ArnLike", "*", KEY, True),
    ("ArnLike", "*", "no arn", False),
    ("ArnNotEquals", KEY, "no arn", True),
    ("ArnNotLike", "arn:aws:kms:*:*:key/*", KEY, False),
    ("Null", "false", "a", True),
    ("Null", "true", "a", False),
    ("Null", "false", [], False),
]


@pytest.mark.parametrize(("operator", "wanted", "found", "expected"), VALUES)
def test_compares(operator: str, wanted: Any, found: ConditionValue, expected: bool) -> None:
    assert expected is _holds(operator, wanted, found)


ABSENT = {
    "StringEquals": False,
    "StringNotEquals": True,
    "StringNotLike": True,
    "StringLikeIfExists": True,
    "StringNotEqualsIfExists": True,
    "ForAllValues:StringEquals": True,
    "ForAllValues:StringNotEquals": True,
    "ForAnyValue:StringEquals": False,
    "ForAnyValue:StringNotEquals": False,
    "ForAnyValue:StringEqualsIfExists": True,
    "ArnNotEquals": True,
    "ArnEquals": False,
}


@pytest.mark.parametrize(("operator", "expected"), ABSENT.items())
def test_a_key_that_the_request_lacks(operator: str, expected: bool) -> None:
    assert expected is _holds(operator, KEY, None)


def test_null_asks_for_what_the_request_lacks() -> None:
    assert [_holds("Null", wanted, None) for wanted in ("true", "false", ["false", "true"])] == [True, False, True]


SETS: list[tuple[str, list[str], list[str], bool]] = [
    ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", ["a"], [""], True),
    ("ForAllValues:StringNotEquals", ["a"], ["b", "c"], True),
    ("ForAllValues:StringNotEquals", ["a"], ["a", "c"], False),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c", "a"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c"], False),
    ("ForAnyValue:StringLike", ["a*"], ["c", "ab"], True),
    ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
    ("ForAnyValue:StringNotEquals", ["a"], ["a"], False),
    ("StringEquals", ["a"], ["b", "a"], True),
    ("StringNotEquals", ["a"], ["b", "a"], False),
]


@pytest.mark.parametrize(("operator", "wanted", "found", "expected"), SETS)
def test_several_values(operator: str, wanted: list[str], found: list[str], expected: bool) -> None:
    assert expected is _holds(operator, wanted, found)


_FOUND = st.lists(st.text() | st.text("0123456789.:-+TZe/=", max_size=24), max_size=2)


@given(case=st.sampled_from(VALUES), found=_FOUND)
def test_any_value_in_a_request_gets_an_answer(case: tuple[str, Any, ConditionValue, bool], found: list[str]) -> None:
    assert _holds(case[0], case[1], found) in (True, False)


@given(found=st.text(st.characters(codec=None), max_size=4), wanted=st.sampled_from(["?", "a?*", "${aws:Key}"]))
def test_half_characters_in_a_request_get_an_answer(found: str, wanted: str) -> None:
    assert _holds("StringLike", wanted, found) in (True, False)


def test_every_key_of_every_operator_has_to_hold() -> None:
    block = {"StringEquals": {"aws:a": "1", "aws:b": "2"}, "Bool": {"aws:c": "true"}}
    whole = {"aws:a": "1", "aws:b": "2", "aws:c": True}

    assert decide(key=[allow(to="*", Condition=block)], context=whole).allowed
    for key in whole:
        less = {name: value for name, value in whole.items() if name != key}
        assert not decide(key=[allow(to="*", Condition=block)], context=less).allowed


def test_what_the_caller_is_cannot_be_claimed() -> None:
    block = {"StringEquals": {"aws:username": "root"}}

    assert not decide(key=[allow(to="*", Condition=block)], context={"aws:username": "root"}).allowed


def test_many_values_on_both_sides_take_no_long() -> None:
    block = {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": [str(n) for n in range(3500)]}}
    pairs = {f"x{n}": "" for n in range(2000)}
    began = time.process_time()

    assert not decide(key=[allow(to="*", Condition=block)], pairs=pairs).allowed
    assert time.process_time() - began < ROOMY
