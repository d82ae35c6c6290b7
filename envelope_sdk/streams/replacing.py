"""Putting a new file in an old one's place: who may read it stays, and nobody else's change is lost."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

from envelope_sdk.errors import StreamError
from envelope_sdk.streams.files import AtomicFile

__all__ = ["ReplacingFile", "keep_access", "open_regular"]

_NO_ATTRIBUTES: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_NOT_KEPT_HERE: Final = _NO_ATTRIBUTES | {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENODATA}
_ACCESS_LISTS: Final = frozenset({"system.posix_acl_access", "system.nfs4_acl", "system.richacl"})
_BEGINNING: Final = 64
"""Bytes at the beginning of a message that are different in each: its id is among them."""

_OF_THE_CONTENT: Final = frozenset({"security.ima", "security.evm"})
"""Attributes that vouch for the bytes of one file, and would have the system refuse another."""


def keep_access(old: int, new: int) -> None:
    """Give a new file the owner, group, access list, extended attributes and permissions of an old one.

    Attributes that only the system may set are left to it. The times are not kept: the content is another, and
    whatever makes copies has to notice.

    Args:
        old: the descriptor of the old file.
        new: that of the new one.

    Raises:
        PermissionError: the owner, the group or the access list cannot be kept, so that others could read the file than
            before, or those who could no longer can.
        OSError: the old file's cannot be read.
    """
    status, made = os.fstat(old), os.fstat(new)
    if (status.st_uid, status.st_gid) != (made.st_uid, made.st_gid):
        try:
            os.fchown(new, status.st_uid, status.st_gid)
        except PermissionError:
            raise PermissionError(errno.EPERM, "the file's owner and group cannot be kept") from None
    _copy_attributes(old, new)
    # Last, because another owner takes some of them away.
    os.fchmod(new, stat.S_IMODE(status.st_mode))


def _copy_attributes(old: int, new: int) -> None:
    if not hasattr(os, "listxattr"):
        return
    kept = _attributes(old)
    # The folder may have given it an access list that the old one has not, or has not any more.
    for name in _attributes(new):
        if name not in kept and not name.startswith("security."):
            with _as_far_as_kept_here(name):
                os.removexattr(new, name)
    for name in kept:
        if name not in _OF_THE_CONTENT:
            with _as_far_as_kept_here(name):
                os.setxattr(new, name, os.getxattr(old, name))


def _attributes(descriptor: int) -> list[str]:
    try:
        return os.listxattr(descriptor)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise
        return []


@contextmanager
def _as_far_as_kept_here(name: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if name in _ACCESS_LISTS or error.errno not in _NOT_KEPT_HERE:
            raise


class ReplacingFile(AtomicFile):
    """An atomic file that takes the place of one that is being read, if that is still there and as it was."""

    def __init__(self, path: str | os.PathLike[str], source: io.FileIO, status: os.stat_result) -> None:
        """Begin to write.

        Args:
            path: the file to replace. A link is followed.
            source: that file, open until this one is committed.
            status: how it was when it was opened.

        Raises:
            PermissionError: as :func:`keep_access`, here or on commit.
            OSError: as of :class:`~envelope_sdk.streams.files.AtomicFile`.
        """
        super().__init__(path)
        self._path = path
        self._source = source
        self._status = status
        try:
            self._beginning = os.pread(source.fileno(), _BEGINNING, 0)
            keep_access(source.fileno(), self.fileno())
        except BaseException:
            self.close()
            raise

    def commit(self) -> None:
        """Make it durable and replace the other, unless that was changed or replaced: :class:`StreamError` then."""
        if not self.closed:
            try:
                # Syncing takes its time, so it comes first.
                os.fsync(self.fileno())
                # As it is now: who was kept from reading meanwhile stays so.
                keep_access(self._source.fileno(), self.fileno())
            except BaseException:
                self.close()
                raise
        super().commit()

    def _about_to_appear(self) -> None:
        # What the path led to at first counts as well: the link that it is may have led elsewhere for a moment.
        found: set[tuple[int, ...]] = set()
        with suppress(FileNotFoundError):
            found = {_identity(os.stat(path)) for path in (self._path, self.target)}  # noqa: PTH116 - may be a text
        # Times alone do not tell what was written within the same instant, or by a program that sets them back.
        if found != {_identity(self._status)} or os.pread(self._source.fileno(), _BEGINNING, 0) != self._beginning:
            raise StreamError("another program changed or replaced the file meanwhile: it was left as it is now")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a regular file for reading, without waiting for the other end of what turns out to be a pipe.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    file = io.FileIO(path, opener=lambda _name, flags: os.open(path, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file, so it cannot be rotated", os.fspath(path))
    return file
