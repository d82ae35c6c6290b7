"""Rules for stores: what is put in comes out again, in its order, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import KeyState, LastUsage
from envelope_sdk.testing.contract import Rule, require, rule
from envelope_sdk.testing.store_subject import (
    ACCESS_KEY,
    ALIAS,
    GRANT,
    HERE,
    IDENTITY,
    KEY,
    MATERIAL,
    NOW,
    SECRET,
    TAGS,
    THERE,
    USER,
    StoreSubject,
    numbered,
)

__all__ = ["RECORD_RULES"]

_DAY: Final = timedelta(days=1)
_NAMES: Final = ("B", "Z", "_", "a", "a-b", "a/b", "b")
"""In the order of their bytes, which is not that of any language."""


@rule("keeps-keys", "Return every field of a key as it was given, to the millisecond, and None where there is no key.")
def keeps_keys(subject: StoreSubject) -> None:
    """Added, replaced, and found by every way."""
    with subject.store() as store:
        with store.read() as look:
            require(look.key(HERE, "mrk-1") == KEY, f"the key is {look.key(HERE, 'mrk-1')!r}")
            require(look.key(HERE, "nowhere") is None, "there is a key that nobody made")
            require(look.key(THERE, "mrk-1") is None, "a key of one Region is found in another")
        changed = replace(numbered("mrk-1"), description="", role=None, primary_region=None, rotation_days=None)
        with store.write() as change:
            change.update_key(changed)
            change.add_key(numbered("mrk-1", THERE), {})
            change.add_key(numbered("mrk-1", Scope("444455556666", "eu-west-1")), {})
        with store.read() as look:
            require(look.key(HERE, "mrk-1") == changed, "a key that was replaced is not what it was replaced by")
            related = list(look.related("111122223333", "mrk-1"))
            require(related == [changed, numbered("mrk-1", THERE)], "related() returns other keys, or in another order")
            require(look.count_keys(HERE) == 1, "count_keys() is not the number of keys")
            wanted = [HERE, THERE, Scope("444455556666", "eu-west-1")]
            require(list(look.scopes()) == wanted, "scopes() are not those that have keys, in their order")


@rule(
    "keeps-materials",
    "Return a material's secret as it was given, unless its record says that it is not present: then it is erased.",
)
def keeps_materials(subject: StoreSubject) -> None:
    """Secrets and what is known of them."""
    with subject.store() as store:
        second = replace(MATERIAL, material_id="bb", created=NOW + _DAY, expiry=None, rotated=None, rotation=None)
        with store.write() as change:
            change.add_material(HERE, second, bytearray(SECRET[::-1]))
        with store.read() as look:
            found = look.material(HERE, "aa")
            require(found is not None and bytes(found.secret) == SECRET, "a secret is not what it was")
            require(list(look.materials(HERE, "mrk-1")) == [MATERIAL, second], "the records of materials differ")
            require(look.material(THERE, "aa") is None, "a material of one Region is found in another")
            owners = [look.owner_of(region, "aa") for region in ("eu-west-1", "us-east-1")]
            require(owners == [(HERE, "mrk-1"), None], "owner_of() is not the key that a material belongs to")
        gone = replace(MATERIAL, present=False)
        with store.write() as change:
            change.update_material(HERE, gone)
        with store.read() as look:
            require(look.material(HERE, "aa") is None, "the secret of a material that is not present is there")
            require(not look.materials(HERE, "mrk-1")[0].present, "a material without its secret is present")
        with store.write() as change:
            change.replace_secret(HERE, "mrk-1", "aa", SECRET)
            change.update_material(HERE, MATERIAL)
        with store.read() as look:
            found = look.material(HERE, "aa")
            require(found is not None and bytes(found.secret) == SECRET, "a secret that was put back is not there")


@rule("keeps-names", "Keep aliases and tags by name: one that is put again replaces the one that is there.")
def keeps_names(subject: StoreSubject) -> None:
    """Aliases and tags."""
    with subject.store() as store:
        moved = replace(ALIAS, key_id="other", updated=NOW + _DAY)
        with store.read() as look:
            require(look.alias(HERE, "alias/a") == ALIAS, "an alias is not what it was")
            require(dict(look.tags(HERE, "mrk-1")) == TAGS, "the tags are not what they were")
        with store.write() as change:
            change.add_key(numbered("other"), {})
            change.put_alias(moved)
            change.put_tags(HERE, "mrk-1", {"empty": "no more", "new": "x"})
            change.remove_tags(HERE, "mrk-1", ["As It Is", "nowhere"])
        with store.read() as look:
            require(look.alias(HERE, "alias/a") == moved, "an alias that was moved is not what it was moved to")
            wanted = {"größe": TAGS["größe"], "empty": "no more", "new": "x"}
            require(dict(look.tags(HERE, "mrk-1")) == wanted, "tags that were put again or removed are not right")
        with store.write() as change:
            change.remove_alias(HERE, "alias/a")
        with store.read() as look:
            require(look.alias(HERE, "alias/a") is None, "an alias that was removed is there")


@rule("keeps-access", "Keep grants, identities and access keys; an identity takes its access keys with it.")
def keeps_access(subject: StoreSubject) -> None:
    """Grants, identities and access keys."""
    with subject.store() as store:
        with store.read() as look:
            require(list(look.grants(HERE, "mrk-1")) == [GRANT], "a grant is not what it was")
            retiring, last = str(GRANT.retiring), ("111122223333", "mrk-1", "g1")
            retirable = [list(look.retirable("eu-west-1", retiring, after, 10)) for after in (("", "", ""), last)]
            require(retirable == [[GRANT], []], "retirable() returns other grants")
            require(look.identity(USER) == IDENTITY, "an identity is not what it was")
            require(list(look.identities("111122223333")) == [IDENTITY], "identities() returns others")
            require(look.access_key("AKIA1") == ACCESS_KEY, "an access key or its secret is not what it was")
            require(list(look.access_keys(USER)) == [ACCESS_KEY], "access_keys() returns others")
        with store.write() as change:
            change.remove_grant(HERE, "mrk-1", "g1")
            change.remove_identity(USER)
        with store.read() as look:
            left = [*look.grants(HERE, "mrk-1"), look.identity(USER), look.access_key("AKIA1")]
            require(left == [None, None], "something that was removed is there")


@rule("keeps-figures", "Add counts to those that are there; an earlier use does not replace a later one.")
def keeps_figures(subject: StoreSubject) -> None:
    """Counts and last uses."""
    with subject.store() as store:
        later = LastUsage("Decrypt", NOW + _DAY, "event-2", "request-2")
        with store.write() as change:
            change.add_usage("2026-01", {(HERE, "mrk-1", "symmetric"): 2, (HERE, "", "requests"): 1})
            change.add_usage("2026-01", {(HERE, "mrk-1", "symmetric"): 3})
            change.add_usage("2026-02", {(HERE, "mrk-1", "symmetric"): 7})
            for usage in (later, LastUsage("Encrypt", NOW, "event-1", "request-1")):
                change.put_last_usage(HERE, "mrk-1", usage)
            change.put_last_usage(HERE, "nowhere", later)
        with store.read() as look:
            wanted = {(HERE, "mrk-1", "symmetric"): 5, (HERE, "", "requests"): 1}
            require(dict(look.usage_counts("2026-01")) == wanted, "the counts of a month are not their sums")
            require(look.last_usage(HERE, "mrk-1") == later, "the last use is not the latest")
            require(look.last_usage(HERE, "nowhere") is None, "a key that is not there has been used")
            require(look.tracked_since() is None, "a new store has not noted all uses")


@rule("pages", "Sort text by its bytes, whatever the language of the database, and return what comes after `after`.")
def pages(subject: StoreSubject) -> None:
    """Keys and aliases, a few at a time."""
    with subject.store(filled=False) as store:
        with store.write() as change:
            for name in reversed(_NAMES):
                change.add_key(numbered(name), {})
                change.put_alias(replace(ALIAS, name=f"alias/{name}", key_id=name))
            change.put_alias(replace(ALIAS, name="alias/zz", key_id="a"))
        with store.read() as look:
            keys = [key.key_id for key in look.keys(HERE, "", 100)]
            require(keys == list(_NAMES), f"the keys come in the order {keys}")
            require([key.key_id for key in look.keys(HERE, "_", 2)] == ["a", "a-b"], "a page of keys is another")
            names = [alias.name.removeprefix("alias/") for alias in look.aliases(HERE, "alias/Z", 3, None)]
            require(names == ["_", "a", "a-b"], f"a page of aliases is {names}")
            names = [alias.name for alias in look.aliases(HERE, "", 100, "a")]
            require(names == ["alias/a", "alias/zz"], f"the aliases of one key are {names}")
            require(not look.keys(THERE, "", 100), "the keys of one Region are listed in another")


@rule("what-is-due", "Find what is due in every scope, and erase keys with all that belongs to them.")
def what_is_due(subject: StoreSubject) -> None:
    """Deletions, rotations and expiries."""
    with subject.store() as store:
        rotating = replace(numbered("rotating"), next_rotation=NOW + 90 * _DAY)
        with store.write() as change:
            change.add_key(numbered("lasting"), {"a": "b"})
            change.add_key(rotating, {})
            require(change.next_due() == MATERIAL.expiry, "next_due() is not the earliest date")
            require(not change.due_expiries(NOW), "a material expires before its time")
            require(list(change.due_expiries(NOW + 3 * _DAY)) == [(HERE, MATERIAL)], "a material does not expire")
            found = [key.key_id for key in change.due_rotations(NOW + 90 * _DAY)]
            require(found == ["mrk-1", "rotating"], f"the keys to be rotated are {found}")
            require(not change.erase_keys(NOW + 29 * _DAY), "a key is erased before its time")
            require(list(change.erase_keys(NOW + 30 * _DAY)) == [KEY], "erase_keys() returns other keys")
        with store.read() as look:
            left = [look.key(HERE, "mrk-1"), look.material(HERE, "aa"), look.alias(HERE, "alias/a")]
            more = [*look.materials(HERE, "mrk-1"), *look.tags(HERE, "mrk-1"), *look.grants(HERE, "mrk-1")]
            require(left == [None] * 3 and not more, "something of a key that was erased is there")
            lasting = look.key(HERE, "lasting")
            require(lasting is not None and lasting.state is KeyState.ENABLED, "another key was erased as well")


RECORD_RULES: Final[tuple[Rule[StoreSubject], ...]] = (
    keeps_keys,
    keeps_materials,
    keeps_names,
    keeps_access,
    keeps_figures,
    pages,
    what_is_due,
)
"""In the order in which they are checked."""
