"""The files of an audit log: appended to by threads and processes, one line at a time, and rotated by size.

The log is ``PATH``. When it is full it is renamed ``PATH.<number of its last line>``, and the chain goes on in a new
file. ``PATH.head`` holds the chain's head, so that it shows when lines are gone from the end.

Whoever appends holds a lock on the file, and looks at its size: if another process has written, the head is read from
the last line. What a killed process has left of a line is cut off then; nobody was answered on the strength of it.

Threads share the work: while one waits for the disk, the others queue up, and the next writes the lines of all of them.
A head never gets to the disk before the line it is of.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.audit.chain import LINE_START, MAX_LINE, START, Head, line_of, parse_line
from envelope_sdk.local_kms.audit.parts import head_path, parts, read_head

__all__ = ["LogFile"]

_MODE: Final = 0o600
_HEAD_LENGTH: Final = len(START.padded())
_PATIENCE: Final = 10.0
_SHORTEST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.02


class _Waiting:
    """An event on its way to the file.

    Attributes:
        event: its JSON.
        head: the head its line makes, once it is written.
        error: why it is not.
        done: whether nobody will deal with it any more.
    """

    __slots__ = ("done", "error", "event", "head")

    def __init__(self, event: bytes) -> None:
        self.event = event
        self.head: Head | None = None
        self.error: Exception | None = None
        self.done = False


class LogFile:
    """The end of an audit log, open for appending. Safe to share between threads, not to be carried across ``fork``."""

    def __init__(
        self,
        path: Path,
        *,
        durable: bool,
        max_size: int,
        sync: Callable[[int], None] = os.fdatasync,
        patience: float = _PATIENCE,
    ) -> None:
        """Open the log, making it where there is none.

        Args:
            path: the file; its folder exists.
            durable: whether lines are on disk before :meth:`append` returns.
            max_size: bytes after which a new file is begun.
            sync: puts what was written to an open file on disk.
            patience: seconds to wait for another process that holds the lock.

        Raises:
            OSError: it cannot be opened.
            KeyStoreError: its last line is not one of an audit log, or another process does not let go of it.
        """
        self._path = path
        self._durable = durable
        self._max_size = max_size
        self._sync = sync
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()
        # Its lock is reentrant: a signal handler may come while it is held.
        self._changed = threading.Condition(threading.RLock())
        self._writer: int | None = None
        self._closed = False
        self._process = os.getpid()
        self._file = -1
        self._size = -1
        self._head = START
        self._heads = -1
        try:
            if not path.exists():
                # Before there is a file, so that there is never one without a head.
                self._open_head()
            self._lock()
            self._unlock()
            self._open_head()
        except BaseException:
            self._release()
            if self._heads >= 0:
                os.close(self._heads)
            raise

    @property
    def head(self) -> Head:
        """The end of the chain, as far as is known here."""
        return self._head

    def append(self, event: bytes) -> Head:
        """Add a line and return the head it makes.

        Raises:
            OSError: it cannot be written; nothing of it is left behind.
            KeyStoreError: others have damaged the log or do not let go of it, it is closed, or this is a forked
                process.
            UsageError: a signal handler has come in the middle of another line.
        """
        if self._process != os.getpid():
            raise KeyStoreError(f"the audit log {self._path} was opened before this process was forked: open it again")
        me = threading.get_ident()
        if self._writer == me:
            raise UsageError(
                "the audit log is in the middle of a line of this very thread: a signal handler cannot use a KMS that "
                "is audited then"
            )
        mine = _Waiting(event)
        try:
            with self._changed:
                self._waiting.append(mine)
                while self._writer is not None and not mine.done:
                    self._changed.wait()
                if not mine.done:
                    self._writer = me
            if not mine.done:
                self._write_all()
        finally:
            if self._writer == me:
                with self._changed:
                    self._writer = None
                    self._changed.notify_all()
        if mine.head is None:
            raise mine.error or KeyStoreError(f"the audit log {self._path} was interrupted")
        return mine.head

    def free_space(self) -> int:
        """Return how many more bytes the disk takes from this user."""
        found = os.statvfs(self._path)
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        """Close the files. Closing twice is no error."""
        if self._closed or self._process != os.getpid():
            return
        with self._changed:
            while self._writer is not None:
                self._changed.wait()
            self._closed = True
            self._release()
            os.close(self._heads)

    def _write_all(self) -> None:
        """Write the lines of all who wait. Those who come meanwhile wait for the next to do the same."""
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                batch.append(self._waiting.popleft())
            heads = self._write_lines([waiting.event for waiting in batch])
            for waiting, head in zip(batch, heads, strict=True):
                waiting.head = head
        except Exception as error:  # noqa: BLE001 - each of those who wait raises it
            for waiting in batch:
                waiting.error = error
        finally:
            for waiting in batch:
                waiting.done = True

    def _write_lines(self, events: Sequence[bytes]) -> list[Head]:
        if self._closed:
            raise KeyStoreError(f"the audit log {self._path} is closed")
        self._lock()
        try:
            while self._size >= self._max_size:
                self._rotate()
                self._lock()
            head = self._head
            lines: list[bytes] = []
            heads: list[Head] = []
            for event in events:
                line, head = line_of(head, event)
                lines.append(line)
                heads.append(head)
            content = b"".join(lines)
            self._write(content)
            # The size last: whoever is interrupted before it finds another one, and reads both from the file.
            self._head = head
            self._size += len(content)
        finally:
            self._unlock()
        if self._durable:
            # Unlocked: other processes write meanwhile. What they wrote before these lines gets to the disk with them.
            self._sync(self._file)
        self._keep(head)
        return heads

    def _lock(self) -> None:
        """Lock the file that has the log's name now, and learn where the chain is."""
        while True:
            if self._file < 0:
                self._open()
            self._hold(self._file)
            ours = os.fstat(self._file)
            try:
                theirs = self._path.stat()
            except FileNotFoundError:
                theirs = None
            if theirs is not None and (ours.st_ino, ours.st_dev) == (theirs.st_ino, theirs.st_dev):
                break
            self._release()
        if ours.st_size != self._size:
            self._catch_up()

    def _hold(self, descriptor: int) -> None:
        """Lock an open file. Others hold it for the time of a write, unless they were stopped in the middle of one."""
        pause, waited = _SHORTEST_PAUSE, 0.0
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waited >= self._patience:
                    raise KeyStoreError(
                        f"the audit log {self._path} has been locked by another process for {self._patience:g} seconds"
                    ) from None
                time.sleep(pause)
                waited += pause
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return

    def _unlock(self) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _open(self) -> None:
        made = not self._path.exists()
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        self._size = -1
        if made:
            _sync_folder(self._path.parent)

    def _open_head(self) -> None:
        if self._heads < 0:
            self._heads = os.open(head_path(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        self._keep(self._head)

    def _release(self) -> None:
        """Close the file, and with it the lock; what is in it is on disk first."""
        if self._file >= 0:
            try:
                self._sync(self._file)
            finally:
                os.close(self._file)
                self._file = -1

    def _rotate(self) -> None:
        self._sync(self._file)
        number = 1
        name = target = f"{self._path.name}.{self._head.sequence:015}"
        while self._path.with_name(target).exists():
            # A log that was put back from a backup, and has come to the same number again.
            number += 1
            target = f"{name}-{number}"
        self._path.rename(self._path.with_name(target))
        _sync_folder(self._path.parent)
        # Those who wait for the lock will see that the log is another file now.
        self._release()

    def _catch_up(self) -> None:
        """Learn the head from the file: it is new here, or somebody else has written to it."""
        found = self._last_line()
        if found is None:
            rotated = [part for part in parts(self._path) if part != self._path]
            found = _last_head(rotated[-1]) if rotated else None
        # The highest: a head kept is one line behind after a crash, or ahead of a log that was cut off. Then the chain
        # goes on as if nothing was missing, and it shows for ever that something is.
        for head in (read_head(self._path), found):
            if head is not None and head.sequence > self._head.sequence:
                self._head = head

    def _last_line(self) -> Head | None:
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, 2 * MAX_LINE, max(0, size - 2 * MAX_LINE))
        whole = tail.rfind(b"\n") + 1
        head = _head_of(tail[:whole], self._path)
        if whole < len(tail):
            if head is None and not tail.startswith(LINE_START[: len(tail)]):
                raise KeyStoreError(f"{self._path} is no audit log, and is left as it is")
            size -= len(tail) - whole
            os.ftruncate(self._file, size)
        self._size = size
        return head

    def _write(self, lines: bytes) -> None:
        try:
            written = 0
            while written < len(lines):
                # A full disk takes a part, and refuses the rest.
                written += os.write(self._file, lines[written:] if written else lines)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise

    def _keep(self, head: Head) -> None:
        """Write down the head, unless a later one is there: another process may have been quicker."""
        self._hold(self._heads)
        try:
            kept = Head.parse(os.pread(self._heads, _HEAD_LENGTH, 0).decode("ascii", "replace"))
            if kept is None or kept.sequence < head.sequence:
                os.pwrite(self._heads, head.padded(), 0)
        finally:
            fcntl.flock(self._heads, fcntl.LOCK_UN)


def _last_head(path: Path) -> Head | None:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * MAX_LINE))
        return _head_of(file.read(), path)


def _head_of(lines: bytes, path: Path) -> Head | None:
    """Return the head that the last of some lines makes; ``None`` where there are none."""
    if not lines:
        return None
    parsed = parse_line(lines[lines.rfind(b"\n", 0, -1) + 1 :])
    if parsed is None:
        raise KeyStoreError(
            f"{path} is no audit log, or its last line is damaged: look at it with 'envelope kms audit verify'; if it "
            "is one, move it away, and the chain goes on in a new file"
        )
    return parsed[1]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
