"""What a bulk run has done, on disk: a run that was killed goes on where it was.

A line of JSON for each thing that happens, with a checksum at its end. The first says what the run does; another run
is refused. ``begun`` is written before an item goes to a worker, where nothing had its target's name: what is there
when the run goes on is its own work, which may be replaced. ``done`` is on the disk before the item counts as done; it
holds what the source and the target were like then, and is believed as long as they still are. ``failed`` takes
``begun`` back.

A kill in the middle of a line leaves that line incomplete, which is cut off. Anything else that does not fit is damage,
and is not repaired.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import stat
import weakref
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from envelope_sdk.bulk.operations import Item
from envelope_sdk.bulk.places import Entry
from envelope_sdk.errors import JournalError, UsageError

__all__ = ["Journal", "Noted"]

_FORMAT: Final = "envelope-sdk bulk 1"
_START: Final = f'{{"journal": "{_FORMAT}"'.encode()
_SUM: Final = b', "crc": "'
_SUM_LENGTH: Final = len(_SUM) + 8 + len(b'"}')
_LONGEST: Final = 2**24
"""Bytes of a line: two names and some figures are far less."""

_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Noted(NamedTuple):
    """An item that the journal says is done.

    Attributes:
        source: its size and tag when it was read; ``None`` where its place told nothing.
        target: its size and tag when it had been written.
    """

    source: tuple[int, str] | None
    target: tuple[int, str] | None


class Journal:
    """An open journal. Only one run at a time has it. As a context manager it is closed with the block."""

    def __init__(self, path: str | os.PathLike[str], plan: Mapping[str, Any]) -> None:
        """Open a journal, or begin one where there is no file.

        Args:
            path: the file. It holds names and settings, no keys, and is readable by its owner only.
            plan: what the run does, as JSON takes it.

        Raises:
            JournalError: it is in use, is of another plan, is damaged, or is no journal.
            UsageError: it is not a regular file.
            OSError: it cannot be read or written, now or later. Once it cannot, nothing more is noted.
        """
        self._path = Path(path)
        # Two texts for one number: what was read back is compared.
        self._plan = json.loads(json.dumps(plan))
        self._places: dict[int, int] = {}
        self._unsynced = False
        self._end = 0
        self._spoilt: OSError | None = None
        # A file object closes itself, and lets go of the lock, where a run is dropped before it begins.
        self._file = io.FileIO(_opened(self._path), "a+")
        try:
            self._lock()
            self._load()
        except BaseException:
            self.abandon()
            raise
        _open_journals.add(self)

    def __enter__(self) -> Self:
        """Return the journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"Journal({str(self._path)!r})"

    def close(self) -> None:
        """Make it durable and let others have it. Closing twice does nothing more."""
        if self._file.closed:
            return
        try:
            if self._spoilt is None:
                self.sync()
        finally:
            # A forked worker may be about to close its copy, and would keep the lock until then.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self.abandon()

    def done(self, item: Item) -> Noted | None:
        """Return what an earlier run noted of an item that it had done; ``None`` where none had."""
        line = self._line_of(item, "done")
        if line is None:
            return None
        source, target = (None if line[name] is None else (line[name][0], line[name][1]) for name in _ENDS)
        return Noted(source, target)

    def begun(self, item: Item) -> bool:
        """Return whether an earlier run began an item, found nothing at its target, and did not note how it ended."""
        return self._line_of(item, "begun") is not None

    def note_begun(self, items: Iterable[Item]) -> None:
        """Note items that are about to go to workers and whose targets are not there. :meth:`sync` before they go."""
        self._append("".join(_encoded({"begun": _names(item)}) for item in items))

    def note_done(self, item: Item, source: Entry | None, target: Entry | None) -> None:
        """Note an item that was done. It is once :meth:`sync` has returned."""
        ends = {
            name: None if entry is None else [entry.size, entry.tag]
            for name, entry in zip(_ENDS, (source, target), strict=True)
        }
        self._append(_encoded({"done": _names(item), **ends}))

    def note_failed(self, item: Item, error: Exception) -> None:
        """Note an item that failed, and whose target was left as it was."""
        self._append(_encoded({"failed": _names(item), "error": type(error).__name__}))

    def sync(self) -> None:
        """Return when all that was noted is on the disk."""
        if self._unsynced:
            self._check_sound()
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._spoil(error) from None
            self._unsynced = False

    def abandon(self) -> None:
        """Close it without touching the file or its lock, as in a forked process, which has copies of both."""
        _open_journals.discard(self)
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise OSError(error.errno, error.strerror, str(self._path)) from None
            raise JournalError(f"another run is using the journal {self._path}") from None

    def _append(self, lines: str) -> None:
        if not lines:
            return
        self._check_sound()
        data = memoryview(lines.encode("ascii"))
        end = self._end + len(data)
        self._unsynced = True
        try:
            while len(data):
                data = data[self._file.write(data) :]
            self._end = end
        except OSError as error:
            raise self._spoil(error) from None
        finally:
            if self._end < end:
                # Half a line would be damage as soon as another follows.
                with suppress(OSError):
                    os.ftruncate(self._file.fileno(), self._end)

    def _check_sound(self) -> None:
        if self._spoilt is not None:
            raise self._spoilt

    def _spoil(self, error: OSError) -> OSError:
        """Note that writing failed, after which nobody knows what of it is on the disk."""
        self._spoilt = OSError(error.errno, error.strerror, str(self._path))
        return self._spoilt

    def _load(self) -> None:
        """Read all lines, note where each item's last one is, and cut off what a kill left of a line."""
        end = 0
        with open(self._file.fileno(), "rb", closefd=False) as file:
            file.seek(0)
            start = file.read(len(_START))
            if not (start.startswith(_START) or _START.startswith(start)):
                raise JournalError(f"{self._path} is no journal of a bulk run")
            file.seek(0)
            number = 0
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                number += 1
                self._take(_decoded(line), number, end)
                end = file.tell()
            if len(line) == _LONGEST:
                raise self._damaged(number + 1)
        self._end = end
        if os.fstat(self._file.fileno()).st_size > end:
            os.ftruncate(self._file.fileno(), end)
            self._unsynced = True
        if number == 0:
            self._append(_encoded({"journal": _FORMAT, "plan": self._plan}))
            self.sync()
            _sync_folder(self._path)

    def _take(self, line: dict[str, Any] | None, number: int, offset: int) -> None:
        if line is None:
            raise self._damaged(number)
        if number == 1:
            self._check_plan(line)
            return
        kind = next((kind for kind in _KINDS if kind in line), None)
        if kind is None:
            raise self._damaged(number)
        if kind == "failed":
            self._places.pop(_key(line[kind]), None)
        else:
            self._places[_key(line[kind])] = offset

    def _check_plan(self, line: dict[str, Any]) -> None:
        if line.get("journal") != _FORMAT:
            raise JournalError(f"{self._path} is no journal of a bulk run, or of another version")
        plan = line["plan"]
        names = [name for name in {**plan, **self._plan} if plan.get(name) != self._plan.get(name)]
        if names:
            raise JournalError(
                f"the journal {self._path} is of another run, with other settings ({', '.join(sorted(names))}): "
                "name a new file"
            )

    def _damaged(self, number: int) -> JournalError:
        return JournalError(
            f"the journal {self._path} is damaged in line {number}: what it says cannot be relied on; name a new file"
        )

    def _line_of(self, item: Item, kind: str) -> dict[str, Any] | None:
        names = _names(item)
        offset = self._places.get(_key(names))
        if offset is None:
            return None
        with open(self._file.fileno(), "rb", closefd=False) as file:
            file.seek(offset)
            line = _decoded(file.readline(_LONGEST))
        # Two items may, once in a very long while, share a number.
        return line if line is not None and line.get(kind) == names else None


_ENDS: Final = ("source", "target")
_KINDS: Final = ("begun", "done", "failed")


def _names(item: Item) -> list[str]:
    return [item.source, item.target]


def _key(names: list[str]) -> int:
    return int.from_bytes(blake2b(json.dumps(names).encode("ascii"), digest_size=8).digest(), "big")


def _encoded(line: Mapping[str, Any]) -> str:
    text = json.dumps(line)[:-1]
    return f'{text}, "crc": "{zlib.crc32(text.encode("ascii")):08x}"}}\n'


def _decoded(line: bytes) -> dict[str, Any] | None:
    """Return what a whole line says, ``None`` where it was changed."""
    text, end = line[: -_SUM_LENGTH - 1], line[-_SUM_LENGTH - 1 : -1]
    if line[-1:] != b"\n" or end != b'%s%08x"}' % (_SUM, zlib.crc32(text)):
        return None
    decoded: dict[str, Any] = json.loads(text + b"}")
    return decoded


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except IsADirectoryError:
        raise UsageError(f"the journal {path} is a folder") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"the journal {path} is no regular file")
    return descriptor


def _sync_folder(path: Path) -> None:
    try:
        descriptor = os.open(path.absolute().parent, os.O_RDONLY)
    except PermissionError:
        # It may be written and not read.
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot, and have nothing to make durable then.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _forget_in_child() -> None:
    # A forked worker would hold the lock for as long as it lives.
    for journal in list(_open_journals):
        journal.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
