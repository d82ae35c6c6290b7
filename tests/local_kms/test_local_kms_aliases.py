"""Aliases, and lists in pages."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.managed import PREDEFINED

_ARN = "arn:aws:kms:us-east-1:000000000000:"


def test_an_alias_is_listed_with_its_key(kms: LocalKms, key_id: str) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    now = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
    assert kms.list_aliases()["Aliases"][0:1] == [
        {
            "AliasName": "alias/a",
            "AliasArn": _ARN + "alias/a",
            "TargetKeyId": key_id,
            "CreationDate": now,
            "LastUpdatedDate": now,
        }
    ]


def test_an_alias_moved_keeps_its_creation_date(kms: LocalKms, key_id: str, clock: Any) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    clock.advance(hours=1)
    kms.update_alias(AliasName="alias/a", TargetKeyId=other)
    (entry,) = kms.list_aliases(KeyId=other)["Aliases"]
    assert entry["TargetKeyId"] == other
    assert (entry["LastUpdatedDate"] - entry["CreationDate"]).total_seconds() == 3600


def test_what_an_alias_encrypted_before_it_moved_still_decrypts(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    blob = kms.encrypt(KeyId="alias/a", Plaintext=b"x")["CiphertextBlob"]
    kms.update_alias(AliasName="alias/a", TargetKeyId=kms.create_key()["KeyMetadata"]["Arn"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId="alias/a")


def test_an_alias_removed_names_nothing(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    kms.delete_alias(AliasName="alias/a")
    with refused("NotFoundException", f"Alias {_ARN}alias/a is not found."):
        kms.describe_key(KeyId="alias/a")


def test_aliases_are_listed_by_key(kms: LocalKms, key_id: str, arn: str) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    for name, target in (("alias/a", key_id), ("alias/b", other), ("alias/c", key_id)):
        kms.create_alias(AliasName=name, TargetKeyId=target)
    for name in (key_id, arn):
        found = kms.list_aliases(KeyId=name)["Aliases"]
        assert [entry["AliasName"] for entry in found] == ["alias/a", "alias/c"]


def test_listing_the_aliases_of_no_key_is_not_found(kms: LocalKms, refused: Any) -> None:
    with refused("NotFoundException"):
        kms.list_aliases(KeyId="00000000-0000-4000-8000-000000000000")


def test_a_name_is_given_once(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("AlreadyExistsException", f"An alias with the name {_ARN}alias/a already exists"):
        kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        (
            "a",
            "ValidationException",
            'Alias must start with the prefix "alias/". '
            "Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ),
        ("alias/aws/s3", "NotAuthorizedException", ""),
        ("alias/", "InvalidAliasNameException", None),
        ("alias/a:b", "ValidationException", "alias/a:b contains invalid characters for an alias"),
        (
            "alias/a b",
            "ValidationException",
            "1 validation error detected: Value 'alias/a b' at 'aliasName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        ("alias/a\n", "ValidationException", None),
        ("alias/" + "a" * 251, "ValidationException", None),
        ("", "ValidationException", None),
        (None, "ValidationException", None),
        (5, "SerializationException", None),
    ],
)
@pytest.mark.parametrize("operation", ["create_alias", "update_alias"])
def test_a_name_that_cannot_be_one_is_refused(
    kms: LocalKms, key_id: str, refused: Any, operation: str, name: Any, code: str, text: str | None
) -> None:
    with refused(code, text):
        getattr(kms, operation)(AliasName=name, TargetKeyId=key_id)


def test_the_longest_name_is_taken(kms: LocalKms, key_id: str) -> None:
    name = "alias/" + "a" * 250
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key_id


@pytest.mark.parametrize("target", ["alias/a", _ARN + "alias/a"])
@pytest.mark.parametrize("operation", ["create_alias", "update_alias"])
def test_an_alias_of_an_alias_is_refused(kms: LocalKms, key_id: str, refused: Any, operation: str, target: str) -> None:
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    with refused("ValidationException", "Aliases must refer to keys. Not aliases"):
        getattr(kms, operation)(AliasName="alias/b" if operation == "create_alias" else "alias/a", TargetKeyId=target)


def test_an_alias_of_no_key_is_refused(kms: LocalKms, refused: Any) -> None:
    with refused("NotFoundException"):
        kms.create_alias(AliasName="alias/a", TargetKeyId="00000000-0000-4000-8000-000000000000")


@pytest.mark.parametrize("operation", ["update_alias", "delete_alias"])
def test_an_alias_that_is_not_there_is_not_found(kms: LocalKms, key_id: str, refused: Any, operation: str) -> None:
    target = {"TargetKeyId": key_id} if operation == "update_alias" else {}
    with refused("NotFoundException", f"Alias {_ARN}alias/none is not found."):
        getattr(kms, operation)(AliasName="alias/none", **target)


def test_an_alias_leaves_a_key_pending_deletion_but_does_not_come_to_one(
    kms: LocalKms, key_id: str, arn: str, refused: Any
) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    kms.schedule_key_deletion(KeyId=key_id)
    kms.update_alias(AliasName="alias/a", TargetKeyId=other)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        kms.update_alias(AliasName="alias/a", TargetKeyId=key_id)


def test_regions_of_one_store_share_nothing(store: Any) -> None:
    here = LocalKms(store)
    there = LocalKms(store, region="eu-west-1")
    for kms in (here, there):
        kms.create_alias(AliasName="alias/a", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    assert here.describe_key(KeyId="alias/a") != there.describe_key(KeyId="alias/a")
    assert len(here.list_keys()["Keys"]) == len(there.list_keys()["Keys"]) == 1


# --- pages -----------------------------------------------------------------------------------------------------------


def _all_pages(list_page: Any, member: str, **parameters: Any) -> list[list[Any]]:
    pages: list[list[Any]] = []
    marker: dict[str, str] = {}
    while True:
        answer = list_page(**parameters, **marker)
        pages.append(answer[member])
        assert answer["Truncated"] is ("NextMarker" in answer)
        if not answer["Truncated"]:
            return pages
        marker = {"Marker": answer["NextMarker"]}


@pytest.mark.parametrize(("count", "limit", "sizes"), [(0, 2, [0]), (2, 2, [2]), (3, 2, [2, 1]), (5, 1, [1] * 5)])
def test_pages_cover_every_item_once(kms: LocalKms, count: int, limit: int, sizes: list[int]) -> None:
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(count)}
    for number, key_id in enumerate(made):
        kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_id)
    assert [len(page) for page in _all_pages(kms.list_keys, "Keys", Limit=limit)] == sizes
    assert {entry["KeyId"] for page in _all_pages(kms.list_keys, "Keys", Limit=limit) for entry in page} == made


def test_a_hundred_keys_make_a_page_unless_said_otherwise(kms: LocalKms) -> None:
    for _ in range(101):
        kms.create_key()
    assert len(kms.list_keys()["Keys"]) == 100
    assert len(kms.list_keys(Limit=1000)["Keys"]) == 101


def test_fifty_aliases_make_a_page_and_a_hundred_at_most(kms: LocalKms) -> None:
    key_ids = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)]
    for number in range(101):
        kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_ids[number % 3])
    assert len(kms.list_aliases()["Aliases"]) == 50
    assert len(kms.list_aliases(Limit=1000)["Aliases"]) == 100


def test_a_key_made_between_two_pages_disturbs_neither(kms: LocalKms) -> None:
    before = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(4)}
    first = kms.list_keys(Limit=2)
    kms.create_key()
    second = kms.list_keys(Limit=1000, Marker=first["NextMarker"])
    seen = [entry["KeyId"] for entry in first["Keys"] + second["Keys"]]
    assert before <= set(seen)
    assert len(seen) == len(set(seen))


_FOREIGN = base64.urlsafe_b64encode(b"aliases:alias/a").decode()


@pytest.mark.parametrize("marker", ["nonsense", "a", base64.b64encode(b"\xff").decode(), "keys:", _FOREIGN, "~~~~"])
def test_a_marker_that_was_never_given_is_refused(kms: LocalKms, refused: Any, marker: str) -> None:
    with refused("InvalidMarkerException"):
        kms.list_keys(Marker=marker)


@pytest.mark.parametrize(("limit", "rule"), [(0, "greater than or equal to 1"), (1001, "less than or equal to 1000")])
def test_a_page_has_from_one_to_a_thousand_items(kms: LocalKms, refused: Any, limit: int, rule: str) -> None:
    text = (
        f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
        f"Member must have value {rule}"
    )
    with refused("ValidationException", text):
        kms.list_keys(Limit=limit)
    with refused("ValidationException", text):
        kms.list_aliases(Limit=limit)


@pytest.mark.parametrize("owners", [["SELF"], ["SELF", "OTHER_ACCOUNTS_VIA_RAM"], ["OTHER_ACCOUNTS_VIA_RAM", "SELF"]])
def test_the_accounts_own_keys_are_listed(kms: LocalKms, key_id: str, owners: list[str]) -> None:
    assert [entry["KeyId"] for entry in kms.list_keys(ResourceOwners=owners)["Keys"]] == [key_id]


def test_no_other_account_shares_keys_through_ram(kms: LocalKms, key_id: str) -> None:
    answer = kms.list_keys(ResourceOwners=["OTHER_ACCOUNTS_VIA_RAM"])
    assert (answer["Keys"], answer["Truncated"]) == ([], False)


@pytest.mark.parametrize("owners", [[], ["EVERYBODY"], ["SELF"] * 3])
def test_owners_that_cannot_be_are_refused(kms: LocalKms, refused: Any, owners: list[str]) -> None:
    with refused("ValidationException"):
        kms.list_keys(ResourceOwners=owners)


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_of_aliases_cover_each_once_in_order_with_awss_own_among_them(kms: LocalKms, limit: int) -> None:
    for name in ("alias/a", "alias/aws-like", "alias/b", "alias/z"):
        kms.create_alias(AliasName=name, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    kms.describe_key(KeyId="alias/aws/kinesis")
    pages = _all_pages(kms.list_aliases, "Aliases", Limit=limit)
    names = [entry["AliasName"] for page in pages for entry in page]
    assert names == sorted({*names, *PREDEFINED})
    assert len(names) == len(PREDEFINED) + 4
    assert all(len(page) == limit for page in pages[:-1])
