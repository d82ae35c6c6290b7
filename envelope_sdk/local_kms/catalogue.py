"""Keys, aliases and unwrapped materials kept at hand, as long as nobody changes the store.

Each call asks the store once for its version. What is known belongs to one version: with the next, all of it is
dropped, so that a key that another process has just disabled is never used here again. What is kept is bounded, and
key material is overwritten when it is dropped; that is best effort, since Python and OpenSSL make copies of their own.

There are no locks. A signal handler may call the KMS in the middle of any call, and a child process may inherit it in
the middle of another thread's: either would wait for ever. Instead each step is one operation of a dictionary whose
keys are strings, which nothing can come between, and is right whatever happens before and after it. Caches that keep
several dictionaries in step, such as cachetools', would be left out of step by an interrupt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar, cast

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.ciphertext import MATERIAL_LENGTH, message_cipher
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Alias, GrantRecord, Identity, Key, Material, MaterialRecord
from envelope_sdk.local_kms.store.contract import ReadTransaction, Store
from envelope_sdk.primitives.aead import AESGCM, wipe

__all__ = ["CAPACITY", "AliasSource", "Catalogue", "View", "all_aliases"]

CAPACITY: Final = 4096
"""Entries of each kind kept at most: keys and aliases, and materials."""

_PAGE: Final = 1000

T = TypeVar("T")


class Catalogue:
    """What is known of one store. Safe to share between threads; its repr shows nothing it holds."""

    def __init__(self, store: Store, capacity: int = CAPACITY) -> None:
        """Take the store, and how many entries of each kind to keep at most."""
        self._store = store
        self._capacity = capacity
        self._closed = False
        self._kept = Kept(None, capacity)

    def __repr__(self) -> str:
        return f"Catalogue({self._store!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a catalogue of keys cannot be pickled or copied")

    def view(self) -> View:
        """Return what to look things up with during one call."""
        version = self._store.version()
        kept = self._kept
        if kept.version != version:
            kept = Kept(version, self._capacity)
            # Two threads may both replace the same one; what is then replaced unseen is wiped when it is collected.
            dropped, self._kept = self._kept, kept
            dropped.retire()
        if self._closed:
            # Here, not at the start: a call that comes between this and the store's own closing keeps nothing either.
            kept.retire()
        return View(self._store, kept)

    def close(self) -> None:
        """Forget everything and overwrite the key material; nothing is kept any more."""
        self._closed = True
        self._kept.retire()


class Kept:
    """What is known of one version of the store. Once retired it keeps nothing."""

    __slots__ = ("_capacity", "_materials", "_records", "_retired", "version")

    def __init__(self, version: object, capacity: int) -> None:
        """Take the version, and how many entries of each kind to keep at most."""
        self.version = version
        self._capacity = capacity
        self._retired = False
        self._records: OrderedDict[tuple[str, ...], object] = OrderedDict()
        self._materials: OrderedDict[tuple[str, ...], Material] = OrderedDict()

    def __del__(self) -> None:
        # An interrupt may have come while it was made.
        with suppress(AttributeError):
            self.retire()

    def record(self, name: tuple[str, ...]) -> object | None:
        """Return a record."""
        found = self._records.get(name)
        if found is not None:
            _touch(self._records, name)
        return found

    def keep_record(self, name: tuple[str, ...], record: object) -> None:
        """Keep a record."""
        self._records[name] = record
        while len(self._records) > self._capacity or (self._retired and self._records):
            _pop_oldest(self._records)

    def material(self, name: tuple[str, ...]) -> Material | None:
        """Return a copy of a material, for the caller to overwrite."""
        kept = self._materials.get(name)
        if kept is None:
            return None
        copy = _copy(kept)
        if self._materials.get(name) is not kept:
            # Dropped meanwhile. It is overwritten only after it is taken out, so that a copy of what is still there is
            # whole; of this one nobody knows.
            wipe(memoryview(copy.secret))
            return None
        _touch(self._materials, name)
        return copy

    def keep_material(self, name: tuple[str, ...], material: Material) -> None:
        """Keep a copy of a material."""
        copy = _copy(material)
        if self._materials.setdefault(name, copy) is not copy:
            wipe(memoryview(copy.secret))
        while len(self._materials) > self._capacity:
            self._drop_material()
        if self._retired:
            self.retire()

    def retire(self) -> None:
        """Drop everything, and whatever is still to come."""
        self._retired = True
        self._records.clear()
        while self._materials:
            self._drop_material()

    def _drop_material(self) -> None:
        dropped = _pop_oldest(self._materials)
        if dropped is not None:
            wipe(memoryview(dropped.secret))


class View:
    """The catalogue as of one version of the store."""

    __slots__ = ("_kept", "_store")

    def __init__(self, store: Store, kept: Kept) -> None:
        """Take the store and what is known of its version just read."""
        self._store = store
        self._kept = kept

    def key(self, scope: Scope, key_id: str) -> Key | None:
        """Return the key of that id."""
        names = ("key", scope.account, scope.region, key_id)
        return self._record(names, lambda transaction: transaction.key(scope, key_id))

    def related(self, key: Key) -> Sequence[Key]:
        """Return the keys of all Regions that are one multi-Region key with ``key``; none for one of one Region."""
        if key.role is None:
            return ()
        account, key_id = key.scope.account, key.key_id
        names = ("related", account, key_id)
        return self._record(names, lambda transaction: transaction.related(account, key_id)) or ()

    def alias(self, scope: Scope, name: str) -> Alias | None:
        """Return the alias of that name."""
        names = ("alias", scope.account, scope.region, name)
        return self._record(names, lambda transaction: transaction.alias(scope, name))

    def grants(self, scope: Scope, key_id: str) -> Sequence[GrantRecord]:
        """Return the grants of a key."""
        names = ("grants", scope.account, scope.region, key_id)
        return self._record(names, lambda transaction: transaction.grants(scope, key_id)) or ()

    def identity(self, arn: str) -> Identity | None:
        """Return the identity of that ARN."""
        return self._record(("identity", arn), lambda transaction: transaction.identity(arn))

    def tags(self, scope: Scope, key_id: str) -> Mapping[str, str]:
        """Return a key's tags."""
        names = ("tags", scope.account, scope.region, key_id)
        return self._record(names, lambda transaction: transaction.tags(scope, key_id)) or {}

    def aliases(self, scope: Scope, key_id: str) -> Sequence[Alias]:
        """Return all aliases of a key, in the order of their names."""
        names = ("aliases", scope.account, scope.region, key_id)
        return self._record(names, lambda transaction: all_aliases(transaction, scope, key_id)) or ()

    def next_due(self) -> datetime | None:
        """Return when anything is due next."""
        found = self._record(("due",), lambda transaction: (transaction.next_due(),))
        return None if found is None else found[0]

    def materials(self, scope: Scope, key_id: str) -> Sequence[MaterialRecord]:
        """Return what is known of all materials of a key."""
        names = ("materials", scope.account, scope.region, key_id)
        return self._record(names, lambda transaction: transaction.materials(scope, key_id)) or ()

    def key_of_material(self, scope: Scope, material_id: str) -> str | None:
        """Return the id of the key that a material belongs to."""
        return self.with_material(scope, material_id, lambda material: material.key_id)

    def owner_of(self, region: str, material_id: str) -> tuple[Scope, str] | None:
        """Return where the key is that a material of any account belongs to, and its id."""
        names = ("owner", region, material_id)
        return self._record(names, lambda transaction: transaction.owner_of(region, material_id))

    def message_cipher(self, scope: Scope, material_id: str, message_id: bytes) -> AESGCM | None:
        """Return the cipher of one message under a material, ``None`` where there is no such material."""
        return self.with_material(scope, material_id, lambda material: _message_cipher(material, message_id))

    def with_material(self, scope: Scope, material_id: str, use: Callable[[Material], T]) -> T | None:
        """Return what ``use`` makes of a material, which is overwritten afterwards; ``None`` where there is none."""
        name = (scope.account, scope.region, material_id)
        # A copy of this call's own, which nobody overwrites while it is used.
        material = self._kept.material(name)
        if material is None:
            with self._store.read() as transaction:
                material = transaction.material(scope, material_id)
            if material is None:
                return None
            self._kept.keep_material(name, material)
        try:
            return use(material)
        finally:
            wipe(memoryview(material.secret))

    def _record(self, name: tuple[str, ...], load: Callable[[ReadTransaction], T | None]) -> T | None:
        kept = self._kept.record(name)
        if kept is not None:
            return cast("T", kept)
        with self._store.read() as transaction:
            found = load(transaction)
        if found is not None:
            self._kept.keep_record(name, found)
        return found


def _message_cipher(material: Material, message_id: bytes) -> AESGCM:
    if len(material.secret) != MATERIAL_LENGTH:
        # The secrets of other kinds of keys are not for this, whatever the record says.
        raise KeyStoreError(f"the key store holds no symmetric key's material where {material.material_id} is")
    return message_cipher(material.secret, message_id)


class AliasSource(Protocol):
    """Where aliases are listed: a transaction."""

    def aliases(self, scope: Scope, after: str, limit: int, key_id: str | None) -> Sequence[Alias]:
        """Return up to ``limit`` aliases whose name sorts after ``after``; with ``key_id``, of that key only."""
        ...


def all_aliases(source: AliasSource, scope: Scope, key_id: str) -> Sequence[Alias]:
    """Return all aliases of a key, in the order of their names."""
    found: list[Alias] = []
    while len(page := source.aliases(scope, found[-1].name if found else "", _PAGE, key_id)) == _PAGE:
        found += page
    return [*found, *page]


def _copy(material: Material) -> Material:
    return Material(material.key_id, material.material_id, material.created, bytearray(material.secret))


def _touch(entries: OrderedDict[tuple[str, ...], Any], name: tuple[str, ...]) -> None:
    try:
        entries.move_to_end(name)
    except KeyError:
        # Dropped meanwhile.
        return


def _pop_oldest(entries: OrderedDict[tuple[str, ...], T]) -> T | None:
    try:
        return entries.popitem(last=False)[1]
    except KeyError:
        return None
