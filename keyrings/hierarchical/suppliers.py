"""Choosing a branch key for each message (framework/aws-kms/aws-kms-hierarchical-keyring.md, "branch key supplier")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from envelope_sdk.errors import KeyringError

__all__ = ["BranchKeySupplier", "ContextKeySupplier"]


class BranchKeySupplier(Protocol):
    """Says which branch key a message is for. Called from several threads at once."""

    def get_branch_key_id(self, encryption_context: Mapping[str, str]) -> str:
        """Return the id of the branch key for a message of this context, when encrypting and when decrypting.

        Raises:
            KeyringError: there is none for it.
        """
        ...


class ContextKeySupplier:
    """Goes by one pair of the encryption context: a branch key for each tenant, for instance."""

    __slots__ = ("_ids", "_key")

    def __init__(self, ids: Mapping[str, str], *, key: str) -> None:
        """Take a copy of the table.

        Args:
            ids: the branch key id for each value that the pair may have.
            key: the key of the pair. It has to be in the context of every message.
        """
        self._ids = dict(ids)
        self._key = key

    def __repr__(self) -> str:
        return f"ContextKeySupplier(key={self._key!r}, {len(self._ids)} branch keys)"

    def get_branch_key_id(self, encryption_context: Mapping[str, str]) -> str:
        """Return the id for the value that the context has under this supplier's key.

        Raises:
            KeyringError: the context has no such pair, or its value is none of the table's.
        """
        value = encryption_context.get(self._key)
        if value is None:
            raise KeyringError(f"the encryption context has no {self._key!r}, which the branch key is chosen by")
        try:
            return self._ids[value]
        except KeyError:
            raise KeyringError(f"there is no branch key for {value!r}, the context's {self._key!r}") from None
