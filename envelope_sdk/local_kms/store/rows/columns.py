"""Values in columns and back.

Columns of SQLite hold values of any type, whatever their declaration says: each is checked when it is read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.store.connection import Connection
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper

__all__ = ["Rows", "number_of", "number_or_none", "scope_of", "text", "text_or_none", "time", "time_or_none", "whole"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Rows:
    """Some tables over one connection, within whatever transaction it is in."""

    __slots__ = ("_connection", "_wrapper")

    def __init__(self, connection: Connection, wrapper: MaterialWrapper) -> None:
        """Take the connection, and the wrapper for secrets."""
        self._connection = connection
        self._wrapper = wrapper

    @property
    def connection(self) -> Connection:
        """The connection."""
        return self._connection

    @property
    def wrapper(self) -> MaterialWrapper:
        """What wraps and unwraps secrets in this transaction."""
        return self._wrapper


def number_of(moment: datetime) -> int:
    """Return a date as milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def number_or_none(moment: datetime | None) -> int | None:
    """Return the same of a date that may be missing."""
    return None if moment is None else number_of(moment)


def time(number: object) -> datetime:
    """Return the date that :func:`number_of` took."""
    try:
        if isinstance(number, int):
            return _EPOCH + number * _MILLISECOND
    except OverflowError:
        pass
    raise KeyStoreError("the key store holds a date that cannot be one: it is damaged")


def time_or_none(number: object) -> datetime | None:
    """Return the same of a column that may be empty."""
    return None if number is None else time(number)


def scope_of(account: object, region: object) -> Scope:
    """Return the scope that two columns say."""
    try:
        return Scope(text(account), text(region))
    except UsageError:
        raise KeyStoreError(f"the key store knows of a Region {region!r:.80}: it is damaged") from None


def text(value: object) -> str:
    """Return a column of text."""
    if not isinstance(value, str):
        raise KeyStoreError("the key store holds something else where text belongs: it is damaged")
    return value


def text_or_none(value: object) -> str | None:
    """Return a column of text that may be empty."""
    return None if value is None else text(value)


def whole(value: object) -> int:
    """Return a column of whole numbers."""
    if not isinstance(value, int):
        raise KeyStoreError("the key store holds something else where a number belongs: it is damaged")
    return value
