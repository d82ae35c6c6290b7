"""A filesystem for fsspec, ``counted://``: local files as a store that is asked for ranges, and counts them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from fsspec import register_implementation
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem


class CountedFiles(AbstractFileSystem):
    """Files of the local disk.

    Attributes:
        requests: ranges that were asked for, of whatever file.
        bytes_read: how many bytes they had.
    """

    protocol = "counted"
    root_marker = "/"
    lock = threading.Lock()
    requests = bytes_read = 0

    @classmethod
    def read(cls, path: str, start: int, end: int | None) -> bytes:
        with open(path, "rb") as file:  # noqa: PTH123
            file.seek(start)
            content = file.read(-1 if end is None else end - start)
        with cls.lock:
            cls.requests += 1
            cls.bytes_read += len(content)
        return content

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        status = Path(self._strip_protocol(path)).stat()
        return {"name": self._strip_protocol(path), "type": "file", "size": status.st_size, "mtime": status.st_mtime}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        found = self.info(path)
        return [found] if detail else [found["name"]]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        return self.read(self._strip_protocol(path), start or 0, end)

    def _open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        return Ranges(self, path, mode, *args, **options)


class Ranges(AbstractBufferedFile):
    """A file, with the buffers that fsspec gives those of a store."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.read(self.path, start, end)


register_implementation("counted", CountedFiles)
