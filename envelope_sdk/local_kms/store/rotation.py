"""Another root key for a store that is in use: everything it guards is wrapped anew, in the one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from envelope_sdk.local_kms.store.connection import Connection
from envelope_sdk.local_kms.store.records import read_records, replace_root_key_records
from envelope_sdk.local_kms.store.rows.columns import scope_of, text
from envelope_sdk.local_kms.store.sources import Keeper
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper
from envelope_sdk.primitives.aead import wipe

__all__ = ["change_root_key", "check_secrets", "tidy_root_key_files"]

_MATERIALS: Final = "SELECT account, region, material_id, key_id, wrapped FROM materials WHERE wrapped IS NOT NULL"
_REWRAP: Final = "UPDATE materials SET wrapped = ? WHERE account = ? AND region = ? AND material_id = ?"
_ACCESS_KEYS: Final = "SELECT access_key_id, wrapped FROM access_keys"
_REWRAP_ACCESS_KEY: Final = "UPDATE access_keys SET wrapped = ? WHERE access_key_id = ?"


def change_root_key(connection: Connection, current: MaterialWrapper, old: Keeper, new: Keeper) -> MaterialWrapper:
    """Wrap everything under the root key of ``new``, and return its wrapper.

    Nonces under the new root key are counted from nothing.

    Args:
        connection: in a transaction in which nobody else writes; it is the caller's to commit.
        current: the wrapper of the root key in force.
        old: where that came from.
        new: where the other one comes from.

    Raises:
        UsageError: the new root key is the one in force.
        KeyStoreError: it cannot be had, or something in the store does not authenticate. Nothing is changed then.
    """
    records = read_records(connection)
    for keeper in (old, new):
        keeper.settle(records)
    wrapper, made = new.replace(records)
    materials, access_keys = list(connection.execute(_MATERIALS)), list(connection.execute(_ACCESS_KEYS))
    connection.executemany(_REWRAP, _materials(materials, current, wrapper))
    connection.executemany(_REWRAP_ACCESS_KEY, _access_keys(access_keys, current, wrapper))
    replace_root_key_records(connection, made)
    return wrapper


def tidy_root_key_files(connection: Connection, old: Keeper, new: Keeper) -> None:
    """Put the files of the root keys where they belong, once the change is durable.

    Args:
        connection: in another transaction in which nobody else writes.
        old: where the root key came from before.
        new: where it comes from now.

    Raises:
        KeyStoreError: files cannot be renamed.
    """
    records = read_records(connection)
    new.settle(records)
    if not old.same_file(new):
        old.retire(records)


def check_secrets(connection: Connection, wrapper: MaterialWrapper) -> None:
    """Unwrap everything once.

    Raises:
        KeyStoreError: something does not authenticate.
    """
    for _ in _materials(list(connection.execute(_MATERIALS)), wrapper, None):
        pass
    for _ in _access_keys(list(connection.execute(_ACCESS_KEYS)), wrapper, None):
        pass


def _materials(rows: list[Any], current: MaterialWrapper, new: MaterialWrapper | None) -> Iterator[tuple[object, ...]]:
    for account, region, material_id, key_id, wrapped in rows:
        names = (scope_of(account, region), text(key_id), text(material_id))
        secret = current.unwrap(*names, wrapped)
        try:
            yield new and new.wrap(*names, secret), account, region, material_id
        finally:
            wipe(memoryview(secret))


def _access_keys(
    rows: list[Any], current: MaterialWrapper, new: MaterialWrapper | None
) -> Iterator[tuple[object, ...]]:
    for access_key_id, wrapped in rows:
        secret = current.unwrap_access_key(text(access_key_id), wrapped)
        try:
            yield new and new.wrap_access_key(access_key_id, secret), access_key_id
        finally:
            wipe(memoryview(secret))
