"""Where a message waits that is being written: nothing of it is seen under its name before it is committed."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Protocol

from envelope_sdk.integrations.fsspec.library import AbstractBufferedFile, DirFileSystem, LocalFileSystem
from envelope_sdk.streams.files import AtomicFile

__all__ = ["Stage", "stage_for"]

_IN_MEMORY: Final = 2**23
"""Bytes of a message that wait in memory; longer ones wait in a temporary file, encrypted as they are."""


class Stage(Protocol):
    """Takes bytes, and then either gives them their name or forgets them."""

    def write(self, data: memoryview, /) -> int:
        """Take all of ``data`` and return its length."""
        ...

    def finish(self) -> None:
        """Take no more: all that can fail before the name is given, fails now."""
        ...

    def commit(self) -> None:
        """Give what was written its name."""
        ...

    def discard(self) -> None:
        """Forget what was written. Does nothing where it was committed or discarded before."""
        ...


def stage_for(target: Any, path: str, *, overwrite: bool, options: dict[str, Any]) -> Stage:
    """Return where to write a message that is to be called ``path`` in a filesystem.

    A local file is atomic and durable, as all are that this package writes. A store that can hold an upload back until
    it is told to complete it is streamed to, in parts. For all else the message waits here until it is whole.

    Args:
        target: the filesystem.
        path: what the message is to be called there.
        overwrite: whether it may replace another file.
        options: for the filesystem to write it with.

    Raises:
        FileExistsError: ``path`` exists and may not be replaced.
        OSError: it cannot be written.
    """
    while isinstance(target, DirFileSystem):
        path, target = target._join(path), target.fs
    if isinstance(target, LocalFileSystem):
        if target.auto_mkdir:
            target.makedirs(target._parent(path), exist_ok=True)
        return _LocalStage(target, path, overwrite=overwrite)
    if not overwrite and target.exists(path):
        raise FileExistsError(path)
    if overwrite and target.async_impl and _may_hold_back(target):
        file = target._open(path, mode="wb", autocommit=False, **options)
        if _holds_back(file.__class__):
            return _UploadStage(target, path, file)
        _drop(file)
    # There are no parts of it.
    whole = {name: value for name, value in options.items() if name != "block_size"}
    return _WaitingStage(target, path, whole if overwrite else {**whole, "mode": "create"})


def _may_hold_back(target: Any) -> bool:
    """Return whether it is worth opening a file to see: in other filesystems, that alone would empty an older one."""
    modules = [sys.modules.get(kind.__module__) for kind in type(target).__mro__]
    kinds = [kind for module in modules if module is not None for kind in vars(module).values()]
    return any(_holds_back(kind) for kind in kinds if isinstance(kind, type))


def _holds_back(kind: type[Any]) -> bool:
    """Return whether files of a class can complete or give up what was written to them when they are told to."""
    # Those of fsspec itself do nothing.
    own = [getattr(kind, name, None) is not getattr(AbstractBufferedFile, name, None) for name in ("commit", "discard")]
    return issubclass(kind, AbstractBufferedFile) and all(own)


def _drop(file: Any) -> None:
    # Closing would write: it is not asked whether anything was written.
    file.closed = True


class _LocalStage:
    """A file of the local disk."""

    def __init__(self, target: Any, path: str, *, overwrite: bool) -> None:
        self._target, self._path = target, path
        self._file = AtomicFile(path, overwrite=overwrite)

    def write(self, data: memoryview, /) -> int:
        return self._file.write(data)

    def finish(self) -> None: ...

    def commit(self) -> None:
        self._file.commit()
        self._target.invalidate_cache(self._path)

    def discard(self) -> None:
        self._file.close()


class _UploadStage:
    """An upload to a store, which shows nothing of it before it is completed."""

    def __init__(self, target: Any, path: str, file: Any) -> None:
        self._target, self._path, self._file = target, path, file
        self._done = False

    def write(self, data: memoryview, /) -> int:
        return int(self._file.write(data))

    def finish(self) -> None:
        self._file.close()

    def commit(self) -> None:
        self._file.commit()
        self._done = True
        self._target.invalidate_cache(self._target._parent(self._path))

    def discard(self) -> None:
        if self._done:
            return
        self._done = True
        try:
            self._file.discard()
        finally:
            _drop(self._file)


class _WaitingStage:
    """A message that waits here, encrypted, until it is whole."""

    def __init__(self, target: Any, path: str, options: dict[str, Any]) -> None:
        self._target, self._path, self._options = target, path, options
        self._memory = io.BytesIO()
        self._file: Any = None

    def write(self, data: memoryview, /) -> int:
        if self._file is None and self._memory.tell() + len(data) > _IN_MEMORY:
            self._file = tempfile.NamedTemporaryFile(prefix="envelope-", delete=False)  # noqa: SIM115
            self._file.write(self._memory.getbuffer())
            self._memory = io.BytesIO()
        (self._memory if self._file is None else self._file).write(data)
        return len(data)

    def finish(self) -> None:
        if self._file is not None:
            self._file.close()

    def commit(self) -> None:
        try:
            if self._file is None:
                self._target.pipe_file(self._path, self._memory.getvalue(), **self._options)
            else:
                self._target.put_file(self._file.name, self._path, **self._options)
        finally:
            self.discard()
        self._target.invalidate_cache(self._target._parent(self._path))

    def discard(self) -> None:
        self._memory = io.BytesIO()
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            with contextlib.suppress(FileNotFoundError):
                Path(file.name).unlink()
