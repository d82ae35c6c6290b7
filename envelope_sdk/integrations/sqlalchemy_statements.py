"""Statements of SQLAlchemy that mean nothing, refused. Needs SQLAlchemy: ``pip install 'envelope-sdk[sqlalchemy]'``.

    engine = create_engine(...)
    check_statements(engine)

An encrypted column refuses by itself to be the left side of a comparison. What it does not see is found in the
statement, before it is executed: the other side of a comparison, functions, orders, and expressions whose value a
database would store in clear.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

try:
    from sqlalchemy import Insert, Label, TypeCoerce, Update, event
    from sqlalchemy.sql import functions, visitors
    from sqlalchemy.sql.dml import UpdateBase
    from sqlalchemy.sql.elements import (
        BinaryExpression,
        BindParameter,
        Case,
        ClauseElement,
        ClauseList,
        ColumnClause,
        Grouping,
        Null,
        Over,
    )
    from sqlalchemy.sql.selectable import CompoundSelect, Exists, FromClause, ScalarSelect, Select, SelectBase
    from sqlalchemy.types import NullType
except ImportError as error:
    raise ImportError("encrypted columns need SQLAlchemy: pip install 'envelope-sdk[sqlalchemy]'") from error

from envelope_sdk.errors import UsageError
from envelope_sdk.integrations.sqlalchemy_types import EncryptedBytes, EncryptedJSON, EncryptedString

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["check_statements"]

_TYPES: Final = (EncryptedBytes, EncryptedJSON, EncryptedString)

_PASSING: Final = frozenset({"any_value", "coalesce", "first_value", "lag", "last_value", "lead", "nth_value"})
"""Functions that return one of their arguments as it is, without looking at it."""

_TRANSPARENT: Final = (
    *(SelectBase, FromClause, UpdateBase, ScalarSelect, Exists),
    *(Label, Grouping, Case, ClauseList, Over),
)
"""What may have encrypted values within it as they are."""

_UPSERTS: Final = frozenset({"on_conflict_do_update", "on_duplicate_key_update"})


def check_statements(engine: Engine | AsyncEngine) -> None:
    """Let an engine refuse what a database would do with messages, where the caller means the values.

    From then on it raises :class:`~envelope_sdk.UsageError` in place of executing a statement that

    - compares, orders, groups or computes with an encrypted column, on whichever side it stands. Whether a value is
      NULL can be asked, and how many are not: ``func.count(column)``. ``type_coerce(column, LargeBinary)`` is the
      message itself, with which everything is allowed;
    - stores in an encrypted column what the database makes, which would be in clear, or a value of another column,
      which would not decrypt there. ``literal(value, column.type)`` is encrypted.

    What is written in SQL, as ``text()``, is not looked into.

    Args:
        engine: it, or an asynchronous one.
    """
    event.listen(getattr(engine, "sync_engine", engine), "before_execute", _check)


def _check(_connection: Any, statement: Any, *_: Any) -> None:
    if isinstance(statement, SelectBase | UpdateBase | functions.FunctionElement):
        _look(statement, passing=True, seen={})


def _look(element: Any, *, passing: bool, seen: dict[tuple[int, bool], Any]) -> None:
    """Refuse encrypted values anywhere below, and the element itself unless what is above only passes values on."""
    if isinstance(element, TypeCoerce) or (id(element), passing) in seen:
        return
    seen[id(element), passing] = element  # which keeps its id its own
    if not passing and _is_encrypted(element):
        raise _meaningless()
    if isinstance(element, Select | CompoundSelect):
        _check_select(element)
    elif isinstance(element, Insert | Update):
        _check_values(element)
    for child, passed_on in _children(element, passing):
        _look(child, passing=passed_on, seen=seen)


def _children(element: Any, passing: bool) -> Iterator[tuple[Any, bool]]:
    if _is(element, functions.FunctionElement):
        passing = _name(element) == "count" or (passing and _name(element) in _PASSING)
    elif _is(element, BinaryExpression):
        passing = _is(element.right, Null)
    elif not (_is(element, _TRANSPARENT) or element.__visit_name__ in _UPSERTS):
        passing = False
    if _is(element, Case) and element.value is not None:
        yield element.value, False
    for child in element.get_children():
        yield child, passing and (not _is(element, Over) or child is element.element)


def _check_select(select: Any) -> None:
    ordered = (*select._order_by_clauses, *getattr(select, "_distinct_on", ()))
    for part in itertools.chain.from_iterable(map(visitors.iterate, ordered)):
        named = getattr(part, "element", None) if part.__visit_name__ == "textual_label_reference" else None
        if named is not None and any(column.key == named for column in _encrypted(select)):
            raise _meaningless()
    # Among others, it may be there only because a database wants to see each selected column, or each row once.
    grouped = list(itertools.chain.from_iterable(map(_listed, select._group_by_clauses)))
    told_apart = _tells_rows_apart(select) and len(_encrypted(select)) == len(list(select.selected_columns))
    if told_apart or any(map(_is_encrypted, ordered)) or (grouped and all(map(_is_encrypted, grouped))):
        raise _meaningless()


def _encrypted(select: Any) -> list[Any]:
    return [column for column in select.selected_columns if _is_encrypted(column)]


def _tells_rows_apart(select: Any) -> bool:
    if isinstance(select, CompoundSelect):
        return not str(cast("Any", select).keyword.value).endswith("ALL")
    return select._distinct is True and not select._distinct_on


def _listed(element: Any) -> Iterable[Any]:
    return element.clauses if isinstance(element, ClauseList) else (element,)


def _check_values(dml: Any) -> None:
    for key, value in _values(dml):
        column = dml.table.columns.get(key) if isinstance(key, str) else key
        if _is_encrypted(column) and isinstance(value, ClauseElement) and not _is_message(value, column.type):
            raise UsageError(
                f"what this expression makes would be stored in the encrypted column {column} as it is: say the value "
                "itself, or literal(value, column.type)"
            )


def _values(dml: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what a statement stores, by columns or their names."""
    yield from dict(dml._values or {}).items()
    yield from getattr(dml, "_ordered_values", None) or ()
    rows: Iterable[Any] = itertools.chain.from_iterable(getattr(dml, "_multi_values", ()))
    for row in rows:
        yield from row.items() if _is(row, Mapping) else zip(dml.table.columns, row, strict=False)
    if getattr(dml, "_select_names", None):
        yield from zip(dml._select_names, dml.select.selected_columns, strict=False)
    otherwise = getattr(dml, "_post_values_clause", None)
    for option in ("update_values_to_set", "update"):  # PostgreSQL and SQLite, MySQL
        yield from dict(getattr(otherwise, option, None) or {}).items()


def _is_message(value: Any, kind: Any) -> bool:
    """Return whether all that an expression can make is NULL or a message bound to the column."""
    if _is(value, BindParameter) and _is(value.type, NullType):
        return True  # it takes the column's type
    if _is(value, Label | Grouping):
        return _is_message(value.element, kind)
    if _is(value, Case):
        made = [result for _, result in value.whens] + ([] if value.else_ is None else [value.else_])
        return all(_is_message(each, kind) for each in made)
    if _is(value, functions.FunctionElement):
        return _name(value) in _PASSING and all(_is_message(each, kind) for each in value.clauses)
    if _is(value, ScalarSelect):
        return all(_is_message(each, kind) for each in value.element.selected_columns)
    simple = _is(value, BindParameter | ColumnClause | TypeCoerce)
    return _is(value, Null) or bool(
        simple and _is_encrypted(value) and value.type.encryption_context == kind.encryption_context
    )


def _is(element: Any, kinds: Any) -> bool:
    """Return what ``isinstance`` does. SQLAlchemy's generics would be of unknown types after it."""
    return isinstance(element, kinds)


def _name(function: Any) -> str:
    return str(getattr(function, "name", "")).lower()


def _is_encrypted(element: Any) -> bool:
    return isinstance(getattr(element, "type", None), _TYPES)


def _meaningless() -> UsageError:
    return UsageError(
        "an encrypted column cannot be compared, ordered or computed with: the same value is encrypted differently "
        "each time. Only whether it is NULL can be asked, and count() how many are not"
    )
