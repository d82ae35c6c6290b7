"""Encryption contexts: what they may hold, how they are ordered, and what a parser refuses."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import context_field, counted, pairs_field

from envelope_sdk import EncryptionContext
from envelope_sdk.errors import EncryptionContextError, MessageError
from envelope_sdk.formats.cursor import Cursor, NeedMoreBytes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=6)


def parse(data: bytes) -> EncryptionContext:
    cursor = Cursor(data, "test")
    context = EncryptionContext.parse(cursor)
    assert cursor.position == len(data)
    return context


@given(PAIRS)
def test_parsing_what_was_encoded_gives_it_back(pairs: dict[str, str]):
    assert parse(EncryptionContext(pairs).encode()) == pairs


@given(st.lists(st.tuples(TEXT, TEXT), unique_by=lambda pair: pair[0], max_size=6))
def test_encoding_what_was_parsed_gives_its_bytes_in_whatever_order(pairs: list[tuple[str, str]]):
    assert parse(context_field(pairs)).encode() == context_field(pairs)


@given(PAIRS)
def test_pairs_are_sorted_by_the_bytes_of_their_keys(pairs: dict[str, str]):
    ordered = sorted((key.encode(), value.encode()) for key, value in pairs.items())

    assert EncryptionContext(pairs).canonical == (pairs_field(ordered) if pairs else b"")


@given(PAIRS)
def test_the_order_given_does_not_matter(pairs: dict[str, str]):
    backwards = EncryptionContext(dict(reversed(pairs.items())))

    assert backwards.encode() == EncryptionContext(pairs).encode()
    assert hash(backwards) == hash(EncryptionContext(pairs))


def test_keys_past_the_basic_plane_come_last_as_their_bytes_do():
    # In UTF-16 the first would come before the second.
    context = EncryptionContext({"\U00010000": "1", "\uffff": "2", "a": "3"})

    assert context.canonical == pairs_field([("a", "3"), ("\uffff", "2"), ("\U00010000", "1")])


def test_a_context_parsed_unsorted_keeps_its_bytes_and_knows_the_sorted_ones():
    context = parse(context_field([("b", "2"), ("a", "1")]))

    assert context.encode() == context_field([("b", "2"), ("a", "1")])
    assert context.canonical == pairs_field([("a", "1"), ("b", "2")])
    assert context.sorted().encode() == context_field([("a", "1"), ("b", "2")])


def test_a_sorted_context_is_itself_when_sorted():
    context = EncryptionContext({"b": "2", "a": "1"})

    assert context.sorted() is context


def test_an_empty_context_is_two_zero_bytes_in_the_header_and_nothing_elsewhere():
    assert EncryptionContext().encode() == b"\0\0"
    assert EncryptionContext().canonical == b""
    assert parse(b"\0\0") == {}


@pytest.mark.parametrize(("size", "fits"), [(65_535, True), (65_536, False)])
def test_it_takes_at_most_65535_bytes_its_count_included(size: int, fits: bool):
    pairs = {"k": "v" * (size - 2 - 4 - 1)}

    if fits:
        assert parse(EncryptionContext(pairs).encode()) == pairs
    else:
        with pytest.raises(EncryptionContextError, match="65536 bytes"):
            EncryptionContext(pairs)


def test_many_small_pairs_count_too():
    with pytest.raises(EncryptionContextError):
        EncryptionContext({f"{number:08x}": "" for number in range(6000)})


@pytest.mark.parametrize("pairs", [{"k": "v" * 65_536}, {"k" * 65_536: "v"}])
def test_one_text_that_is_too_long_is_named(pairs: dict[str, str]):
    with pytest.raises(EncryptionContextError, match="key or value takes 65536 bytes"):
        EncryptionContext(pairs)


@pytest.mark.parametrize("pairs", [{"\ud800": "v"}, {"k": "\udfff"}])
def test_text_that_utf8_cannot_hold_is_refused(pairs: dict[str, str]):
    with pytest.raises(EncryptionContextError, match="not encodable"):
        EncryptionContext(pairs)


@pytest.mark.parametrize("pairs", [{b"k": "v"}, {"k": b"v"}, {"k": 1}, {"k": None}])
def test_only_text_is_taken(pairs: dict[str, str]):
    with pytest.raises(TypeError):
        EncryptionContext(pairs)


def test_it_does_not_follow_the_mapping_it_was_made_from():
    pairs = {"a": "1"}
    context = EncryptionContext(pairs)
    pairs["a"] = "2"

    assert context == {"a": "1"}


def test_it_is_a_mapping_that_cannot_be_changed():
    context = EncryptionContext({"a": "1"})

    assert (context["a"], len(context), list(context), "b" in context) == ("1", 1, ["a"], False)
    with pytest.raises(TypeError):
        context["a"] = "2"  # type: ignore[index]


def test_parts_of_it():
    context = EncryptionContext({"a": "1", "b": "2"})

    assert context.only(["b", "c"]) == {"b": "2"}
    assert context.without(["b", "c"]) == {"a": "1"}
    assert context.without(["c"]) is context
    assert context.merged({"b": "3"}) == {"a": "1", "b": "3"}
    assert context.merged({"b": "2"}) is context
    assert EncryptionContext.of(context) is context
    assert EncryptionContext.of(None) == {}


def test_empty_contexts_made_of_nothing_are_one_object():
    assert EncryptionContext.of(None) is EncryptionContext.of({}) is parse(b"\0\0")
    for nothing in ([], "", 0, ()):
        with pytest.raises(TypeError, match="mapping of text to text"):
            EncryptionContext.of(nothing)  # type: ignore[arg-type]


def test_it_is_looked_up_like_a_dictionary():
    context = EncryptionContext({"a": "1"})

    assert ("a" in context, "b" in context, 1 in context) == (True, False, False)
    assert (context.get("a"), context.get("b"), context.get("b", "2"), context.get("b", None)) == ("1", None, "2", None)
    for look in (context.__contains__, context.get):
        with pytest.raises(TypeError, match="unhashable"):
            look([])  # type: ignore[arg-type]


def test_a_value_is_no_reserved_key():
    assert EncryptionContext({"x": "aws-crypto-"}).reserved_keys == ()
    assert EncryptionContext({"x": "aws-crypto-", "xaws-crypto-": ""}).reserved_keys == ()
    assert EncryptionContext().reserved_keys == ()


def test_reserved_keys_are_those_of_the_format():
    assert EncryptionContext({"aws-crypto-x": "", "aws-cryptox": "", "x": ""}).reserved_keys == ("aws-crypto-x",)


def test_it_can_be_pickled_and_shown():
    context = EncryptionContext({"a": "1"})

    assert pickle.loads(pickle.dumps(context)) == context
    assert repr(context) == "EncryptionContext({'a': '1'})"


MALFORMED = {
    "a length without pairs": (counted(b"\0\0"), 2, "no pairs"),
    "the same key twice": (context_field([("a", "1"), ("a", "2")]), 12, "stands twice"),
    "bytes left over": (context_field([("a", "1")], extra=b"xyz"), 10, "left over"),
    "fewer pairs than counted": (context_field([("a", "1")], count=2), 10, "reaches past"),
    "a key past the end": (counted(b"\0\1\0\5a"), 6, "reaches past"),
    "half a count": (counted(b"\0"), 2, "reaches past"),
    "a key that is not UTF-8": (context_field([(b"\x80", "1")]), 6, "not UTF-8"),
    "a value that is not UTF-8": (context_field([("a", b"\xf0\x9f")]), 9, "not UTF-8"),
}


@pytest.mark.parametrize(("data", "offset", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_context_is_refused_with_its_place(data: bytes, offset: int, reason: str):
    with pytest.raises(MessageError, match=reason) as error:
        parse(data)

    assert (error.value.section, error.value.offset) == ("encryption context", offset)


@given(PAIRS.filter(bool), st.data())
def test_a_context_that_is_not_all_there_needs_more(pairs: dict[str, str], data: st.DataObject):
    field = EncryptionContext(pairs).encode()
    end = data.draw(st.integers(0, len(field) - 1))

    with pytest.raises(NeedMoreBytes) as need:
        parse(field[:end])

    assert end < need.value.total <= len(field)


@given(st.binary(max_size=60))
def test_whatever_parses_encodes_to_the_same_bytes(data: bytes):
    try:
        context = EncryptionContext.parse(Cursor(counted(data), "test"))
    except MessageError:
        return
    assert context.encode() == counted(data)


@pytest.mark.parametrize("pairs", ["abc", ["abc"], 5, [("a", "b")]])
def test_what_is_no_mapping_is_refused(pairs):
    with pytest.raises(TypeError, match="mapping of text to text"):
        EncryptionContext(pairs)
