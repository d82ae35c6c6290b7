"""Wildcards and variables: what matches, against regular expressions, and in linear time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.local_kms.policy.names import ArnPattern, arn_parts
from envelope_sdk.local_kms.policy.patterns import Glob, Variable, Wildcard, glob_of, resolved, tokens_of

ROOMY = 2.0  # seconds: what is quadratic takes minutes
ANY, ONE = Wildcard.ANY, Wildcard.ONE


def _none(key: str) -> tuple[str, ...]:
    return ()


def _regex(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)


@given(pattern=st.text("ab*?", max_size=12), text=st.text("ab", max_size=14))
def test_matches_like_a_regular_expression(pattern: str, text: str) -> None:
    expected = re.fullmatch(_regex(pattern), text, re.DOTALL) is not None

    assert expected is glob_of(pattern)(text)


@given(pattern=st.text("aé\n*?", max_size=8), text=st.text("aé\n?*", max_size=10))
def test_matches_any_character(pattern: str, text: str) -> None:
    expected = re.fullmatch(_regex(pattern), text, re.DOTALL) is not None

    assert expected is glob_of(pattern)(text)


@given(pattern=st.text("a*?${}:,' k", max_size=16))
def test_tokens_lose_no_character(pattern: str) -> None:
    tokens = tokens_of(pattern, wildcards=True, variables=False)

    assert pattern == "".join(token.value if isinstance(token, Wildcard) else str(token) for token in tokens)


N = 30_000
HOSTILE = {
    "asterisks": ("*a" * 200 + "b", "a" * N),
    "asterisks and question marks": ("*a?" * 200 + "b", "a" * N),
    "a long piece": ("*" + "a" * (N // 2) + "b*", "a" * N),
    "a long piece with a question mark": ("*" + "a" * (N // 2) + "?b*", "a" * N),
    "question marks only": ("*" + "?" * (N // 2) + "*b", "a" * N),
    "many pieces": ("*a" * (N // 2) + "*b", "a" * N),
    "many pieces with question marks": ("*?a" * (N // 3) + "*b", "a" * N),
}


@pytest.mark.parametrize(("pattern", "text"), HOSTILE.values(), ids=HOSTILE)
def test_no_pattern_takes_long(pattern: str, text: str) -> None:
    glob = glob_of(pattern)
    began = time.process_time()

    assert not glob(text)
    assert time.process_time() - began < ROOMY


TOKENS = {
    "a variable": ("a${aws:username}b", ("a", Variable("aws:username"), "b")),
    "case does not matter": ("${AWS:UserName}", (Variable("aws:username"),)),
    "a default": ("${aws:x, 'a, b'}", (Variable("aws:x", "a, b"),)),
    "an empty default": ("${aws:x,''}", (Variable("aws:x", ""),)),
    "a default without quotes is none": ("${aws:x, a}", (Variable("aws:x"),)),
    "wildcards": ("a*b?", ("a", ANY, "b", ONE)),
    "characters that are no wildcards": ("${*}${?}${$}", ("*?$",)),
    "braces that are left open": ("${aws:x", ("${aws:x",)),
    "a dollar": ("$5", ("$5",)),
    "nothing": ("", ()),
}


@pytest.mark.parametrize(("text", "tokens"), TOKENS.values(), ids=TOKENS)
def test_tokens(text: str, tokens: tuple[object, ...]) -> None:
    assert tokens == tokens_of(text, wildcards=True, variables=True)


def test_the_first_version_has_no_variables() -> None:
    assert tokens_of("${aws:x}", wildcards=True, variables=False) == ("${aws:x}",)


def test_a_wildcard_in_a_value_is_none() -> None:
    tokens = tokens_of("${aws:x}*", wildcards=True, variables=True)
    filled = resolved(tokens, {"aws:x": ("a*",)}.__getitem__)

    assert filled == ("a*", ANY)
    assert [Glob(filled)(text) for text in ("a*b", "ab")] == [True, False]


def test_a_variable_without_value_resolves_to_nothing() -> None:
    assert resolved((Variable("aws:x"),), _none) is None


def test_a_variable_with_several_values_resolves_to_nothing() -> None:
    assert resolved((Variable("aws:x", "default"),), lambda _: ("a", "b")) is None


ARNS = {
    "a wildcard stays in its part": ("arn:aws:kms:*:1:key/x", "arn:aws:kms:eu:2:1:key/x", False),
    "but in the last part it does not": ("arn:aws:kms:eu:1:*", "arn:aws:kms:eu:1:alias/a:b", True),
    "an asterisk at the end is for all that follows": ("arn:aws:kms:*", "arn:aws:kms:eu:1:key/x", True),
    "without one an ARN is whole": ("arn:aws:kms", "arn:aws:kms:eu:1:key/x", False),
    "a part may be empty": ("arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a/b", True),
    "a part has a case": ("arn:aws:kms:eu:1:key/x", "arn:aws:kms:eu:1:KEY/x", False),
    "what is no ARN": ("arn:*", "key/x", False),
}


@pytest.mark.parametrize(("pattern", "arn", "expected"), ARNS.values(), ids=ARNS)
def test_arns_match_part_by_part(pattern: str, arn: str, expected: bool) -> None:
    compiled = ArnPattern(tokens_of(pattern, wildcards=True, variables=True))

    assert expected is compiled.matches(arn_parts(arn), _none)
