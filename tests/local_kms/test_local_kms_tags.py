"""Tags of keys."""

from __future__ import annotations

from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms

_RESERVED = "Tags beginning with aws: are reserved"


def _tags(kms: LocalKms, key_id: str) -> dict[str, str]:
    return {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=key_id)["Tags"]}


def _tag(kms: LocalKms, key_id: str, **tags: str) -> None:
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items()])


def test_a_key_has_the_tags_it_was_made_with(kms: LocalKms) -> None:
    tags = [{"TagKey": "b", "TagValue": "1"}, {"TagKey": "a", "TagValue": ""}]
    key_id = kms.create_key(Tags=tags)["KeyMetadata"]["KeyId"]
    answer = kms.list_resource_tags(KeyId=key_id)
    assert (answer["Tags"], answer["Truncated"]) == (tags[::-1], False)


def test_tags_are_added_and_values_replaced(kms: LocalKms, key_id: str) -> None:
    _tag(kms, key_id, a="1", b="2")
    _tag(kms, key_id, b="3", c="4")
    assert _tags(kms, key_id) == {"a": "1", "b": "3", "c": "4"}


def test_names_differ_by_case(kms: LocalKms, key_id: str) -> None:
    _tag(kms, key_id, name="1", Name="2")
    assert _tags(kms, key_id) == {"Name": "2", "name": "1"}


def test_tags_are_removed_by_name_and_absent_ones_are_no_error(kms: LocalKms, key_id: str) -> None:
    _tag(kms, key_id, a="1", b="2", c="3")
    kms.untag_resource(KeyId=key_id, TagKeys=["a", "c", "never there"])
    assert _tags(kms, key_id) == {"b": "2"}


def test_tags_outside_ascii_are_kept(kms: LocalKms, key_id: str) -> None:
    _tag(kms, key_id, größe="ñandú 😀")
    assert _tags(kms, key_id) == {"größe": "ñandú 😀"}


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (50, [3])])
def test_pages_cover_every_tag_once(kms: LocalKms, key_id: str, limit: int, sizes: list[int]) -> None:
    _tag(kms, key_id, a="1", b="2", c="3")
    pages: list[list[str]] = []
    marker: dict[str, str] = {}
    while not pages or marker:
        answer = kms.list_resource_tags(KeyId=key_id, Limit=limit, **marker)
        pages.append([tag["TagKey"] for tag in answer["Tags"]])
        assert answer["Truncated"] is ("NextMarker" in answer)
        marker = {"Marker": answer["NextMarker"]} if answer["Truncated"] else {}
    assert [len(page) for page in pages] == sizes
    assert [name for page in pages for name in page] == ["a", "b", "c"]


def test_a_marker_of_another_list_is_refused(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.create_key()
    marker = kms.list_keys(Limit=1)["NextMarker"]
    with refused("InvalidMarkerException"):
        kms.list_resource_tags(KeyId=key_id, Marker=marker)


def test_a_key_has_at_most_fifty(kms: LocalKms, key_id: str, refused: Any) -> None:
    _tag(kms, key_id, **{f"t{number}": "" for number in range(49)})
    _tag(kms, key_id, t0="again", t49="")
    with refused("TagException", "Too many tags"):
        _tag(kms, key_id, t0="once more", t50="")
    assert _tags(kms, key_id)["t0"] == "again"


_NO_TAGS: list[tuple[list[dict[str, Any]], str, str | None]] = [
    (
        [{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "1"}],
        "TagException",
        "Duplicate tag keys",
    ),
    ([{"TagKey": "aws:a", "TagValue": "1"}], "TagException", _RESERVED),
    ([{"TagKey": "AWS:a", "TagValue": "1"}], "TagException", _RESERVED),
    (
        [{"TagKey": "a", "TagValue": "v" * 257}],
        "ValidationException",
        f"1 validation error detected: Value '{'v' * 257}' at 'tags.1.member.tagValue' failed to satisfy constraint: "
        "Member must have length less than or equal to 256",
    ),
    (
        [{"TagKey": "a" * 129, "TagValue": ""}],
        "ValidationException",
        f"1 validation error detected: Value '{'a' * 129}' at 'tags.1.member.tagKey' failed to satisfy constraint: "
        "Member must have length less than or equal to 128",
    ),
]


@pytest.mark.parametrize(("tags", "code", "text"), _NO_TAGS)
def test_tag_resource_refuses(
    kms: LocalKms, key_id: str, refused: Any, tags: list[dict[str, Any]], code: str, text: str | None
) -> None:
    with refused(code, text):
        kms.tag_resource(KeyId=key_id, Tags=tags)
    assert _tags(kms, key_id) == {}


def test_reserved_tags_are_not_removed(kms: LocalKms, key_id: str, refused: Any) -> None:
    with refused("TagException", _RESERVED):
        kms.untag_resource(KeyId=key_id, TagKeys=["aws:a"])


@pytest.mark.parametrize("operation", ["tag_resource", "untag_resource", "list_resource_tags"])
def test_no_alias_is_taken(kms: LocalKms, key_id: str, refused: Any, operation: str) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    given: dict[str, Any] = {"tag_resource": {"Tags": []}, "untag_resource": {"TagKeys": []}}.get(operation, {})
    with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
        getattr(kms, operation)(KeyId="alias/a", **given)
