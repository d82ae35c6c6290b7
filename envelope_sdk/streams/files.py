"""Files that appear whole or not at all.

What is written goes to a file that no directory lists, where the system offers that (Linux, ``O_TMPFILE``), so even a
killed process leaves nothing behind; elsewhere to a hidden file beside the target. Only when everything is written and
synced does it take the target's name, in one step. Until then an older file of that name is untouched.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from envelope_sdk.errors import StreamError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["AtomicFile"]

_MODE: Final = 0o600
_NO_UNNAMED_FILES: Final = frozenset({errno.EISDIR, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTSUP})


class AtomicFile(io.RawIOBase):
    """A binary file for writing, readable by its owner only, that replaces its target on :meth:`commit`.

    ``close()`` without ``commit()`` discards what was written. As a context manager it commits at the end of the block
    and discards where the block raised. A link is followed, and what it points to is replaced.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Begin to write.

        Args:
            path: the target; its directory has to exist.
            overwrite: whether an existing file may be replaced. If not, its existence is checked now and, without a
                gap, again on commit.

        Raises:
            FileExistsError: the target exists and may not be replaced.
            OSError: the target's directory cannot be written, or the target is no regular file.
        """
        super().__init__()
        self._fd = -1
        self._target = Path(os.path.realpath(path))
        self._overwrite = overwrite
        if self._target.exists():
            if not overwrite:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            if not stat.S_ISREG(self._target.stat().st_mode):
                raise OSError(errno.EINVAL, "not a regular file, so it cannot be replaced", str(path))
        # File names have 255 bytes, and a character takes up to four.
        self._temporary = self._target.with_name(f".{self._target.name[:50]}.{secrets.token_hex(8)}.partial")
        try:
            self._fd, self._named = self._create()
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
        if os.fstat(self._fd).st_mode & _MODE != _MODE:
            # The umask takes even the owner's permissions away.
            os.fchmod(self._fd, _MODE)

    @property
    def target(self) -> Path:
        """The path that the file takes on commit, links resolved."""
        return self._target

    def fileno(self) -> int:
        """Return the file descriptor."""
        self._require_open()
        return self._fd

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Write some of ``data`` and return how many bytes; raises :class:`OSError` where the disk is full."""
        self._require_open()
        return os.write(self._fd, data)

    def commit(self) -> None:
        """Make everything durable and give it the target's name. The file is closed whatever happens.

        Raises:
            FileExistsError: the target has come into being and may not be replaced.
            OSError: syncing or renaming failed; an older target is untouched.
            StreamError: the file is closed already.
        """
        if self._fd < 0:
            raise StreamError("the file is closed already")
        try:
            os.fsync(self._fd)
            self._name()
        finally:
            self.close()

    def close(self) -> None:
        """Discard what was written, unless it was committed."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                os.close(fd)
            finally:
                if self._named:
                    self._temporary.unlink(missing_ok=True)
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or discard where the block raised."""
        if kind is None and self._fd >= 0:
            self.commit()
        else:
            self.close()

    def _require_open(self) -> None:
        if self._fd < 0:
            raise ValueError("I/O operation on a closed file")

    def _create(self) -> tuple[int, bool]:
        """Return a descriptor and whether the file has a name yet."""
        unnamed = getattr(os, "O_TMPFILE", None)
        if unnamed is not None and Path("/proc/self/fd").is_dir():
            try:
                return os.open(self._target.parent, os.O_RDWR | os.O_CLOEXEC | unnamed, _MODE), False
            except OSError as error:
                if error.errno not in _NO_UNNAMED_FILES:
                    raise
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        return os.open(self._temporary, flags, _MODE), True

    def _name(self) -> None:
        directory = os.open(self._target.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            # With a descriptor for the directory the link of the unnamed file is followed; without, it is not.
            source = str(self._temporary) if self._named else f"/proc/self/fd/{self._fd}"
            if not self._overwrite:
                # Unlike a rename, a link never replaces.
                os.link(source, self._target.name, dst_dir_fd=directory, follow_symlinks=True)
            else:
                if not self._named:
                    os.link(source, self._temporary.name, dst_dir_fd=directory, follow_symlinks=True)
                    self._named = True
                self._temporary.replace(self._target)
                self._named = False
            _sync_directory(directory)
        finally:
            os.close(directory)


def _sync_directory(directory: int) -> None:
    """Make a new name durable; some file systems cannot, and have nothing to make durable then."""
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
