"""Putting a new file in an old one's place: who may read it stays, and nobody else's change is lost."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Final

from envelope_sdk.errors import StreamError

__all__ = ["keep_access", "require_unchanged"]

_NO_ATTRIBUTES: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_NOT_KEPT_HERE: Final = _NO_ATTRIBUTES | {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENODATA}
_ACCESS_LISTS: Final = frozenset({"system.posix_acl_access", "system.nfs4_acl", "system.richacl"})
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


def require_unchanged(
    paths: Iterable[str | os.PathLike[str]], old: int, status: os.stat_result, beginning: bytes
) -> None:
    """Raise where a path no longer leads to the file of ``status`` as it was then.

    Args:
        paths: every one has to lead there.
        old: the descriptor of the file.
        status: what it was.
        beginning: the bytes that it begins with, different in each message. The times alone do not tell of what was
            written within the same instant, or by a program that sets them back.

    Raises:
        StreamError: it is another file, or it was written to, or it is gone.
    """
    try:
        found = {_identity(os.stat(path)) for path in paths}  # noqa: PTH116 - the path may be a text
    except FileNotFoundError:
        found = set()
    if found != {_identity(status)} or os.pread(old, len(beginning), 0) != beginning:
        raise StreamError("another program changed or replaced the file meanwhile: it was left as it is now")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
