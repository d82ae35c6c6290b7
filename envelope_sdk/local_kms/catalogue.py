"""Keys, aliases and unwrapped materials kept at hand, as long as nobody changes the store.

Each call asks the store once for its version. A version never seen before empties everything: a key that another
process has just disabled is never used here again. What is kept is bounded, and key material is overwritten when it
is dropped; that is best effort, since Python and OpenSSL make copies of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar, cast

from cachetools import LRUCache

from envelope_sdk.local_kms.ciphertext import message_cipher
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Alias, Key, Material
from envelope_sdk.local_kms.store.contract import ReadTransaction, Store
from envelope_sdk.primitives.aead import AESGCM, wipe

__all__ = ["CAPACITY", "Catalogue", "View"]

CAPACITY: Final = 4096
"""Entries of each kind kept at most: keys and aliases, and materials."""

T = TypeVar("T")


class Catalogue:
    """What is known of one store. Safe to share between threads; its repr shows nothing it holds."""

    def __init__(self, store: Store, capacity: int = CAPACITY) -> None:
        """Take the store, and how many entries of each kind to keep at most."""
        self._store = store
        self._capacity = capacity
        self._lock = threading.Lock()
        self._version: object = None
        self._records: LRUCache[tuple[object, ...], object] = LRUCache(capacity)
        self._materials: LRUCache[tuple[Scope, str], Material] = LRUCache(capacity)

    def __repr__(self) -> str:
        return f"Catalogue({self._store!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a catalogue of keys cannot be pickled or copied")

    def view(self) -> View:
        """Return what to look things up with during one call."""
        version = self._store.version()
        if version != self._version:
            with self._lock:
                self._clear()
                self._version = version
        return View(self, version)

    def close(self) -> None:
        """Forget everything and overwrite the key material."""
        with self._lock:
            self._clear()
            self._version = None

    def record(
        self, version: object, name: tuple[object, ...], load: Callable[[ReadTransaction], T | None]
    ) -> T | None:
        """Return a record, from the store if it is not at hand; for :class:`View`."""
        with self._lock:
            if version == self._version and name in self._records:
                return cast("T", self._records[name])
        with self._store.read() as transaction:
            found = load(transaction)
        if found is not None:
            with self._lock:
                # Only if nothing has changed since: what was read just now may already be old.
                if version == self._version:
                    self._records[name] = found
        return found

    def with_material(self, version: object, scope: Scope, material_id: str, use: Callable[[Material], T]) -> T | None:
        """Return what ``use`` makes of a material, ``None`` where there is none; for :class:`View`.

        ``use`` runs under the lock, since the material is overwritten the moment it is dropped.
        """
        name = (scope, material_id)
        with self._lock:
            kept = self._materials.get(name) if version == self._version else None
            if kept is not None:
                return use(kept)
        with self._store.read() as transaction:
            material = transaction.material(scope, material_id)
        if material is None:
            return None
        with self._lock:
            result = use(material)
            if version == self._version and name not in self._materials:
                self._keep(name, material)
            else:
                wipe(memoryview(material.secret))
        return result

    def _keep(self, name: tuple[Scope, str], material: Material) -> None:
        if len(self._materials) >= self._capacity:
            # Dropped by hand: the cache would let go of it without overwriting it.
            _, dropped = self._materials.popitem()
            wipe(memoryview(dropped.secret))
        self._materials[name] = material

    def _clear(self) -> None:
        for material in self._materials.values():
            wipe(memoryview(material.secret))
        self._materials.clear()
        self._records.clear()


class View:
    """The catalogue as of one version of the store."""

    __slots__ = ("_catalogue", "_version")

    def __init__(self, catalogue: Catalogue, version: object) -> None:
        """Take the catalogue and the version just read."""
        self._catalogue = catalogue
        self._version = version

    def key(self, scope: Scope, key_id: str) -> Key | None:
        """Return the key of that id."""
        return self._record(("key", scope, key_id), lambda transaction: transaction.key(scope, key_id))

    def alias(self, scope: Scope, name: str) -> Alias | None:
        """Return the alias of that name."""
        return self._record(("alias", scope, name), lambda transaction: transaction.alias(scope, name))

    def next_deletion(self) -> datetime | None:
        """Return when the next key is to be erased."""
        found = self._record(("deletion",), lambda transaction: (transaction.next_deletion(),))
        return None if found is None else found[0]

    def key_of_material(self, scope: Scope, material_id: str) -> str | None:
        """Return the id of the key that a material belongs to."""
        return self._catalogue.with_material(self._version, scope, material_id, lambda material: material.key_id)

    def message_cipher(self, scope: Scope, material_id: str, message_id: bytes) -> AESGCM | None:
        """Return the cipher of one message under a material, ``None`` where there is no such material."""
        return self._catalogue.with_material(
            self._version, scope, material_id, lambda material: message_cipher(material.secret, message_id)
        )

    def _record(self, name: tuple[Any, ...], load: Callable[[ReadTransaction], T | None]) -> T | None:
        return self._catalogue.record(self._version, name, load)
