"""Where a bulk run takes things from and puts them: files here, objects elsewhere, by one small protocol."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from envelope_sdk.bulk.folders import make_folders_for
from envelope_sdk.errors import UsageError
from envelope_sdk.streams.files import AtomicFile
from envelope_sdk.streams.replacing import ReplacingFile, open_regular

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Entry", "FileReplacement", "LocalFiles", "Pending", "Place", "Replacement", "ReplacingPlace"]


class Entry(NamedTuple):
    """Something that a place holds.

    Attributes:
        name: what the place knows it by.
        size: its bytes.
        tag: another one after each change of its content: an ETag, or the time of the change and the file's number.
    """

    name: str
    size: int
    tag: str


class Pending(Protocol):
    """Something that is being written, and that nobody sees before :meth:`commit`."""

    def write(self, data: Buffer, /) -> int | None:
        """Take bytes; return how many, all where that is ``None``."""
        ...

    def commit(self) -> None:
        """Make it durable and have it seen, all at once."""
        ...

    def close(self) -> None:
        """Discard it, unless it was committed."""
        ...


@runtime_checkable
class Place(Protocol):
    """Holds things by name. It can be pickled, holds no connection and no secret, and makes both where it is used."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield what it holds whose name begins with ``prefix``, in an order that does not change."""
        ...

    def entry(self, name: str) -> Entry | None:
        """Return what has that name, ``None`` where nothing has."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open it for reading, from its beginning. Raises :class:`OSError` where that cannot be."""
        ...

    def create(self, name: str, *, overwrite: bool) -> Pending:
        """Begin to write it.

        Args:
            name: what it will be known by.
            overwrite: whether it may replace what has that name. If not, :class:`FileExistsError` is raised, here or
                on commit.
        """
        ...

    def words(self) -> str:
        """Return what tells the place from others: for journals and messages, without secrets."""
        ...


class Replacement(Protocol):
    """What a name holds, open for reading, and what is to take its place."""

    @property
    def file(self) -> IO[bytes]:
        """The bytes that are there, from their beginning."""
        ...

    def create(self) -> Pending:
        """Begin to write what takes their place.

        What can be kept is: who may read it, and how it is described. Its commit raises :class:`StreamError` where the
        name holds something else by then than what was opened, which is left as it is.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@runtime_checkable
class ReplacingPlace(Place, Protocol):
    """A place that can replace what it holds, and never another's change of it."""

    def replacing(self, name: str) -> Replacement:
        """Open what has that name, to replace it perhaps. Raises :class:`OSError` where that cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Files, by their paths.

    Attributes:
        root: the folder that paths are relative to, made absolute; empty for paths that are taken as they are. Names
            that lead out of it raise :class:`UsageError`.
    """

    root: str = ""

    def __post_init__(self) -> None:
        if self.root:
            # Workers may stand elsewhere.
            object.__setattr__(self, "root", str(Path(self.root).absolute()))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the regular files below the root, folder by folder. Links to folders are not followed."""
        top = self._path("")
        for folder, folders, files in os.walk(top, onerror=_refuse):
            folders.sort()
            for file in sorted(files):
                path = Path(folder, file)
                name = str(path.relative_to(top))
                entry = self.entry(name) if name.startswith(prefix) else None
                if entry is not None:
                    yield entry

    def entry(self, name: str) -> Entry | None:
        """Return the file's size and when it was changed; ``None`` for what is no regular file."""
        try:
            status = self._path(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return Entry(name, status.st_size, f"{status.st_mtime_ns}-{status.st_ino}")

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return self._path(name).open("rb", buffering=0)

    def create(self, name: str, *, overwrite: bool) -> AtomicFile:
        """Begin to write a file, in a folder that is made where there is none."""
        path = self._path(name)
        make_folders_for(path)
        return AtomicFile(path, overwrite=overwrite)

    def replacing(self, name: str) -> FileReplacement:
        """Open a regular file. What replaces it has its owner, permissions and attributes (see docs/rotation.md)."""
        return FileReplacement(self._path(name))

    def words(self) -> str:
        """Return the root."""
        return f"file:{self.root}"

    def _path(self, name: str) -> Path:
        """Return the path of a name, which may be that of an object, given by whoever may write to its bucket.

        Raises:
            UsageError: it leads out of the root, or no file can have it.
        """
        if not _is_encodable(name):
            raise UsageError(f"the name {name!r} is none of a file in a folder")
        if not self.root:
            return Path(name)
        root, path = (Path(os.path.normpath(path)) for path in (self.root, Path(self.root, name)))
        if name and root not in path.parents:
            raise UsageError(f"the name {name!r} is none of a file in the folder {self.root}")
        return path


class FileReplacement:
    """A file, open for reading, and what is to take its place."""

    __slots__ = ("_path", "_status", "file")

    def __init__(self, path: Path) -> None:
        """Open it."""
        self._path = path
        self.file = open_regular(path)
        self._status = os.fstat(self.file.fileno())

    def create(self) -> ReplacingFile:
        """Begin to write beside it."""
        return ReplacingFile(self._path, self.file, self._status)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _is_encodable(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _refuse(error: OSError) -> None:
    raise error
