"""What the KMS asks of a store. SQLite is the first to fulfil it; nothing else here knows of files or SQL.

A store hands out key material in the clear and keeps it wrapped: how is its own affair. A write is durable once the
``with`` block around it has ended without an exception: an answer that names a new key is only given afterwards.

Every method may raise :class:`~envelope_sdk.errors.KeyStoreError` where the store is damaged or unusable, and
:class:`~envelope_sdk.errors.KmsServiceError` ``DependencyTimeoutException`` where it is busy for too long. A thread
that is in a transaction comes again only out of a signal handler. It must not be left waiting for itself: what cannot
be done then is a :class:`~envelope_sdk.errors.UsageError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import (
    AccessKey,
    Alias,
    GrantRecord,
    Identity,
    Key,
    LastUsage,
    Material,
    MaterialRecord,
)
from envelope_sdk.local_kms.store.sources import RootKeySource

__all__ = ["ReadTransaction", "Store", "WriteTransaction"]


class ReadTransaction(Protocol):
    """One consistent look at the store."""

    def key(self, scope: Scope, key_id: str) -> Key | None:
        """Return the key of that id, ``None`` where there is none."""
        ...

    def keys(self, scope: Scope, after: str, limit: int) -> Sequence[Key]:
        """Return up to ``limit`` keys whose id sorts after ``after``, in that order."""
        ...

    def count_keys(self, scope: Scope) -> int:
        """Return how many keys there are, in whatever state."""
        ...

    def scopes(self) -> Sequence[Scope]:
        """Return every account and Region that has keys, in their order."""
        ...

    def related(self, account: str, key_id: str) -> Sequence[Key]:
        """Return the keys of that id in all Regions, in their order: a multi-Region key's primary and replicas."""
        ...

    def material(self, scope: Scope, material_id: str) -> Material | None:
        """Return a key material, unwrapped; ``None`` where there is none, or its secret is gone."""
        ...

    def materials(self, scope: Scope, key_id: str) -> Sequence[MaterialRecord]:
        """Return what is known of all materials of a key, in the order in which they were made."""
        ...

    def owner_of(self, region: str, material_id: str) -> tuple[Scope, str] | None:
        """Return where the key is, of whatever account, that a material of a Region belongs to, and its id.

        The secret of the material need not be there.
        """
        ...

    def seal(self, purpose: str, secret: bytes | bytearray) -> bytes:
        """Return ``secret`` wrapped like key material, for somebody else to keep.

        Args:
            purpose: what it is for; what is sealed for something else does not open.
            secret: the bytes.
        """
        ...

    def unseal(self, purpose: str, sealed: bytes) -> bytearray | None:
        """Return what :meth:`seal` took; ``None`` where it was altered, or sealed for something else, or elsewhere."""
        ...

    def tags(self, scope: Scope, key_id: str) -> Mapping[str, str]:
        """Return a key's tags."""
        ...

    def alias(self, scope: Scope, name: str) -> Alias | None:
        """Return the alias of that name."""
        ...

    def aliases(self, scope: Scope, after: str, limit: int, key_id: str | None) -> Sequence[Alias]:
        """Return up to ``limit`` aliases whose name sorts after ``after``; with ``key_id``, of that key only."""
        ...

    def grants(self, scope: Scope, key_id: str) -> Sequence[GrantRecord]:
        """Return the grants of a key, in the order of their ids."""
        ...

    def retirable(self, region: str, retiring: str, after: tuple[str, str, str], limit: int) -> Sequence[GrantRecord]:
        """Return up to ``limit`` grants that ``retiring`` may retire, of keys of all accounts, in the order of these.

        Args:
            region: of the keys.
            retiring: the principal.
            after: account, key id and grant id that those returned sort after.
            limit: how many at most.
        """
        ...

    def identity(self, arn: str) -> Identity | None:
        """Return the identity of that ARN."""
        ...

    def identities(self, account: str) -> Sequence[Identity]:
        """Return all identities of an account, in the order of their ARNs."""
        ...

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """Return an access key, its secret unwrapped."""
        ...

    def access_keys(self, arn: str) -> Sequence[AccessKey]:
        """Return the access keys of one principal, in the order of their ids, their secrets unwrapped."""
        ...

    def usage_counts(self, month: str) -> Mapping[tuple[Scope, str, str], int]:
        """Return the counts of a month, by scope, key id and class."""
        ...

    def tracked_since(self) -> datetime | None:
        """Return since when the last use of keys is noted; ``None`` where it has always been."""
        ...

    def last_usage(self, scope: Scope, key_id: str) -> LastUsage | None:
        """Return when a key was last used."""
        ...

    def next_due(self) -> datetime | None:
        """Return the earliest date at which anything of any scope is due: a deletion, a rotation, an expiry."""
        ...

    def due_rotations(self, due: datetime) -> Sequence[Key]:
        """Return the keys of any scope whose rotation is due by ``due``."""
        ...

    def due_expiries(self, due: datetime) -> Sequence[tuple[Scope, MaterialRecord]]:
        """Return the materials of any scope that are there and expire by ``due``."""
        ...


class WriteTransaction(ReadTransaction, Protocol):
    """A change: all of it or, after an exception, nothing. No other write happens meanwhile."""

    def add_key(self, key: Key, tags: Mapping[str, str]) -> None:
        """Add a key; its materials follow."""
        ...

    def add_material(self, scope: Scope, record: MaterialRecord, secret: bytes | bytearray) -> None:
        """Wrap and add a material of a key that is there."""
        ...

    def update_material(self, scope: Scope, record: MaterialRecord) -> None:
        """Replace what is known of a material but its key, id and creation date.

        Unless it is ``present``, its secret is erased.
        """
        ...

    def replace_secret(self, scope: Scope, key_id: str, material_id: str, secret: bytes | bytearray) -> None:
        """Wrap and put back the secret of a material that is there."""
        ...

    def update_key(self, key: Key) -> None:
        """Replace all of a key but its id and creation date."""
        ...

    def erase_keys(self, due: datetime) -> Sequence[Key]:
        """Erase every key of any scope to be deleted by ``due``, with its materials, aliases and tags; return them."""
        ...

    def put_tags(self, scope: Scope, key_id: str, tags: Mapping[str, str]) -> None:
        """Add tags, or replace those of their names."""
        ...

    def remove_tags(self, scope: Scope, key_id: str, names: Sequence[str]) -> None:
        """Remove the tags of these names, where they are there."""
        ...

    def put_alias(self, alias: Alias) -> None:
        """Add an alias, or replace the one of its name."""
        ...

    def remove_alias(self, scope: Scope, name: str) -> None:
        """Remove an alias that is there."""
        ...

    def put_grant(self, grant: GrantRecord) -> None:
        """Add a grant, or replace the one of its id."""
        ...

    def remove_grant(self, scope: Scope, key_id: str, grant_id: str) -> None:
        """Remove a grant that is there."""
        ...

    def put_identity(self, identity: Identity) -> None:
        """Add an identity, or replace the one of its ARN."""
        ...

    def remove_identity(self, arn: str) -> None:
        """Remove an identity that is there, and its access keys."""
        ...

    def put_access_key(self, key: AccessKey) -> None:
        """Wrap and add an access key, or replace the one of its id."""
        ...

    def remove_access_key(self, access_key_id: str) -> None:
        """Remove an access key that is there."""
        ...

    def add_usage(self, month: str, counts: Mapping[tuple[Scope, str, str], int]) -> None:
        """Add to the counts of a month, by scope, key id (empty for none) and class."""
        ...

    def put_last_usage(self, scope: Scope, key_id: str, usage: LastUsage) -> None:
        """Note the last use of a key; nothing where the key is gone, or a later use is known."""
        ...


class Store(Protocol):
    """A place for keys, shared by threads and, if it lives on disk, by processes."""

    @property
    def remote(self) -> bool:
        """Whether even a look may have to wait for another machine."""
        ...

    def version(self) -> object:
        """Return a value that is another one after anybody, in this process or not, has changed the store."""
        ...

    def read(self) -> AbstractContextManager[ReadTransaction]:
        """Begin a look."""
        ...

    def write(self) -> AbstractContextManager[WriteTransaction]:
        """Begin a change; it is durable when the ``with`` block has ended."""
        ...

    def rotate_root_key(self, root_key: RootKeySource) -> None:
        """Put everything under another root key; others who have the store open notice at their next look."""
        ...

    def backup(self, path: Path, *, replace: bool = False) -> None:
        """Write a copy of the store, as at one moment, to a file; :class:`UsageError` if that is done otherwise."""
        ...

    def close(self) -> None:
        """Give back files and memory. Closing twice is no error."""
        ...
