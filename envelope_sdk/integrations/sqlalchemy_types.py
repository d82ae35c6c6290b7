"""Columns of SQLAlchemy that are stored encrypted. Needs SQLAlchemy: ``pip install 'envelope-sdk[sqlalchemy]'``.

A value is encrypted when a statement is executed and decrypted when a row is read, in the ORM and in Core, with any
database that stores bytes:

    class Customer(Base):
        __tablename__ = "customers"

        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None] = mapped_column(EncryptedString("customers", "email", client=client))

The names of table and column are in the encryption context of every value, so that a value which somebody moved to
another column does not decrypt there. Between rows of one column values can be moved: a column type does not see the
row. What a page or a backup of the database shows is that there is a value, how long it is, and with which keys and
for which column it was encrypted.
"""

# ruff: noqa: ARG002 - SQLAlchemy says what a method is given

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast

try:
    from sqlalchemy.exc import DontWrapMixin
    from sqlalchemy.types import LargeBinary, TypeDecorator
except ImportError as error:
    raise ImportError("encrypted columns need SQLAlchemy: pip install 'envelope-sdk[sqlalchemy]'") from error

from envelope_sdk.client import Client
from envelope_sdk.errors import UsageError
from envelope_sdk.integrations.column_values import bytes_in, bytes_of, json_from, json_of, text_from, text_of
from envelope_sdk.integrations.sqlalchemy_comparisons import RefusingComparator
from envelope_sdk.integrations.sqlalchemy_schema import refuse_columns_of

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["EncryptedBytes", "EncryptedJSON", "EncryptedString"]

_Value = TypeVar("_Value")


class _Encrypted(TypeDecorator[_Value], Generic[_Value]):
    """What the types have in common. SQLAlchemy finds the parts of its cache keys under the names of the arguments."""

    impl = LargeBinary
    cache_ok = True
    comparator_factory = RefusingComparator  # pyright: ignore[reportAssignmentType] - SQLAlchemy lets it be a class

    def __init__(
        self,
        table: str,
        column: str,
        *,
        client: Client | Callable[[], Client] | None = None,
        context: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        """Bind values to a column.

        Args:
            table: the table's name for good: part of the encryption context of every value. After the table was
                renamed it stays what it was.
            column: the column's name, likewise.
            client: encrypts and decrypts, or a callable that returns what does, which is asked for each value. Without
                one the type can be used for DDL only, as migrations do.
            context: more pairs for the encryption context, for instance the schema or the application. Not secret.
            length: bytes to reserve where the database wants to know; messages are longer than values.

        Raises:
            TypeError: a name or a pair is not text, or the client is none.
            UsageError: a name is empty, or a pair would replace one of the two names.
        """
        super().__init__(length)
        pairs = dict(context or {})
        for text in (table, column, *pairs, *pairs.values()):
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - anything may arrive
                raise TypeError(f"names and pairs are text, not {type(text).__name__}")
        if not (table and column):
            raise UsageError("an encrypted column needs the names of its table and its column")
        if pairs.keys() & {"table", "column"}:
            raise UsageError("the names of table and column are arguments of their own, not pairs of the context")
        if client is not None and not isinstance(client, Client) and not callable(client):
            raise TypeError(f"client is a Client or returns one, not {type(client).__name__}")
        self.table = table
        self.column = column
        self.client = client
        self.context = tuple(sorted(pairs.items()))

    def __repr__(self) -> str:
        """Return what a migration needs to make the column, which is no key."""
        more = f", context={dict(self.context)!r}" if self.context else ""
        length = cast("LargeBinary", self.impl).length
        more += f", length={length}" if length is not None else ""
        return f"{type(self).__name__}({self.table!r}, {self.column!r}{more})"

    @property
    def encryption_context(self) -> dict[str, str]:
        """The pairs that bind a value to the column."""
        return {"table": self.table, "column": self.column, **dict(self.context)}

    def process_bind_param(self, value: _Value | None, dialect: Dialect) -> bytes | None:
        """Encrypt a value for a statement; ``None`` stays NULL.

        Raises:
            TypeError: the value is not of the column's type.
            UsageError: it has no encoding, or there is no client.
            Otherwise as :meth:`envelope_sdk.Client.encrypt`.
        """
        if value is None:
            return None
        try:
            return self._client().encrypt(self._encoded(value), encryption_context=self.encryption_context).ciphertext
        except Exception as error:  # noqa: BLE001 - whoever makes the client may raise anything
            # SQLAlchemy would wrap it, and show the statement's parameters, which are plaintext here.
            failure = error
        raise _told_as_it_is(failure)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> _Value | None:
        """Decrypt a value from a row; NULL is ``None``.

        Raises:
            ContextMismatchError: it is a value of another column.
            MessageError: it is no message: plaintext from before, for instance.
            Otherwise as :meth:`envelope_sdk.Client.decrypt`.
        """
        if value is None:
            return None
        opened = self._client().decrypt(bytes_in(value), encryption_context=self.encryption_context)
        return self._decoded(opened.plaintext)

    def literal_processor(self, dialect: Dialect) -> NoReturn:
        """Refuse to write a value into the text of a statement.

        Raises:
            UsageError: always.
        """
        # Not process_literal_param(), whose errors SQLAlchemy wraps in one that shows the value.
        raise UsageError("an encrypted value is bound to a statement as a parameter, not a literal")

    def _client(self) -> Client:
        client = self.client() if callable(self.client) else self.client
        if not isinstance(client, Client):
            raise UsageError(f"{self!r} has no client to encrypt and decrypt with")
        return client

    def _encoded(self, value: Any) -> bytes:
        raise NotImplementedError

    def _decoded(self, plaintext: bytes) -> _Value:
        raise NotImplementedError


refuse_columns_of(_Encrypted)


class EncryptedBytes(_Encrypted[bytes]):
    """A column of bytes, stored as one message each."""

    cache_ok = True

    @property
    def python_type(self) -> type[bytes]:
        """What values are."""
        return bytes

    def _encoded(self, value: Any) -> bytes:
        return bytes_of(value, repr(self))

    def _decoded(self, plaintext: bytes) -> bytes:
        return plaintext


class EncryptedString(_Encrypted[str]):
    """A column of text, stored as one message each, in UTF-8. The length of a value shows."""

    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        """What values are."""
        return str

    def _encoded(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"a value of {self!r} is text, not {type(value).__name__}")
        return text_of(value)

    def _decoded(self, plaintext: bytes) -> str:
        return text_from(plaintext)


class EncryptedJSON(_Encrypted[Any]):
    """A column of what JSON can hold, stored as one message each.

    ``None`` is NULL, not JSON's null. Changes inside a value are noticed where SQLAlchemy is told to look:
    ``MutableDict.as_mutable(EncryptedJSON(...))``.
    """

    cache_ok = True
    hashable = False

    @property
    def python_type(self) -> type[Any]:
        """What values mostly are."""
        return dict

    def _encoded(self, value: Any) -> bytes:
        return json_of(value, repr(self))

    def _decoded(self, plaintext: bytes) -> Any:
        return json_from(plaintext)


def _told_as_it_is(error: Exception) -> Exception:
    """Return the error as one of a kind that SQLAlchemy does not wrap, and ``except`` knows as what it was."""
    kind = _unwrapped_kind(type(error))
    try:
        error.__class__ = kind
    except TypeError:
        # Those of Python itself stay what they are. What they are made of is more than their args, for some.
        made = kind(*cast("tuple[Any, ...]", error.__reduce__())[1])
        made.__cause__ = error.__cause__
        return made.with_traceback(error.__traceback__)
    return error


_KINDS: Final[dict[type[Exception], type[Exception]]] = {}


def _unwrapped_kind(kind: type[Exception]) -> type[Exception]:
    def as_it_was(self: Exception) -> tuple[Any, ...]:
        rebuild, arguments, *state = cast("tuple[Any, ...]", kind.__reduce__(self))
        rebuild = kind if rebuild is unwrapped else rebuild
        return (rebuild, tuple(kind if part is unwrapped else part for part in arguments), *state)

    if issubclass(kind, DontWrapMixin):
        return kind
    names = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": as_it_was}
    unwrapped = _KINDS.setdefault(kind, type(kind.__name__, (kind, DontWrapMixin), names))
    return unwrapped
