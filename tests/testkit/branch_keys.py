"""Branch keys for tests: a store that has one already, and a KMS and a storage that count what they are asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.hierarchical import BranchKey, BranchKeyStorage
from envelope_sdk.keyrings.hierarchical.records import Record


class FixedStore:
    """Holds one version of one branch key, in the clear."""

    logical_name = "fixed"

    def __init__(self, branch_key_id: str, version: str, key: bytes) -> None:
        self._branch_key_id = branch_key_id
        self._version = version
        self._key = key

    def get_active(self, branch_key_id: str) -> BranchKey:
        return self.get_version(branch_key_id, self._version)

    def get_version(self, branch_key_id: str, version: str) -> BranchKey:
        if (branch_key_id, version) != (self._branch_key_id, self._version):
            raise KeyringError("another branch key")
        return BranchKey(branch_key_id, version, self._key, {})


class CountingKms:
    """A KMS client that counts its calls and, while ``failure`` is set, answers with that."""

    def __init__(self, kms: Any) -> None:
        self._kms = kms
        self.calls: Counter[str] = Counter()
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._kms, name)

        def call(**parameters: Any) -> Any:
            self.calls[name] += 1
            if self.failure is not None:
                raise self.failure
            return method(**parameters)

        return call


class CountingStorage:
    """A storage that counts what is read and, while ``failure`` is set, fails with that."""

    def __init__(self, storage: BranchKeyStorage) -> None:
        self._storage = storage
        self.reads: Counter[str] = Counter()
        self.failure: Exception | None = None

    def get(self, branch_key_id: str, kind: str) -> Record | None:
        self.reads[kind] += 1
        if self.failure is not None:
            raise self.failure
        return self._storage.get(branch_key_id, kind)

    def add(self, records: Sequence[Record]) -> bool:
        return self._storage.add(records)

    def add_version(self, version: Record, active: Record, *, replacing: bytes) -> bool:
        return self._storage.add_version(version, active, replacing=replacing)

    def records(self) -> Iterator[Record]:
        return self._storage.records()


class MemoryStorage:
    """Records in a dictionary, which a test may alter."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, Any]] = {}

    def get(self, branch_key_id: str, kind: str) -> Record | None:
        return self.held.get((branch_key_id, kind))

    def add(self, records: Sequence[Record]) -> bool:
        if any(_name(record) in self.held for record in records):
            return False
        self.held.update((_name(record), dict(record)) for record in records)
        return True

    def add_version(self, version: Record, active: Record, *, replacing: bytes) -> bool:
        if _name(version) in self.held or self.held[_name(active)]["enc"] != replacing:
            return False
        self.held.update({_name(version): dict(version), _name(active): dict(active)})
        return True

    def records(self) -> Iterator[Record]:
        return iter(self.held.values())


def _name(record: Record) -> tuple[str, str]:
    return str(record["branch-key-id"]), str(record["type"])
