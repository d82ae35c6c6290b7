"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call, KeySource
from envelope_sdk.local_kms.identifiers import ALIAS_PREFIX
from envelope_sdk.local_kms.managed import PREDEFINED, RESERVED
from envelope_sdk.local_kms.model import Alias, Key
from envelope_sdk.local_kms.operations.pages import Page, read_page
from envelope_sdk.local_kms.parameters import Parameters
from envelope_sdk.local_kms.policy.refusals import out_of_reach
from envelope_sdk.local_kms.store.contract import ReadTransaction

__all__ = ["create_alias", "delete_alias", "list_aliases", "update_alias"]

_MAX_ALIAS: Final = 256
_ALIAS_PATTERN: Final = re.compile(r"^[a-zA-Z0-9:/_-]+$")
_DEFAULT_LIMIT: Final = 50
_MOST: Final = 100
_PREFIX_TEXT: Final = (
    'Alias must start with the prefix "alias/". '
    "Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
)


def create_alias(call: Call) -> dict[str, Any]:
    """Give a key another name. That takes a permission for the alias and one for the key, as all changes here do."""
    name, target = _name_and_target(call)
    _check_new_name(name)
    call.permit(None, resource=call.scope.alias_arn(name))
    with call.store.write() as transaction:
        key = _target(call, target, transaction)
        if transaction.alias(call.scope, name) is not None:
            raise faults.alias_exists(call.scope.alias_arn(name))
        _check_quota(call, key, transaction)
        transaction.put_alias(Alias(call.scope, name, key.key_id, call.now, call.now))
    return {}


def update_alias(call: Call) -> dict[str, Any]:
    """Point an alias at another key. The state of the key it leaves does not matter."""
    name, target = _name_and_target(call)
    _check_new_name(name)
    call.permit(None, resource=call.scope.alias_arn(name))
    with call.store.write() as transaction:
        alias = transaction.alias(call.scope, name)
        if alias is None:
            raise faults.alias_not_found(call.scope.alias_arn(name))
        # Whatever its state, but with permission.
        call.permit(call.find(alias.key_id, transaction))
        key = _target(call, target, transaction)
        if key.key_id != alias.key_id:
            _check_quota(call, key, transaction)
        transaction.put_alias(replace(alias, key_id=key.key_id, updated=call.now))
    return {}


def delete_alias(call: Call) -> dict[str, Any]:
    """Remove an alias, whatever its key's state."""
    parameters = Parameters(call.parameters)
    name = _alias_name(parameters)
    parameters.done()
    _check_name(name)
    call.permit(None, resource=call.scope.alias_arn(name))
    with call.store.write() as transaction:
        alias = transaction.alias(call.scope, name)
        if alias is None:
            raise faults.alias_not_found(call.scope.alias_arn(name))
        call.permit(call.find(alias.key_id, transaction))
        transaction.remove_alias(call.scope, name)
    return {}


def list_aliases(call: Call) -> dict[str, Any]:
    """List aliases in the order of their names, of one key or all: with all, also AWS's own that have no key yet."""
    parameters = Parameters(call.parameters)
    key_name = parameters.optional_key_id()
    read = read_page(parameters, "aliases", _DEFAULT_LIMIT, _MOST)
    parameters.done()
    page = read()
    # Whoever may list aliases may list those of one key.
    call.permit(None)
    key_id = None if key_name is None else _listed_key(call, key_name)
    with call.store.read() as transaction:
        found = transaction.aliases(call.scope, page.after, page.limit + 1, key_id)
        if key_id is None:
            found = _with_predefined(call, transaction, page, found)
    return page.answer("Aliases", found, lambda alias: alias.name, _entry)


def _listed_key(call: Call, name: str) -> str:
    key = call.find(name, call.view, aliases=False)
    if key.scope.account != call.scope.account:
        raise out_of_reach(call.requester.caller.arn, call.operation)
    return key.key_id


def _with_predefined(call: Call, transaction: ReadTransaction, page: Page, found: Sequence[Alias]) -> Sequence[Alias]:
    """Return a page of aliases, and among them those that AWS has in every account before they have a key."""
    names = [name for name in PREDEFINED if name > page.after and transaction.alias(call.scope, name) is None]
    unused = [Alias(call.scope, name, "", call.now, call.now) for name in names]
    return sorted([*found, *unused], key=lambda alias: alias.name)[: page.limit + 1]


def _entry(alias: Alias) -> dict[str, Any]:
    if not alias.key_id:
        return {"AliasName": alias.name, "AliasArn": alias.scope.alias_arn(alias.name)}
    return {
        "AliasName": alias.name,
        "AliasArn": alias.scope.alias_arn(alias.name),
        "TargetKeyId": alias.key_id,
        "CreationDate": alias.created,
        "LastUpdatedDate": alias.updated,
    }


def _alias_name(parameters: Parameters) -> str:
    return parameters.text("AliasName", _MAX_ALIAS, pattern=_ALIAS_PATTERN, required=True) or ""


def _name_and_target(call: Call) -> tuple[str, str]:
    parameters = Parameters(call.parameters)
    name = _alias_name(parameters)
    target = parameters.key_id("TargetKeyId")
    parameters.done()
    return name, target


def _check_name(name: str) -> None:
    if not name.startswith(ALIAS_PREFIX):
        raise faults.validation(_PREFIX_TEXT)
    if name.startswith(RESERVED):
        raise faults.reserved_alias()


def _check_new_name(name: str) -> None:
    _check_name(name)
    if name == ALIAS_PREFIX:
        raise faults.invalid_alias_name("An alias needs a name after the prefix alias/")
    if ":" in name:
        # The model's pattern lets a colon through for ARNs elsewhere; alias names have none.
        raise faults.validation(f"{name} contains invalid characters for an alias")


def _check_quota(call: Call, key: Key, transaction: ReadTransaction) -> None:
    most = call.limits.aliases_per_key
    present = len(transaction.aliases(call.scope, "", most, key.key_id))
    if present >= most:
        raise faults.limit_exceeded("Aliases per key", most, present)


def _target(call: Call, target: str, source: KeySource) -> Key:
    if target.startswith(ALIAS_PREFIX) or f":{ALIAS_PREFIX}" in target:
        raise faults.validation("Aliases must refer to keys. Not aliases")
    return call.key(target, source, aliases=False)
