"""Wrapping under branch keys, which a cache keeps for a while (framework/aws-kms/aws-kms-hierarchical-keyring.md)."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from envelope_sdk.cache.contract import Cache
from envelope_sdk.cache.identifiers import Resource, Scope, cache_identifier, is_name
from envelope_sdk.cache.local import DEFAULT_MAX_ENTRIES, LocalCache
from envelope_sdk.errors import EnvelopeError, NoMatchingKeyError, UnwrapFailure, UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import NOTHING_OPENS, require_no_data_key, unwrap_first
from envelope_sdk.keyrings.hierarchical.branch_keys import BranchKey
from envelope_sdk.keyrings.hierarchical.store import BranchKeySource, checked_branch_key_id
from envelope_sdk.keyrings.hierarchical.suppliers import BranchKeySupplier
from envelope_sdk.keyrings.hierarchical.wrapping import PROVIDER_ID, unwrap_data_key, version_of, wrap_data_key
from envelope_sdk.keyrings.kms.calls import calls_for_many
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["HierarchicalKeyring"]


class HierarchicalKeyring:
    """Makes and wraps data keys under branch keys: one call to the KMS serves all messages of a while.

    Use it for as long as its program runs: its cache is what saves the calls. As a context manager it is closed with
    the block.
    """

    __slots__ = ("_branch_key", "_cache", "_own_cache", "_partition", "_random", "_store", "_ttl_seconds")

    def __init__(
        self,
        store: BranchKeySource,
        branch_key: str | BranchKeySupplier,
        *,
        ttl_seconds: float,
        cache: Cache | None = None,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        partition: str | None = None,
        random: RandomSource = system_random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a store and what says which of its branch keys to use.

        Args:
            store: a :class:`~envelope_sdk.keyrings.hierarchical.BranchKeyStore`.
            branch_key: the id of one branch key, or what chooses one by a message's encryption context.
            ttl_seconds: how long a branch key is used before it is asked for again: for so long, a revoked permission
                or a new version goes unnoticed. With 0, every message asks.
            cache: one to share with others; left out, the keyring has one of its own.
            max_entries: branch keys and versions of them that its own cache keeps, 1 or more.
            partition: keyrings that share a cache share branch keys in it where their partitions and their stores'
                logical names are the same, and only do so where each may use all the others' keys. Left out, the
                keyring shares with none.
            random: the source of data keys, salts and IVs.
            clock: returns seconds that never go back; for its own cache.

        Raises:
            UsageError: the id cannot be one, or a number is out of range.
            TypeError: the branch key is neither an id nor a supplier.
        """
        if isinstance(branch_key, str):
            checked_branch_key_id(branch_key)
        elif not callable(getattr(branch_key, "get_branch_key_id", None)):
            raise TypeError(f"branch_key is an id or has get_branch_key_id(), unlike {type(branch_key).__name__}")
        if not 0 <= ttl_seconds <= sys.float_info.max:
            raise UsageError(f"ttl_seconds is 0 or more, and finite, not {ttl_seconds}")
        if partition is not None and not is_name(partition):
            raise UsageError(f"a partition has a name, of UTF-8 without null characters, not {partition!r}")
        self._store = store
        self._branch_key = branch_key
        self._ttl_seconds = ttl_seconds
        self._own_cache = cache is None
        self._cache: Cache = LocalCache(max_entries, clock=clock) if cache is None else cache
        self._partition = partition.encode() if partition else uuid.UUID(bytes=random(16), version=4).bytes
        self._random = random

    def __enter__(self) -> Self:
        """Return the keyring itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"HierarchicalKeyring({self._store.logical_name!r}, {self._branch_key!r})"

    def __reduce__(self) -> str:
        raise TypeError("a keyring holds branch keys: it cannot be pickled or copied")

    def close(self) -> None:
        """Forget all branch keys, as well as Python can. A shared cache is left to whoever made it."""
        if self._own_cache:
            self._cache.close()

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Wrap the data key under the active version of the branch key, making one where there is none.

        Raises:
            KeyringError: there is no branch key for this context.
            AuthenticationError: the branch key's record was altered.
            KmsError: the KMS or the table refused or failed. A branch key past its time is not used all the same.
        """
        context = materials.encryption_context
        branch_key_id = self._branch_key_id(context)
        data_key = materials.plaintext_data_key
        if data_key is None:
            data_key = self._random(materials.algorithm_suite.key_length)
        with self._active(branch_key_id) as branch_key:
            wrapped = wrap_data_key(branch_key, data_key, context.canonical, self._random)
        return materials.with_data_key(data_key, EncryptedDataKey(PROVIDER_ID, branch_key_id.encode(), wrapped))

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Unwrap the first data key that names this context's branch key and authenticates.

        Raises:
            NoMatchingKeyError: there is none, or its branch key could not be had; the failures say why.
        """
        require_no_data_key(materials)
        mine = [key for key in encrypted_data_keys if key.provider_id == PROVIDER_ID]
        branch_key_id = ""
        if mine:
            try:
                branch_key_id = self._branch_key_id(materials.encryption_context)
            except EnvelopeError as error:
                raise NoMatchingKeyError(NOTHING_OPENS, [UnwrapFailure(repr(self), PROVIDER_ID, error)]) from None
        info = branch_key_id.encode()
        context = materials.encryption_context.canonical
        key_length = materials.algorithm_suite.key_length

        def unwrap(key: EncryptedDataKey) -> bytes:
            with self._version(branch_key_id, version_of(key.ciphertext, key_length)) as branch_key:
                return unwrap_data_key(branch_key, key.ciphertext, context)

        return unwrap_first(
            self,
            materials,
            (key for key in mine if key.provider_info == info),
            unwrap,
            otherwise="none of the message's data keys is wrapped under this branch key",
        )

    def _branch_key_id(self, context: EncryptionContext) -> str:
        if isinstance(self._branch_key, str):
            return self._branch_key
        return checked_branch_key_id(self._branch_key.get_branch_key_id(context))

    def _active(self, branch_key_id: str) -> AbstractContextManager[BranchKey]:
        return self._borrow(Scope.ENCRYPT, lambda: self._store.get_active(branch_key_id), branch_key_id)

    def _version(self, branch_key_id: str, version: str) -> AbstractContextManager[BranchKey]:
        return self._borrow(
            Scope.DECRYPT, lambda: self._store.get_version(branch_key_id, version), branch_key_id, version
        )

    def _borrow(self, scope: Scope, load: Callable[[], BranchKey], *names: str) -> AbstractContextManager[BranchKey]:
        suffix = [self._store.logical_name.encode(), *(name.encode() for name in names)]
        identifier = cache_identifier(Resource.HIERARCHICAL_KEYRING, scope, self._partition, *suffix)

        def load_for_many() -> BranchKey:
            with calls_for_many():
                return load()

        # Without a time to live, each message makes the calls.
        chosen = load_for_many if self._ttl_seconds > 0 else load
        return self._cache.borrow(identifier, chosen, ttl_seconds=self._ttl_seconds, wipe=BranchKey.wipe)
