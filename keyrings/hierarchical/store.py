"""Creating, versioning and getting branch keys (framework/branch-key-store.md)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from envelope_sdk.cache.identifiers import is_name
from envelope_sdk.errors import KeyringError, KmsUnavailableError, UsageError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.keyrings.hierarchical.branch_keys import BeaconKey, BranchKey
from envelope_sdk.keyrings.hierarchical.kms_calls import BranchKeyKms
from envelope_sdk.keyrings.hierarchical.kms_keys import (
    KmsDiscovery,
    KmsKeyArn,
    KmsKeyConfiguration,
    KmsMrkArn,
    KmsMrkDiscovery,
)
from envelope_sdk.keyrings.hierarchical.records import (
    ACTIVE,
    BEACON,
    KMS_ARN,
    VERSION_PREFIX,
    Record,
    active_context,
    beacon_context,
    context_of,
    custom_context,
    first_context,
    is_version,
    next_context,
    record_of,
    version_in,
    wrapped_key,
)
from envelope_sdk.keyrings.hierarchical.storage import BranchKeyStorage
from envelope_sdk.keyrings.kms.api import BranchKeyKmsApi
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["BranchKeySource", "BranchKeyStore", "checked_branch_key_id"]

_MAX_ID_LENGTH: Final = 2048
"""Bytes of a branch key id: what DynamoDB takes as a partition key."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def checked_branch_key_id(branch_key_id: str) -> str:
    """Return ``branch_key_id`` if a branch key can be called so.

    Raises:
        UsageError: it is empty, too long or not encodable as UTF-8.
        TypeError: it is not text.
    """
    if not isinstance(branch_key_id, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a UUID, most often
        raise TypeError(f"a branch key id is text, not {type(branch_key_id).__name__}")
    try:
        length = len(branch_key_id.encode())
    except UnicodeEncodeError:
        raise UsageError(f"the branch key id is not encodable as UTF-8: {branch_key_id!r}") from None
    if not 1 <= length <= _MAX_ID_LENGTH:
        raise UsageError(f"a branch key id takes 1 to {_MAX_ID_LENGTH} bytes, not {length}")
    return branch_key_id


class BranchKeySource(Protocol):
    """What the hierarchical keyring needs of a store. Safe to share between threads."""

    @property
    def logical_name(self) -> str:
        """What the store is called, wherever its table is."""
        ...

    def get_active(self, branch_key_id: str) -> BranchKey:
        """Return the version of a branch key that encrypts."""
        ...

    def get_version(self, branch_key_id: str, version: str) -> BranchKey:
        """Return one version of a branch key."""
        ...


class BranchKeyStore:
    """Branch keys, wrapped by a KMS and kept in a table that may be anybody's to read."""

    __slots__ = ("_clock", "_kms", "_kms_key", "_logical_name", "_random", "_storage")

    def __init__(
        self,
        storage: BranchKeyStorage,
        kms: BranchKeyKmsApi,
        *,
        logical_name: str,
        kms_key: KmsKeyConfiguration,
        grant_tokens: Iterable[str] = (),
        random: RandomSource = system_random,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Put a store over a table.

        Args:
            storage: a :class:`~envelope_sdk.keyrings.hierarchical.dynamodb.DynamoDbStorage`, a
                :class:`~envelope_sdk.keyrings.hierarchical.sqlite.SqliteStorage`, or anything with their methods.
            kms: ``boto3.client("kms")``, a :class:`~envelope_sdk.local_kms.LocalKms`, or anything with their methods.
            logical_name: what the store is called, wherever its table is. Every record is bound to it, so that a table
                restored under another name still works; no two tables may share one.
            kms_key: which KMS keys may be used.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on to the KMS with every call.
            random: the source of ids and versions.
            clock: returns the time, tz-aware.

        Raises:
            UsageError: the logical name is empty, or there are too many grant tokens.
            TypeError: an argument is of another kind.
        """
        if not isinstance(kms_key, KmsKeyArn | KmsMrkArn | KmsDiscovery | KmsMrkDiscovery):  # pyright: ignore[reportUnnecessaryIsInstance] - an ARN, most often
            raise TypeError(f"kms_key is KmsKeyArn(...) or one of its neighbours, not {type(kms_key).__name__}")
        if not is_name(logical_name):
            raise UsageError(f"a store needs a logical name, of UTF-8 without null characters: {logical_name!r}")
        self._storage = storage
        self._kms = BranchKeyKms(kms, grant_tokens)
        self._logical_name = logical_name
        self._kms_key = kms_key
        self._random = random
        self._clock = clock

    def __repr__(self) -> str:
        return f"BranchKeyStore({self._logical_name!r}, {self._kms_key!r}, {self._storage!r})"

    @property
    def logical_name(self) -> str:
        """What the store is called, wherever its table is."""
        return self._logical_name

    def create_key(self, branch_key_id: str | None = None, encryption_context: Mapping[str, str] | None = None) -> str:
        """Make a branch key and its beacon key, and return its id.

        Args:
            branch_key_id: the id; left out, a new UUID.
            encryption_context: pairs to bind every version to, in the table and in the KMS; not secret. Needed where
                the id is given.

        Raises:
            UsageError: there is a branch key of this id already, an id without pairs, or a store that only reads.
            KmsError: the KMS or the storage refused or failed; nothing was written, unless the storage's answer was
                lost: then :meth:`get_active` tells whether the branch key is there.
        """
        key_arn = self._kms_key.key_to_create_with()
        custom = EncryptionContext.of(encryption_context)
        if branch_key_id is None:
            branch_key_id = self._uuid()
        elif not custom:
            raise UsageError("a branch key id of your own needs an encryption context that says what it is for")
        version = first_context(
            checked_branch_key_id(branch_key_id),
            self._uuid(),
            logical_name=self._logical_name,
            kms_arn=key_arn,
            created=self._now(),
            custom=custom,
        )
        beacon = beacon_context(version)
        records = [*self._new_version(key_arn, version), record_of(beacon, self._kms.generate(key_arn, beacon))]
        if not self._storage.add(records):
            raise UsageError(f"there is a branch key {branch_key_id!r} already: choose another id, or version that one")
        return branch_key_id

    def version_key(self, branch_key_id: str) -> None:
        """Give a branch key a new version, which encrypts from now on; the older ones still decrypt.

        Keyrings go on with the older version for as long as their cache keeps it.

        Raises:
            UsageError: this store only reads.
            KeyringError: there is no such branch key, or it is wrapped under another KMS key than this store's.
            AuthenticationError: its record was altered.
            KmsUnavailableError: also where somebody else versioned it at the same moment; nothing was written.
            KmsError: the KMS or the storage refused or failed; nothing was written, unless the storage's answer was
                lost. Called again, it adds one more version, which does no harm.
        """
        self._kms_key.key_to_create_with()
        record, context = self._read(branch_key_id, ACTIVE)
        key_arn = self._kms_key.key_for(context[KMS_ARN])
        replaced = wrapped_key(record)
        # What the table says of the branch key goes on into all later versions, so it is authenticated first.
        self._kms.rebind(key_arn, replaced, context, context)
        version_in(context)
        version, active = self._new_version(key_arn, next_context(context, self._uuid(), created=self._now()))
        if not self._storage.add_version(version, active, replacing=replaced):
            raise KmsUnavailableError(
                f"somebody else gave branch key {branch_key_id!r} a new version at this moment: none was added here",
                operation="VersionKey",
                code="VersionRaceException",
            )

    def get_active(self, branch_key_id: str) -> BranchKey:
        """Return the version of a branch key that encrypts.

        Raises:
            KeyringError: there is no such branch key, or it is wrapped under another KMS key than this store's.
            AuthenticationError: its record was altered.
            KmsError: the KMS or the storage refused or failed.
        """
        return self._branch_key(branch_key_id, ACTIVE)

    def get_version(self, branch_key_id: str, version: str) -> BranchKey:
        """Return one version of a branch key, a UUID as text.

        Raises:
            UsageError: it is none.
            KeyringError, AuthenticationError, KmsError: as for :meth:`get_active`.
        """
        if not is_version(version):
            raise UsageError(f"a version is a UUID as text, in lower case and with hyphens, not {version!r}")
        return self._branch_key(branch_key_id, VERSION_PREFIX + version)

    def get_beacon_key(self, branch_key_id: str) -> BeaconKey:
        """Return the beacon key of a branch key.

        Raises:
            KeyringError, AuthenticationError, KmsError: as for :meth:`get_active`.
        """
        record, context = self._read(branch_key_id, BEACON)
        return BeaconKey(branch_key_id, self._open(record, context), custom_context(context))

    def _branch_key(self, branch_key_id: str, kind: str) -> BranchKey:
        record, context = self._read(branch_key_id, kind)
        version = version_in(context)
        return BranchKey(branch_key_id, version, self._open(record, context), custom_context(context))

    def _read(self, branch_key_id: str, kind: str) -> tuple[Record, dict[str, str]]:
        record = self._storage.get(checked_branch_key_id(branch_key_id), kind)
        if record is None:
            raise KeyringError(f"the store {self._logical_name!r} has no {kind!r} of a branch key {branch_key_id!r}")
        return record, context_of(record, branch_key_id, kind, self._logical_name)

    def _open(self, record: Record, context: Mapping[str, str]) -> bytes:
        return self._kms.decrypt(self._kms_key.key_for(context[KMS_ARN]), wrapped_key(record), context)

    def _new_version(self, key_arn: str, context: Mapping[str, str]) -> tuple[Record, Record]:
        wrapped = self._kms.generate(key_arn, context)
        active = active_context(context)
        return record_of(context, wrapped), record_of(active, self._kms.rebind(key_arn, wrapped, context, active))

    def _uuid(self) -> str:
        return str(uuid.UUID(bytes=self._random(16), version=4))

    def _now(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
