"""What an encrypted column answers to a comparison. Needs SQLAlchemy: ``pip install 'envelope-sdk[sqlalchemy]'``."""

from __future__ import annotations

from typing import Any, Final, NoReturn

try:
    from sqlalchemy.ext.compiler import compiles
    from sqlalchemy.sql import operators
    from sqlalchemy.sql.elements import BinaryExpression, BindParameter, ColumnElement, Null
    from sqlalchemy.types import TypeDecorator
except ImportError as error:
    raise ImportError("encrypted columns need SQLAlchemy: pip install 'envelope-sdk[sqlalchemy]'") from error

from envelope_sdk.errors import UsageError

__all__ = ["RefusingComparator"]

_WITH_NULL: Final = frozenset({operators.eq, operators.ne, operators.is_, operators.is_not})
"""Comparisons that ask whether there is a value, if ``None`` is the other side."""

_BETWEEN_COLUMNS: Final = frozenset({operators.eq, operators.ne})
"""Comparisons that SQLAlchemy makes itself, with no database, where it looks for a column in a list or a dictionary."""


class _Comparison(BinaryExpression[Any]):
    """A comparison with another column: it can be asked whether it is the same one, and is refused in a statement."""

    inherit_cache = True


def _comparison_of_columns(made: Any) -> Any:
    made.__class__ = _Comparison
    return made


@compiles(_Comparison)
def _refuse_comparison(element: Any, _compiler: Any, **_: Any) -> NoReturn:
    raise _not_to_compare(element.operator)


class RefusingComparator(TypeDecorator.Comparator[Any]):
    """Refuses what a database would do with the bytes of messages, where the caller means the values."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Return a comparison with NULL, or with a column; the latter is refused in a statement.

        Raises:
            UsageError: it is another one.
        """
        if op in _WITH_NULL and len(other) == 1 and (other[0] is None or isinstance(other[0], Null)):
            return super().operate(op, *other, **kwargs)
        if op in _BETWEEN_COLUMNS and isinstance(other[0], ColumnElement) and not isinstance(other[0], BindParameter):
            return _comparison_of_columns(super().operate(op, *other, **kwargs))
        raise _not_to_compare(op)

    def reverse_operate(self, op: Any, other: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - as SQLAlchemy calls it
        """Refuse to be the right side of an operator.

        Raises:
            UsageError: always.
        """
        raise _not_to_compare(op)


def _not_to_compare(op: Any) -> UsageError:
    return UsageError(
        f"an encrypted column cannot be compared, ordered or computed with ({op.__name__}): the same value is "
        "encrypted differently each time. Only whether it is NULL can be asked"
    )
