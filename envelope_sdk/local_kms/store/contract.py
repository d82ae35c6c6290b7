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
from typing import Protocol

from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Alias, Key, Material

__all__ = ["ReadTransaction", "Store", "WriteTransaction"]


class ReadTransaction(Protocol):
    """One consistent look at the store."""

    def key(self, scope: Scope, key_id: str) -> Key | None:
        """Return the key of that id, ``None`` where there is none."""
        ...

    def keys(self, scope: Scope, after: str, limit: int) -> Sequence[Key]:
        """Return up to ``limit`` keys whose id sorts after ``after``, in that order."""
        ...

    def material(self, scope: Scope, material_id: str) -> Material | None:
        """Return a key material, unwrapped."""
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

    def next_deletion(self) -> datetime | None:
        """Return the earliest date at which a key of any scope is to be erased."""
        ...


class WriteTransaction(ReadTransaction, Protocol):
    """A change: all of it or, after an exception, nothing. No other write happens meanwhile."""

    def add_key(self, key: Key, tags: Mapping[str, str]) -> None:
        """Add a key; its materials follow."""
        ...

    def add_material(self, scope: Scope, material: Material) -> None:
        """Wrap and add a material of a key that is there."""
        ...

    def update_key(self, key: Key) -> None:
        """Replace all of a key but its id and creation date."""
        ...

    def erase_keys(self, due: datetime) -> Sequence[Key]:
        """Erase every key of any scope to be deleted by ``due``, with its materials, aliases and tags; return them."""
        ...

    def put_alias(self, alias: Alias) -> None:
        """Add an alias, or replace the one of its name."""
        ...

    def remove_alias(self, scope: Scope, name: str) -> None:
        """Remove an alias that is there."""
        ...


class Store(Protocol):
    """A place for keys, shared by threads and, if it lives on disk, by processes."""

    def version(self) -> object:
        """Return a value that is another one after anybody, in this process or not, has changed the store."""
        ...

    def read(self) -> AbstractContextManager[ReadTransaction]:
        """Begin a look."""
        ...

    def write(self) -> AbstractContextManager[WriteTransaction]:
        """Begin a change; it is durable when the ``with`` block has ended."""
        ...

    def close(self) -> None:
        """Give back files and memory. Closing twice is no error."""
        ...
