"""Operations and places for bulk runs, in a module that worker processes can import."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from envelope_sdk import Client
from envelope_sdk.bulk import Encrypt, Entry, Item, Rotate, Written
from envelope_sdk.errors import KmsUnavailableError, StreamError

__all__ = ["Asked", "Deadly", "DeadlyRotate", "Refusing", "Shelf", "Together", "Unsendable", "Waiting"]


@dataclass(frozen=True)
class Refusing(Encrypt):
    """Fails for sources named ``bad``, in a way that says more than its text."""

    def __call__(self, client: Client, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]) -> Written:
        if item.source.endswith("bad"):
            error = KmsUnavailableError("as it was told", operation="GenerateDataKey", code="ThrottlingException")
            error.add_note("wait a little")
            raise error
        if item.source.endswith("odd"):
            raise ArithmeticError("a secret, perhaps")
        return super().__call__(client, item, overwrite=overwrite, on_progress=on_progress)


@dataclass(frozen=True)
class Deadly(Encrypt):
    """Kills its worker at sources named ``deadly``: before the target is there, or right after.

    Attributes:
        mark: a file that is made at the first kill; there is no other where there is one. Empty: a kill every time.
        after: whether the item is done first.
    """

    mark: str = ""
    after: bool = False

    def __call__(self, client: Client, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]) -> Written:
        fatal = item.source.endswith("deadly") and not (self.mark and Path(self.mark).exists())
        if fatal and not self.after:
            self._die()
        written = super().__call__(client, item, overwrite=overwrite, on_progress=on_progress)
        if fatal:
            self._die()
        return written

    def _die(self) -> None:
        if self.mark:
            Path(self.mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Asked(Encrypt):
    """Asks its worker to end, once, in the middle of the item named ``file-5``.

    Attributes:
        mark: a file that is made when it asks.
        taken: whether signals are somebody else's by then, as where an event loop runs.
    """

    mark: str = ""
    taken: bool = False

    def __call__(self, client: Client, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]) -> Written:
        if item.source.endswith("file-5") and not Path(self.mark).exists():
            Path(self.mark).touch()
            if self.taken:
                signal.set_wakeup_fd(-1)
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                on_progress(0)
                threading.Event().wait(0.01)
        return super().__call__(client, item, overwrite=overwrite, on_progress=on_progress)


@dataclass(frozen=True)
class Waiting(Encrypt):
    """Begins its target, says so by a file named for the process, and goes on when it is told to end.

    Attributes:
        marks: a folder.
    """

    marks: str = ""

    def __call__(self, client: Client, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]) -> Written:
        target = self.target.create(item.target, overwrite=overwrite)
        try:
            target.write(b"half of it")
            (Path(self.marks) / str(os.getpid())).touch()
            while True:
                on_progress(0)
                threading.Event().wait(0.01)
        finally:
            target.close()


@dataclass(frozen=True)
class Together(Encrypt):
    """Begins ``waiting``, whose worker waits until another has been killed at ``deadly``: once, then it does both.

    Attributes:
        marks: a folder. ``begun`` is made in it by the worker that waits, and ``discarded`` when that is told to end.
    """

    marks: str = ""

    def __call__(self, client: Client, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]) -> Written:
        begun, discarded = (Path(self.marks) / name for name in ("begun", "discarded"))
        if item.source.endswith("deadly") and not discarded.exists():
            while not begun.exists():
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        if item.source.endswith("waiting") and not begun.exists():
            begun.touch()
            try:
                while True:
                    on_progress(0)
                    threading.Event().wait(0.01)
            finally:
                discarded.touch()
        return super().__call__(client, item, overwrite=overwrite, on_progress=on_progress)


@dataclass(frozen=True)
class Unsendable(Encrypt):
    """Holds what cannot be pickled."""

    held: Any = field(default_factory=threading.Lock, compare=False)


class Shelf:
    """Objects in memory: a place that is no file system, for threads of one process."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.failing: set[str] = set()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for name in sorted(self.objects):
            entry = self.entry(name)
            if name.startswith(prefix) and entry is not None:
                yield entry

    def entry(self, name: str) -> Entry | None:
        data = self.objects.get(name)
        return None if data is None else Entry(name, len(data), str(hash(data)))

    def open(self, name: str) -> IO[bytes]:
        if name not in self.objects:
            raise FileNotFoundError(2, "no such object", name)
        return io.BytesIO(self.objects[name])

    def create(self, name: str, *, overwrite: bool) -> _Parcel:
        return _Parcel(self, name, overwrite)

    def replacing(self, name: str) -> _Exchange:
        return _Exchange(self, name)

    def words(self) -> str:
        return f"shelf {id(self)}: "


class _Parcel:
    def __init__(self, shelf: Shelf, name: str, overwrite: bool) -> None:
        self._shelf, self._name, self._overwrite = shelf, name, overwrite
        self._data = bytearray()

    def write(self, data: Any, /) -> int:
        if self._name in self._shelf.failing:
            raise OSError(5, "the store failed in the middle", self._name)
        # As sockets do, not all at once.
        piece = memoryview(data).cast("B")[:1000]
        self._data += piece
        return len(piece)

    def commit(self) -> None:
        if not self._overwrite and self._name in self._shelf.objects:
            raise FileExistsError(17, "there is one", self._name)
        self._shelf.objects[self._name] = bytes(self._data)

    def close(self) -> None:
        self._data.clear()


class _Exchange:
    """An object, and the parcel that is to take its place."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self._shelf, self._name = shelf, name
        self.file = shelf.open(name)
        self._old = shelf.objects[name]

    def create(self) -> _Parcel:
        return _Swap(self._shelf, self._name, self._old)

    def close(self) -> None:
        self.file.close()


class _Swap(_Parcel):
    def __init__(self, shelf: Shelf, name: str, old: bytes) -> None:
        super().__init__(shelf, name, True)
        self._old = old

    def commit(self) -> None:
        if self._shelf.objects.get(self._name) != self._old:
            raise StreamError("somebody else has changed it")
        super().commit()


@dataclass(frozen=True)
class DeadlyRotate(Rotate):
    """Kills its worker once at sources named ``deadly.enc``: before the target is there, or right after.

    Attributes:
        mark: a file that is made at the kill.
        after: whether the item is done first.
    """

    mark: str = field(kw_only=True)
    after: bool = field(default=False, kw_only=True)

    def __call__(
        self, client: Any, item: Item, *, overwrite: bool, on_progress: Callable[[int], object]
    ) -> Written | None:
        fatal = item.source.endswith("deadly.enc") and not Path(self.mark).exists()
        if fatal and not self.after:
            self._die()
        written = super().__call__(client, item, overwrite=overwrite, on_progress=on_progress)
        if fatal:
            self._die()
        return written

    def _die(self) -> None:
        Path(self.mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
