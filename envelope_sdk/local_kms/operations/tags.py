"""TagResource, UntagResource, ListResourceTags, and the rules for tags."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.operations.pages import read_page
from envelope_sdk.local_kms.parameters import MAX_TAG_KEY, Parameters

__all__ = ["checked_tags", "list_resource_tags", "tag_resource", "untag_resource"]

_DEFAULT_LIMIT: Final = 50
_MOST: Final = 50


def tag_resource(call: Call) -> dict[str, Any]:
    """Add tags to a key, or give those of their names another value."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    given = parameters.tags("Tags", required=True)
    parameters.done()
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        tags = checked_tags(given, call.limits.tags_per_key, transaction.tags(key.scope, key.key_id))
        transaction.put_tags(key.scope, key.key_id, tags)
    return {}


def untag_resource(call: Call) -> dict[str, Any]:
    """Remove tags; those that are not there are no error."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    names = parameters.bounded_strings("TagKeys", 1, MAX_TAG_KEY, required=True)
    parameters.done()
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        _refuse_reserved(names)
        transaction.remove_tags(key.scope, key.key_id, names)
    return {}


def list_resource_tags(call: Call) -> dict[str, Any]:
    """List a key's tags in the order of their names."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    read = read_page(parameters, "tags", _DEFAULT_LIMIT, _MOST)
    parameters.done()
    page = read()
    key = call.key(name, call.view, aliases=False)
    with call.store.read() as transaction:
        tags = sorted(transaction.tags(key.scope, key.key_id).items())
    found = [tag for tag in tags if tag[0] > page.after][: page.limit + 1]
    return page.answer("Tags", found, lambda tag: tag[0], lambda tag: {"TagKey": tag[0], "TagValue": tag[1]})


def checked_tags(given: Sequence[tuple[str, str]], most: int, present: Collection[str] = ()) -> dict[str, str]:
    """Return tags by name.

    Args:
        given: those to be added, in order.
        most: how many a key may have.
        present: the names of those the key has.

    Raises:
        KmsServiceError: TagException: AWS's rules for tags forbid them.
    """
    tags = dict(given)
    if len(tags) < len(given):
        raise faults.tag("Duplicate tag keys")
    _refuse_reserved(tags)
    if len(tags.keys() | set(present)) > most:
        raise faults.tag("Too many tags")
    return tags


def _refuse_reserved(names: Collection[str]) -> None:
    if any(name.lower().startswith("aws:") for name in names):
        raise faults.tag("Tags beginning with aws: are reserved")
