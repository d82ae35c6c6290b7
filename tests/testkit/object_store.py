"""An object store for fsspec, in memory: ranges, ETags, uploads in parts. It counts, and fails to order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

__all__ = ["ObjectStore"]


class ObjectStore(AbstractFileSystem):
    """Objects by path.

    Attributes:
        objects: content and ETag by path.
        uploads: parts of the uploads that are neither completed nor given up.
        requests: path, offset and length of every range that was read.
        before: called with the name of each request before it is answered.
        conditional: whether ranges are refused where the object was replaced since its file was opened.
    """

    protocol = "objects"
    cachable = False
    async_impl = True
    asynchronous = False

    def __init__(self, *, conditional: bool = False) -> None:
        super().__init__()
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.uploads: list[list[bytes]] = []
        self.requests: list[tuple[str, int, int]] = []
        self.before: Callable[[str], object] = lambda request: None
        self.conditional = conditional
        self.lock = threading.Lock()
        self.versions = 0

    @property
    def bytes_read(self) -> int:
        return sum(length for _, _, length in self.requests)

    def put_object(self, path: str, content: bytes) -> None:
        self.versions += 1
        self.objects[path] = content, f'"{self.versions}"'

    def get_range(self, path: str, start: int, end: int | None) -> bytes:
        self.before("get")
        if path not in self.objects:
            raise FileNotFoundError(path)
        piece = self.objects[path][0][start:end]
        with self.lock:
            self.requests.append((path, start, len(piece)))
        return piece

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self.before("head")
        path = self._strip_protocol(path)
        if path in self.objects:
            content, etag = self.objects[path]
            return {"name": path, "type": "file", "size": len(content), "ETag": etag}
        if any(name.startswith(f"{path}/") for name in self.objects) or not path:
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if path in self.objects:
            return [self.info(path)] if detail else [path]
        start = f"{path}/" if path else ""
        below = {start + name[len(start) :].split("/")[0] for name in self.objects if name.startswith(start)}
        if not below:
            raise FileNotFoundError(path)
        return [self.info(name) for name in sorted(below)] if detail else sorted(below)

    def cat_file(
        self, path: str, version: str | None = None, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        # The order is that of s3fs.
        assert version is None
        return self.get_range(self._strip_protocol(path), start or 0, end)

    def cat_ranges(self, paths: list[str], starts: list[int], ends: list[int], **kwargs: Any) -> list[Any]:
        found: list[Any] = []
        for path, start, end in zip(paths, starts, ends, strict=True):
            try:
                found.append(self.cat_file(path, start=start, end=end))
            except OSError as error:
                found.append(error)
        return found

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self.before("put")
        path = self._strip_protocol(path)
        if mode == "create" and path in self.objects:
            raise FileExistsError(path)
        self.put_object(path, bytes(value))

    def rm_file(self, path: str) -> None:
        del self.objects[self._strip_protocol(path)]

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self.before("copy")
        self.put_object(self._strip_protocol(path2), self.objects[self._strip_protocol(path1)][0])

    def makedirs(self, path: str, exist_ok: bool = False) -> None: ...

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> ObjectFile:
        return ObjectFile(self, path, mode, *args, **kwargs)


class ObjectFile(AbstractBufferedFile):
    """An object that is read, or written in parts."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        now = self.fs.objects.get(self.path)
        if self.fs.conditional and now is not None and now[1] != self.details["ETag"]:
            raise OSError("precondition failed")
        return self.fs.get_range(self.path, start, end)

    def _initiate_upload(self) -> None:
        self.fs.before("begin")
        self.parts: list[bytes] = []
        self.fs.uploads.append(self.parts)

    def _upload_chunk(self, final: bool = False) -> bool:
        self.fs.before("part")
        self.parts.append(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        self.fs.before("complete")
        self.fs.put_object(self.path, b"".join(self.parts))
        self._forget()

    def discard(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.fs.uploads[:] = [parts for parts in self.fs.uploads if parts is not getattr(self, "parts", None)]
