"""What is there and what it is called: the names below and here, and the sizes of plaintexts."""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from envelope_sdk.integrations.fsspec.library import AbstractFileSystem, stringify_path
from envelope_sdk.integrations.fsspec.sizes import FIRST_BYTES, claimed_size

__all__ = ["StoredNames"]

_REMEMBERED: Final = 2**14
"""Sizes that a filesystem keeps, each some hundred bytes."""

_AT_ONCE: Final = 2**10
"""Files whose first bytes are read together."""

_VERSIONS: Final = ("ETag", "etag", "generation", "mtime", "LastModified", "last_modified", "updated", "created", "ino")


class StoredNames(AbstractFileSystem):  # type: ignore[misc]
    """The part of an encrypted filesystem that looks at names.

    Attributes:
        target: the filesystem below.
        suffix: what names of files have there and not here.
    """

    target: Any
    suffix: str

    def _below(self, target: Any, suffix: str) -> None:
        """Take the filesystem below."""
        self.target, self.suffix = target, suffix
        self.root_marker: str = target.root_marker
        self.sep: str = target.sep
        self._looking_up = threading.Lock()
        self._sizes: OrderedDict[tuple[object, ...], int | None] = OrderedDict()

        def strip(path: Any) -> Any:
            # Each instance has its own way, and fsspec calls it as if it were the class's.
            if isinstance(path, list | tuple | set):
                return [strip(one) for one in cast("Iterable[Any]", path)]
            text = stringify_path(path)
            for start in ("esdk://", "esdk::"):
                text = text.removeprefix(start)
            return target._strip_protocol(text)

        self._strip_protocol: Any = strip

        def parent(path: Any) -> Any:
            return target._parent(strip(path))

        self._parent: Any = parent

    def unstrip_protocol(self, name: str) -> str:
        """Return the chained URL of a path."""
        below = self.target.unstrip_protocol(self._strip_protocol(name))
        return f"esdk::{below}"

    # --- what there is -----------------------------------------------------------------------------------------------

    def info(self, path: str, *, sizes: bool = True, **kwargs: Any) -> dict[str, Any]:
        """Return what is known of a file or folder.

        ``size`` is that of the plaintext, as the message's header and length say, which opening it authenticates;
        ``None`` for what is no message. ``ciphertext_size`` is that of the file below. The rest is as it is there.

        Args:
            path: its name.
            sizes: whether to read headers for the sizes of plaintexts; if not, ``size`` is ``None``.
            kwargs: for the filesystem below.

        Raises:
            FileNotFoundError: there is nothing of that name.
        """
        (shown,) = self._shown([self._details(self._strip_protocol(path), **kwargs)], sizes=sizes)
        return shown

    def ls(self, path: str, detail: bool = True, *, sizes: bool = True, **kwargs: Any) -> list[Any]:
        """Return what is in a folder, with what :meth:`info` returns of each, or the names only."""
        path = self._strip_protocol(path)
        try:
            below = self.target.ls(path, detail=True, **kwargs)
        except FileNotFoundError:
            if not self.suffix:
                raise
            below = [self.target.info(path + self.suffix)]
        if self.suffix and [(entry["name"], entry["type"]) for entry in below] == [(path, "file")]:
            # What has that name below has another one here, or none.
            below = [self._details(path)]
        shown = list(self._shown(below, sizes=sizes and detail))
        return shown if detail else sorted(entry["name"] for entry in shown)

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        *,
        sizes: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Return all files below a path: their names, or with ``detail`` what :meth:`info` returns by name."""
        path = self._strip_protocol(path)
        below = self.target.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        found = {entry["name"]: entry for entry in self._shown(below.values(), sizes=sizes and detail)}
        if not found and self.suffix:
            below = self.target.find(path + self.suffix, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
            found = {entry["name"]: entry for entry in self._shown(below.values(), sizes=sizes and detail)}
        return found if detail else sorted(found)

    def walk(self, path: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Walk through folders, as fsspec's ``walk`` does. Sizes are looked up with ``detail=True`` only."""
        kwargs.setdefault("sizes", bool(kwargs.get("detail", False)))
        parent: Any = super()
        return cast("Iterator[Any]", parent.walk(path, *args, **kwargs))

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:
        """Return what fits a pattern. Sizes are looked up with ``detail=True`` only."""
        kwargs.setdefault("sizes", bool(kwargs.get("detail", False)))
        parent: Any = super()
        return parent.glob(path, maxdepth=maxdepth, **kwargs)

    def du(self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **_o: Any) -> Any:
        """Return the sizes of the plaintexts below a path, added up or by name; what is no message counts nothing."""
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **_o)
        if withdirs and self.isdir(path):
            entry = self.info(path)
            found[entry["name"]] = entry
        sizes = {name: entry["size"] or 0 for name, entry in found.items()}
        return sum(sizes.values()) if total else sizes

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Return whether there is a file or folder of that name."""
        parent: Any = super()
        return bool(parent.exists(path, **(kwargs | {"sizes": False})))

    def isdir(self, path: str) -> bool:
        """Return whether there is a folder of that name."""
        return self._kind(path) == "directory"

    def isfile(self, path: str) -> bool:
        """Return whether there is a file of that name."""
        return self._kind(path) == "file"

    def created(self, path: str) -> datetime.datetime:
        """Return when the message was made, as the filesystem below says."""
        return cast("datetime.datetime", self.target.created(self._existing(path)))

    def modified(self, path: str) -> datetime.datetime:
        """Return when the message was written, as the filesystem below says."""
        return cast("datetime.datetime", self.target.modified(self._existing(path)))

    def ukey(self, path: str) -> str:
        """Return a text that is another where the message is another."""
        return cast("str", self.target.ukey(self._existing(path)))

    def checksum(self, path: str) -> int:
        """Return a number that is another where the message is another."""
        return cast("int", self.target.checksum(self._existing(path)))

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget what was listed, at and below ``path``, or everywhere."""
        self.target.invalidate_cache(None if path is None else self._strip_protocol(path))
        with self._looking_up:
            self._sizes.clear()
        parent: Any = super()
        parent.invalidate_cache(path)

    # --- names and sizes ---------------------------------------------------------------------------------------------

    def _stored(self, path: str) -> str:
        """Return what the file ``path`` is called below."""
        return str(self._strip_protocol(path)) + self.suffix

    def _existing(self, path: str) -> str:
        """Return what the file or folder ``path`` is called below."""
        return str(self._strip_protocol(path)) if self.suffix and self.isdir(path) else self._stored(path)

    def _details(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return what the filesystem below tells of what is ``path`` here."""
        if not self.suffix:
            return cast("dict[str, Any]", self.target.info(path, **kwargs))
        with contextlib.suppress(FileNotFoundError):
            details: dict[str, Any] = self.target.info(path + self.suffix, **kwargs)
            if details["type"] != "directory":
                return details
        details = self.target.info(path, **kwargs)
        if details["type"] != "directory":
            raise FileNotFoundError(path)
        return details

    def _kind(self, path: str) -> str:
        try:
            return str(self.info(path, sizes=False)["type"])
        except OSError:
            return ""

    def _shown(self, entries: Iterable[Mapping[str, Any]], *, sizes: bool) -> Iterator[dict[str, Any]]:
        """Return entries of the filesystem below as they look here."""
        shown: list[dict[str, Any]] = []
        for below in entries:
            entry = self._followed(below)
            if entry["type"] != "directory":
                name = str(entry["name"]).removesuffix(self.suffix)
                if self.suffix and (name == entry["name"] or name.endswith(self.sep)):
                    continue
                entry["name"] = name
                entry["ciphertext_size"] = entry["size"]
                entry["size"] = None
            shown.append(entry)
        if sizes:
            self._look_up([entry for entry in shown if entry["type"] == "file"])
        return iter(shown)

    def _followed(self, below: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a link leads to, where that is a file: listings of local folders only say that it is a link."""
        if below.get("islink") and below["type"] == "other":
            with contextlib.suppress(OSError):
                there: dict[str, Any] = self.target.info(below["name"])
                if there["type"] == "file":
                    return dict(there)
        return dict(below)

    def _look_up(self, entries: list[dict[str, Any]]) -> None:
        """Put the sizes of plaintexts in."""
        # What is read of a great many files is not to be in memory at the same time.
        for start in range(0, len(entries), _AT_ONCE):
            some = entries[start : start + _AT_ONCE]
            keys: list[tuple[object, ...]] = [
                (entry["name"], entry["ciphertext_size"], *map(entry.get, _VERSIONS)) for entry in some
            ]
            with self._looking_up:
                known = {key: self._sizes[key] for key in keys if key in self._sizes}
            unknown = {key: entry for key, entry in zip(keys, some, strict=True) if key not in known}
            known.update(self._found(unknown))
            for key, entry in zip(keys, some, strict=True):
                entry["size"] = known.get(key)
            self._remember(known)

    def _found(self, unknown: dict[tuple[object, ...], dict[str, Any]]) -> dict[tuple[object, ...], int | None]:
        """Return the sizes that the store can be asked for now."""
        names = [entry["name"] + self.suffix for entry in unknown.values()]
        if not names:
            return {}
        found: dict[tuple[object, ...], int | None] = {}
        first = self.target.cat_ranges(names, [0] * len(names), [FIRST_BYTES] * len(names), on_error="return")
        for (key, entry), name, data in zip(unknown.items(), names, first, strict=True):
            # Any store's own errors: who opens the file is told.
            with contextlib.suppress(Exception):
                found[key] = self._claimed(name, data, entry["ciphertext_size"])
        return found

    def _remember(self, sizes: Mapping[tuple[object, ...], int | None]) -> None:
        with self._looking_up:
            # Where a store tells nothing by which versions differ, another one may have any length.
            self._sizes.update({key: size for key, size in sizes.items() if any(key[2:])})
            while len(self._sizes) > _REMEMBERED:
                self._sizes.popitem(last=False)

    def _claimed(self, name: str, first: bytes | Exception, length: int | None) -> int | None:
        if isinstance(first, Exception):
            raise first
        if length is None:
            return None
        # By name: in some stores a version comes first.
        return claimed_size(first, length, lambda start, end: self.target.cat_file(name, start=start, end=end))
