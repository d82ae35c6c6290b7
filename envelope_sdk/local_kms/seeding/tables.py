"""Reading a document of tables strictly: every value is taken by name and type, and nothing may be left over."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar

from envelope_sdk.errors import UsageError

__all__ = ["Table"]

T = TypeVar("T")

_KINDS: Final[Mapping[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    dict: "a table",
    list: "a list",
}


class Table:
    """A table of the document, and where it stands, for errors."""

    __slots__ = ("_asked", "_source", "_values", "_where")

    def __init__(self, values: Mapping[str, Any], source: str, where: str = "") -> None:
        """Take the table.

        Args:
            values: as parsed.
            source: what the document is called.
            where: the way to the table, for instance ``keys[2]``; empty for the whole.
        """
        self._values = values
        self._source = source
        self._where = where
        self._asked: set[str] = set()

    def refuse(self, problem: str, name: str = "") -> NoReturn:
        """Raise :class:`UsageError` about the table, or about the value ``name`` in it."""
        where = ".".join(part for part in (self._where, name) if part)
        raise UsageError(f"{self._source}: {where}: {problem}" if where else f"{self._source}: {problem}")

    def done(self) -> None:
        """Refuse a value that nothing has asked for, which is a name misspelt."""
        for name in self._values:
            if name not in self._asked:
                close = difflib.get_close_matches(name, self._asked, 1)
                hint = f": did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(self._asked))}"
                self.refuse(f"nothing is called so here{hint}", name)

    def has(self, name: str) -> bool:
        """Return whether there is a value of that name."""
        self._asked.add(name)
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """Take a text."""
        return self._take(name, str, default)

    def flag(self, name: str, *, default: bool) -> bool:
        """Take a yes or no."""
        return self._take(name, bool, default)

    def number(self, name: str) -> int | None:
        """Take a whole number, where there is one."""
        return self._take(name, int, 0) if self.has(name) else None

    def texts(self, name: str) -> list[str]:
        """Take a list of texts, each of which stands there once."""
        items = self._take(name, list, [])
        if not all(isinstance(item, str) for item in items):
            self.refuse("has to be a list of texts", name)
        if len(set(items)) < len(items):
            self.refuse("names something twice", name)
        return items

    def strings(self, name: str) -> dict[str, str]:
        """Take a table of texts."""
        items = self.table(name)
        if not all(isinstance(item, str) for item in items.values()):
            self.refuse("has to be a table of texts", name)
        return dict(items)

    def table(self, name: str) -> dict[str, Any]:
        """Take a table as it is."""
        return self._take(name, dict, {})

    def tables(self, name: str) -> list[Table]:
        """Take an array of tables."""
        items = self._take(name, list, [])
        if not all(isinstance(item, dict) for item in items):
            self.refuse(f"has to be an array of tables, each under [[{name}]]", name)
        where = f"{self._where}.{name}" if self._where else name
        return [Table(item, self._source, f"{where}[{number}]") for number, item in enumerate(items)]

    def _take(self, name: str, kind: type[T], default: T) -> T:
        self._asked.add(name)
        if name not in self._values:
            return default
        value = self._values[name]
        if type(value) is not kind:
            self.refuse(f"has to be {_KINDS[kind]}", name)
        return value
