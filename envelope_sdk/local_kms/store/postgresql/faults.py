"""What PostgreSQL's errors mean for who uses keys. Their own texts may quote rows, and are not passed on."""

from __future__ import annotations

from typing import Any, Final

from envelope_sdk.errors import KeyStoreError, KmsServiceError
from envelope_sdk.local_kms import faults

__all__ = ["cannot_connect", "is_lost", "translate"]

_TEMPORARY_CLASSES: Final = ("08", "57P")
_TEMPORARY: Final = frozenset(
    {
        "25006",  # read_only_sql_transaction: it has become the copy of another server
        "25P03",  # idle_in_transaction_session_timeout
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "53300",  # too_many_connections
        "55P03",  # lock_not_available
        "57014",  # query_canceled: by its time limit
    }
)
_STILL_GOOD: Final = frozenset({"40001", "40P01", "55P03", "57014"})
_REASONS: Final = {
    "28": "it does not let the user in",
    "3D": "there is no such database",
    "42501": "the user may not do what a key store has to",
    "3F000": "its schema is not there any more",
    "42P01": "a table is missing; restore it from a backup",
    "42703": "a column is missing; restore it from a backup",
    "53100": "its disk is full",
    "53200": "it has no memory left",
    "22021": "it is not encoded in UTF-8",
    "22P05": "it is not encoded in UTF-8",
    "23": "what it holds contradicts itself; restore it from a backup",
    "XX": "it is damaged; restore it from a backup",
}


def is_lost(error: Any) -> bool:
    """Return whether the connection is of no more use."""
    state = error.sqlstate
    if state is None:
        return type(error).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")
    return state not in _STILL_GOOD and _is_temporary(state)


def translate(error: Any, place: object) -> KeyStoreError | KmsServiceError:
    """Return the error of this package that stands for one of psycopg's."""
    state = error.sqlstate
    if state is None and type(error).__name__ == "DataError":
        # The only values it has no form for.
        return faults.validation("The key store cannot keep text with a null character.")
    if is_lost(error) or _is_temporary(state or ""):
        return faults.dependency_timeout()
    return KeyStoreError(f"{place} cannot be used: {_reason(state, error)}")


def cannot_connect(error: Any, place: object, said: str) -> KeyStoreError:
    """Return the error for a first connection that fails; ``said`` is libpq's text, without secrets."""
    reason = _reason(error.sqlstate, error) if error.sqlstate else said
    return KeyStoreError(f"{place} cannot be reached: {reason}")


def _is_temporary(state: str) -> bool:
    return state in _TEMPORARY or state.startswith(_TEMPORARY_CLASSES)


def _reason(state: str | None, error: Any) -> str:
    state = state or ""
    return _REASONS.get(state) or _REASONS.get(state[:2]) or f"{type(error).__name__} {state}".strip()
