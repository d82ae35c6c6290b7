"""Materials that serve many messages, so that few calls of a key service do (framework/caching-cmm.md)."""

from __future__ import annotations

import math
import operator
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from envelope_sdk.cache.contract import Cache
from envelope_sdk.cache.identifiers import MaterialsName, MaterialsNames, is_name
from envelope_sdk.cache.local import DEFAULT_MAX_ENTRIES, LocalCache
from envelope_sdk.cache.usage import CacheUsage
from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.keyrings.kms.calls import calls_for_many
from envelope_sdk.managers.default import DefaultMaterialsManager, check_context_has
from envelope_sdk.managers.recording import DECRYPT, ENCRYPT, Asked, Recorder
from envelope_sdk.managers.reusable import Reusable, reusable_decryption, reusable_encryption
from envelope_sdk.managers.usage import MaterialsUsage, OnMaterialsEvent
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    Keyring,
    MaterialsManager,
)
from envelope_sdk.primitives.entropy import RandomSource, system_random

if TYPE_CHECKING:
    from envelope_sdk.primitives.signing import SigningKey, VerificationKey

__all__ = ["MAX_BYTES", "MAX_MESSAGES", "CachingMaterialsManager"]

MAX_MESSAGES: Final = 2**32
"""Messages that one data key may encrypt: the specification's default, and the most this package takes."""

MAX_BYTES: Final = 2**63 - 1
"""Bytes that one data key may encrypt: the specification's default and maximum."""

# Found once: naming the type of what is wiped costs more than the rest of a message's way through here.
_WIPE: Final[Callable[[Reusable[Any]], None]] = Reusable[Any].wipe


class CachingMaterialsManager:
    """Keeps materials for a while and gives them to all messages of the same suite and encryption context.

    Each message still has a key of its own, derived from the data key that they share. Suites without a key derivation
    are not cached, nor are messages whose length is not announced, or is over the limit of bytes: for these the
    keyring is asked each time. As a context manager it is closed with the block.
    """

    __slots__ = (
        "_cache",
        "_max_age_seconds",
        "_max_bytes",
        "_max_messages",
        "_names",
        "_own_cache",
        "_recorder",
        "_underlying",
    )

    def __init__(
        self,
        underlying: MaterialsManager | Keyring,
        *,
        max_age_seconds: float,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        cache: Cache | None = None,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        partition: str | None = None,
        on_event: OnMaterialsEvent | None = None,
        random: RandomSource = system_random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where materials come from, and how long they may serve.

        Args:
            underlying: a manager, or a keyring, which is then asked as by
                :class:`~envelope_sdk.managers.DefaultMaterialsManager`.
            max_age_seconds: how long materials are used, more than 0. For so long, a permission that was revoked or a
                key that was disabled goes unnoticed.
            max_messages: messages that one data key encrypts, 1 to 2^32.
            max_bytes: bytes of plaintext that one data key encrypts, 0 to 2^63 - 1. Longer messages are not cached. A
                message counts as what was announced of it; a file, which may grow meanwhile, as twice its length and
                64 KiB.
            cache: one to share with others; left out, the manager has one of its own.
            max_entries: materials that its own cache keeps, 1 or more.
            partition: managers that share a cache share materials in it where their partitions are the same, and only
                do so where each may use all the others' keys. Left out, the manager shares with none.
            on_event: is told how each message got its materials; see
                :data:`~envelope_sdk.managers.usage.OnMaterialsEvent`.
            random: the source of the partition's name, where it is left out.
            clock: returns seconds that never go back; for its own cache.

        Raises:
            UsageError: a number is out of range, or the partition is empty or not of UTF-8 without null characters.
            TypeError: ``underlying`` is neither a manager nor a keyring, or a count is no whole number.
        """
        self._underlying: MaterialsManager
        if isinstance(underlying, MaterialsManager):
            self._underlying = underlying
        elif isinstance(underlying, Keyring):  # pyright: ignore[reportUnnecessaryIsInstance] - anything may arrive
            self._underlying = DefaultMaterialsManager(underlying)
        else:
            raise TypeError(f"underlying is a MaterialsManager or a Keyring, not {type(underlying).__name__}")
        if not (max_age_seconds > 0 and math.isfinite(max_age_seconds)):
            raise UsageError(f"max_age_seconds is more than 0, and finite, not {max_age_seconds}")
        if not 1 <= operator.index(max_messages) <= MAX_MESSAGES:
            raise UsageError(f"max_messages is 1 to {MAX_MESSAGES}, not {max_messages}")
        if not 0 <= operator.index(max_bytes) <= MAX_BYTES:
            raise UsageError(f"max_bytes is 0 to {MAX_BYTES}, not {max_bytes}")
        if partition is not None and not is_name(partition):
            raise UsageError(f"a partition has a name, of UTF-8 without null characters, not {partition!r}")
        self._max_age_seconds = max_age_seconds
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._own_cache = cache is None
        self._cache: Cache = LocalCache(max_entries, clock=clock) if cache is None else cache
        name = str(uuid.UUID(bytes=random(16), version=4)) if partition is None else partition
        self._names = MaterialsNames(name.encode())
        self._recorder = Recorder(on_event)

    def __enter__(self) -> Self:
        """Return the manager itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"CachingMaterialsManager({self._underlying!r}, max_age_seconds={self._max_age_seconds})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a caching manager holds data keys: it cannot be pickled or copied")

    def close(self) -> None:
        """Forget all data keys, as well as Python can. A shared cache is left to whoever made it."""
        if self._own_cache:
            self._cache.close()

    def usage(self) -> MaterialsUsage:
        """Return what the manager has done since it was made, or its process was forked.

        Its part ``cache`` is of all who share the cache; ``None`` where that has no such figures.
        """
        of_cache: Any = getattr(self._cache, "usage", None)
        found = of_cache() if callable(of_cache) else None
        return self._recorder.usage(found if isinstance(found, CacheUsage) else None)

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        """Return materials for one message, from the cache where that may be.

        Raises:
            CommitmentPolicyError: the policy forbids the suite.
            EncryptionContextError: the context lacks a required key; nothing was asked for.
            KeyringError: what is beneath returned materials of another suite, or incomplete ones; or the cache returned
                what was not asked of it.
            Otherwise what is beneath raises.
        """
        asked = Asked(self._recorder, ENCRYPT)
        try:
            return self._for_encryption(request, asked)
        except BaseException:
            asked.failed()
            raise

    def _for_encryption(self, request: EncryptionRequest, asked: Asked) -> EncryptionMaterials:
        context, policy, suite, length, required = request
        policy.check_encrypt(suite)
        if suite.kdf_hash is None or length is None or not 0 <= length <= self._max_bytes:
            with asked.loading():
                materials = self._underlying.get_encryption_materials(request)
            asked.bypassed()
            return materials
        if required:
            # Otherwise those of a message that has them might be found.
            check_context_has(context, required)
        name = self._names.of_encryption(suite, context, required)
        load = partial(self._load_encryption, name, request, asked)
        spent: tuple[Reusable[Any], ...] = ()
        while True:
            with self._cache.borrow(name.identifier, load, ttl_seconds=self._max_age_seconds, wipe=_WIPE) as kept:
                # They compare as themselves.
                if type(kept) is not Reusable or kept.name != name or kept in spent:
                    raise self._mixed_up()
                if kept.take(length, self._max_messages, self._max_bytes):
                    materials = kept.materials()
                    break
                self._cache.discard(name.identifier, kept)
                spent = (*spent, kept)
        # Others may have loaded them; the policy allows this very suite.
        if materials.algorithm_suite is not suite:
            raise self._mixed_up()
        asked.served(kept.saved_calls())
        return materials

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        """Return the materials of one message, from the cache where that may be.

        Raises:
            CommitmentPolicyError: the policy forbids the suite.
            KeyringError: what is beneath returned materials of another suite, or incomplete ones; or the cache returned
                what was not asked of it.
            Otherwise what is beneath raises.
        """
        asked = Asked(self._recorder, DECRYPT)
        try:
            return self._for_decryption(request, asked)
        except BaseException:
            asked.failed()
            raise

    def _for_decryption(self, request: DecryptionRequest, asked: Asked) -> DecryptionMaterials:
        suite, keys, stored, reproduced, policy = request
        policy.check_decrypt(suite)
        if suite.kdf_hash is None:
            with asked.loading():
                materials = self._underlying.decrypt_materials(request)
            asked.bypassed()
            return materials
        name = self._names.of_decryption(suite, keys, stored, reproduced)
        load = partial(self._load_decryption, name, request, asked)
        with self._cache.borrow(name.identifier, load, ttl_seconds=self._max_age_seconds, wipe=_WIPE) as kept:
            if type(kept) is not Reusable or kept.name != name:
                raise self._mixed_up()
            materials = kept.materials()
        if materials.algorithm_suite is not suite:
            raise self._mixed_up()
        asked.served(kept.saved_calls())
        return materials

    def _load_encryption(
        self, name: MaterialsName, request: EncryptionRequest, asked: Asked
    ) -> Reusable[EncryptionMaterials]:
        with calls_for_many(), asked.loading() as calls:
            # Others of other lengths are to use them too.
            materials = self._underlying.get_encryption_materials(request._replace(plaintext_length=None))
        self._check(materials, request.algorithm_suite, materials.encrypted_data_keys, materials.signing_key)
        return reusable_encryption(name, materials, calls.each_time())

    def _load_decryption(
        self, name: MaterialsName, request: DecryptionRequest, asked: Asked
    ) -> Reusable[DecryptionMaterials]:
        with calls_for_many(), asked.loading() as calls:
            materials = self._underlying.decrypt_materials(request)
        self._check(materials, request.algorithm_suite, request.encrypted_data_keys, materials.verification_key)
        return reusable_decryption(name, materials, calls.each_time())

    def _check(
        self,
        materials: EncryptionMaterials | DecryptionMaterials,
        suite: AlgorithmSuite,
        wrapped: Sequence[EncryptedDataKey],
        signature_key: SigningKey | VerificationKey | None,
    ) -> None:
        """Raise :class:`KeyringError` for materials that no message could use: they are not to be kept."""
        if materials.algorithm_suite is not suite:
            raise KeyringError(f"{self._underlying!r} returned materials of another algorithm suite than {suite.name}")
        key = materials.plaintext_data_key
        if key is None or len(key) != suite.key_length or not wrapped:
            raise KeyringError(f"{self._underlying!r} returned no data key for {suite.name}, or no wrapped copy of it")
        if suite.signature is not None and signature_key is None:
            raise KeyringError(f"{self._underlying!r} returned no signature key for {suite.name}")

    def _mixed_up(self) -> KeyringError:
        return KeyringError(
            f"{self._cache!r} lent materials that are not those asked for, or that were discarded: a faulty cache, "
            "or a message made up to be taken for another"
        )
