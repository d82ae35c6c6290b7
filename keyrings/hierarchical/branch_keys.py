"""Branch keys and beacon keys as values (framework/structures.md, "branch key materials", "beacon key materials").

They hold a key in the clear: their reprs show none of it, they cannot be pickled or copied, and :meth:`wipe` overwrites
it as well as Python can. A wiped key is never handed out, since it would be 32 zeros that everybody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from envelope_sdk.errors import KeyringError
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.cursor import BytesLike

__all__ = ["KEY_LENGTH", "BeaconKey", "BranchKey"]

KEY_LENGTH: Final = 32
"""Bytes of every branch key and beacon key."""


class BeaconKey:
    """The beacon key of a branch key: the root of what databases search encrypted fields by.

    Attributes:
        branch_key_id: whose it is.
        encryption_context: the pairs that the branch key was created with.
    """

    __slots__ = ("_key", "branch_key_id", "encryption_context")

    def __init__(self, branch_key_id: str, key: BytesLike, encryption_context: Mapping[str, str]) -> None:
        """Copy the key, 32 bytes.

        Raises:
            KeyringError: it has another length.
        """
        if len(key) != KEY_LENGTH:
            raise KeyringError(f"the key of {branch_key_id!r} has {len(key)} bytes, not {KEY_LENGTH}")
        self._key = bytearray(key)
        self.branch_key_id = branch_key_id
        self.encryption_context = EncryptionContext.of(encryption_context)

    @property
    def key(self) -> bytearray:
        """The key itself, not a copy.

        Raises:
            KeyringError: it was wiped.
        """
        if not self._key:
            raise KeyringError(f"the key of {self.branch_key_id!r} was wiped: get it again")
        return self._key

    def wipe(self) -> None:
        """Overwrite the key with zeros and let go of it."""
        key, self._key = self._key, bytearray()
        key[:] = bytes(len(key))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.branch_key_id!r}, <secret>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a branch key or beacon key cannot be pickled or copied")


class BranchKey(BeaconKey):
    """One version of a branch key.

    Attributes:
        branch_key_id: which branch key.
        version: which version of it: a UUID as text.
        encryption_context: the pairs that the branch key was created with.
    """

    __slots__ = ("version",)

    def __init__(self, branch_key_id: str, version: str, key: BytesLike, encryption_context: Mapping[str, str]) -> None:
        """Copy the key, 32 bytes.

        Raises:
            KeyringError: it has another length.
        """
        super().__init__(branch_key_id, key, encryption_context)
        self.version = version

    def __repr__(self) -> str:
        return f"BranchKey({self.branch_key_id!r}, {self.version!r}, <secret>)"
