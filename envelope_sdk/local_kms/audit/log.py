"""The audit log: a journal of every call, in files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.audit.chain import Head
from envelope_sdk.local_kms.audit.events import call_event, encoded, service_event
from envelope_sdk.local_kms.audit.files import LogFile
from envelope_sdk.local_kms.audit.members import READ_ONLY
from envelope_sdk.local_kms.call import Call, ServiceEvent

__all__ = ["DEFAULT_MAX_SIZE", "AuditLog"]

DEFAULT_MAX_SIZE: Final = 100 * 1024 * 1024
"""Bytes of one file."""

_MIN_SIZE: Final = 1024
_ROOM: Final = 4 * 1024 * 1024


class AuditLog:
    """Events of CloudTrail's shape, one a line, each tied to the one before it by its hash.

    Fulfils :class:`~envelope_sdk.local_kms.call.Journal`. Safe to share between threads and KMSs; several processes may
    have the same log open. An answer is given when its event is written; if it cannot be, the call ends in
    KMSInternalException instead.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = True, max_size: int = DEFAULT_MAX_SIZE) -> None:
        """Open the log ``path``, or begin it.

        Args:
            path: the file, which nobody but the owner may read once it is made; its folder has to exist.
            durable: whether events survive a loss of power; without, only the death of the process.
            max_size: bytes after which the file is renamed ``PATH.<number>`` and a new one begun.

        Raises:
            UsageError: the size cannot be one.
            KeyStoreError: the log cannot be opened, or its end is damaged.
        """
        if max_size < _MIN_SIZE:
            raise UsageError(f"files of an audit log have at least {_MIN_SIZE} bytes, not {max_size!r}")
        self._path = Path(path).absolute()
        try:
            self._file = LogFile(self._path, durable=durable, max_size=max_size)
        except (OSError, ValueError) as error:
            raise KeyStoreError(f"the audit log {self._path} cannot be opened: {_reason(error)}") from None

    def __repr__(self) -> str:
        return f"AuditLog({str(self._path)!r})"

    def __reduce__(self) -> str:
        raise TypeError("an open audit log cannot be pickled or copied: open it again")

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def path(self) -> Path:
        """The file now written to."""
        return self._path

    @property
    def head(self) -> Head:
        """The end of the chain as this process knows it. Kept elsewhere it proves later that nothing has changed."""
        return self._file.head

    def prepare(self, call: Call) -> None:
        """Refuse changes while there is no room on the disk: what is changed already could not be taken back."""
        if call.operation in READ_ONLY:
            return
        try:
            room = self._file.free_space()
        except OSError as error:
            raise _unwritten(error) from None
        if room < _ROOM:
            raise faults.unrecorded("the disk is full")

    def record(self, call: Call, answer: Mapping[str, Any] | None, error: KmsServiceError | None) -> None:
        """Write the event of a call.

        Raises:
            KmsServiceError: KMSInternalException: it could not be written.
        """
        self._append(call_event(call, answer, error))

    def record_service_event(self, event: ServiceEvent) -> None:
        """Write the event of what the service did by itself. Raises as :meth:`record`."""
        self._append(service_event(event))

    def close(self) -> None:
        """Close the file. Closing twice is no error."""
        self._file.close()

    def _append(self, event: Mapping[str, Any]) -> None:
        try:
            self._file.append(encoded(event))
        except (OSError, KeyStoreError) as error:
            raise _unwritten(error) from None


def _unwritten(error: Exception) -> KmsServiceError:
    return faults.unrecorded(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error.strerror or error).lower()
    return str(error)
