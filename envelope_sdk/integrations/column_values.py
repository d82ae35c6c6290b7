"""Values of encrypted columns, as the plaintext of their messages: bytes, text in UTF-8, JSON without spaces.

No error shows a value, or has one that does as its cause: errors of databases end up in logs.
"""

from __future__ import annotations

import json
from typing import Any, cast

from envelope_sdk.errors import MessageError, UsageError

__all__ = ["bytes_in", "bytes_of", "is_bytes", "json_from", "json_of", "text_from", "text_of"]

_PLAINTEXT = "plaintext"
"""The section of errors about what was decrypted."""


def is_bytes(value: object) -> bool:
    """Return whether that is bytes, in one of the types that drivers of databases use."""
    return isinstance(value, (bytes, bytearray, memoryview))


def bytes_in(cell: object) -> bytes:
    """Return the message that a row has.

    Raises:
        MessageError: it has none: plaintext from before, for instance.
    """
    if not is_bytes(cell):
        raise MessageError(f"the database holds {type(cell).__name__}, not bytes", section="header", offset=0)
    return cast("bytes", cell)


def bytes_of(value: object, column: object) -> bytes:
    """Return a value that is bytes.

    Raises:
        TypeError: it is none; ``column`` says of what.
    """
    if not is_bytes(value):
        raise TypeError(f"a value of {column} is bytes, not {type(value).__name__}")
    return bytes(cast("bytes", value))


def text_of(value: str) -> bytes:
    """Return a value that is text as UTF-8.

    Raises:
        UsageError: it has halves of surrogate pairs.
    """
    try:
        return value.encode()
    except UnicodeEncodeError:
        pass  # and not chained: the error holds the text
    raise UsageError("text with halves of surrogate pairs has no UTF-8 encoding")


def text_from(plaintext: bytes) -> str:
    """Return the text that was encrypted.

    Raises:
        MessageError: it was none.
    """
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        pass  # and not chained: the error holds the plaintext
    raise MessageError("the value is authentic but no text", section=_PLAINTEXT)


def json_of(value: Any, column: object, encoder: type[json.JSONEncoder] | None = None) -> bytes:
    """Return a value as JSON, by the encoder or the standard library's.

    Raises:
        UsageError: JSON cannot hold it; ``column`` says of what it is a value.
    """
    try:
        text = json.dumps(value, cls=encoder, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        reason = type(error).__name__
    else:
        return text_of(text)
    raise UsageError(f"a value of {column} cannot be told in JSON ({reason})")


def json_from(plaintext: bytes, decoder: type[json.JSONDecoder] | None = None) -> Any:
    """Return what was encrypted as JSON.

    Raises:
        MessageError: it was not JSON.
    """
    try:
        return json.loads(plaintext, cls=decoder)
    except (ValueError, RecursionError):
        pass  # and not chained: the error holds the plaintext
    raise MessageError("the value is authentic but not JSON", section=_PLAINTEXT)
