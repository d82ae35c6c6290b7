"""What an encrypted column of SQLAlchemy cannot be. Needs SQLAlchemy: ``pip install 'envelope-sdk[sqlalchemy]'``.

A key, an index or a constraint would compare messages, which differ even where the values are the same, and a default
of the database's would be stored in clear. Such a column is refused when its table is declared or made, not when it
matches nothing.
"""

from __future__ import annotations

import itertools
from typing import Any

try:
    from sqlalchemy import Column, Table, event
    from sqlalchemy.schema import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint
    from sqlalchemy.sql import visitors
except ImportError as error:
    raise ImportError("encrypted columns need SQLAlchemy: pip install 'envelope-sdk[sqlalchemy]'") from error

from envelope_sdk.errors import UsageError

__all__ = ["refuse_columns_of"]


def refuse_columns_of(kind: type[Any]) -> None:
    """Refuse columns of a type, and of its subclasses, that a database would need the values for.

    Declaring the table raises :class:`~envelope_sdk.UsageError` where the column itself says so, and making it does
    where an index or a constraint of the table does.
    """
    event.listen(kind, "after_parent_attach", _take_column)


def _take_column(_type: Any, column: Any) -> None:
    if isinstance(column, Column):
        event.listen(column, "after_parent_attach", _check_column)


def _check_column(column: Any, table: Any) -> None:
    for option in ("primary_key", "unique", "index"):
        if getattr(column, option):
            raise _cannot(column, f"be declared with {option}=True")
    if column.foreign_keys:
        raise _cannot(column, "refer to another one")
    made = [getattr(default, "is_clause_element", False) for default in (column.default, column.onupdate)]
    if column.server_default is not None or any(made):
        raise UsageError(
            f"the encrypted column {_name(column)} cannot have a default of the database's making, which would be "
            "stored in clear: say default= with a value or a function of Python's"
        )
    for other in table.columns:
        if other is not column and _context(other) == _context(column):
            raise UsageError(
                f"the encrypted columns {_name(column)} and {_name(other)} are bound to the same names, so that their "
                "values could be exchanged"
            )
    if isinstance(table, Table):
        event.listen(table, "before_create", _check_table)


def _check_table(table: Any, _connection: Any, **_: Any) -> None:
    encrypted = {column for column in table.columns if _context(column)}
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint | ForeignKeyConstraint):
            for column in encrypted.intersection(constraint.columns):
                raise _cannot(column, f"be part of a {type(constraint).__name__}")
    parts = itertools.chain.from_iterable(
        visitors.iterate(each) for index in table.indexes for each in index.expressions
    )
    for column in encrypted.intersection(parts):
        raise _cannot(column, "be part of an index")


def _context(column: Any) -> dict[str, str] | None:
    """Return what an encrypted column is bound to."""
    encrypted = event.contains(column, "after_parent_attach", _check_column)
    return column.type.encryption_context if encrypted else None


def _cannot(column: Any, what: str) -> UsageError:
    return UsageError(
        f"the encrypted column {_name(column)} cannot {what}: the same value is encrypted differently each time"
    )


def _name(column: Any) -> str:
    return f"{column.table.name}.{column.name}"
