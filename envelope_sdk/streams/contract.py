"""What a stream needs of a client, so that streams do not depend on which one it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.encryptor import MessageEncryptor

__all__ = ["CHUNK", "MachineSource"]

CHUNK: Final = 2**20
"""Bytes read or encrypted at a time: large enough to make calls cheap, small enough to stay in the CPU's cache."""


class MachineSource(Protocol):
    """Makes the machines of one message each; :class:`envelope_sdk.Client` is one."""

    def encryptor(
        self, *, encryption_context: Mapping[str, str] | None = ..., plaintext_length: int | None = ...
    ) -> MessageEncryptor:
        """Return a machine for a new message."""
        ...

    def decryptor(
        self,
        *,
        encryption_context: Mapping[str, str] | None = ...,
        required_context_keys: Iterable[str] = ...,
        refuse_signed: bool = ...,
    ) -> MessageDecryptor:
        """Return a machine for a message about to be read."""
        ...
