"""Encrypted files that take their names together: ``with fs.transaction:``."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any

from envelope_sdk.errors import StreamError
from envelope_sdk.integrations.fsspec.library import Transaction
from envelope_sdk.integrations.fsspec.writing import StoredWriter

__all__ = ["FilesTogether"]


class FilesTogether(Transaction):  # type: ignore[misc]
    """What ``fs.transaction`` is: files that wait, whole, for the end of a block.

    Nothing takes its name where the block raises, or leaves a file open. A file that was discarded within, because an
    error led out of its own block or somebody said so, is none of them: whoever handled that error knows.
    """

    fs: Any
    files: deque[StoredWriter]

    def complete(self, commit: bool = True) -> None:
        """End the transaction: give all its files their names, or give them up.

        Raises:
            StreamError: a file is still open, so that its message has no end; all are given up.
            OSError: the filesystem failed, and a note says how many files had their names by then; all others are
                given up.
        """
        files, self.files = list(self.files), deque()
        self._leave()
        try:
            if commit:
                _commit([file for file in files if not file.settled])
        finally:
            for file in files:
                # What made it fail is the error that matters.
                with contextlib.suppress(Exception):
                    file.discard()

    def _leave(self) -> None:
        """Let the filesystem write as outside of transactions, whatever comes of this one."""
        fs, self.fs = self.fs, None
        if fs is not None:
            fs._intrans = False
            fs._transaction = None


def _commit(files: list[StoredWriter]) -> None:
    for file in files:
        if not file.whole:
            raise StreamError(f"{file.path} was not closed within its transaction: none of its files is written")
    for number, file in enumerate(files):
        try:
            file.commit()
        except BaseException as error:
            error.add_note(f"of a transaction of {len(files)} files, {number} had their names by then")
            raise
