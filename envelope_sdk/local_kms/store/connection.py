"""What the SQL of the stores asks of a connection to a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

__all__ = ["Connection", "Rows"]


class Rows(Protocol):
    """What a query has found."""

    def fetchone(self) -> Any:
        """Return the next row, a tuple; ``None`` after the last."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""
        ...


class Connection(Protocol):
    """A connection, within a transaction. SQLite's own is one; others take the same SQL, with ``?`` for values."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Rows:
        """Run a statement."""
        ...

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> object:
        """Run a statement once for each of ``values``."""
        ...
