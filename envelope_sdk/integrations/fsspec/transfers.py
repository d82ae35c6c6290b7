"""Whole files and ranges of them, moved, copied and removed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from envelope_sdk.client import Client
from envelope_sdk.integrations.fsspec.library import DEFAULT_CALLBACK, AbstractFileSystem, isfilelike
from envelope_sdk.integrations.fsspec.settings import refuse_settings
from envelope_sdk.streams.contract import CHUNK

__all__ = ["Transfers"]

_AT_ONCE: Final = 8
"""Ranges that are asked of a store at the same time."""


class Transfers(AbstractFileSystem):  # type: ignore[misc]
    """The part of an encrypted filesystem that moves content."""

    target: Any
    _client: Client
    _context: dict[str, str]
    _required: tuple[str, ...]

    # --- reading -----------------------------------------------------------------------------------------------------

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **others: Any) -> bytes:
        """Return a file's plaintext, or the bytes from ``start`` to ``end``, each counted from the end where negative.

        All of it is authenticated to its end, signatures included, a range as :meth:`open` does.
        """
        refuse_settings(others)
        if start is None and end is None:
            message = self.target.cat_file(self._stored(path), **others)
            found = self._client.decrypt(
                message, encryption_context=self._context, required_context_keys=self._required
            )
            return found.plaintext
        with self._reader(self._strip_protocol(path), others) as reader:
            return _cut(reader, start, end)

    def cat_ranges(
        self,
        paths: list[str],
        starts: int | list[int | None] | None,
        ends: int | list[int | None] | None,
        max_gap: int | None = None,  # noqa: ARG002 - fsspec's
        on_error: str = "return",
        **others: Any,
    ) -> list[Any]:
        """Return ranges of one or several files, each of which is opened once.

        Args:
            paths: the file of each range.
            starts: where each begins; one number for all.
            ends: where each ends; one number for all.
            max_gap: not used: frames that stand together are read together.
            on_error: ``"return"`` puts an error in the place of what it prevented; else it is raised.
        """
        refuse_settings(others)
        if not isinstance(paths, list):  # pyright: ignore[reportUnnecessaryIsInstance] - one path, most often
            raise TypeError("paths is a list of paths")
        begin = starts if isinstance(starts, list) else [starts] * len(paths)
        finish = ends if isinstance(ends, list) else [ends] * len(paths)
        if not len(paths) == len(begin) == len(finish):
            raise ValueError("paths, starts and ends have different lengths")
        ranges: dict[str, list[int]] = {}
        for number, path in enumerate(paths):
            ranges.setdefault(self._strip_protocol(path), []).append(number)
        found: list[Any] = [None] * len(paths)

        def read(item: tuple[str, list[int]]) -> None:
            path, numbers = item
            wanted = {number: (begin[number], finish[number]) for number in numbers}
            self._read_ranges(path, wanted, found, on_error, others)

        _each(read, list(ranges.items()), at_once=_AT_ONCE if self.target.async_impl else 1)
        return found

    def _read_ranges(
        self,
        path: str,
        wanted: dict[int, tuple[int | None, int | None]],
        found: list[Any],
        on_error: str,
        options: dict[str, Any],
    ) -> None:
        try:
            with self._reader(path, options) as reader:
                for number, (start, end) in wanted.items():
                    found[number] = _caught(partial(_cut, reader, start, end), on_error)
        except Exception as error:
            if on_error != "return":
                raise
            for number in wanted:
                found[number] = error

    def get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **others: Any
    ) -> None:
        """Decrypt a file to a local one, which appears when the message is authentic to its end."""
        refuse_settings(others)
        to = outfile if outfile is not None else lpath
        if not isfilelike(to) and self.isdir(rpath):
            Path(to).mkdir(parents=True, exist_ok=True)
            return
        stored = self._stored(rpath)
        callback.set_size(self.target.info(stored)["size"])
        if not isfilelike(to):
            Path(to).parent.mkdir(parents=True, exist_ok=True)
        writer = self._client.decrypting_writer(
            to, encryption_context=self._context, required_context_keys=self._required
        )
        with self.target.open(stored, "rb", **others) as sealed, writer:
            while piece := sealed.read(CHUNK):
                writer.write(piece)
                callback.relative_update(len(piece))

    # --- writing -----------------------------------------------------------------------------------------------------

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **kwargs: Any) -> None:
        """Encrypt bytes to a file; ``mode="create"`` refuses to replace one."""
        view = memoryview(value).cast("B")
        how = "xb" if mode == "create" else "wb"
        with self.open(path, how, plaintext_length=len(view), **kwargs) as file:
            file.write(view)

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        """Encrypt a local file; ``mode="create"`` refuses to replace one."""
        if Path(lpath).is_dir():
            self.makedirs(rpath, exist_ok=True)
            return
        with Path(lpath).open("rb") as plain:
            length = os.fstat(plain.fileno()).st_size
            callback.set_size(length)
            self.mkdirs(self._parent(os.fspath(rpath)), exist_ok=True)
            how = "xb" if mode == "create" else "wb"
            with self.open(rpath, how, plaintext_length=length, **kwargs) as file:
                while piece := plain.read(CHUNK):
                    file.write(piece)
                    callback.relative_update(len(piece))

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Write an empty message, or with ``truncate=False`` leave one that is there, with a new time."""
        if not truncate and self.exists(path):
            self.target.touch(self._stored(path), truncate=False, **kwargs)
        else:
            self.pipe_file(path, b"")

    # --- messages as they are ----------------------------------------------------------------------------------------

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy the message as it is, still encrypted with the same keys and context: nothing is decrypted."""
        if self.isdir(path1):
            self.mkdirs(path2, exist_ok=True)
        else:
            source, target = self._stored(path1), self._stored(path2)
            if source == target:
                # Who moves would remove it.
                raise shutil.SameFileError(f"{path1} and {path2} are the same file")
            self.target.cp_file(source, target, **kwargs)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move messages as they are, and nothing that is not shown here, nor what lies deeper than ``maxdepth``."""
        single = isinstance(path1, str) and isinstance(path2, str) and not path2.endswith("/")
        if single and path1 != path2 and self.isfile(path1) and not self.isdir(path2):
            self.target.mv(self._stored(path1), self._stored(path2), **kwargs)
        elif path1 != path2:
            moved = self.expand_path(path1, recursive=recursive, maxdepth=maxdepth)
            folders = [path for path in moved if self.isdir(path)]
            if len(folders) == len(moved) and not recursive:
                raise IsADirectoryError(errno.EISDIR, "folders are moved with recursive=True", str(path1))
            self.copy(path1, path2, recursive=recursive, maxdepth=maxdepth, on_error="raise", **kwargs)
            for path in set(moved).difference(folders):
                self.rm_file(path)
            self._remove_empty(folders if recursive else [])

    def _remove_empty(self, folders: list[str]) -> None:
        """Remove those of some folders in which no file is, shown here or not."""
        for path in sorted(folders):
            folder = self._strip_protocol(path)
            if self.target.isdir(folder) and not self.target.find(folder):
                self.target.rm(folder, recursive=True)

    def rm_file(self, path: str) -> None:
        """Remove one file."""
        self.target.rm_file(self._stored(path))

    def _rm(self, path: str) -> None:
        self.rm_file(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, or with ``recursive`` folders with all that is in them, shown here or not."""
        for one in self.expand_path(path, maxdepth=maxdepth):
            if self.isdir(one):
                self.target.rm(self._strip_protocol(one), recursive=recursive, maxdepth=maxdepth)
            else:
                self.rm_file(one)

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a folder."""
        self.target.mkdir(self._strip_protocol(path), create_parents=create_parents, **kwargs)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it."""
        self.target.makedirs(self._strip_protocol(path), exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        self.target.rmdir(self._strip_protocol(path))


def _cut(reader: Any, start: int | None, end: int | None) -> bytes:
    first, last, _ = slice(start, end).indices(reader.size)
    return cast("bytes", reader.read_at(first, max(0, last - first)))


def _caught(read: Callable[[], bytes], on_error: str) -> Any:
    try:
        return read()
    except Exception as error:
        if on_error != "return":
            raise
        return error


def _each(work: Callable[[Any], None], items: list[Any], *, at_once: int) -> None:
    if at_once == 1 or len(items) < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(min(at_once, len(items))) as threads:
        list(threads.map(work, items))
