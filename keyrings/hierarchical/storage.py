"""The contract of what holds branch key records (framework/branch-key-store.md, "operations")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from envelope_sdk.keyrings.hierarchical.records import Record

__all__ = ["BranchKeyStorage"]


class BranchKeyStorage(Protocol):
    """Holds records by their ``branch-key-id`` and ``type``. Safe to share between threads.

    Every method raises :class:`~envelope_sdk.errors.KmsUnavailableError` where the storage cannot be reached for now,
    :class:`~envelope_sdk.errors.KmsAccessError` where it refuses, and :class:`~envelope_sdk.errors.KmsError` where it
    fails otherwise. Where a write's answer was lost on the way, it raises the first, and what was to be written may be
    there all the same.
    """

    def get(self, branch_key_id: str, kind: str) -> Record | None:
        """Return the record of this ``type``, as last written; ``None`` where there is none."""
        ...

    def add(self, records: Sequence[Record]) -> bool:
        """Add all of the records, or none: ``False`` where one of them is there already."""
        ...

    def add_version(self, version: Record, active: Record, *, replacing: bytes) -> bool:
        """Add one record and replace another, both or neither.

        Args:
            version: the record of a new version.
            active: the record to stand in place of the active one.
            replacing: the ``enc`` that the active one has to have.

        Returns:
            ``False`` where the active one is another by now, or the version is there already; nothing has changed then.
        """
        ...

    def records(self) -> Iterator[Record]:
        """Yield every record: for copies, which :meth:`add` takes in."""
        ...
