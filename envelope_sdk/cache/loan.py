"""A block in which a value may be used."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from envelope_sdk.cache.entries import Entry
from envelope_sdk.cache.records import Records
from envelope_sdk.errors import UsageError

__all__ = ["Lender", "Loan"]

T = TypeVar("T")


class Lender(Protocol):
    """Who lends."""

    @property
    def records(self) -> Records:
        """What has happened and has not been told yet."""
        ...

    def lend_kept(self, loan: Loan[Any]) -> bool:
        """Lend what is kept, and return whether that could be done without another thought."""
        ...

    def obtain(self, loan: Loan[Any]) -> None:
        """Lend a value, whatever it takes."""
        ...

    def give_back(self, entry: Entry) -> None:
        """End a loan."""
        ...

    def tell(self) -> None:
        """Tell what has happened."""
        ...


class Loan(Generic[T]):
    """A ``with`` block in which a value may be used. Each serves one block."""

    __slots__ = ("entry", "identifier", "lending", "load", "ttl_seconds", "wipe")

    def __init__(
        self,
        lending: Lender,
        identifier: bytes,
        load: Callable[[], T],
        ttl_seconds: float,
        wipe: Callable[[T], None] | None,
    ) -> None:
        self.lending = lending
        self.identifier = identifier
        self.load = load
        self.ttl_seconds = ttl_seconds
        self.wipe = wipe
        self.entry: Entry | None = None

    def __repr__(self) -> str:
        return "Loan(<secret>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a loan holds a key: it cannot be pickled or copied")

    def __enter__(self) -> T:
        """Return the value, loading it where it is not there."""
        if self.entry is not None:
            raise UsageError("a loan serves one block")
        lending = self.lending
        try:
            if not lending.lend_kept(self):
                lending.obtain(self)
            if lending.records.news:
                lending.tell()
        except BaseException:
            self.__exit__(None, None, None)
            lending.tell()
            raise
        entry: Any = self.entry
        return entry.value  # type: ignore[no-any-return]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        entry = self.entry
        if entry is not None:
            self.entry = None
            self.lending.give_back(entry)
