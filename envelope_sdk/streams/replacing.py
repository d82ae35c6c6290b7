"""Putting a new file in an old one's place: who may read it stays, and nobody else's change is lost."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from envelope_sdk.errors import StreamError

__all__ = ["keep_access", "require_unchanged"]

_NOT_KEPT_HERE: Final = frozenset(
    {errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENODATA}
)
_ACCESS_LIST: Final = "system.posix_acl_access"


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
    try:
        names = os.listxattr(old)
    except OSError as error:
        if error.errno not in _NOT_KEPT_HERE:
            raise
        return
    for name in names:
        try:
            os.setxattr(new, name, os.getxattr(old, name))
        except OSError as error:
            if name == _ACCESS_LIST or error.errno not in _NOT_KEPT_HERE:
                raise


def require_unchanged(path: str | os.PathLike[str], status: os.stat_result) -> None:
    """Raise where ``path`` no longer leads to the file of ``status`` as it was then.

    Raises:
        StreamError: it is another file, or it was written to, or it is gone.
    """
    try:
        now = os.stat(path)  # noqa: PTH116 - the path may be a text
    except FileNotFoundError:
        now = None
    if now is None or _identity(now) != _identity(status):
        raise StreamError("another program changed or replaced the file meanwhile: it was left as it is now")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
