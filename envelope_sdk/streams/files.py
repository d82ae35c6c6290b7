"""Files that appear whole or not at all.

What is written goes to a file that no directory lists, where the system offers that (Linux, ``O_TMPFILE``), so even a
process killed while writing leaves nothing behind; elsewhere to a hidden file beside the target. Only when everything
is written and synced does it take the target's name, in one step. Until then an older file of that name is untouched.
To replace one, the new file is named beside it for an instant first: only a kill in that instant leaves a hidden file.
"""

from __future__ import annotations

import errno
import io
import os
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
        self._process = os.getpid()
        self._committed = False
        self._target = Path(os.path.realpath(path))
        self._overwrite = overwrite
        if self._target.exists():
            if not overwrite:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            if not stat.S_ISREG(self._target.stat().st_mode):
                raise OSError(errno.EINVAL, "not a regular file, so it cannot be replaced", str(path))
        # File names have 255 bytes, and a character takes up to four.
        self._temporary = self._target.with_name(f".{self._target.name[:50]}.{os.urandom(8).hex()}.partial")
        try:
            self._fd, self._named = self._create()
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
        self._asked = str(path)
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
        """Write all of ``data`` and return its length in bytes; raises :class:`OSError` where the disk is full."""
        self._require_open()
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view):
            written += os.write(self._fd, view[written:])
        return written

    def commit(self) -> None:
        """Make everything durable and give it the target's name. The file is closed whatever happens.

        Raises:
            FileExistsError: the target has come into being and may not be replaced.
            OSError: syncing or renaming failed, and an older target is untouched; or the new file is in its place, and
                only making its name durable failed.
            StreamError: the file is closed already.
        """
        if self._fd < 0:
            raise StreamError("the file is closed already")
        try:
            os.fsync(self._fd)
            self._name()
            self._committed = True
        finally:
            self.close()

    def close(self) -> None:
        """Discard what was written, unless it was committed."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                os.close(fd)
            finally:
                # In a forked child the name is still the parent's.
                if self._named and os.getpid() == self._process:
                    self._temporary.unlink(missing_ok=True)
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or discard where the block raised.

        Raises:
            StreamError: the block ended well, but the file was closed in it, as what writes through it may do.
            Otherwise as :meth:`commit`.
        """
        if kind is not None:
            self.close()
        elif self._fd >= 0:
            self.commit()
        elif not self._committed:
            raise StreamError(
                "the file was closed before its block ended, and is discarded: commit() before that, or detach what "
                "closed it"
            )

    def _require_open(self) -> None:
        if self._fd < 0:
            raise ValueError("I/O operation on a closed file")

    def _create(self) -> tuple[int, bool]:
        """Return a descriptor and whether the file has a name yet."""
        unnamed = self._create_unnamed()
        if unnamed is not None:
            return unnamed, False
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        return os.open(self._temporary, flags, _MODE), True

    def _create_unnamed(self) -> int | None:
        """Return a descriptor, or ``None`` where the system or the file system has no files without a name."""
        flag = getattr(os, "O_TMPFILE", None)
        if flag is None or not Path("/proc/self/fd").is_dir():
            return None
        try:
            return os.open(self._target.parent, os.O_RDWR | os.O_CLOEXEC | flag, _MODE)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
            return None

    def _name(self) -> None:
        parent = self._target.parent
        # Only naming needs the descriptor, not reading: a directory may be writable and not readable.
        directory = os.open(parent, getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0))
        try:
            if not self._take_free_name(directory):
                if not self._named:
                    # Noted first: an interruption may come before it could be noted afterwards.
                    self._named = True
                    self._link(self._temporary.name, directory, unnamed=True)
                self._replace()
        finally:
            os.close(directory)
        _sync_directory(parent)

    def _about_to_appear(self) -> None:
        """Raise where the file is not to take the target's name after all. Next to nothing comes between."""

    def _replace(self) -> None:
        self._about_to_appear()
        try:
            self._temporary.replace(self._target)
        except OSError as error:
            # Nobody knows the other name, which is gone by then.
            raise OSError(error.errno, os.strerror(error.errno or 0), self._asked) from None
        self._named = False

    def _take_free_name(self, directory: int) -> bool:
        """Take the target's name where nothing has it; unlike a rename, a link never replaces."""
        if self._overwrite and (self._named or self._target.exists()):
            return False
        self._about_to_appear()
        try:
            self._link(self._target.name, directory, unnamed=not self._named)
        except FileExistsError:
            if self._overwrite:
                return False
            raise
        return True

    def _link(self, name: str, directory: int, *, unnamed: bool) -> None:
        # With a descriptor for the directory the link of the unnamed file is followed; without, it is not.
        source = f"/proc/self/fd/{self._fd}" if unnamed else str(self._temporary)
        os.link(source, name, dst_dir_fd=directory, follow_symlinks=True)


def _sync_directory(directory: Path) -> None:
    """Make a new name durable; some file systems cannot, and have nothing to make durable then."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
